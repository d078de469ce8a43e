/* SPDX-License-Identifier: Apache-2.0
 *
 * add.cu -- contractions that are rounded, added to a residual, rounded again and stored
 */
#include "contract.cuh"

TILES(add_s8, ADDS, true)
TILES(add_u8, ADDS, false)
