/* SPDX-License-Identifier: Apache-2.0
 *
 * old.c -- a CUDA driver that lacks what the library needs
 */
int cuInit(unsigned flags) __attribute__((visibility("default")));

int cuInit(unsigned flags)
{
	return (int)flags;
}
