/*
 * brgemm_tiles.h - the tiles of brgemm.h, one function for each height and width.  matmul.c
 * includes it, and so defines br_run for all.
 */
#ifndef TP_KERNELS_CPU_BRGEMM_TILES_H
#define TP_KERNELS_CPU_BRGEMM_TILES_H

#include "kernels/cpu/brgemm_end.h"

/* ---- the tile ---- */

/* Inlined with constant rows and vecs, sum lives in registers. */
static inline __attribute__((always_inline)) void
sum_up(const br_tile *t, const int rows, const int vecs, br_vec sum[BR_MAX_ROWS][BR_VECS])
{
    int64_t row[BR_MAX_ROWS];
    const A *b = t->b;

    BR_UNROLL
    for (int r = 0; r < rows; r++) {
        row[r] = t->row[r];
        BR_UNROLL
        for (int v = 0; v < vecs; v++)
            sum[r][v] = (br_vec){ 0 };
    }
    for (int64_t i = 0; i < t->blocks; i++) {
        const A *a = t->a + t->at[i], *bi = b + i * t->b_step;

        for (int64_t k = 0; k < t->k; k++, a += t->a_step, bi += t->b_row) {
            br_vec w[BR_VECS];

            BR_UNROLL
            for (int v = 0; v < vecs; v++)
                w[v] = *(const br_vec_at *)(bi + v * BR_LANES);
            BR_UNROLL
            for (int r = 0; r < rows; r++) {
                A x = a[row[r]];

                BR_UNROLL
                for (int v = 0; v < vecs; v++)
                    sum[r][v] += x * w[v];
            }
        }
    }
}

/* Where the sums will go comes near meanwhile: stores that miss the cache would hold up the next tile. */
static inline __attribute__((always_inline)) void fetch(const br_out *o, const int rows, const int vecs)
{
    BR_UNROLL
    for (int r = 0; r < rows; r++) {
        BR_UNROLL
        for (int v = 0; v < vecs; v++)
            __builtin_prefetch(o->y + o->row[r] + v * BR_LANES, 1);
    }
}

/* Full tiles of plain sums go straight to y. */
static inline __attribute__((always_inline)) void tile(const br_tile *t, const br_out *o,
                                                       const int rows, const int vecs)
{
    br_vec sum[BR_MAX_ROWS][BR_VECS];

    if (!o->sums) fetch(o, rows, vecs);
    sum_up(t, rows, vecs, sum);
    if (o->sums) {
        BR_UNROLL
        for (int r = 0; r < rows; r++) {
            BR_UNROLL
            for (int v = 0; v < vecs; v++) {
                br_vec_at *s = (br_vec_at *)(o->sums + r * o->sums_row + v * BR_LANES);

                if (o->add) sum[r][v] += *s;
                *s = sum[r][v];
            }
        }
        return;
    }
#if !TP_IS(bf16)
    if (o->cols == vecs * BR_LANES && o->activation == TP_LINEAR && !o->preact) {
        BR_UNROLL
        for (int v = 0; v < vecs; v++) {
            br_vec bias = { 0 };

            if (o->bias) bias = *(const br_vec_at *)(o->bias + v * BR_LANES);
            BR_UNROLL
            for (int r = 0; r < rows; r++) {
                br_vec_at *y = (br_vec_at *)(o->y + o->row[r] + v * BR_LANES);

                if (o->add) sum[r][v] += *y;
                *y = o->bias ? sum[r][v] + bias : sum[r][v];
            }
        }
        return;
    }
#endif
    A rest[BR_MAX_ROWS * BR_WIDTH];

    BR_UNROLL
    for (int r = 0; r < rows; r++) {
        BR_UNROLL
        for (int v = 0; v < vecs; v++)
            *(br_vec_at *)(rest + (r * vecs + v) * BR_LANES) = sum[r][v];
    }
    finish(o, rows, vecs * BR_LANES, rest);
}

typedef void kernel(const br_tile *t, const br_out *o);

#define BR__KERNEL(r, v)                                                                 \
    static void tile_##r##x##v(const br_tile *t, const br_out *o)                        \
    {                                                                                    \
        tile(t, o, r, v);                                                                \
    }
#define BR__ENTRY(r, v) [v - 1][r - 1] = tile_##r##x##v,
#define BR__6(X, v)     X(1, v) X(2, v) X(3, v) X(4, v) X(5, v) X(6, v)
#define BR__9(X, v)     BR__6(X, v) X(7, v) X(8, v) X(9, v)
#define BR__10(X, v)    BR__9(X, v) X(10, v)
#define BR__14(X, v)    BR__10(X, v) X(11, v) X(12, v) X(13, v) X(14, v)
#if BR_VECS == 4
#define BR__ALL(X) BR__14(X, 1) BR__14(X, 2) BR__9(X, 3) BR__6(X, 4)
#else
#define BR__ALL(X) BR__10(X, 1) BR__6(X, 2)
#endif

BR__ALL(BR__KERNEL)

void br_run(const br_tile *t, const br_out *o, int64_t rows)
{
    static kernel *const kernels[BR_VECS][BR_MAX_ROWS] = { BR__ALL(BR__ENTRY) };

    kernels[br_vecs(o->cols) - 1][rows - 1](t, o);
}

void br_reference(const br_tile *t, const br_out *o, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++) {
        A sum[BR_WIDTH] = { 0 };
        br_out row = *o;

        row.row = o->row + r;
        for (int64_t i = 0; i < t->blocks; i++)
            for (int64_t k = 0; k < t->k; k++)
                for (int64_t j = 0; j < o->cols; j++)
                    sum[j] += t->a[t->at[i] + t->row[r] + k * t->a_step] *
                              t->b[i * t->b_step + k * t->b_row + j];
        finish(&row, 1, BR_WIDTH, sum);
    }
}

#endif
