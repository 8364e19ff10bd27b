/*
 * shuffle.c - a permutation of its own for each seed and pass (Fisher & Yates; Durstenfeld 1964).
 */
#include "data/internal.h"

#include "kernels/philox.h"

void tp__shuffle(int64_t *order, int64_t n, uint64_t seed, int64_t pass)
{
    for (int64_t i = n - 1; i > 0; i--) {
        uint32_t r[4];
        uint64_t wide;
        int64_t j, old = order[i];

        tp_philox(seed, (uint64_t)pass << 40 | (uint64_t)i, r);
        wide = (uint64_t)r[0] << 32 | r[1];
        j = (int64_t)(wide % (uint64_t)(i + 1)); /* of 2^64: no place is favoured that matters */
        order[i] = order[j], order[j] = old;
    }
}
