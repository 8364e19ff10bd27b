/*
 * brgemm_pack.h - operands of brgemm.h laid out for its tiles: B as panels, one row of
 * `width` numbers (a multiple of the vector, zeros at the end) after another.
 */
#ifndef TP_KERNELS_CPU_BRGEMM_PACK_H
#define TP_KERNELS_CPU_BRGEMM_PACK_H

#include "kernels/cpu/brgemm.h"

/* ---- a square of numbers turned in registers ---- */

#define BR__ZIP(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
static inline br_vec br_zip_low(br_vec x, br_vec y)
{
#if BR_BYTES == 64 && TP_IS(f64)
    return BR__ZIP(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
#elif BR_BYTES == 64
    return BR__ZIP(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif BR_BYTES == 32 && TP_IS(f64)
    return BR__ZIP(x, y, 0, 4, 1, 5);
#elif BR_BYTES == 32
    return BR__ZIP(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
#elif TP_IS(f64)
    return BR__ZIP(x, y, 0, 2);
#else
    return BR__ZIP(x, y, 0, 4, 1, 5);
#endif
}

static inline br_vec br_zip_high(br_vec x, br_vec y)
{
#if BR_BYTES == 64 && TP_IS(f64)
    return BR__ZIP(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
#elif BR_BYTES == 64
    return BR__ZIP(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif BR_BYTES == 32 && TP_IS(f64)
    return BR__ZIP(x, y, 2, 6, 3, 7);
#elif BR_BYTES == 32
    return BR__ZIP(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
#elif TP_IS(f64)
    return BR__ZIP(x, y, 1, 3);
#else
    return BR__ZIP(x, y, 2, 6, 3, 7);
#endif
}

static inline br_vec br_load(const T *p)
{
#if TP_IS(bf16)
    A v[BR_LANES];

    for (int i = 0; i < BR_LANES; i++)
        v[i] = LOAD(p[i]);
    return *(const br_vec_at *)v;
#else
    return *(const br_vec_at *)p;
#endif
}

/* m[i][j] becomes m[j][i]: zipping the halves log2(lanes) times transposes. */
static inline __attribute__((always_inline)) void br_turn(br_vec m[BR_LANES])
{
    br_vec z[BR_LANES];

    BR_UNROLL
    for (int n = 1; n < BR_LANES; n *= 2) {
        BR_UNROLL
        for (int i = 0; i < BR_LANES / 2; i++) {
            z[2 * i] = br_zip_low(m[i], m[i + BR_LANES / 2]);
            z[2 * i + 1] = br_zip_high(m[i], m[i + BR_LANES / 2]);
        }
        BR_UNROLL
        for (int i = 0; i < BR_LANES; i++)
            m[i] = z[i];
    }
}

/* ---- panels ---- */

/* dst[k][j] = src[k * ld + j]  for j < cols, 0 up to width */
static inline void br_pack_rows(const T *src, int64_t ld, int64_t k, int64_t cols,
                                int64_t width, A *dst)
{
    for (int64_t i = 0; i < k; i++, src += ld, dst += width) {
        int64_t j = 0;

        for (; j + BR_LANES <= cols; j += BR_LANES)
            *(br_vec_at *)(dst + j) = br_load(src + j);
        if (j < cols && j) /* the last vector may overlap the one before */
            *(br_vec_at *)(dst + cols - BR_LANES) = br_load(src + cols - BR_LANES),
                                        j = cols;
        for (; j < cols; j++)
            dst[j] = LOAD(src[j]);
        for (; j < width; j++)
            dst[j] = 0;
    }
}

/* Where index j of a source goes whose `inner` fastest indices become the slowest. */
static inline int64_t br_place(int64_t j, int64_t k, int64_t inner)
{
    return inner == 1 ? j : j % inner * (k / inner) + j / inner;
}

/* Columns [i, i + n) of `lanes` rows, turned; the rest of m is 0. */
static inline __attribute__((always_inline)) void
br_load_turned(const T *src, int64_t ld, int64_t lanes, int64_t n, br_vec m[BR_LANES])
{
    if (n == BR_LANES) {
        BR_UNROLL
        for (int i = 0; i < BR_LANES; i++)
            m[i] = i < lanes ? br_load(src + i * ld) : (br_vec){ 0 };
    } else {
        A some[BR_LANES] = { 0 };

        for (int64_t i = 0; i < BR_LANES; i++) {
            for (int64_t l = 0; l < n && i < lanes; l++)
                some[l] = LOAD(src[i * ld + l]);
            m[i] = (br_vec){ 0 };
            if (i < lanes) m[i] = *(const br_vec_at *)some;
        }
    }
    br_turn(m);
}

/* dst[place(i)][j] = src[j * ld + i]  for i < k, j < cols, 0 up to width */
static inline void br_pack_columns(const T *src, int64_t ld, int64_t k, int64_t inner,
                                   int64_t cols, int64_t width, A *dst)
{
    for (int64_t j = 0; j < width; j += BR_LANES) {
        int64_t lanes = cols - j < BR_LANES ? cols - j : BR_LANES;

        for (int64_t i = 0; i < k; i += BR_LANES) {
            int64_t n = k - i < BR_LANES ? k - i : BR_LANES;
            br_vec m[BR_LANES];

            br_load_turned(src + j * ld + i, ld, lanes, n, m);
            for (int64_t l = 0; l < n; l++)
                *(br_vec_at *)(dst + br_place(i + l, k, inner) * width + j) = m[l];
        }
    }
}

#endif
