/* SPDX-License-Identifier: Apache-2.0
 *
 * groups.cu -- contractions of both chains by the warp groups of sm_90a
 */
#include "contract.cuh"

TILE(round_s8_128x128x8w, 128, 128, 16, 128, 4, 1, 2, ROUNDS, true)
TILE(round_u8_128x128x8w, 128, 128, 16, 128, 4, 1, 2, ROUNDS, false)
TILE(add_s8_128x128x8w, 128, 128, 16, 128, 4, 1, 2, ADDS, true)
TILE(add_u8_128x128x8w, 128, 128, 16, 128, 4, 1, 2, ADDS, false)
