# libqdqopt -- `make help` lists the targets

BUILD   ?= build
CC      ?= cc
PREFIX  ?= /usr/local
DESTDIR ?=
MODELS  ?= $(wildcard ../shared/models)
VERSION := $(shell sed -n 's/.*QDQ_VERSION_STRING "\(.*\)"/\1/p' include/qdqopt.h)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))

WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
DEBUG   ?=
OPT     := $(if $(DEBUG),-O1 -g,-O2 -g -DNDEBUG)
WERROR  ?=
SAN     ?=
CFLAGS  ?=
ALL_CFLAGS := -std=c11 -D_DEFAULT_SOURCE -fPIC -fvisibility=hidden -fno-math-errno -ffp-contract=off \
	$(OPT) $(WARN) $(WERROR) $(SAN) -Iinclude -I$(BUILD)/gen $(CFLAGS)
LDLIBS  := -lprotobuf-c -lm -lpthread -ldl

# CUDA kernels: built once for all ways to build the rest, where nvcc is there
NVCC    ?= $(shell command -v nvcc 2>/dev/null)
CUDA    := build/cuda
GENCODE := $(foreach a,80 86 89,-gencode=arch=compute_$(a),code=sm_$(a)) -gencode=arch=compute_90a,code=sm_90a -gencode=arch=compute_80,code=compute_80
NVFLAGS  = -std=c++17 -O3 -fmad=false --compress-mode=size $(GENCODE)
$(CUDA)/groups.fatbin: GENCODE := -gencode=arch=compute_90a,code=sm_90a
KERNELS := $(patsubst lib/exec/cuda/%.cu,$(CUDA)/%.fatbin,$(wildcard lib/exec/cuda/*.cu))

LIB_SRC := $(filter-out lib/cli/%,$(wildcard lib/*/*.c lib/*/*/*.c)) $(wildcard passes/*.c)
CLI_SRC := $(wildcard lib/cli/*.c)
GEN     := $(BUILD)/gen/onnx.pb-c.c
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o) $(BUILD)/gen/onnx.pb-c.o
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)

.PHONY: all help
all: $(BUILD)/qdqopt $(BUILD)/libqdqopt.a $(BUILD)/libqdqopt.so ## build the tool and both libraries

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

$(BUILD)/gen/onnx.pb-c.c: lib/onnx/onnx.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(@D) --proto_path=lib/onnx onnx.proto
$(BUILD)/gen/onnx.pb-c.h: $(BUILD)/gen/onnx.pb-c.c

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c
	$(CC) $(ALL_CFLAGS) -w -c -o $@ $<
$(BUILD)/%.o: %.c | $(GEN)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/lib/exec/%.o: ALL_CFLAGS += $(if $(DEBUG),,-O3)
ifneq ($(NVCC),)
$(BUILD)/lib/exec/cuda/images.o: ALL_CFLAGS += -DQDQ_CUDA_IMAGES='"$(CUDA)"'
$(BUILD)/lib/exec/cuda/images.o: $(KERNELS)
endif
$(CUDA)/%.fatbin: lib/exec/cuda/%.cu $(wildcard lib/exec/cuda/*.cuh) lib/exec/cuda/params.h lib/exec/steps.h
	@mkdir -p $(@D)
	@echo $(NVCC) $(NVFLAGS) -fatbin -o $@ $<
	@$(NVCC) $(NVFLAGS) -Xptxas -v -fatbin -o $@ $< 2>$(@:.fatbin=.log) || { cat $(@:.fatbin=.log); exit 1; }
-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)

$(BUILD)/libqdqopt.a: $(LIB_OBJ)
	rm -f $@ && ar rcs $@ $^
$(BUILD)/libqdqopt.so.$(VERSION): $(LIB_OBJ)
	$(CC) $(SAN) -shared -Wl,-soname,libqdqopt.so.$(SOVERSION) -Wl,--no-undefined -o $@ $^ $(LDLIBS)
$(BUILD)/libqdqopt.so: $(BUILD)/libqdqopt.so.$(VERSION)
	ln -sf $(<F) $(BUILD)/libqdqopt.so.$(SOVERSION) && ln -sf $(<F) $@
$(BUILD)/qdqopt: $(CLI_OBJ) $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS) $(shell pkg-config --libs libcjson)

# ---- tests ----------------------------------------------------------------------------------------------------------
# Each program's counts are appended to $(RESULTS) by test/count; `check` adds them up. Programs do not wait for each other:
# `check` runs as many at a time as there are processors, those that take longest first.

RESULTS  = build/results
VENV     = build/venv
PYTHON   = $(VENV)/bin/python
COUNT    = RESULTS=$(abspath $(RESULTS)) test/count
CLANG   ?= clang
FLOOR   ?= 90
RUNS    ?= 1000000
CHECKS   = lint check-oom check-asan check-tsan check-peer cover check-cuda-host check-fuzz check-tensorrt check-exec check-growth check-properties check-unit check-golden check-kernels check-examples
REPLAYS := $(patsubst test/fuzz/fuzz_%.c,replay_%,$(wildcard test/fuzz/fuzz_*.c))
PEERS   := $(patsubst test/peer/%.py,peer-%,test/peer/graphs.py $(filter-out test/peer/graphs.py,$(wildcard test/peer/*.py)))
SOURCES  = $(wildcard include/*.h lib/*/*.[ch] lib/*/*/*.[ch] passes/*.[ch] test/*.c test/*/*.[ch] examples/*.c)
UNIT_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard test/unit/*.c))
NPZ_OBJ  = $(patsubst %,$(BUILD)/lib/cli/%.o,npz npy libzip output)

.PHONY: check check-cuda-host check-unit check-golden check-kernels check-exec check-properties check-growth check-oom check-asan check-tsan check-fuzz check-examples
.PHONY: gpu-bundle check-gpu bench-gpu check-peer check-tensorrt check-random cover bench fuzz lint wc bless test-programs clean
check: ## everything; the last line says how many tests passed and failed
	@test/check $(RESULTS) $(CHECKS)

$(BUILD)/test/unit/%.o: ALL_CFLAGS += -Wno-pedantic
$(BUILD)/test/run_unit: $(UNIT_OBJ) $(NPZ_OBJ) $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS) $(shell pkg-config --libs check libcjson libzip)
$(BUILD)/test/run_%: $(BUILD)/test/%.o $(BUILD)/test/fixture.o $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS)
EXEC_OBJ := $(patsubst %,$(BUILD)/test/%.o,exec exec_regions exec_products exec_nan exec_ties exec_wide fixture)
$(BUILD)/test/run_exec: $(EXEC_OBJ) $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS)
$(BUILD)/test/replay_%: $(BUILD)/test/fuzz/fuzz_%.o $(BUILD)/test/fuzz/standalone.o $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS)
$(BUILD)/test/run_generate: $(BUILD)/test/gen/generate.o
	$(CC) $(SAN) -o $@ $^
$(BUILD)/test/small_arena.o: lib/base/arena.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DFIRST_BLOCK=16 -DLAST_BLOCK=16 -c -o $@ $<
$(BUILD)/test/run_oom: $(BUILD)/test/oom.o $(BUILD)/test/fixture.o $(BUILD)/test/small_arena.o $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS)
# The tool, counting what it does (see test/tools/work.c)
build/counted/lib/%.o build/counted/passes/%.o: ALL_CFLAGS += -fsanitize-coverage=trace-pc
build/counted/test/run_work: $(CLI_OBJ) $(BUILD)/test/tools/work.o $(BUILD)/libqdqopt.a
	$(CC) -Wl,--wrap=memset,--wrap=memcpy,--wrap=memmove -o $@ $^ $(LDLIBS) $(shell pkg-config --libs libcjson)
# A CUDA driver without a GPU (test/fake), and programs whose kernels only it knows
FAKE     = $(BUILD)/test/fake/libcuda.so.1 $(BUILD)/test/fake/old/libcuda.so.1
$(BUILD)/test/fake/%.o: ALL_CFLAGS += -O3
$(BUILD)/test/fake/libcuda.so.1: $(BUILD)/test/fake/driver.o $(BUILD)/test/fake/kernels.o
	$(CC) $(SAN) -shared -Wl,-Bsymbolic -o $@ $^ -lm -lpthread
$(BUILD)/test/fake/old/libcuda.so.1: $(BUILD)/test/fake/old.o
	@mkdir -p $(@D)
	$(CC) $(SAN) -shared -o $@ $^
$(BUILD)/test/fake/run_exec: $(EXEC_OBJ) $(BUILD)/test/fake/images.o $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS)
$(BUILD)/test/fake/run_%: $(BUILD)/test/%.o $(BUILD)/test/fixture.o $(BUILD)/test/fake/images.o $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS)
.SECONDARY:
-include $(wildcard $(BUILD)/test/*.d $(BUILD)/test/*/*.d)

# what each program is given, with sanitizers and without
ARGS_golden     := test/golden
ARGS_exec       := test/models
ARGS_properties := test/models test/golden
ARGS_oom        := test/models test/golden
ARGS_threads    := test/models

check-unit: $(BUILD)/test/run_unit ## unit tests
	$(COUNT) unit $<
check-golden: $(BUILD)/test/run_golden ## golden graphs, printed and run on both sides
	$(COUNT) golden $< $(ARGS_golden)
bless: $(BUILD)/test/run_golden ## write what the golden graphs give now as what they are to give
	$< --bless test/golden
check-kernels: kernels ## CUDA kernels compiled for every architecture, within their budget of registers
	$(COUNT) kernels test/check_kernels $(CUDA) lib/exec/cuda/budget.txt
check-exec: $(BUILD)/test/run_exec ## random regions and the models, run in integers, against their Q/DQ nodes
	$(COUNT) exec $< $(ARGS_exec)
check-properties: $(BUILD)/test/run_properties ## idempotence, pass orders, load and save, print and parse
	$(COUNT) properties $< $(ARGS_properties)
check-growth: $(BUILD)/test/run_generate kernels ## work and stack in the size of graphs, counted, not timed
	+@$(MAKE) BUILD=build/counted WERROR= build/counted/test/run_work
	$(COUNT) growth env WORKING=build/counted/test/run_work GENERATE=$(BUILD)/test/run_generate python3 test/growth.py
check-oom: $(BUILD)/test/run_oom ## every single allocation fails once
	$(COUNT) oom $< $(ARGS_oom)
check-cuda-host: cuda-exec cuda-host cuda-old asan-cuda-exec asan-cuda-host ## the CUDA back end without a GPU: a fake driver, kernels in C, failures; also under ASan
cuda-exec: $(FAKE) $(BUILD)/test/fake/run_exec
	$(COUNT) $@ env LD_LIBRARY_PATH=$(BUILD)/test/fake $(BUILD)/test/fake/run_exec --device=cuda $(ARGS_exec)
cuda-host: $(FAKE) $(BUILD)/test/fake/run_cuda_host
	$(COUNT) $@ env LD_LIBRARY_PATH=$(BUILD)/test/fake $(BUILD)/test/fake/run_cuda_host
cuda-old: $(FAKE) $(BUILD)/test/fake/run_cuda_host
	$(COUNT) $@ env LD_LIBRARY_PATH=$(BUILD)/test/fake/old $(BUILD)/test/fake/run_cuda_host --old
asan-cuda-exec: asan-programs
	$(COUNT) $@ env LD_LIBRARY_PATH=build/asan/test/fake build/asan/test/fake/run_exec --device=cuda
asan-cuda-host: asan-programs
	$(COUNT) $@ env LD_LIBRARY_PATH=build/asan/test/fake build/asan/test/fake/run_cuda_host

# With sanitizers: all programs are built at once, since several targets take them. Every build embeds the same kernels,
# so they come first.
kernels: $(if $(NVCC),$(KERNELS))
ASAN_RUNS := $(addprefix asan-,oom properties exec golden unit)
TSAN_RUNS := $(addprefix tsan-,exec threads)
.PHONY: kernels asan-programs tsan-programs $(ASAN_RUNS) $(TSAN_RUNS) $(REPLAYS) $(PEERS) cuda-exec cuda-host cuda-old asan-cuda-exec asan-cuda-host
asan-programs: kernels
	+@$(MAKE) BUILD=build/asan DEBUG=1 WERROR= SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined" \
		$(ASAN_RUNS:asan-%=build/asan/test/run_%) $(REPLAYS:%=build/asan/test/%) $(FAKE:$(BUILD)/%=build/asan/%) \
		build/asan/test/fake/run_exec build/asan/test/fake/run_cuda_host
tsan-programs: kernels
	+@$(MAKE) BUILD=build/tsan DEBUG=1 WERROR= SAN=-fsanitize=thread $(TSAN_RUNS:tsan-%=build/tsan/test/run_%)
check-asan: $(ASAN_RUNS) ## units, golden graphs and properties under AddressSanitizer and UBSan
$(ASAN_RUNS): asan-%: asan-programs
	$(COUNT) $@ build/asan/test/run_$* $(ARGS_$*)
asan-oom: ARGS_oom := --quick $(ARGS_oom)
check-tsan: $(TSAN_RUNS) ## threads, each with its own context, and sessions with several, under ThreadSanitizer
$(TSAN_RUNS): tsan-%: tsan-programs
	$(COUNT) $@ build/tsan/test/run_$* $(ARGS_$*)
check-fuzz: $(REPLAYS) ## every file of the fuzzers' corpora, under the sanitizers
$(REPLAYS): replay_%: asan-programs
	$(COUNT) $@ build/asan/test/$@ test/fuzz/corpus/$*
fuzz: ## RUNS=1000000 runs of each fuzz target (needs clang)
	$(MAKE) BUILD=build/fuzz CC=$(CLANG) DEBUG=1 SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" \
		build/fuzz/libqdqopt.a $(patsubst test/fuzz/%.c,build/fuzz/test/fuzz/%.o,$(wildcard test/fuzz/fuzz_*.c))
	for t in $(REPLAYS:replay_%=%); do mkdir -p build/fuzz/corpus/$$t && \
		$(CLANG) -fsanitize=fuzzer,address,undefined -o build/fuzz/fuzz_$$t build/fuzz/test/fuzz/fuzz_$$t.o \
		build/fuzz/libqdqopt.a $(LDLIBS) && build/fuzz/fuzz_$$t -runs=$(RUNS) -max_len=65536 \
		build/fuzz/corpus/$$t test/fuzz/corpus/$$t || exit; done

$(PYTHON):
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet onnx onnxruntime numpy
check-examples: all $(PYTHON) ## the examples, a C++ program, and Python's ctypes
	$(COUNT) examples env BUILD=$(BUILD) CC="$(CC)" PYTHON=$(PYTHON) test/examples.sh
check-peer: $(PEERS) ## against onnx and ONNX Runtime
RUNNERS  = $(patsubst %,$(BUILD)/test/tools/%,evalrun dumpvalues many)
$(PEERS): peer-%: all $(RUNNERS) $(PYTHON)
	QDQOPT=$(BUILD)/qdqopt MANY=$(BUILD)/test/tools/many EVALRUN=$(BUILD)/test/tools/evalrun DUMPVALUES=$(BUILD)/test/tools/dumpvalues MODELS=$(or $(MODELS),test/models) \
		$(COUNT) $@ $(PYTHON) test/peer/$*.py
check-random: $(RUNNERS) $(PYTHON) ## SEED=1 GRAPHS=2000: random networks, optimized and not, in ONNX Runtime (check-peer has the same 2,000 each time)
	MANY=$(BUILD)/test/tools/many EVALRUN=$(BUILD)/test/tools/evalrun $(COUNT) random $(PYTHON) test/peer/graphs.py $(if $(SEED),--seed $(SEED)) $(if $(GRAPHS),--graphs $(GRAPHS))
check-tensorrt: all ## NVIDIA's compiler, ahead of time and without a GPU, on what --target tensorrt writes; skipped where pip cannot get it
	QDQOPT=$(BUILD)/qdqopt MODELS=$(or $(MODELS),test/models) $(COUNT) tensorrt test/tensorrt/run.sh build/venv-tensorrt
$(BUILD)/test/tools/cli_main.o: $(BUILD)/lib/cli/main.o
	@mkdir -p $(@D)
	objcopy --redefine-sym main=qdqopt_main $< $@
$(BUILD)/test/tools/many: $(BUILD)/test/tools/many.o $(BUILD)/test/tools/cli_main.o $(filter-out %/main.o,$(CLI_OBJ)) $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS) $(shell pkg-config --libs libzip libcjson)
$(BUILD)/test/tools/%: $(BUILD)/test/tools/%.o $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS)
$(BUILD)/test/bench/%: $(BUILD)/test/bench/%.o $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS)
cover: kernels ## line coverage of lib/ir, lib/rewrite, lib/onnx and passes
	rm -rf build/cover
	$(MAKE) BUILD=build/cover DEBUG=1 WERROR= SAN=--coverage all build/cover/test/run_unit build/cover/test/run_golden \
		build/cover/test/run_properties $(REPLAYS:%=build/cover/test/%)
	-build/cover/test/run_unit >/dev/null
	-build/cover/test/run_golden test/golden >/dev/null
	-build/cover/test/run_properties test/models test/golden >/dev/null
	-for t in $(REPLAYS); do build/cover/test/$$t test/fuzz/corpus/$${t#replay_} >/dev/null; done
	-for m in $(or $(shell find -L $(MODELS) test/models -name '*.onnx' 2>/dev/null)); do \
		for o in --exact --emit=qdq --passes=none; do build/cover/qdqopt $$m build/cover/out.onnx --quiet $$o; done; \
		build/cover/qdqopt $$m build/cover/out.onnxtxt --quiet; build/cover/qdqopt build/cover/out.onnxtxt build/cover/again.onnx --quiet; done
	$(COUNT) coverage test/cover.sh build/cover $(FLOOR)
docs/ops.md: lib/ir/ops.def test/tools/ops_doc.py ## the operator table, for people
	python3 test/tools/ops_doc.py > $@
docs/reasons.md: lib/report/reasons.def test/tools/reasons_doc.py ## the reasons, for people
	python3 test/tools/reasons_doc.py > $@
docs/passes.md: $(BUILD)/qdqopt passes/passes.def $(wildcard passes/*.c) test/tools/passes_doc.py ## the passes and their rules, for people
	python3 test/tools/passes_doc.py $(BUILD)/qdqopt > $@
# `check` builds everything with WERROR: where that is gcc, its warnings are seen to.
GCC_BUILD = $(if $(and $(WERROR),$(findstring gcc,$(CC) $(shell readlink -f "$$(command -v $(CC))"))),$(BUILD),build/lint-gcc)
lint: kernels $(if $(WERROR),all) ## layout, direction of includes, length of files, and no warning from either compiler
	+$(COUNT) lint env CLANG=$(CLANG) GCC_BUILD=$(GCC_BUILD) test/lint.sh
bench: all $(PYTHON) $(BUILD)/test/run_generate $(BUILD)/test/bench/session ## time and memory, beside cp and ONNX Runtime
	QDQOPT=$(BUILD)/qdqopt GENERATE=$(BUILD)/test/run_generate SESSION=$(BUILD)/test/bench/session MODELS=$(MODELS) $(PYTHON) test/bench/bench.py
	QDQOPT=$(BUILD)/qdqopt MODELS=$(MODELS) $(PYTHON) test/bench/ort.py
# What a machine with a GPU needs, and nothing else: programs, the shared libraries that it may lack, and models.
GPU_LIBS := -Wl,-Bstatic -lprotobuf-c -Wl,-Bdynamic -lm -lpthread -ldl
GPU_MODELS = $(wildcard $(addprefix $(MODELS)/,$(addsuffix .onnx,resnet50.trt mobilenet_v2.u8 digits_qat_relu yolo_n.trt unet.s8) exporters/*.onnx))
gpu-bundle: $(EXEC_OBJ) $(BUILD)/test/bench/gpu.o $(BUILD)/libqdqopt.a $(CLI_OBJ) ## build/gpu: programs and models for a machine with a GPU
	rm -rf build/gpu && mkdir -p build/gpu/models build/gpu/lib
	$(CC) -o build/gpu/run_exec $(EXEC_OBJ) $(BUILD)/libqdqopt.a $(GPU_LIBS)
	$(CC) -o build/gpu/gpu $(BUILD)/test/bench/gpu.o $(BUILD)/libqdqopt.a $(GPU_LIBS)
	$(CC) -o build/gpu/qdqopt $(CLI_OBJ) $(BUILD)/libqdqopt.a $(GPU_LIBS) -Wl,-rpath,'$$ORIGIN/lib' -Wl,--no-as-needed $(shell pkg-config --libs libzip libcjson)
	cp $$(ldd build/gpu/qdqopt | awk '$$1 ~ /^lib(zip|cjson|z|bz2|lzma|zstd|crypto)\.so/ { print $$3 }') build/gpu/lib/
	cp $(or $(GPU_MODELS),test/models/*.onnx) build/gpu/models/
	cp $(wildcard $(MODELS)/digits_test.npz) test/bench/gpu.py test/check_gpu test/check_digits.py build/gpu/
	strip build/gpu/run_exec build/gpu/gpu build/gpu/qdqopt
check-gpu: ## build/gpu on this machine's GPU: every byte beside the CPU's
	test/check_gpu build/gpu
bench-gpu: ## build/gpu on this machine's GPU, beside PyTorch
	python3 test/bench/gpu.py build/gpu
wc: ## lines of code by folder
	@for d in lib/* passes include examples test; do printf '%-12s %6d\n' $$d $$(find $$d -name '*.[ch]' -o -name '*.def' -o -name '*.py' | xargs -r cat | wc -l); done

EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*.c))
PACKAGES := libprotobuf-c-dev protobuf-c-compiler libcjson-dev libzip-dev libopenblas0-pthread check pkg-config python3-venv

.PHONY: examples demo deps install
$(BUILD)/examples/%: examples/%.c $(BUILD)/libqdqopt.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LDLIBS)
examples: $(EXAMPLES) ## build the examples and run them on a small model
	@for e in $(EXAMPLES); do echo "== $$e"; $$e test/models/cnn.brevitas.onnx || exit; done

demo: all ## optimize a small real ResNet and show its report
	$(BUILD)/qdqopt test/models/res_tiny.pt2e.onnx $(BUILD)/res_tiny.onnx --report

deps: ## install what is missing (Debian, Ubuntu); elsewhere say what is needed
	@missing=; if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then \
		for p in $(PACKAGES); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q ' installed$$' || missing="$$missing $$p"; done; \
		[ -z "$$missing" ] && exit 0; sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		echo "installing$$missing"; $$sudo apt-get update -qq && $$sudo apt-get install -y -q --no-install-recommends $$missing; \
	else \
		for c in protoc-c pkg-config python3; do command -v $$c >/dev/null || missing="$$missing $$c"; done; \
		for l in libprotobuf-c libcjson libzip check; do pkg-config --exists $$l 2>/dev/null || missing="$$missing $$l"; done; \
		[ -z "$$missing" ] && exit 0; \
		echo "missing:$$missing; install what Debian calls $(PACKAGES)" >&2; exit 1; fi

install: all ## into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/qdqopt $(DESTDIR)$(PREFIX)/bin/
	install -m 644 include/qdqopt.h include/qdqopt_exec.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(BUILD)/libqdqopt.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/libqdqopt.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/
	ln -sf libqdqopt.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libqdqopt.so.$(SOVERSION)
	ln -sf libqdqopt.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libqdqopt.so
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' docs/qdqopt.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/qdqopt.pc
	chmod 644 $(DESTDIR)$(PREFIX)/lib/pkgconfig/qdqopt.pc
	sed 's|@VERSION@|$(VERSION)|' docs/qdqopt.1 >$(DESTDIR)$(PREFIX)/share/man/man1/qdqopt.1
	chmod 644 $(DESTDIR)$(PREFIX)/share/man/man1/qdqopt.1

clean: ## remove build products
	rm -rf $(BUILD)
