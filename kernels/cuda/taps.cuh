/*
 * taps.cuh - resample.h's maps the other way round: the results that an element is part of.
 */
#ifndef TP_KERNELS_CUDA_TAPS_CUH
#define TP_KERNELS_CUDA_TAPS_CUH

#include "kernels/cuda/launch.cuh"

/* Results [from, end). */
struct tp_reach {
    int64_t from, end;
};

/* They are neighbours, since both ends of a result's elements rise with it. */
__device__ inline tp_reach tp_reached(const tp_resample_axis *a, int64_t i)
{
    int64_t low = 0, high = a->out;
    tp_reach r;

    while (low < high) { /* the first result that ends behind i */
        int64_t middle = low + (high - low) / 2;
        tp_taps t = tp_resample_taps(a, middle);

        if (t.from + t.count > i) high = middle;
        else low = middle + 1;
    }
    for (r.from = r.end = low; r.end < a->out && tp_resample_taps(a, r.end).from <= i;)
        r.end++;
    return r;
}

/* What share element i has in a result. */
__device__ inline double tp_share(const tp_taps &t, int64_t i)
{
    return i < t.from || i >= t.from + t.count ? 0 : (i == t.from ? t.first : t.rest) / t.over;
}

#endif
