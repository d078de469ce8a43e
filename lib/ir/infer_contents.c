/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_contents.c -- arithmetic on the contents of small integer tensors
 */
#include "infer.h"
