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
LDLIBS  := -lprotobuf-c -lm

LIB_SRC := $(filter-out lib/cli/%,$(wildcard lib/*/*.c)) $(wildcard passes/*.c)
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
-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)

$(BUILD)/libqdqopt.a: $(LIB_OBJ)
	rm -f $@ && ar rcs $@ $^
$(BUILD)/libqdqopt.so.$(VERSION): $(LIB_OBJ)
	$(CC) $(SAN) -shared -Wl,-soname,libqdqopt.so.$(SOVERSION) -Wl,--no-undefined -o $@ $^ $(LDLIBS)
$(BUILD)/libqdqopt.so: $(BUILD)/libqdqopt.so.$(VERSION)
	ln -sf $(<F) $(BUILD)/libqdqopt.so.$(SOVERSION) && ln -sf $(<F) $@
$(BUILD)/qdqopt: $(CLI_OBJ) $(BUILD)/libqdqopt.a
	$(CC) $(SAN) -o $@ $^ $(LDLIBS)

clean: ## remove build products
	rm -rf $(BUILD)
