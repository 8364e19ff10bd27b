/*
 * test_mma.c - the layout of the tensor cores' fragments: a product of distinct numbers, whose registers
 * are filled here by the PTX manual's table, against the plain product.
 *
 * All numbers are small integers, so the products are exact and must be equal.
 */
#include "kernels/cpu/half.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { M = 16, N = 8, K = 16, LANES = 32 };

typedef int multiply(bool bf16, const uint32_t *a, const uint32_t *b, float *d);
typedef int turn(void *rows);
typedef void set_order(const char *);

static multiply *product;
static turn *turned;
static set_order *order;

static void load(void)
{
    void *library = dlopen(CUDASIM_FRAGMENTS, RTLD_NOW | RTLD_LOCAL), *f = NULL,
         *t = NULL, *s = NULL;

    if (library)
        f = dlsym(library, "multiply_fragments"), t = dlsym(library, "turn_matrices"),
        s = dlsym(library, "cudasim_set_order");
    cr_assert(f && t && s, "%s", dlerror());
    memcpy(&product, &f, sizeof f), memcpy(&turned, &t, sizeof t);
    memcpy(&order, &s, sizeof s);
}

TestSuite(mma, .init = load);

/* The manual: groupID = %laneid >> 2, threadID_in_group = %laneid % 4. */
typedef struct place {
    int row, col;
} place;

/* row = groupID for ai where 0 <= i < 2 || 4 <= i < 6, else groupID + 8;
 * col = threadID_in_group * 2 + (i & 1), + 8 for ai where i >= 4 */
static place of_a(int lane, int i)
{
    bool upper = (0 <= i && i < 2) || (4 <= i && i < 6);

    return (place){ (lane >> 2) + (upper ? 0 : 8),
                    lane % 4 * 2 + (i & 1) + (i >= 4 ? 8 : 0) };
}

/* row = threadID_in_group * 2 + (i & 1), + 8 for bi where i >= 2;  col = groupID */
static place of_b(int lane, int i)
{
    return (place){ lane % 4 * 2 + (i & 1) + (i >= 2 ? 8 : 0), lane >> 2 };
}

/* row = groupID for ci where i < 2, else groupID + 8;  col = threadID_in_group * 2 + (i & 1) */
static place of_d(int lane, int i)
{
    return (place){ (lane >> 2) + (i < 2 ? 0 : 8), lane % 4 * 2 + (i & 1) };
}

static uint32_t pair(bool bf16, float low, float high)
{
    uint16_t bits[2];
    tp_bf16 b[2] = { tp_bf16_of(low), tp_bf16_of(high) };
    tp_f16 h[2] = { tp_f16_of(low), tp_f16_of(high) };
    uint32_t both;

    memcpy(bits, bf16 ? (void *)b : (void *)h, sizeof bits);
    memcpy(&both, bits, sizeof both);
    return both;
}

static float A[M][K], B[K][N];

/* Distinct, and exact in both types: bf16 has 8 bits. */
static void fill(void)
{
    for (int i = 0; i < M * K; i++)
        A[i / K][i % K] = (float)(i - 128);
    for (int i = 0; i < K * N; i++)
        B[i / N][i % N] = (float)(i * 37 % 128 + 1);
}

typedef struct fragments {
    uint32_t a[LANES][4], b[LANES][2];
    float d[LANES][4];
} fragments;

static void split(bool bf16, fragments *f)
{
    for (int lane = 0; lane < LANES; lane++) {
        for (int r = 0; r < 4; r++) {
            place low = of_a(lane, 2 * r), high = of_a(lane, 2 * r + 1);

            f->a[lane][r] = pair(bf16, A[low.row][low.col], A[high.row][high.col]);
        }
        for (int r = 0; r < 2; r++) {
            place low = of_b(lane, 2 * r), high = of_b(lane, 2 * r + 1);

            f->b[lane][r] = pair(bf16, B[low.row][low.col], B[high.row][high.col]);
        }
        for (int i = 0; i < 4; i++)
            f->d[lane][i] = 1000.0f * (float)(lane * 4 + i); /* it is added to */
    }
}

/* How many of the 128 numbers of D are the plain product's. */
static int right(const fragments *f)
{
    int same = 0;

    for (int i = 0; i < LANES * 4; i++) {
        place p = of_d(i / 4, i % 4);
        float sum = 1000.0f * (float)i;

        for (int k = 0; k < K; k++)
            sum += A[p.row][k] * B[k][p.col];
        same += f->d[i / 4][i % 4] == sum;
    }
    return same;
}

Test(mma, is_the_plain_product)
{
    static const char *const orders[] = { "forward", "reverse", "random:1" };
    fragments f;

    fill();
    for (int i = 0; i < 6; i++) {
        order(orders[i / 2]), split(i % 2, &f);
        cr_expect_eq(product(i % 2, f.a[0], f.b[0], f.d[0]), 0);
        cr_expect_eq(right(&f), LANES * 4, "%s, %s: %d of 128", orders[i / 2],
                     i % 2 ? "bf16" : "f16", right(&f));
    }
}

static void swap(uint32_t *x, uint32_t *y)
{
    uint32_t was = *x;

    *x = *y, *y = was;
}

/* Registers or lanes that are mixed up must show, or the test above proves nothing. */
Test(mma, a_wrong_layout_shows)
{
    fragments f;

    fill(), order("forward");
    for (int wrong = 0; wrong < 5; wrong++) {
        split(true, &f);
        if (wrong < 2)
            for (int lane = 0; lane < LANES; lane++) /* rows for columns */
                swap(&f.a[lane][1], &f.a[lane][wrong ? 2 : 0]);
        else if (wrong == 2)
            for (int lane = 0; lane < LANES; lane++)
                swap(&f.b[lane][0], &f.b[lane][1]);
        else
            swap(&f.a[5][wrong - 3], &f.a[6][wrong - 3]); /* one lane for its neighbour */
        cr_expect_eq(product(true, f.a[0], f.b[0], f.d[0]), 0);
        cr_expect_lt(right(&f), LANES * 4, "mix %d isn't seen", wrong);
    }
}

/* Rows of B in shared memory, twice, the second time with the other half first: what is loaded are the
 * registers that the table asks for. */
Test(mma, rows_are_turned_to_columns)
{
    static const char *const orders[] = { "forward", "reverse", "random:1" };
    uint32_t loaded[LANES][4];
    fragments f;

    fill(), split(true, &f);
    for (int i = 0; i < 3; i++) {
        int same = 0;

        for (int w = 0; w < LANES * 4; w++) {
            int row = (w / 4 < 16 ? w / 4 : (w / 4 + 8) % 16), column = w % 4 * 2;

            loaded[w / 4][w % 4] = pair(true, B[row][column], B[row][column + 1]);
        }
        order(orders[i]);
        cr_expect_eq(turned(loaded), 0);
        for (int w = 0; w < LANES * 4; w++)
            same += loaded[w / 4][w % 4] == f.b[w / 4][w % 4 < 2 ? w % 2 : 1 - w % 2];
        cr_expect_eq(same, LANES * 4, "%s: %d of 128", orders[i], same);
    }
}

Test(mma, numbers_of_16_bits)
{
    static const float odd[] = { 0x1p-24f, -0x1p-15f, 65504, 2,
                                 0x1p-14f, 1.0f / 3,  -0.0f, 1 };
    fragments f = { 0 };

    for (int i = 0; i < 8;
         i++) /* of lane 0: A[0][0..1], A[8][0..1], ... times B = 1 in its column */
        f.a[0][i / 2] |= (pair(false, odd[i], 0) & 0xFFFF) << 16 * (i % 2);
    for (int r = 0; r < 2; r++)
        f.b[0][r] = pair(false, r, r); /* column 0: rows 8 and 9 alone */
    cr_expect_eq(product(false, f.a[0], f.b[0], f.d[0]), 0);
    cr_expect_float_eq(f.d[0][0], 0x1p-14f + (float)tp_f16_to_f32(tp_f16_of(1.0f / 3)),
                       1e-9);
    for (int r = 0; r < 2; r++)
        f.b[0][r] = pair(false, 1 - r, 0); /* row 0 alone */
    memset(f.d, 0, sizeof f.d);
    cr_expect_eq(product(false, f.a[0], f.b[0], f.d[0]), 0);
    cr_expect_eq(f.d[0][0], 0x1p-24f);
    cr_expect_eq(f.d[0][2], 65504.0f);
}
