/*
 * rotary.c - Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding".
 *
 *   pair i of a row at position p turns by  p base^(-2i / dims)
 *
 * Angles are computed in double and reduced there, so that far positions are as sharp as near
 * ones.  Sines and cosines of a position are made once for all rows that share it.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/vmath.h"

#include <math.h>

typedef struct job {
    const tp_rotary_args *g;
    const T *x;
    T *y;
    int64_t half, places; /* pairs of a row; rows of the table: T, or N T */
    double *frequency;    /* (half) */
    A *table;             /* (places, 2, half): cosines, then sines */
} job;

static bool per_sample(const tp_rotary_args *g)
{
    return g->positions && g->position_step[0];
}

static double position(const tp_rotary_args *g, int64_t place)
{
    int64_t n = place / g->T, t = place % g->T;

    if (!g->positions) return (double)(g->offset + t);
    return (double)(g->offset + g->positions[n * g->position_step[0] + t * g->position_step[1]]);
}

#if TP_IS(f64)
#define WITHIN_A_TURN(angle) (angle)
#else
#define TURN                 6.283185307179586476925
#define WITHIN_A_TURN(angle) ((float)((angle)-TURN * nearbyint((angle) * (1 / TURN))))
#endif

static void table_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    A sign = j->g->inverse ? -1 : 1;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        A *restrict cosine = j->table + 2 * r * j->half, *restrict sine = cosine + j->half;
        double p = position(j->g, r);

        for (int64_t i = 0; i < j->half; i++) {
            A angle = WITHIN_A_TURN(p * j->frequency[i]);

            cosine[i] = tp_cos(angle), sine[i] = sign * tp_sin(angle);
        }
    }
}

/* The partners are `gap` apart, and pairs `step`: neighbours, or the halves of a row. */
static inline void turn(int64_t half, int64_t gap, int64_t step, const T *x, const A *cosine,
                        const A *sine, T *restrict y)
{
    for (int64_t i = 0; i < half; i++) {
        A a = LOAD(x[i * step]), b = LOAD(x[i * step + gap]);

        y[i * step] = STORE(a * cosine[i] - b * sine[i]);
        y[i * step + gap] = STORE(b * cosine[i] + a * sine[i]);
    }
}

static void turn_row(const job *j, const T *x, const A *angles, T *y)
{
    const tp_rotary_args *g = j->g;

    if (g->halves)
        turn(j->half, j->half, 1, x, angles, angles + j->half, y);
    else
        turn(j->half, 1, 2, x, angles, angles + j->half, y);
    for (int64_t i = 2 * j->half; i < g->D; i++)
        y[i] = x[i];
}

static void rows_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    const tp_rotary_args *g = j->g;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        int64_t n = r / g->T, t = r % g->T;
        const A *angles = j->table + 2 * (per_sample(g) ? r : t) * j->half;

        for (int64_t h = 0; h < g->heads; h++)
            turn_row(j, j->x + n * g->x[0] + h * g->x[1] + t * g->x[2], angles,
                     j->y + n * g->y[0] + h * g->y[1] + t * g->y[2]);
    }
}

int KERNEL(rotary)(tp_ctx *c, const tp_rotary_args *g, const void *x, void *y)
{
    job j = {
        .g = g, .x = x, .y = y, .half = g->dims / 2, .places = per_sample(g) ? g->N * g->T : g->T
    };
    int64_t work = g->heads * g->D;

    if (!work || !g->N || !g->T) return 0;
    j.frequency = tp_scratch(c, (size_t)j.half * sizeof(double) +
                                    2 * (size_t)(j.places * j.half) * sizeof(A));
    if (!j.frequency) return TP_KERNEL_NO_MEMORY;
    j.table = (A *)(j.frequency + j.half);
    for (int64_t i = 0; i < j.half; i++)
        j.frequency[i] = pow(g->base, -2 * (double)i / (double)g->dims);
    tp__parallel(c, j.places, 1 + TP__MAP_DEAR / (j.half + 1), table_body, &j);
    tp__parallel(c, g->N * g->T, 1 + TP__MAP_CHEAP / (work + 1), rows_body, &j);
    return 0;
}
