/*
 * test_arithmetic.c - PTX's arithmetic where it differs from C's: what the PTX ISA says of each.
 */
#include "tests/cudasim/ptx/arithmetic.h"

#include <criterion/criterion.h>
#include <fenv.h>

#define TOP 0x8000000000000000u

/* "cvt": clamped; NaN is 0, but the top bit from f64 or to 64 bits. */
Test(arithmetic, floats_to_integers)
{
    cr_expect(to_s32(NAN, 0) == 0 && to_s32(NAN, 0x80000000u) == INT32_MIN);
    cr_expect(to_u32(NAN, 0) == 0 && to_u32(NAN, 0x80000000u) == 0x80000000u);
    cr_expect(to_s64(NAN, TOP) == INT64_MIN && to_u64(NAN, TOP) == TOP);
    cr_expect(to_s32(3e9, 0) == INT32_MAX && to_s32(-INFINITY, 0) == INT32_MIN &&
              to_s32(-7, 0) == -7);
    cr_expect(to_u32(-1, 0) == 0 && to_u32(5e9, 0) == UINT32_MAX &&
              to_u32(4e9, 0) == 4000000000u);
    cr_expect(to_s64(1e19, TOP) == INT64_MAX &&
              to_u64(1e19, TOP) == 10000000000000000000u);
    cr_expect(to_u64(-1, TOP) == 0 && to_u64(INFINITY, TOP) == UINT64_MAX);
}

/* "min", "max": the number where one is NaN, the canonical NaN where both are, -0 below +0. */
Test(arithmetic, least_and_most)
{
    cr_expect(min_f32(NAN, 1) == 1 && min_f32(1, NAN) == 1 && max_f64(NAN, -1) == -1);
    cr_expect(U32(min_f32(NAN, -NAN)) == 0x7fffffff &&
              U64(max_f64(NAN, NAN)) == 0x7fffffffffffffff);
    cr_expect(signbit(min_f32(0.0f, -0.0f)) && signbit(min_f32(-0.0f, 0.0f)));
    cr_expect(!signbit(max_f64(0.0, -0.0)) && !signbit(max_f64(-0.0, 0.0)));
    cr_expect(min_f64(2, 3) == 2 && max_f32(2, 3) == 3);
}

/* "div": by zero gives all ones on GPUs, where C traps; the least over -1 wraps around. */
Test(arithmetic, integer_division)
{
    cr_expect(div_u32(7, 0) == UINT32_MAX && rem_u32(7, 0) == 7 && div_s64(7, 0) == -1);
    cr_expect(div_s32(INT32_MIN, -1) == INT32_MIN && rem_s32(INT32_MIN, -1) == 0);
    cr_expect(div_s32(-7, 2) == -3 && rem_s32(-7, 2) == -1 && div_u64(7, 2) == 3);
}

Test(arithmetic, bits)
{
    cr_expect_eq(prmt(0x33221100, 0x77665544, 0x7610), 0x77661100);
    cr_expect_eq(prmt(0x000000f0, 0, 0x1118 | 0x80),
                 0x000000ff | (uint32_t)0xff << 0 * 8);
    cr_expect_eq(bfi(0xff, 0, 4, 8, 32), 0xff0);
    cr_expect_eq(bfi(0xff, 0x12345678, 32, 8, 32), 0x12345678);
    cr_expect_eq(bfi(~0ull, 0, 0, 64, 64), ~0ull);
    cr_expect_eq(bfe_u32(0x12345678, 8, 12), 0x456);
    cr_expect_eq(bfe_u32(0x12345678, 40, 12), 0);
}

/* ".ftz": the sign stays.  "rcp.approx.ftz.f64": upper halves alone.  "div.approx": 1 / b may vanish. */
Test(arithmetic, what_is_flushed)
{
    cr_expect(ftz(0x1p-127f) == 0 && signbit(ftz(-0x1p-149f)) &&
              ftz(0x1p-126f) == 0x1p-126f);
    cr_expect_eq(U64(upper(1 + 0x1p-40)), U64(1.0));
    cr_expect(upper(0x1p-1040) == 0 && signbit(upper(-0x1p-1040)) && isnan(upper(NAN)));
    cr_expect(div_approx(1, 0x1p127f) == 0 && isnan(div_approx(INFINITY, 0x1p127f)) &&
              div_approx(3, 2) == 1.5f);
    cr_expect(sat(NAN) == 0 && sat(-1) == 0 && sat(2) == 1 && sat(0.25f) == 0.25f);
}

static uint32_t random_bits(void)
{
    static uint64_t seed = 1;

    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

/* In [2^-20, 2^20), of either sign, and c so that a b + c cancels now and then. */
static float some(void)
{
    return ldexpf((random_bits() & 1 ? 1 : -1) *
                      (1 + (float)(random_bits() >> 9) * 0x1p-23f),
                  (int)(random_bits() % 40) - 20);
}

static float fused_in(int mode, volatile float a, volatile float b, volatile float c)
{
    volatile float r;

    fesetround(mode);
    r = fmaf(a, b, c);
    fesetround(FE_TONEAREST);
    return r;
}

Test(arithmetic, directed_rounding)
{
    for (int i = 0; i < 200000; i++) {
        float a = some(), b = some(), c = i % 4 ? some() : -a * b;

        cr_assert_eq(fma_rm(a, b, c), fused_in(FE_DOWNWARD, a, b, c), "%a %a %a down", a,
                     b, c);
        cr_assert_eq(fma_rp(a, b, c), fused_in(FE_UPWARD, a, b, c), "%a %a %a up", a, b,
                     c);
        cr_assert_eq(fma_rz(a, b, c), fused_in(FE_TOWARDZERO, a, b, c),
                     "%a %a %a to zero", a, b, c);
    }
    cr_expect(toward(16777217, 0, -1) == 16777216.0f &&
              toward(16777217, 0, 1) == 16777218.0f);
}

/* bf16 and f16: to nearest, ties to even; the canonical NaN. */
Test(arithmetic, halves)
{
    cr_expect(to_bf16(1 + 0x1p-8f) == 0x3f80 && to_bf16(1 + 0x3p-8f) == 0x3f82 &&
              to_bf16(NAN) == 0x7fff);
    cr_expect(to_f16(1 + 0x1p-11f) == 0x3c00 && to_f16(1e6f) == 0x7c00 &&
              to_f16(-NAN) == 0x7fff);
    cr_expect(from_f16(0x0001) == 0x1p-24f && from_bf16(0xc000) == -2);
}
