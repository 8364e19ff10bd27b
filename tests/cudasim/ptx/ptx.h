/*
 * ptx.h - what PTX translated to C stands on: the machine of tests/cudasim, and PTX's arithmetic.
 */
#ifndef CUDASIM_PTX_H
#define CUDASIM_PTX_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct ptx_param {
    int offset, bytes;
} ptx_param;
typedef struct ptx_kernel {
    const char *name;
    void (*run)(void *arguments);
    const ptx_param *params;
    int n_params, bytes, threads; /* threads: the launch bound */
} ptx_kernel;

void ptx_register(const ptx_kernel *kernels, int n);
void ptx_places(uint32_t at[12]); /* tid, ntid, ctaid, nctaid: x y z each */
void ptx_barrier(int line);
const uint64_t *ptx_exchange(uint32_t mask, uint64_t v, uint32_t *present);
void ptx_absent_lane(int lane);
void *ptx_shared(const void *place, size_t bytes);
void ptx_access(void *p, int bytes, bool write);

/* The library's own image: constants that no check concerns. */
extern char __ehdr_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));

#define CHECK(p, n, write)                                                               \
    do {                                                                                 \
        if ((char *)(p) < __ehdr_start || (char *)(p) >= _end) ptx_access(p, n, write);  \
    } while (0)

#define BITS(name, to, from)                                                             \
    static inline to name(from v)                                                        \
    {                                                                                    \
        to r;                                                                            \
        memcpy(&r, &v, sizeof r);                                                        \
        return r;                                                                        \
    }
BITS(F32, float, uint32_t)
BITS(U32, uint32_t, float)
BITS(F64, double, uint64_t)
BITS(U64, uint64_t, double)

/* ---- warps ---- */

static inline uint32_t lane_of(const uint32_t at[12])
{
    return (at[0] + at[3] * (at[1] + at[4] * at[2])) % 32;
}

static inline uint32_t shuffle(uint32_t v, uint32_t from, bool inside, uint32_t mask, uint8_t *p)
{
    uint32_t present;
    const uint64_t *all = ptx_exchange(mask, v, &present);

    *p = inside;
    if (!inside) return v;
    if (!(present >> (from & 31) & 1)) ptx_absent_lane((int)from & 31);
    return (uint32_t)all[from & 31];
}

/* c: the segment mask in bits 8 to 12, the clamp in bits 0 to 4 (PTX ISA, shfl.sync) */
static inline uint32_t most_lane(uint32_t lane, uint32_t c)
{
    return (lane & (c >> 8 & 31)) | (c & 31 & ~(c >> 8));
}

static inline uint32_t shfl_bfly(uint32_t lane, uint32_t v, uint32_t b, uint32_t c, uint32_t m, uint8_t *p)
{
    return shuffle(v, lane ^ (b & 31), (lane ^ (b & 31)) <= most_lane(lane, c), m, p);
}

static inline uint32_t shfl_down(uint32_t lane, uint32_t v, uint32_t b, uint32_t c, uint32_t m, uint8_t *p)
{
    return shuffle(v, lane + (b & 31), lane + (b & 31) <= most_lane(lane, c), m, p);
}

static inline uint32_t shfl_up(uint32_t lane, uint32_t v, uint32_t b, uint32_t c, uint32_t m, uint8_t *p)
{
    return shuffle(v, lane - (b & 31), (int)(lane - (b & 31)) >= (int)most_lane(lane, c), m, p);
}

static inline uint32_t shfl_idx(uint32_t lane, uint32_t v, uint32_t b, uint32_t c, uint32_t m, uint8_t *p)
{
    uint32_t segment = c >> 8 & 31, from = (lane & segment) | (b & 31 & ~segment);

    return shuffle(v, from, from <= most_lane(lane, c), m, p);
}

static inline uint32_t atom_cas_b32(void *at, uint32_t expected, uint32_t wanted)
{
    uint32_t old;

    memcpy(&old, at, 4);
    if (old == expected) memcpy(at, &wanted, 4);
    return old;
}

/* ---- integers; a division by zero gives all ones, as GPUs do ---- */

#define UNSIGNED_DIVISION(n)                                                             \
    static inline uint##n##_t div_u##n(uint##n##_t a, uint##n##_t b)                     \
    {                                                                                    \
        return b ? (uint##n##_t)(a / b) : (uint##n##_t)~0ull;                            \
    }                                                                                    \
    static inline uint##n##_t rem_u##n(uint##n##_t a, uint##n##_t b)                     \
    {                                                                                    \
        return b ? (uint##n##_t)(a % b) : a;                                             \
    }                                                                                    \
    static inline int##n##_t div_s##n(int##n##_t a, int##n##_t b)                        \
    {                                                                                    \
        return (int##n##_t)(!b ? -1 : b == -1 ? (int##n##_t)(0 - (uint##n##_t)a) : a / b); \
    }                                                                                    \
    static inline int##n##_t rem_s##n(int##n##_t a, int##n##_t b)                        \
    {                                                                                    \
        return (int##n##_t)(!b ? a : b == -1 ? 0 : a % b);                               \
    }
UNSIGNED_DIVISION(16)
UNSIGNED_DIVISION(32)
UNSIGNED_DIVISION(64)

static inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t selector)
{
    uint64_t both = (uint64_t)b << 32 | a;
    uint32_t r = 0;

    for (int i = 0; i < 4; i++) {
        uint32_t s = selector >> 4 * i & 15, v = (uint32_t)(both >> 8 * (s & 7)) & 255;

        if (s & 8) v = v & 128 ? 255 : 0; /* its sign, spread */
        r |= v << 8 * i;
    }
    return r;
}

static inline uint64_t bfi(uint64_t a, uint64_t b, uint32_t at, uint32_t n, uint32_t width)
{
    uint64_t ones = n >= 64 ? ~0ull : (1ull << n) - 1;

    at &= 255;
    if (at >= width || !(n & 255)) return b;
    return (b & ~(ones << at)) | (a & ones) << at;
}

static inline uint32_t bfe_u32(uint32_t a, uint32_t at, uint32_t n)
{
    at &= 255, n &= 255;
    return at >= 32 ? 0 : (a >> at) & (n >= 32 ? ~0u : (1u << n) - 1);
}

/* ---- floats ---- */

static inline float ftz(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static inline float sat(float x)
{
    return x > 0 ? x < 1 ? x : 1 : 0; /* NaN: 0 */
}

/* Of a value that double holds to 53 bits, `exact` more or less than it by `rest`. */
static inline float toward(double v, double rest, int direction)
{
    float f = (float)v;
    double over = ((double)f - v) - rest; /* f minus the exact value: its sign is right */

    if (direction < 0 && over > 0) return nextafterf(f, -INFINITY);
    if (direction > 0 && over < 0) return nextafterf(f, INFINITY);
    return f;
}

/* A product of floats is a double; the sum's rounding error is found by two-sum. */
static inline float fma_toward(float a, float b, float c, int direction)
{
    double p = (double)a * b, s = p + c, t = s - p, rest = (p - (s - t)) + (c - t);

    if (!isfinite(s)) return (float)s;
    if (direction == 0) direction = s > 0 || (s == 0 && rest > 0) ? -1 : 1;
    return toward(s, rest, direction);
}

static inline float fma_rm(float a, float b, float c) { return fma_toward(a, b, c, -1); }
static inline float fma_rp(float a, float b, float c) { return fma_toward(a, b, c, 1); }
static inline float fma_rz(float a, float b, float c) { return fma_toward(a, b, c, 0); }

/* To integers: the nearest that fits; NaN is 0 for 32 bits, the top bit for 64. */
static inline int32_t to_s32(double x)
{
    return x != x ? 0 : x >= 0x1p31 ? INT32_MAX : x <= -0x1p31 ? INT32_MIN : (int32_t)x;
}
static inline uint32_t to_u32(double x)
{
    return !(x > 0) ? 0 : x >= 0x1p32 ? UINT32_MAX : (uint32_t)x;
}
static inline int64_t to_s64(double x)
{
    return x != x ? INT64_MIN : x >= 0x1p63 ? INT64_MAX : x <= -0x1p63 ? INT64_MIN : (int64_t)x;
}
static inline uint64_t to_u64(double x)
{
    return x != x ? 1ull << 63 : !(x > 0) ? 0 : x >= 0x1p64 ? UINT64_MAX : (uint64_t)x;
}

static inline float from_f16(uint16_t bits)
{
    _Float16 h;

    memcpy(&h, &bits, 2);
    return (float)h;
}
static inline uint16_t to_f16(float x)
{
    _Float16 h = (_Float16)x;
    uint16_t bits;

    memcpy(&bits, &h, 2);
    return x != x ? 0x7fff : bits;
}
static inline float from_bf16(uint16_t bits) { return F32((uint32_t)bits << 16); }
static inline uint16_t to_bf16(float x)
{
    uint32_t u = U32(x);

    return x != x ? 0x7fff : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

#endif
