/*
 * kernels_update.c - random numbers, dropout, optimizer steps and clipping on the CPU: each
 * level and dtype, against plain loops in double, the same bits for 1, 2 and 3 threads.
 */
#include "tests/kernels_memory.h"

#include "kernels/philox.h"

/* ---- random ---- */

static const struct {
    int rank;
    int64_t n[3];
} draws[] = {
    { 1, { 1 } }, { 1, { 7 } }, { 1, { 40001 } }, { 2, { 9, 1031 } }, { 3, { 5, 3, 6 } }
};

static float drawn(uint64_t key, uint64_t counter, int64_t i, bool normal)
{
    uint32_t bits[4];
    float z[2];

    tp_philox(key, counter + (uint64_t)i / 4, bits);
    tp_philox_normal(bits[i % 4 & 2], bits[(i % 4 & 2) + 1], z);
    return normal ? z[i % 2] : tp_philox_uniform(bits[i % 4]);
}

static void try_random(trial *r, int i)
{
    uint64_t state[2] = { 0x123456789abcdef0u, UINT32_MAX - 5u };
    tp_draw d = { state, 3 };
    int64_t saved[2];

    CASE("random %s %s case %d", level, type_names[r->t], i);
    for (layout k = DENSE; k < ROW; k++) {
        operand o[2];
        tp_loop one, two;
        bool same = true;

        o[0] = make_operand(r->t, k, draws[i].rank, draws[i].n, 0, 0);
        o[1] = make_operand(r->t, (k + 2) % ROW, draws[i].rank, draws[i].n, -1, 1);
        one = loop_of(o, 1, false), two = loop_of(o, 2, false);
        for (int threads = 1; threads <= 3; threads++) {
            r->c.threads = threads;
            CHECK(r->b->uniform[r->t](&r->c, &one, d, -1, 3, at(&o[0])) == 0);
            for (int64_t e = 0; e < o[0].count; e++) {
                double want = -1 + 4 * (double)drawn(state[0], state[1] + 3, e, false),
                       cell;

                set_element(r->t, &cell, 0, want);
                same = same && value(&o[0], e) == get_element(r->t, &cell, 0);
            }
            CHECK(same);
            CHECK(r->b->normal[r->t](&r->c, &one, d, 2, 0.5, at(&o[0])) == 0);
            for (int64_t e = 0; e < o[0].count; e++) {
                double want = 2 + 0.5 * (double)drawn(state[0], state[1] + 3, e, true),
                       cell;

                set_element(r->t, &cell, 0, want);
                same = same && value(&o[0], e) == get_element(r->t, &cell, 0);
            }
            CHECK(same);
            for (int add = 0; add < 2; add++) {
                memset(o[0].bytes, add ? 0 : 0xff, (size_t)o[0].room * type_size(r->t));
                CHECK(r->b->dropout[r->t](&r->c, &two, at(&o[1]), 0.3, d, add,
                                          at(&o[0])) == 0);
                for (int64_t e = 0; e < o[0].count; e++) {
                    bool keep = (double)drawn(state[0], state[1] + 3, e, false) >= 0.3;
                    double want = keep ? value(&o[1], e) / 0.7 : 0, got = value(&o[0], e);

                    same = same && fabs(got - want) <= 2 * type_eps(r->t) * fabs(want);
                }
                CHECK(same);
            }
        }
        for (int64_t e = 0; e < o[1].count; e++) /* probabilities 0, 1/8 ... 1 */
            set_element(r->t, o[1].bytes, place(&o[1], e), (double)(e % 9) / 8);
        CHECK(r->b->bernoulli[r->t](&r->c, &two, at(&o[1]), d, at(&o[0])) == 0);
        for (int64_t e = 0; e < o[0].count; e++) {
            double cell;

            set_element(r->t, &cell, 0, (double)drawn(state[0], state[1] + 3, e, false));
            same = same && value(&o[0], e) == (get_element(r->t, &cell, 0) < (double)(e % 9) / 8);
        }
        CHECK(same);
        if (o[1].count) {
            set_element(r->t, o[1].bytes, place(&o[1], o[1].count - 1), NAN);
            CHECK(r->b->bernoulli[r->t](&r->c, &two, at(&o[1]), d, at(&o[0])) != 0);
            set_element(r->t, o[1].bytes, place(&o[1], o[1].count - 1), 1);
        }
        CHECK(r->b->dropout[r->t](&r->c, &two, at(&o[1]), 1, d, false, at(&o[0])) == 0);
        for (int64_t e = 0; e < o[0].count; e++)
            same = same && value(&o[0], e) == 0;
        CHECK(same);
        free(o[0].bytes), free(o[1].bytes);
    }
    CHECK(r->b->draw_save[TP_I64](&r->c, d, saved) == 0);
    CHECK((uint64_t)saved[0] == state[0] && (uint64_t)saved[1] == state[1] + 3);
}

Test(kernels_update, random)
{
    each_trial(try_random, LEN(draws));
}

/* ---- updates ---- */

enum { TENSORS = 4 };

static const int64_t sizes[TENSORS] = { 5, 0, 20011, 8192 };

typedef struct group {
    tp_update u[TENSORS];
    void *p[TENSORS], *g[TENSORS], *m[TENSORS], *v[TENSORS], *w[TENSORS];
    double *wp[TENSORS], *wm[TENSORS], *wv[TENSORS], *ww[TENSORS], *wg[TENSORS];
} group;

static group make_group(tp_dtype t)
{
    group s;

    for (int k = 0; k < TENSORS; k++) {
        int64_t n = sizes[k];

        s.p[k] = numbers(t, n, -1, 1), s.g[k] = numbers(t, n, -1, 1);
        s.m[k] = numbers(t, n, 0, 0), s.v[k] = numbers(t, n, 0, 0), s.w[k] = numbers(t, n, 0, 0);
        s.wp[k] = as_doubles(t, s.p[k], n), s.wg[k] = as_doubles(t, s.g[k], n);
        s.wm[k] = doubles(n), s.wv[k] = doubles(n), s.ww[k] = doubles(n);
        s.u[k] = (tp_update){ n, s.g[k], s.p[k], s.m[k], s.v[k], s.w[k] };
    }
    return s;
}

static void free_group(group *s)
{
    for (int k = 0; k < TENSORS; k++) {
        free(s->p[k]), free(s->g[k]), free(s->m[k]), free(s->v[k]), free(s->w[k]), free(s->ww[k]);
        free(s->wp[k]), free(s->wg[k]), free(s->wm[k]), free(s->wv[k]);
    }
}

/* After ten steps: in f64 within 1e-12, else as roundings of ten steps allow. */
static void check_group(const trial *r, const group *s)
{
    for (int k = 0; k < TENSORS; k++) {
        double *got = as_doubles(r->t, s->p[k], sizes[k]), off = 0, size = 1e-300;

        for (int64_t i = 0; i < sizes[k]; i++) {
            off += (got[i] - s->wp[k][i]) * (got[i] - s->wp[k][i]);
            size += s->wp[k][i] * s->wp[k][i];
        }
        CHECK(sqrt(off / size) <= (r->t == TP_F64 ? 1e-12 : 10 * type_eps(r->t)));
        free(got);
    }
}

static const tp_sgd_args sgds[] = {
    { 0, 0, 0, false, false },        { 0, 0, 0.1, false, true },
    { 0.9, 0, 0, false, false },      { 0.9, 0.2, 0.01, false, true },
    { 0.9, 0, 0.01, true, false },
};
static const tp_adam_args adams[] = {
    { 0.9, 0.999, 1e-8, 0, false, false, false },
    { 0.9, 0.95, 1e-6, 0.1, true, true, true },
    { 0.8, 0.99, 1e-8, 0.1, false, false, true },
};

static void expect_sgd(group *s, tp_sgd_args a, double lr, int step)
{
    for (int k = 0; k < TENSORS; k++)
        for (int64_t i = 0; i < sizes[k]; i++) {
            double d = (a.maximize ? -1 : 1) * s->wg[k][i] + a.weight_decay * s->wp[k][i], *m = &s->wm[k][i];

            if (a.momentum != 0) {
                *m = step == 1 ? d : a.momentum * *m + (1 - a.dampening) * d;
                d = a.nesterov ? d + a.momentum * *m : *m;
            }
            s->wp[k][i] -= lr * d;
        }
}

static void expect_adam(group *s, tp_adam_args a, double lr, int step)
{
    double fix1 = 1 - pow(a.beta1, step), fix2 = 1 - pow(a.beta2, step);

    for (int k = 0; k < TENSORS; k++)
        for (int64_t i = 0; i < sizes[k]; i++) {
            double *p = &s->wp[k][i], *m = &s->wm[k][i], *v = &s->wv[k][i], *top = &s->ww[k][i];
            double d = (a.maximize ? -1 : 1) * s->wg[k][i] + (a.decoupled ? 0 : a.weight_decay * *p);

            if (a.decoupled) *p *= 1 - lr * a.weight_decay;
            *m = a.beta1 * *m + (1 - a.beta1) * d,
            *v = a.beta2 * *v + (1 - a.beta2) * d * d;
            *top = fmax(*top, *v);
            *p -= lr / fix1 * *m / (sqrt(a.amsgrad ? *top : *v) / sqrt(fix2) + a.eps);
        }
}

static void try_update(trial *r, int i)
{
    bool sgd = i < LEN(sgds);
    void *kept = NULL;

    CASE("%s %s %s case %d", sgd ? "sgd" : "adam", level, type_names[r->t], i);
    for (int threads = 1; threads <= 3; threads++) {
        double lr = 0.01, step = 0, scale = 4, skip = 0;
        tp_scalars at = { &lr, &step, i % 2 ? &scale : NULL, i % 3 ? &skip : NULL };
        group s =
            make_group(TP_F64); /* drawn anew below, so that all counts see the same */

        free_group(&s), s = make_group(r->t), r->c.threads = threads;
        for (int k = 0; k < TENSORS; k++)
            for (int64_t e = 0; e < sizes[k]; e++) {
                set_element(r->t, s.p[k], e, s.wp[k][e] = (double)(e * 7 % 64) / 32 - 1);
                s.wg[k][e] = (double)(e * 5 % 64) / 64 - 0.4375;
                set_element(r->t, s.g[k], e, at.scale ? scale * s.wg[k][e] : s.wg[k][e]);
                if (sgd)
                    set_element(r->t, s.m[k], e,
                                NAN); /* the first step must not read it */
            }
        for (int n = 1; n <= (r->t == TP_BF16 ? 1 : 10); n++) {
            for (skip = at.skip && n == 2; skip >= 0; skip--) { /* the second first with nothing done */
                CHECK(r->b->tick[TP_F64](&r->c, &step, at.skip) == 0 && step == n - (skip != 0));
                if (sgd)
                    CHECK(r->b->sgd[r->t](&r->c, TENSORS, s.u, sgds[i], at) == 0);
                else
                    CHECK(r->b->adam[r->t](&r->c, TENSORS, s.u, adams[i - LEN(sgds)], at) == 0);
            }
            if (sgd)
                expect_sgd(&s, sgds[i], lr, n);
            else
                expect_adam(&s, adams[i - LEN(sgds)], lr, n);
        }
        same_bits(&kept, s.p[2], (size_t)sizes[2] * type_size(r->t), threads);
        check_group(r, &s);
        free_group(&s);
    }
}

Test(kernels_update, updates)
{
    each_trial(try_update, LEN(sgds) + LEN(adams));
}

static void try_clip(trial *r, int i)
{
    group s = make_group(r->t);
    long double want = i == 2 ? 5 : 0;
    double norm = 5, first = 0, max = i == 1 ? 1e9 : 0.5, factor;

    CASE("clip %s %s case %d", level, type_names[r->t], i);
    for (int k = 0; k < TENSORS; k++)
        for (int64_t e = 0; e < sizes[k]; e++) {
            if (i == 3 && r->t == TP_F32) /* squares overflow a float */
                set_element(r->t, s.g[k], e, s.wg[k][e] = 0x1p70);
            want += (long double)s.wg[k][e] * (long double)s.wg[k][e];
        }
    for (int threads = 1; threads <= 3; threads++) {
        r->c.threads = threads, norm = 5;
        CHECK(r->b->sum_squares[r->t](&r->c, TENSORS, s.u, i == 2, &norm) == 0);
        if (threads == 1) first = norm;
        CHECK(norm == first);
    }
    CHECK(fabs(norm - (double)want) <= 1e-12 * (double)want);
    CHECK(r->b->clip_norm[r->t](&r->c, TENSORS, s.u, &norm, max) == 0);
    factor = fmin(1, max / (sqrt((double)want) + 1e-6));
    for (int k = 0; k < TENSORS; k++) {
        for (int64_t e = 0; e < sizes[k]; e++)
            s.wg[k][e] *= factor;
        check_array(r->t, r->t, s.g[k], s.wg[k], sizes[k], 1);
    }
    free_group(&s);
}

Test(kernels_update, clip)
{
    each_trial(try_clip, 4);
}
