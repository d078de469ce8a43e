/* SPDX-License-Identifier: Apache-2.0
 *
 * exec_wide.c -- strides, dilations, padding and groups that leave 31 bits in a kernel of a GPU: those run on the CPU
 */
#include <string.h>

#include "exec.h"

/* x -- Q -- DQ -- Conv -- Q -- DQ -- y */
static void wide_conv(const char *attributes, uint32_t channels, uint32_t outputs, uint32_t groups, uint32_t kernel)
{
	uint32_t each = channels / groups, count = outputs * each * kernel * kernel;
	text t = {0};

	state = 6;
	say(&t,
	    "<ir_version: 8, opset_import: [\"\" : 17]>\ng (float[1,%u,4,4] x) => (float[1,%u,A,B] y)\n<\n"
	    "  float s = {0.02}, int8 z = {0}, float u = {0.5},\n  int8[%u,%u,%u,%u] w = {",
	    channels, outputs, outputs, each, kernel, kernel);
	say_codes(&t, true, count);
	say(&t,
	    "}\n>\n{\n  xq = QuantizeLinear(x, s, z)\n  xd = DequantizeLinear(xq, s, z)\n"
	    "  wd = DequantizeLinear(w, s, z)\n  v = Conv<group = %u, %s>(xd, wd)\n"
	    "  q = QuantizeLinear(v, u, z)\n  y = DequantizeLinear(q, u, z)\n}\n",
	    groups, attributes);
	run_text(t.data, t.size, attributes, 1, true);
	text_free(&t);
}

static void wide_pool(const char *pool)
{
	text t = {0};

	state = 8;
	say(&t,
	    "<ir_version: 8, opset_import: [\"\" : 17]>\ng (float[1,20,4,4] x) => (float[1,20,A,B] y)\n"
	    "<float s = {0.02}, int8 z = {5}>\n{\n  q = QuantizeLinear(x, s, z)\n  d = DequantizeLinear(q, s, z)\n"
	    "  p = %s(d)\n  pq = QuantizeLinear(p, s, z)\n  y = DequantizeLinear(pq, s, z)\n}\n",
	    pool);
	run_text(t.data, t.size, pool, 1, true);
	text_free(&t);
}

/* Shapes that the file states, and attributes that cannot be: it is refused, or runs; nothing is read beyond memory. */
static void absurd_window(const char *operator, const char * attributes)
{
	text t = {0};

	state = 10;
	say(&t, "<ir_version: 8, opset_import: [\"\" : 17]>\ng (float[1,8,4,4] x) => (float[1,8,4,4] y)\n"
		"<float s = {0.02}, int8 z = {5}, int8[8,8,1,1] w = {");
	say_codes(&t, true, 64);
	say(&t,
	    "}, float[1,8,4,4] p>\n{\n  q = QuantizeLinear(x, s, z)\n  d = DequantizeLinear(q, s, z)\n"
	    "  e = DequantizeLinear(w, s, z)\n  p = %s<%s>(d%s)\n"
	    "  pq = QuantizeLinear(p, s, z)\n  y = DequantizeLinear(pq, s, z)\n}\n",
	    operator, attributes, strcmp(operator, "MaxPool") == 0 ? "" : ", e");
	run_text(t.data, t.size, attributes, 1, false);
	text_free(&t);
}

void wide_geometries(void)
{
	static const char *const absurd[] = {
	    "kernel_shape = [1, 1], pads = [9223372036854775807, 0, 0, 0]",
	    "kernel_shape = [1, 1], pads = [-9223372036854775807, -9223372036854775807, 0, 0]",
	    "kernel_shape = [1, 1], strides = [9223372036854775807, 9223372036854775807]",
	    "kernel_shape = [1, 1], strides = [0, -1]",
	    "kernel_shape = [1, 1], dilations = [9223372036854775807, 0], pads = [1, 1, 1, 1]",
	};

	for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
		absurd_window("MaxPool", absurd[i]);
		absurd_window("Conv", absurd[i]);
		absurd_window("ConvTranspose", absurd[i]);
	}

	wide_conv("pads = [1, 1, 1, 1], strides = [1, 286331154]", 3, 4, 1, 3);
	wide_conv("pads = [0, 0, 2147483647, 0], strides = [32767, 1]", 20, 4, 1, 3);
	wide_conv("pads = [0, 20000, 0, 20000], dilations = [1, 20000]", 20, 4, 1, 3);
	wide_conv("strides = [4, 4]", 2 * 65552, 2, 2, 1);
	wide_pool("MaxPool<kernel_shape = [2, 1], pads = [1500000000, 0, 0, 0], dilations = [1500000000, 1]>");
	wide_pool("MaxPool<kernel_shape = [1, 2], pads = [0, 1500000000, 0, 0], dilations = [1, 1500000000]>");
	wide_pool("MaxPool<kernel_shape = [1, 1], pads = [0, 0, 2147483647, 0], strides = [2147483647, 1]>");
}
