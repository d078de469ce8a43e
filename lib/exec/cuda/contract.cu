/* SPDX-License-Identifier: Apache-2.0
 *
 * contract.cu -- contractions with any steps behind them
 */
#include "contract.cuh"

TILES(contract, ANY_STEPS, false) /* chooses the sign itself */
