/* SPDX-License-Identifier: Apache-2.0
 *
 * round.cu -- contractions that are rounded and stored
 */
#include "contract.cuh"

TILES(round_s8, ROUNDS, true)
TILES(round_u8, ROUNDS, false)
