/*
 * ctc.c - connectionist temporal classification (Graves et al. 2006).
 *
 * A labelling of S labels is stretched to 2 S + 1 symbols, a blank before, between and after them.
 * alpha[t, s] is the log of what all paths have in common that are at symbol s at time t, beta that
 * of what is left; both count time t.  A path stays, goes on by one, or, where that skips no label
 * and no blank between equals, by two.  Samples are spread over threads.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/vmath.h"

typedef struct job {
    tp_ctc_args k;
    const T *x, *dy;
    const int64_t *labels, *times, *lengths;
    A *alpha, *all, *loss, *beta; /* beta: two rows and a row of classes for each worker */
    const A *dloss;
    T *dx;
    bool add;
} job;

static A log_add(A a, A b)
{
    A high = a > b ? a : b, low = a > b ? b : a;

    return low == -INFINITY ? high : high + tp_log1p(tp_exp(low - high));
}

/* ---- one sample ---- */

typedef struct sample {
    const T *x; /* of time 0; times lie x_step apart */
    const int64_t *label;
    int64_t x_step, times, symbols, blank;
} sample;

static sample sample_of(const job *j, int64_t n)
{
    return (sample){ j->x + n * j->k.classes, j->labels + n * j->k.most, j->k.batch * j->k.classes, j->times[n],
                     2 * j->lengths[n] + 1, j->k.blank };
}

static int64_t symbol(const sample *s, int64_t i)
{
    return i % 2 ? s->label[i / 2] : s->blank;
}

/* May a path go from symbol i - 2 to i? */
static bool skips(const sample *s, int64_t i)
{
    return i % 2 && i >= 2 && s->label[i / 2] != s->label[i / 2 - 1];
}

static A at(const sample *s, int64_t t, int64_t i)
{
    return LOAD(s->x[t * s->x_step + symbol(s, i)]);
}

static void alpha_rows(const sample *s, A *alpha, int64_t width)
{
    for (int64_t i = 0; s->times && i < s->symbols; i++)
        alpha[i] = i < 2 ? at(s, 0, i) : -(A)INFINITY;
    for (int64_t t = 1; t < s->times; t++) {
        const A *before = alpha + (t - 1) * width;

        for (int64_t i = 0; i < s->symbols; i++) {
            A sum = before[i];

            if (i >= 1) sum = log_add(sum, before[i - 1]);
            if (skips(s, i)) sum = log_add(sum, before[i - 2]);
            alpha[t * width + i] = sum + at(s, t, i);
        }
    }
}

/* -log of the sum over all paths: they end in the last label or the blank after it. */
static A negative_log(const sample *s, const A *alpha, int64_t width)
{
    const A *last = alpha + (s->times - 1) * width;

    if (s->times == 0) return s->symbols == 1 ? 0 : (A)INFINITY;
    return s->symbols == 1 ? -last[0] : -log_add(last[s->symbols - 1], last[s->symbols - 2]);
}

static void forward_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    int64_t width = 2 * j->k.most + 1;

    (void)worker;
    for (int64_t n = from; n < to; n++) {
        sample s = sample_of(j, n);
        A *alpha = j->alpha + n * j->k.times * width, loss;

        alpha_rows(&s, alpha, width);
        loss = negative_log(&s, alpha, width);
        j->all[n] = loss;
        j->loss[n] = j->k.zero_infinity && loss == (A)INFINITY ? 0 : loss;
    }
}

/* ---- the gradient: dx[t, c] = -dloss sum over symbols that are c of e^(alpha + beta - x + loss) ---- */

static A beta_of(const sample *s, const A *after, int64_t t, int64_t i)
{
    A sum = after[i];

    if (t == s->times - 1) return i >= s->symbols - 2 ? at(s, t, i) : -(A)INFINITY;
    if (i + 1 < s->symbols) sum = log_add(sum, after[i + 1]);
    if (i + 2 < s->symbols && skips(s, i + 2)) sum = log_add(sum, after[i + 2]);
    return sum + at(s, t, i);
}

static void put(const job *j, int64_t n, int64_t t, const A *share, A scale)
{
    T *dx = j->dx + (t * j->k.batch + n) * j->k.classes;

    for (int64_t c = 0; c < j->k.classes; c++) {
        A v = share ? share[c] == 0 ? 0 : -scale * share[c] : 0;

        dx[c] = STORE(j->add ? LOAD(dx[c]) + v : v);
    }
}

static void gradient(const job *j, int64_t n, A *beta)
{
    sample s = sample_of(j, n);
    int64_t width = 2 * j->k.most + 1, classes = j->k.classes;
    const A *alpha = j->alpha + n * j->k.times * width;
    A *after = beta + width, *share = beta + 2 * width, loss = j->all[n], scale = j->dloss[n];
    bool none = j->k.zero_infinity && loss == (A)INFINITY;

    for (int64_t t = j->k.times - 1; t >= 0; t--) {
        A *swap = beta;

        if (t >= s.times || none) {
            put(j, n, t, NULL, 0);
            continue;
        }
        for (int64_t c = 0; c < classes; c++)
            share[c] = 0;
        for (int64_t i = 0; i < s.symbols; i++) {
            beta[i] = beta_of(&s, after, t, i);
            share[symbol(&s, i)] += tp_exp(alpha[t * width + i] + beta[i] - at(&s, t, i) + loss);
        }
        put(j, n, t, share, scale);
        beta = after, after = swap;
    }
}

static void backward_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    for (int64_t n = from; n < to; n++)
        gradient(j, n, j->beta + worker * (2 * (2 * j->k.most + 1) + j->k.classes));
}

/* ---- both ---- */

static int check_sample(tp_ctx *c, const job *j, int64_t n)
{
    if (j->times[n] < 0 || j->times[n] > j->k.times)
        return tp__kernel_error(c, "sample %lld has %lld times of %lld", (long long)n, (long long)j->times[n],
                                (long long)j->k.times);
    if (j->lengths[n] < 0 || j->lengths[n] > j->k.most)
        return tp__kernel_error(c, "sample %lld has %lld labels, and room for %lld", (long long)n,
                                (long long)j->lengths[n], (long long)j->k.most);
    for (int64_t i = 0; i < j->lengths[n]; i++) {
        int64_t label = j->labels[n * j->k.most + i];

        if (label < 0 || label >= j->k.classes)
            return tp__kernel_error(c, "label %lld of sample %lld is outside 0..%lld", (long long)label, (long long)n,
                                    (long long)j->k.classes - 1);
    }
    return 0;
}

int KERNEL(ctc)(tp_ctx *c, const tp_ctc_args *k, const void *x, const int64_t *labels, const int64_t *times,
                const int64_t *lengths, void *alpha, void *all, void *loss)
{
    job j = { .k = *k, .x = x, .labels = labels, .times = times, .lengths = lengths, .alpha = alpha, .all = all,
              .loss = loss };

    for (int64_t n = 0; n < k->batch; n++) {
        int status = check_sample(c, &j, n);

        if (status) return status;
    }
    tp__parallel(c, k->batch, 1, forward_body, &j);
    return 0;
}

int KERNEL(ctc_dx)(tp_ctx *c, const tp_ctc_args *k, const void *x, const int64_t *labels, const int64_t *times,
                   const int64_t *lengths, const void *alpha, const void *all, const void *dloss, bool add, void *dx)
{
    job j = { .k = *k, .x = x, .labels = labels, .times = times, .lengths = lengths, .dloss = dloss, .dx = dx, .add = add };
    int64_t each = 2 * (2 * k->most + 1) + k->classes;

    j.alpha = (A *)(uintptr_t)alpha, j.all = (A *)(uintptr_t)all;
    j.beta = tp_scratch(c, (size_t)(tp__workers(c, k->batch, 1) * each) * sizeof(A));
    if (!j.beta) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, k->batch, 1, backward_body, &j);
    return 0;
}
