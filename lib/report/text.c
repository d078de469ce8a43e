/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c -- the report for people: one screen, the coverage first, then what is in the way, worst first
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

#define MOST_TYPES 64	/* operator types in one line of verdicts */
#define MOST_BLOCKERS 6 /* reasons that are listed; each takes three lines */

/* ---- colours ---- */

static const char *bold(bool colour)
{
	return colour ? "\033[1m" : "";
}

static const char *plain(bool colour)
{
	return colour ? "\033[0m" : "";
}

static void put_share(qdq_writer *w, uint64_t part, uint64_t whole)
{
	double percent = whole == 0 ? 100 : (double)part * 100 / (double)whole;

	/* what is not all must not look like all */
	qdq_put_real(w, part < whole && percent > 99.99 ? 99.99 : percent, part == whole || part == 0 ? 0 : 2);
	qdq_put(w, " %");
}

/* 4.09 G, 512, 1.5 M */
static void put_amount(qdq_writer *w, uint64_t amount, const char *unit)
{
	static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
	double x = (double)amount;
	size_t i = 0;

	while (x >= 1000 && i + 1 < QDQ_COUNTOF(prefixes)) {
		x /= 1000;
		i++;
	}
	qdq_put_real(w, x, i == 0 ? 0 : x < 100 ? 2 : 0);
	qdq_putf(w, " %s%s", prefixes[i], unit);
}

/* "1 node", "2 nodes" */
static void put_counted(qdq_writer *w, uint64_t count, const char *what)
{
	qdq_putf(w, "%llu %s%s", (unsigned long long)count, what, count == 1 ? "" : "s");
}

/* ---- the first two lines ---- */

static void put_head(qdq_writer *w, const qdq_report *r, bool colour)
{
	const qdq_counts *c = &r->counts;

	qdq_putf(w, "%sINT8: %llu of ", bold(colour), (unsigned long long)(c->int8_int8 + c->int8_float));
	put_counted(w, c->weighted, "weighted operator");
	qdq_put(w, ", ");
	put_share(w, c->macs_int8, c->macs);
	qdq_put(w, " of ");
	put_amount(w, c->macs, "MAC");
	qdq_put(w, ", ");
	put_share(w, c->bytes_int8, c->bytes);
	qdq_putf(w, " of activation bytes%s\n", plain(colour));
	qdq_put(w, r->m->path != NULL ? qdq_base_name(r->m->path) : "(no file)");
	qdq_putf(w, "   opset %d, ", r->m->opset);
	put_counted(w, c->nodes_before, "node");
	qdq_put(w, "  ->  ");
	if (r->output != NULL) {
		qdq_put(w, qdq_base_name(r->output));
		qdq_put(w, "   ");
	}
	put_counted(w, c->nodes_after, "node");
	qdq_putf(w, "   target %s, ", r->target);
	qdq_put_real(w, r->milliseconds, r->milliseconds < 10 ? 1 : 0);
	qdq_put(w, " ms\n\n");
}

/* ---- verdicts ---- */

struct type_count {
	const char *op;
	uint64_t count, clamps, adds;
};

struct verdicts {
	struct type_count types[3][MOST_TYPES];
	size_t n_types[3];
	uint64_t totals[3];
};

static void count_type(struct verdicts *v, qdq_verdict verdict, const char *op, bool clamps, bool adds)
{
	struct type_count *types = v->types[verdict];
	size_t i = 0;

	v->totals[verdict]++;
	while (i < v->n_types[verdict] && strcmp(types[i].op, op) != 0)
		i++;
	if (i == MOST_TYPES)
		i--; /* the last one stands for all that have no room */
	else if (i == v->n_types[verdict])
		types[v->n_types[verdict]++] = (struct type_count){.op = op};
	types[i].count++;
	types[i].clamps += clamps;
	types[i].adds += adds;
}

static int more_first(const void *a, const void *b)
{
	const struct type_count *x = a, *y = b;

	return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->op, y->op);
}

static void put_types(qdq_writer *w, struct type_count *types, size_t count)
{
	size_t shown = qdq_min_size(count, 8);

	qsort(types, count, sizeof *types, more_first);
	for (size_t i = 0; i < shown; i++) {
		const struct type_count *t = &types[i];

		qdq_put(w, i != 0 ? ", " : "   ");
		if (t->count != 1)
			qdq_putf(w, "%llu ", (unsigned long long)t->count);
		qdq_put(w, t->op);
		if (t->clamps != 0 || t->adds != 0) {
			qdq_put(w, " (");
			if (t->clamps != 0)
				qdq_putf(w, "%llu with activation", (unsigned long long)t->clamps);
			if (t->adds != 0)
				qdq_putf(w, "%s%llu with addition", t->clamps != 0 ? ", " : "",
					 (unsigned long long)t->adds);
			qdq_put(w, ")");
		}
	}
	if (shown < count)
		qdq_putf(w, " and %zu more kinds", count - shown);
	qdq_put(w, "\n");
}

static void put_verdicts(qdq_writer *w, const qdq_report *r)
{
	struct verdicts v = {0};

	for (size_t i = 0; i < r->regions.count; i++) {
		const qdq_report_region *region = &r->regions.items[i];

		count_type(&v, region->verdict,
			   region->anchor != NULL ? region->anchor
			   : region->arithmetic	  ? "Q/DQ as arithmetic"
						  : "requantize",
			   region->clamps, region->adds);
	}
	for (size_t i = 0; i < r->n_ops; i++)
		if (r->ops[i].fused_into == NULL && !r->ops[i].gone)
			count_type(&v, r->ops[i].verdict, r->ops[i].op, false, false);
	for (int i = QDQ_VERDICT_INT8_INT8; i >= QDQ_VERDICT_FLOAT; i--) {
		qdq_putf(w, "  %-13s %5llu", qdq_verdict_names[i], (unsigned long long)v.totals[i]);
		put_types(w, v.types[i], v.n_types[i]);
	}
}

/* ---- what is in the way ---- */

struct blocker {
	const char *code;
	const qdq_report_op *worst;
	uint64_t count, macs, bytes;
};

static int costlier(uint64_t macs, uint64_t bytes, uint64_t other_macs, uint64_t other_bytes)
{
	if (macs != other_macs)
		return macs > other_macs ? 1 : -1;
	return bytes != other_bytes ? (bytes > other_bytes ? 1 : -1) : 0;
}

static int costliest_first(const void *a, const void *b)
{
	const struct blocker *x = a, *y = b;
	int order = costlier(x->macs, x->bytes, y->macs, y->bytes);

	return order != 0 ? -order : strcmp(x->code, y->code);
}

static size_t find_blockers(const qdq_report *r, struct blocker *out)
{
	size_t count = 0;

	for (size_t i = 0; i < r->n_ops; i++) {
		const qdq_report_op *op = &r->ops[i];
		size_t k = 0;

		if (!op->has_reason || op->gone)
			continue;
		while (k < count && out[k].code != op->code)
			k++;
		if (k == count)
			out[count++] = (struct blocker){.code = op->code, .worst = op};
		out[k].count++;
		out[k].macs += op->macs;
		out[k].bytes += op->bytes;
		if (costlier(op->macs, op->bytes, out[k].worst->macs, out[k].worst->bytes) > 0)
			out[k].worst = op;
	}
	qsort(out, count, sizeof *out, costliest_first);
	return count;
}

static void put_blocker(qdq_writer *w, const qdq_report *r, const struct blocker *b, bool colour)
{
	const qdq_report_op *op = b->worst;

	qdq_putf(w, "  %s%-22s%s ", bold(colour), b->code, plain(colour));
	put_share(w, b->macs, r->counts.macs != 0 ? r->counts.macs : 1);
	qdq_put(w, " of MACs, ");
	put_share(w, b->bytes, r->counts.bytes != 0 ? r->counts.bytes : 1);
	qdq_put(w, " of bytes\n      ");
	qdq_put(w, op->op);
	qdq_put(w, " '");
	qdq_put(w, op->name);
	qdq_put(w, "'");
	if (b->count > 1)
		qdq_putf(w, " and %llu more", (unsigned long long)b->count - 1);
	qdq_put(w, ": ");
	qdq_put(w, op->message);
	if (op->operand != NULL) {
		qdq_put(w, " (tensor '");
		qdq_put(w, op->operand);
		qdq_put(w, "'");
		if (op->cause != NULL) {
			qdq_put(w, ", node '");
			qdq_put(w, op->cause);
			qdq_put(w, "'");
		}
		qdq_put(w, ")");
	}
	qdq_put(w, "\n      fix: ");
	qdq_put(w, op->fix);
	if (op->tried && op->gain != 0) {
		qdq_put(w, " (brings ");
		put_amount(w, op->gain, "MAC");
		qdq_put(w, " more into INT8)");
	}
	qdq_put(w, "\n");
}

static void put_blockers(qdq_writer *w, const qdq_report *r, bool colour)
{
	struct blocker blockers[QDQ_REASON_COUNT];
	size_t count = find_blockers(r, blockers);

	if (count == 0)
		return;
	qdq_put(w, "\nNot fully INT8, by cost\n");
	for (size_t i = 0; i < count && i < MOST_BLOCKERS; i++)
		put_blocker(w, r, &blockers[i], colour);
	if (count > MOST_BLOCKERS)
		qdq_putf(w, "  and %zu more reasons, which --report=FILE.json lists\n", count - MOST_BLOCKERS);
}

/* ---- rewrites ---- */

static void put_io(qdq_writer *w, const qdq_model *m)
{
	for (size_t i = 0; i < m->io.count; i++) {
		const qdq_io_codes *io = &m->io.items[i];

		qdq_putf(w, "%s ", io->output ? "Output" : "Input");
		qdq_put(w, io->name);
		qdq_putf(w, " is %s: scale ", qdq_type_get(io->type)->name);
		qdq_put_short(w, io->scale, 9);
		qdq_putf(w, ", zero point %lld\n", (long long)io->zero);
	}
}

static void put_measured(qdq_writer *w, const qdq_model *m)
{
	for (size_t i = 0; i < m->measured.count; i++) {
		qdq_put(w, i == 0 ? "Outputs beside those of the network as it was: " : ", ");
		qdq_put(w, m->measured.items[i].output);
		if (isinf(m->measured.items[i].snr)) {
			qdq_put(w, m->measured.items[i].snr > 0 ? " identical" : " infinitely far");
			continue;
		}
		qdq_put(w, " SNR ");
		qdq_put_real(w, m->measured.items[i].snr, 2);
		qdq_put(w, " dB");
	}
	if (m->measured.count != 0)
		qdq_put(w, "\n");
}

/* How the rewrites of a pass are counted: rule is how the rule's name begins. A test holds every pass to have its words. */
static const struct {
	const char *rule, *one, *many;
} rewrites[] = {
    {"inline_functions.", "call inlined", "calls inlined"},
    {"canonicalize.", "operator of com.microsoft renamed", "operators of com.microsoft renamed"},
    {"read_qlinear.", "integer form read as Q/DQ", "integer forms read as Q/DQ"},
    {"read_arithmetic.", "written-out quantization read as Q/DQ", "written-out quantizations read as Q/DQ"},
    {"read_fake.", "fake quantization read as Q/DQ", "fake quantizations read as Q/DQ"},
    {"read_integer.", "integer product read as Q/DQ", "integer products read as Q/DQ"},
    {"fold.", "constant computed", "constants computed"},
    {"identities.", "operator without effect dropped", "operators without effect dropped"},
    {"clip_codes.", "range of codes read as a Clip", "ranges of codes read as Clips"},
    {"widen.", "operator in float32", "operators in float32"},
    {"fold_bn.", "BatchNormalization folded", "BatchNormalizations folded"},
    {"precision.", "operator set as asked", "operators set as asked"},
    {"repair_pairs.", "pair taken away", "pairs taken away"},
    {"repair_concat.", "tensor rescaled for a Concat", "tensors rescaled for a Concat"},
    {"repair_inputs.", "input quantized", "inputs quantized"},
    {"float16.", "operator in float16", "operators in float16"},
    {"io_codes.", "input or output as codes", "inputs and outputs as codes"},
    {"repair_weights.", "weight quantized", "weights quantized"},
    {"absorb_cast.", "Cast absorbed", "Casts absorbed"},
    {"tensorrt_lift.", "operator on codes put into float", "operators on codes put into float"},
    {"tensorrt_activations.", "activation rescaled for TensorRT", "activations rescaled for TensorRT"},
    {"tensorrt_constants.", "constant converted for TensorRT", "constants converted for TensorRT"},
    {"tensorrt_float.", "Q or DQ as float arithmetic", "Q and DQ as float arithmetic"},
    {"sink_dq.", "DQ sunk", "DQ sunk"},
    {"hoist_q.", "Q hoisted", "Q hoisted"},
    {"cancel.", "Q or pair cancelled", "Q or pairs cancelled"},
    {"views.", "view merged", "views merged"},
    {"constant_codes.", "constant behind its DQ", "constants behind their DQ"},
    {"to_u8.", "tensor as uint8", "tensors as uint8"},
    {"weights_s8.", "weight as int8", "weights as int8"},
    {"channel_scales.", "tensor with one scale", "tensors with one scale"},
    {"clamp_codes.", "Relu or Clip on codes", "Relu and Clip on codes"},
    {"conv_phases.", "ConvTranspose as Conv", "ConvTranspose as Conv"},
    {"bias_codes.", "bias as int32", "biases as int32"},
    {"fuse.", "region fused", "regions fused"},
    {"attention.", "attention fused", "attentions fused"},
    {"norm.", "normalization fused", "normalizations fused"},
    {"cleanup.", "duplicate merged", "duplicates merged"},
    {"write_qlinear.", "integer form written", "integer forms written"},
    {"", "other", "others"}, /* of a caller's own passes */
};

static size_t rewrite_of(const char *rule)
{
	size_t k = 0;

	while (strncmp(rule, rewrites[k].rule, strlen(rewrites[k].rule)) != 0)
		k++;
	return k;
}

const char *qdq_rewrite_words(const char *rule, bool many)
{
	return many ? rewrites[rewrite_of(rule)].many : rewrites[rewrite_of(rule)].one;
}

static void put_exactness(qdq_writer *w, const uint64_t *counts)
{
	const char *between = " (";

	if (counts[QDQ_STEP1] == 0 && counts[QDQ_BOUNDED] == 0) {
		qdq_put(w, " (all exact)");
		return;
	}
	if (counts[QDQ_STEP1] != 0) {
		qdq_putf(w, "%s%llu within one step", between, (unsigned long long)counts[QDQ_STEP1]);
		between = ", ";
	}
	if (counts[QDQ_BOUNDED] != 0) {
		qdq_putf(w, "%s%llu bounded", between, (unsigned long long)counts[QDQ_BOUNDED]);
		between = ", ";
	}
	if (counts[QDQ_EXACT] != 0)
		qdq_putf(w, "%s%llu exact", between, (unsigned long long)counts[QDQ_EXACT]);
	qdq_put(w, ")");
}

static void put_rewrites(qdq_writer *w, const qdq_report *r)
{
	static const char *const nothing[] = {"none", "only constants and nodes without effect"};
	uint64_t counts[QDQ_COUNTOF(rewrites)] = {0}, by_exactness[3] = {0};
	bool any = false;

	for (size_t i = 0; i < r->m->events.count; i++) {
		const qdq_event *e = &r->m->events.items[i];

		if (e->declined)
			continue;
		by_exactness[e->exactness]++;
		counts[rewrite_of(e->rule)]++;
	}
	qdq_put(w, "\nRewrites: ");
	for (size_t k = 0; k < QDQ_COUNTOF(rewrites); k++) {
		if (counts[k] == 0)
			continue;
		qdq_putf(w, "%s%llu %s", any ? ", " : "", (unsigned long long)counts[k],
			 counts[k] == 1 ? rewrites[k].one : rewrites[k].many);
		any = true;
	}
	if (any)
		put_exactness(w, by_exactness);
	else
		qdq_put(w, nothing[r->counts.nodes_after < r->counts.nodes_before]);
	qdq_put(w, "\n");
}

static void put_end(qdq_writer *w, const qdq_report *r)
{
	put_io(w, r->m);
	put_measured(w, r->m);
	if (r->symbolic)
		qdq_put(w, "Dimensions that are not known (such as the batch) count as 1.\n");
	if (r->m->path == NULL)
		return;
	qdq_put(w, "Details: qdqopt explain ");
	qdq_put(w, qdq_base_name(r->m->path));
	qdq_put(w, " NODE\n");
}

qdq_status qdq_report_text(const qdq_report *r, qdq_write_fn *write, void *user, bool colour)
{
	qdq_writer w = {.write = write, .user = user};

	put_head(&w, r, colour);
	put_verdicts(&w, r);
	put_blockers(&w, r, colour);
	put_rewrites(&w, r);
	put_end(&w, r);
	return qdq_writer_end(&w);
}
