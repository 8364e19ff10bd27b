/*
 * mma.cpp - mma.sync.aligned.m16n8k16 of 16-bit numbers with f32 sums, from the layout of fragments that
 * the PTX manual gives: number i of a lane's A, B and D stands at the row and column below.
 *
 * Sums go up in k, each rounded to f32; a GPU's own order and rounding are not documented.
 */
#include "tests/cudasim/sim.hpp"

#include <cstring>

namespace
{

enum { M = 16, N = 8, K = 16, LANES = 32 };

float number(uint16_t bits, bool bf16)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, all = (uint32_t)bits << 16;
    float v;

    if (!bf16) { /* the exponent of a half begins at 2^-14, that of a float at 2^-126 */
        uint32_t rest = bits & 0x7FFF;

        all = sign | rest << 13;
        if (rest >= 0x7C00) all |= 0x7F800000;
    }
    std::memcpy(&v, &all, sizeof v);
    return bf16 || (bits & 0x7FFF) >= 0x7C00 ? v : v * 0x1p112f;
}

/* The 16-bit number i of registers. */
float half_of(const uint32_t *registers, int i, bool bf16)
{
    return number((uint16_t)(registers[i / 2] >> 16 * (i % 2)), bf16);
}

} // namespace

using namespace cudasim;

extern "C" void cudasim_mma(float *d, const uint32_t *a, const uint32_t *b, bool bf16)
{
    words mine = {}, all[LANES];
    uint32_t *given = (uint32_t *)&mine;
    float A[M][K], B[K][N];
    unsigned present;

    if (lane_number() == 0) cudasim_multiplies(M * N * K);
    std::memcpy(given, a, 4 * sizeof *a), std::memcpy(given + 4, b, 2 * sizeof *b);
    std::memcpy(all, cudasim_exchange(0xFFFFFFFFu, mine, &present), sizeof all);
    for (int lane = 0; lane < LANES; lane++) {
        const uint32_t *r = (const uint32_t *)&all[lane];
        int group = lane / 4, thread = lane % 4;

        if (!(present >> lane & 1)) cudasim_absent_lane(lane);
        for (int i = 0; i < 8; i++)
            A[group + (i % 4 < 2 ? 0 : 8)][thread * 2 + i % 2 + (i < 4 ? 0 : 8)] =
                half_of(r, i, bf16);
        for (int i = 0; i < 4; i++)
            B[thread * 2 + i % 2 + (i < 2 ? 0 : 8)][group] = half_of(r + 4, i, bf16);
    }
    for (int i = 0; i < 4; i++) {
        int row = lane_number() / 4 + (i < 2 ? 0 : 8),
            column = lane_number() % 4 * 2 + i % 2;

        for (int k = 0; k < K; k++)
            d[i] += A[row][k] * B[k][column];
    }
}
