/* SPDX-License-Identifier: Apache-2.0
 *
 * ops.c -- the operator table made from ops.def, and what its strings say
 *
 * The rows of a domain stand in the order of their names, so an operator is found by halving; the operands' and
 * attributes' notation is read where it stands, word by word, without copies.
 */
#include "infer.h"

#define ROW(id_, name_, domain_, versions_, class_, family_, axis_, s8_, u8_, infer_, in_, out_, attrs_)     \
	{                                                                                                    \
		.id = QDQ_OP_##id_, .name = name_, .domain = domain_, .versions = versions_, .inputs = in_,  \
		.outputs = out_, .attrs = attrs_, .cls = QDQ_CLASS_##class_, .family = QDQ_FAMILY_##family_, \
		.axis = QDQ_AXIS_##axis_, .s8_since = s8_, .u8_since = u8_, .infer = qdq_infer_##infer_,     \
	}

const qdq_op_info qdq_ops[QDQ_OP_COUNT] = {
    ROW(NONE, "", "", "1", BARRIER, NONE, NONE, 0, 0, none, "*", "*", ""),
    ROW(REGION, "", QDQ_REGION_DOMAIN, "1", BARRIER, NONE, NONE, 0, 0, region, "*", "*", ""),
#define OP(id, name, domain, versions, cls, family, axis, s8, u8, infer, eval, in, out, attrs) \
	ROW(id, name, domain, versions, cls, family, axis, s8, u8, infer, in, out, attrs),
#include "ops.def"
#undef OP
};

/* The rows of a domain: from its first to where the next begins. */
static const struct {
	const char *name;
	qdq_op_id first, end;
} domains[] = {
    {"", QDQ_OP_Abs, QDQ_OP_ms_Attention},
    {"ai.onnx", QDQ_OP_Abs, QDQ_OP_ms_Attention},
    {"com.microsoft", QDQ_OP_ms_Attention, QDQ_OP_brevitas_Quant},
    {"onnx.brevitas", QDQ_OP_brevitas_Quant, QDQ_OP_ov_FakeQuantize},
    {"org.openvinotoolkit", QDQ_OP_ov_FakeQuantize, QDQ_OP_qonnx_Quant},
    {"qonnx.custom_op.general", QDQ_OP_qonnx_Quant, QDQ_OP_COUNT},
};

const qdq_op_info *qdq_op_find(const char *domain, const char *name)
{
	size_t low = 0, high = 0;

	for (size_t i = 0; i < QDQ_COUNTOF(domains) && high == 0; i++) {
		if (strcmp(domain, domains[i].name) == 0) {
			low = domains[i].first;
			high = domains[i].end;
		}
	}
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(name, qdq_ops[middle].name);

		if (order == 0)
			return &qdq_ops[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return &qdq_ops[QDQ_OP_NONE];
}

/* ---- notation ---- */

/* Reads a number; -1 where there is none. */
static int number(const char **s)
{
	int value = -1;

	for (; **s >= '0' && **s <= '9'; ++*s)
		value = (value < 0 ? 0 : value * 10) + (**s - '0');
	return value;
}

int qdq_op_version(const qdq_op_info *op, int opset)
{
	int version = 0;

	for (const char *s = op->versions; *s != '\0';) {
		int v = number(&s);

		if (v > opset)
			break;
		version = v;
		while (*s == ' ')
			s++;
	}
	return version;
}

/* "@a-b", "@a-", "@-b" or nothing. */
static bool in_range(const char *s, int opset)
{
	int least, greatest;

	if (*s++ != '@')
		return true;
	least = number(&s);
	s++;
	greatest = number(&s);
	return opset >= least && (greatest < 0 || opset <= greatest);
}

bool qdq_op_next_operand(const char **notation, int opset, qdq_op_operand *out)
{
	const char *s = *notation;

	while (*s != '\0') {
		*out = (qdq_op_operand){.name = s};
		while (*s != '\0' && *s != ' ' && *s != ':' && *s != '@' && *s != '?' && *s != '*' && *s != '+')
			s++;
		out->name_length = (int)(s - out->name);
		if (*s == ':') {
			out->types = ++s;
			while (*s != '\0' && *s != ' ' && *s != '@' && *s != '?' && *s != '*' && *s != '+')
				s++;
			out->types_length = (int)(s - out->types);
		}
		if (*s == '?' || *s == '*' || *s == '+')
			out->count = *s++;
		bool applies = in_range(s, opset);
		while (*s != '\0' && *s != ' ')
			s++;
		while (*s == ' ')
			s++;
		if (applies) {
			*notation = s;
			return true;
		}
	}
	*notation = s;
	return false;
}

void qdq_op_arity(const qdq_op_info *op, int opset, bool outputs, int *least, int *greatest)
{
	const char *notation = outputs ? op->outputs : op->inputs;
	qdq_op_operand operand;

	*least = *greatest = 0;
	while (qdq_op_next_operand(&notation, opset, &operand)) {
		++*greatest;
		if (operand.count == '*' || operand.count == '+')
			*greatest = INT32_MAX;
		/* What is left out before a wanted operand still takes its place. */
		if (operand.count == '\0' || operand.count == '+')
			*least = *greatest == INT32_MAX ? *least + 1 : *greatest;
		if (*greatest == INT32_MAX)
			break;
	}
}

/* f i s t g, their lists fs is …, and sp tp */
static qdq_attr_type attr_type(const char **s)
{
	qdq_attr_type type = QDQ_ATTR_NONE;

	switch (*(*s)++) {
	case 'f':
		type = QDQ_ATTR_FLOAT;
		break;
	case 'i':
		type = QDQ_ATTR_INT;
		break;
	case 's':
		type = QDQ_ATTR_STRING;
		break;
	case 't':
		type = QDQ_ATTR_TENSOR;
		break;
	case 'g':
		type = QDQ_ATTR_GRAPH;
		break;
	default:
		break;
	}
	if (**s == 's') {
		++*s;
		return (qdq_attr_type)(type + (QDQ_ATTR_FLOATS - QDQ_ATTR_FLOAT));
	}
	if (**s == 'p') {
		++*s;
		return type == QDQ_ATTR_STRING ? QDQ_ATTR_SPARSE_TENSOR : QDQ_ATTR_TYPE_PROTO;
	}
	return type;
}

bool qdq_op_next_attr(const char **notation, int opset, qdq_op_attr *out)
{
	const char *s = *notation;

	while (*s != '\0') {
		*out = (qdq_op_attr){.name = s};
		while (*s != ':')
			s++;
		out->name_length = (int)(s++ - out->name);
		out->type = attr_type(&s);
		out->required = *s == '!';
		while (*s != '\0' && *s != ' ' && *s != '@')
			s++;
		bool applies = in_range(s, opset);
		while (*s != '\0' && *s != ' ')
			s++;
		while (*s == ' ')
			s++;
		if (applies) {
			*notation = s;
			return true;
		}
	}
	*notation = s;
	return false;
}

/* ---- codes ---- */

bool qdq_op_takes_codes(const qdq_op_info *op, int opset, qdq_type codes)
{
	int since = codes == QDQ_TYPE_INT8 ? op->s8_since : codes == QDQ_TYPE_UINT8 ? op->u8_since : 0;

	return since != 0 && opset >= since;
}

bool qdq_op_data_input(const qdq_node *n, uint32_t index)
{
	if (n->op->cls != QDQ_CLASS_MOVE && n->op->cls != QDQ_CLASS_MONO)
		return false;
	switch (n->op->id) {
	case QDQ_OP_Concat:
	case QDQ_OP_Max:
	case QDQ_OP_Min:
		return true;
	case QDQ_OP_Where:
		return index == 1 || index == 2;
	default:
		return index == 0;
	}
}

bool qdq_op_interpolates(const qdq_node *n)
{
	if (n->op->id != QDQ_OP_Resize && n->op->id != QDQ_OP_Upsample)
		return false;
	return !qdq_attr_string_is(n, "mode", "nearest", "nearest") ||
	       qdq_attr_string_is(n, "coordinate_transformation_mode", "half_pixel", "tf_crop_and_resize");
}

bool qdq_op_commutes(const qdq_node *n, int64_t zero)
{
	switch (n->op->id) {
	case QDQ_OP_Resize:
	case QDQ_OP_Upsample:
		return !qdq_op_interpolates(n);
	case QDQ_OP_CenterCropPad:
	case QDQ_OP_Relu:
		return zero == 0;
	case QDQ_OP_Pad:
		return zero == 0 || qdq_in(n, 2) != NULL || !qdq_attr_string_is(n, "mode", "constant", "constant");
	default:
		return true;
	}
}
