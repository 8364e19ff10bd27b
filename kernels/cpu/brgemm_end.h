/*
 * brgemm_end.h - the end of a tile of brgemm.h: what was there, bias, activation, and the store.
 */
#ifndef TP_KERNELS_CPU_BRGEMM_END_H
#define TP_KERNELS_CPU_BRGEMM_END_H

#include "kernels/cpu/brgemm.h"
#include "kernels/cpu/vmath.h"

static inline void activate(tp_activation activation, int64_t n, A *v)
{
    switch (activation) {
    case TP_LINEAR:
        break;
    case TP_RELU:
        for (int64_t j = 0; j < n; j++)
            v[j] = v[j] < 0 ? 0 : v[j]; /* NaN stays */
        break;
    case TP_GELU:
        for (int64_t j = 0; j < n; j++)
            v[j] = tp_gelu(v[j]);
        break;
    case TP_GELU_TANH:
        for (int64_t j = 0; j < n; j++)
            v[j] = tp_gelu_tanh(v[j]);
        break;
    case TP_TANH:
        for (int64_t j = 0; j < n; j++)
            v[j] = tp_tanh(v[j]);
        break;
    case TP_SIGMOID:
        for (int64_t j = 0; j < n; j++)
            v[j] = tp_sigmoid(v[j]);
        break;
    }
}

/* Rows of sums, `width` apart, to y.  Activations run over whole rows of `width`, a multiple
 * of the vector. */
static inline void finish(const br_out *o, int64_t rows, int64_t width, A *sum)
{
    for (int64_t r = 0; r < rows; r++, sum += width) {
        T *y = o->y + o->row[r];

        if (o->add)
            for (int64_t j = 0; j < o->cols; j++)
                sum[j] += LOAD(y[j]);
        if (o->bias)
            for (int64_t j = 0; j < o->cols; j++)
                sum[j] += LOAD(o->bias[j]);
        if (o->preact)
            for (int64_t j = 0; j < o->cols; j++)
                o->preact[o->row[r] + j] = STORE(sum[j]);
        activate(o->activation, width, sum);
        for (int64_t j = 0; j < o->cols; j++)
            y[j] = STORE(sum[j]);
    }
}

#endif
