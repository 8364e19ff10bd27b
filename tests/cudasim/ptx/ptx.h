/*
 * ptx.h - the machine that PTX translated to C runs on, which is tests/cudasim's.
 */
#ifndef CUDASIM_PTX_H
#define CUDASIM_PTX_H

#include "arithmetic.h"
#include "kernel.h"

#include <stddef.h>

typedef struct cudasim_words {
    uint64_t of[3];
} cudasim_words;

/* See tests/cudasim/device.h. */
void cudasim_barrier(int line);
const cudasim_words *cudasim_exchange(unsigned mask, cudasim_words value,
                                      unsigned *present);
void cudasim_absent_lane(int lane);
void cudasim_mma(float *d, const uint32_t *a, const uint32_t *b, bool bf16);
void *cudasim_shared(const void *place, size_t bytes);

void ptx_places(uint32_t at[12]); /* tid, ntid, ctaid, nctaid: x y z each */
void ptx_access(void *p, int bytes, bool write);

/* The library's own image: constants that no check concerns. */
extern char __ehdr_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));

#define CHECK(p, n, write)                                                               \
    do {                                                                                 \
        if ((char *)(p) < __ehdr_start || (char *)(p) >= _end) ptx_access(p, n, write);  \
    } while (0)

/* ---- warps ---- */

static inline uint32_t lane_of(const uint32_t at[12])
{
    return (at[0] + at[3] * (at[1] + at[4] * at[2])) % 32;
}

static inline void bar_warp(uint32_t mask)
{
    unsigned present;

    cudasim_exchange(mask, (cudasim_words){ { 0 } }, &present);
}

static inline uint32_t shuffle(uint32_t v, uint32_t from, bool inside, uint32_t mask,
                               uint8_t *p)
{
    unsigned present;
    const cudasim_words *all = cudasim_exchange(mask, (cudasim_words){ { v } }, &present);

    *p = inside;
    if (!inside) return v;
    if (!(present >> (from & 31) & 1)) cudasim_absent_lane((int)from & 31);
    return (uint32_t)all[from & 31].of[0];
}

/* c: the segment mask in bits 8 to 12, the clamp in bits 0 to 4 (PTX ISA, shfl.sync) */
static inline uint32_t most_lane(uint32_t lane, uint32_t c)
{
    return (lane & (c >> 8 & 31)) | (c & 31 & ~(c >> 8));
}

static inline uint32_t shfl_bfly(uint32_t lane, uint32_t v, uint32_t b, uint32_t c,
                                 uint32_t m, uint8_t *p)
{
    return shuffle(v, lane ^ (b & 31), (lane ^ (b & 31)) <= most_lane(lane, c), m, p);
}

static inline uint32_t shfl_down(uint32_t lane, uint32_t v, uint32_t b, uint32_t c,
                                 uint32_t m, uint8_t *p)
{
    return shuffle(v, lane + (b & 31), lane + (b & 31) <= most_lane(lane, c), m, p);
}

static inline uint32_t shfl_up(uint32_t lane, uint32_t v, uint32_t b, uint32_t c,
                               uint32_t m, uint8_t *p)
{
    return shuffle(v, lane - (b & 31), (int)(lane - (b & 31)) >= (int)most_lane(lane, c),
                   m, p);
}

static inline uint32_t shfl_idx(uint32_t lane, uint32_t v, uint32_t b, uint32_t c,
                                uint32_t m, uint8_t *p)
{
    uint32_t segment = c >> 8 & 31, from = (lane & segment) | (b & 31 & ~segment);

    return shuffle(v, from, from <= most_lane(lane, c), m, p);
}

/* ldmatrix.x4.trans: lane i gives row i % 8 of matrix i / 8, and gets numbers lane / 4 of rows
 * lane % 4 * 2 and the next of each. */
static inline void load_turned(uint32_t lane, uint32_t r[4], const void *row)
{
    cudasim_words mine = { { 0 } };
    uint16_t numbers[32][12];
    unsigned present;

    memcpy(&mine, row, 16);
    memcpy(numbers, cudasim_exchange(0xffffffffu, mine, &present), sizeof numbers);
    for (int i = 0; i < 32; i++)
        if (!(present >> i & 1)) cudasim_absent_lane(i);
    for (uint32_t m = 0; m < 4; m++) {
        uint32_t first = 8 * m + lane % 4 * 2;

        r[m] = numbers[first][lane / 4] | (uint32_t)numbers[first + 1][lane / 4] << 16;
    }
}

/* Threads take turns, so nothing comes between. */
static inline uint32_t atom_cas_b32(void *at, uint32_t expected, uint32_t wanted)
{
    uint32_t old;

    memcpy(&old, at, 4);
    if (old == expected) memcpy(at, &wanted, 4);
    return old;
}

#endif
