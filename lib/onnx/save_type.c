/* SPDX-License-Identifier: Apache-2.0
 *
 * save_type.c -- types and shapes of values
 */
#include "save.h"

static void save_dim(qdq_save *s, qdq_dim d, Onnx__TensorShapeProto__Dimension *out)
{
	const char *text;

	out->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
	if (d >= 0) {
		out->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		out->dim_value = d;
		return;
	}
	text = qdq_dim_print(s->m, &s->scratch, d);
	if (strchr(text, '?') != NULL)
		return;
	out->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
	out->dim_param = qdq_unconst(text);
}

Onnx__TensorShapeProto *qdq_save_shape(qdq_save *s, const qdq_shape *shape, const Onnx__TensorShapeProto *old)
{
	size_t rank = (size_t)shape->rank;
	Onnx__TensorShapeProto *out = qdq_new(&s->scratch, Onnx__TensorShapeProto);
	Onnx__TensorShapeProto__Dimension *dims = qdq_array(&s->scratch, Onnx__TensorShapeProto__Dimension, rank);

	onnx__tensor_shape_proto__init(out);
	if (old != NULL)
		*out = *old;
	out->dim = qdq_array(&s->scratch, Onnx__TensorShapeProto__Dimension *, rank);
	out->n_dim = rank;
	for (size_t i = 0; i < rank; i++) {
		onnx__tensor_shape_proto__dimension__init(&dims[i]);
		if (old != NULL && old->n_dim == rank)
			dims[i] = *old->dim[i];
		save_dim(s, shape->dim[i], &dims[i]);
		out->dim[i] = &dims[i];
	}
	return out;
}

static Onnx__TypeProto *save_type(qdq_save *s, const qdq_value *v, const Onnx__TypeProto *old)
{
	Onnx__TypeProto *out;
	Onnx__TypeProto__Tensor *tensor;
	qdq_type type = qdq_value_told_type(v);
	const qdq_shape *shape = qdq_value_told_shape(v);
	bool was_tensor = old != NULL && old->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;

	if (old == NULL && v->not_tensor)
		return qdq_save_tree(s, v->tree);
	if (v->not_tensor || (type == QDQ_TYPE_NONE && shape == NULL))
		return (Onnx__TypeProto *)(uintptr_t)old;
	out = qdq_new(&s->scratch, Onnx__TypeProto);
	tensor = qdq_new(&s->scratch, Onnx__TypeProto__Tensor);
	onnx__type_proto__init(out);
	onnx__type_proto__tensor__init(tensor);
	if (old != NULL)
		*out = *old;
	if (was_tensor)
		*tensor = *old->tensor_type;
	out->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	out->tensor_type = tensor;
	if (type != QDQ_TYPE_NONE) {
		tensor->has_elem_type = true;
		tensor->elem_type = (int32_t)type;
	}
	tensor->shape = shape == NULL ? NULL : qdq_save_shape(s, shape, tensor->shape);
	return out;
}

Onnx__ValueInfoProto *qdq_save_info(qdq_save *s, const qdq_value *v, const Onnx__ValueInfoProto *old)
{
	Onnx__ValueInfoProto *out = qdq_new(&s->scratch, Onnx__ValueInfoProto);

	onnx__value_info_proto__init(out);
	if (old != NULL)
		*out = *old;
	out->name = qdq_save_string(out->name, v->name);
	out->type = save_type(s, v, out->type);
	return out;
}
