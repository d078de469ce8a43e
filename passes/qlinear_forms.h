/* SPDX-License-Identifier: Apache-2.0
 *
 * qlinear_forms.h -- integer forms as data: which operands are codes, scales and zero points, and the float operator
 *
 * read_qlinear and write_qlinear are two ways through one table.
 */
#ifndef QDQ_QLINEAR_FORMS_H
#define QDQ_QLINEAR_FORMS_H

#include "../lib/rewrite/rewrite.h"

/* Along which axis an operand may have several scales. */
typedef enum qdq_qlinear_axis {
	QDQ_QLINEAR_PER_TENSOR, /* none */
	QDQ_QLINEAR_FILTER,	/* the first: weight of a Conv */
	QDQ_QLINEAR_COLUMN	/* that of the product's columns: second operand of MatMul and Gemm */
} qdq_qlinear_axis;

/* Indices of inputs. */
typedef struct qdq_qlinear_operand {
	uint32_t codes, scale, zero;
	qdq_qlinear_axis axis;
} qdq_qlinear_operand;

#define QDQ_QLINEAR_NONE UINT32_MAX

typedef struct qdq_qlinear_form {
	qdq_op_id id;	  /* the integer form */
	qdq_op_id op;	  /* the float operator */
	const char *rule; /* "read_qlinear.QLinearAdd" */
	uint32_t plain;	  /* so many leading inputs are no codes and stay: Where's condition */
	uint32_t count;	  /* operands; 0: as many as there are, three inputs each, behind the output's scale */
	qdq_qlinear_operand operands[2];
	uint32_t scale, zero;	  /* of the output */
	bool float_output;	  /* scale may be left out: then the output is float */
	uint32_t bias, real_bias; /* an int32 one, at the product of the scales; a float one, which is added */
	/* Reading. May this node be written with the float operator? Else false and the reason (NONE: it is left silently). */
	bool (*fits)(const qdq_node *n, qdq_reason *why);
	/* Attributes that the float operator says otherwise; n is the float operator already. */
	void (*finish)(qdq_run *r, qdq_node *n);
	/* Writing. The rule; NULL: it is not written (the CPU has no kernel, or there is a plainer form). */
	const char *write_rule;
	qdq_exactness exactness; /* of what it computes, beside the float operator between DQ and Q */
	bool scales;		 /* a constant factor behind it can go into the first operand's scale */
	/* May this float operator be written so? */
	bool (*writes)(const qdq_node *n);
	/* Attributes that the integer form says otherwise; n is the integer form already, with its old inputs. */
	void (*begin)(qdq_run *r, qdq_node *n);
} qdq_qlinear_form;

/* NULL: n is no integer form that can be read back. */
const qdq_qlinear_form *qdq_qlinear_form_of(const qdq_node *n);

extern const qdq_qlinear_form qdq_qlinear_forms[];
extern const size_t qdq_n_qlinear_forms;

static inline qdq_qlinear_operand qdq_qlinear_operand_at(const qdq_qlinear_form *form, uint32_t i)
{
	if (form->count != 0)
		return form->operands[i];
	return (qdq_qlinear_operand){2 + 3 * i, 3 + 3 * i, 4 + 3 * i, QDQ_QLINEAR_PER_TENSOR};
}

#endif
