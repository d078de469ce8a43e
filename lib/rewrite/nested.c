/* SPDX-License-Identifier: Apache-2.0
 *
 * nested.c -- passes over the bodies of If, Loop and Scan
 *
 *   x -- DQ --+--                       x --+-- DQ -- …
 *             |  if { Conv(dq, w) }  =>     |  if { p = DQ(x) Conv(p, w) }
 *
 * A pass takes a graph as the whole world: what a value is made of may be moved, cloned, removed. In a body that would be
 * nodes of another graph, which may run at another time, or not at all. So while a pass runs there, what is captured
 * looks like an input: a *port* with the type and shape of the value that it stands for. Constants stay visible. The DQ
 * in front of a product is copied into the body first; otherwise it could not be INT8 there.
 */
#include "rewrite.h"

bool qdq_enters(const qdq_node *n)
{
	return n->op->id == QDQ_OP_If || n->op->id == QDQ_OP_Loop || n->op->id == QDQ_OP_Scan;
}

static void collect(qdq_arena *arena, qdq_graph *g, qdq_graphs *out)
{
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		for (uint32_t i = 0; qdq_enters(n) && i < n->n_attrs; i++) {
			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(&n->attrs[i], &graphs);

			for (size_t j = 0; j < count; j++) {
				*qdq_push(arena, out) = graphs[j];
				collect(arena, graphs[j], out);
			}
		}
	}
}

void qdq_nested_graphs(qdq_model *m, qdq_arena *arena, qdq_graphs *out)
{
	out->count = 0;
	if (qdq_model_has(m, QDQ_OP_If) || qdq_model_has(m, QDQ_OP_Loop) || qdq_model_has(m, QDQ_OP_Scan))
		collect(arena, m->graph, out);
}

/* ---- what is captured ---- */

static bool is_captured(const qdq_value *v, const qdq_graph *g)
{
	return v != NULL && v->graph != g && qdq_value_constant(v) == NULL;
}

/* The DQs that products read come along. */
static void bring_dequantizers(qdq_graph *g, qdq_map *copies)
{
	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		for (uint32_t i = 0; n->op->cls == QDQ_CLASS_CONTRACT && i < n->n_inputs; i++) {
			qdq_value *v = qdq_in(n, i);
			qdq_node *copy;

			if (!is_captured(v, g) || v->def == NULL || !qdq_is_dequantizer(v->def))
				continue;
			copy = qdq_map_get(copies, v);
			if (copy == NULL) {
				copy = qdq_node_clone(v->def, NULL);
				qdq_node_move(copy, g, g->first);
				qdq_map_set(copies, v, copy);
			}
			qdq_use_set(&n->inputs[i], copy->outputs[0]);
		}
	}
}

static qdq_value *port_of(qdq_graph *g, qdq_map *by_outer, qdq_arena *arena, qdq_ports *ports, qdq_value *outer)
{
	qdq_value *port = qdq_map_get(by_outer, outer);

	if (port != NULL)
		return port;
	port = qdq_value_create(g, outer->name);
	port->is_input = true;
	port->type = outer->type;
	port->shape = outer->shape;
	port->contents = outer->contents;
	port->not_tensor = outer->not_tensor;
	port->tree = outer->tree;
	*qdq_push(&g->model->arena, &g->inputs) = port;
	qdq_map_set(by_outer, outer, port);
	*qdq_push(arena, ports) = (qdq_port){port, outer};
	return port;
}

void qdq_nested_hide(qdq_graph *g, qdq_arena *arena, qdq_ports *out)
{
	qdq_map copies, by_outer;

	qdq_map_init(&copies, arena);
	qdq_map_init(&by_outer, arena);
	out->count = 0;
	bring_dequantizers(g, &copies);
	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n))
		for (uint32_t i = 0; i < n->n_inputs; i++)
			if (is_captured(qdq_in(n, i), g))
				qdq_use_set(&n->inputs[i], port_of(g, &by_outer, arena, out, qdq_in(n, i)));
}

void qdq_nested_show(qdq_graph *g, const qdq_ports *ports)
{
	for (size_t i = 0; i < ports->count; i++)
		qdq_value_replace_uses(ports->items[i].port, ports->items[i].outer);
	g->inputs.count -= ports->count;
}
