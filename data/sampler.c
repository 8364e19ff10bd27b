/*
 * sampler.c - orders of a pass: given indices, and draws in proportion to weights.
 *
 * Weights lie in the leaves of a complete binary tree whose inner nodes hold sums, so that a
 * draw walks down from the root, and what is drawn without replacement leaves by setting its
 * leaf to 0 and adding up anew on the way to the root: no error grows.
 */
#include "data/internal.h"
#include "data/sampling.h"

#include <math.h>
#include <string.h>

struct tp_sampler {
    tp_order o;
};

static bool order_ok(const tp_order *o)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_data_sampler", o->count >= 0 && o->count < INT64_MAX / 16 && o->order,
                  TP_ERR_ARG, "%lld samples, and a function that orders them, are wanted",
                  (long long)o->count);
    return true;
}

tp_sampler *tp_data_sampler(tp_order o)
{
    tp_sampler *s = order_ok(&o) ? tp__alloc(sizeof *s) : NULL;

    if (s)
        s->o = o;
    else if (o.done)
        o.done(o.user);
    return s;
}

void tp_data_sampler_free(tp_sampler *s)
{
    if (!s) return;
    if (s->o.done) s->o.done(s->o.user);
    tp__release(s, sizeof *s);
}

int64_t tp__sampler_count(const tp_sampler *s)
{
    return s->o.count;
}

bool tp__sampler_order(const tp_sampler *s, uint64_t seed, int64_t pass, int64_t *order,
                       int64_t samples)
{
    if (!s->o.order(s->o.user, seed, pass, order)) {
        if (tp_ok()) tp__fail(TP_ERR_USER, "data", "the sampler failed without an error");
        return false;
    }
    for (int64_t i = 0; i < s->o.count; i++)
        TP_REQUIRE_IN("data", order[i] >= 0 && order[i] < samples, TP_ERR_ARG,
                      "the sampler's place %lld is sample %lld: there are %lld", (long long)i,
                      (long long)order[i], (long long)samples);
    return true;
}

/* ---- given indices ---- */

typedef struct list {
    bool shuffle;
    int64_t n, index[];
} list;

static bool order_list(void *user, uint64_t seed, int64_t pass, int64_t *order)
{
    const list *l = user;

    memcpy(order, l->index, sizeof *order * (size_t)l->n);
    if (l->shuffle) tp__shuffle(order, l->n, seed, pass);
    return true;
}

static size_t list_bytes(int64_t n)
{
    return sizeof(list) + sizeof(int64_t) * (size_t)n;
}

static void free_list(void *user)
{
    list *l = user;

    tp__release(l, list_bytes(l->n));
}

tp_sampler *tp_data_order(const int64_t *index, int64_t n, bool shuffle)
{
    list *l;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(n >= 0 && n < INT64_MAX / 16 && (index || !n), TP_ERR_ARG, "%lld indices",
               (long long)n);
    if (!(l = tp__alloc(list_bytes(n)))) return NULL;
    l->shuffle = shuffle, l->n = n;
    if (n) memcpy(l->index, index, sizeof *index * (size_t)n);
    return tp_data_sampler(
        (tp_order){ .count = n, .order = order_list, .done = free_list, .user = l });
}

/* ---- weights ---- */

typedef struct weighted {
    int64_t n, leaves; /* draws of a pass; a power of two */
    bool replacement;
    double sum[]; /* sum[1] is the root's, sum[leaves + i] weight i */
} weighted;

static size_t weighted_bytes(int64_t leaves)
{
    return sizeof(weighted) + sizeof(double) * 2 * (size_t)leaves;
}

static void free_weighted(void *user)
{
    weighted *w = user;

    tp__release(w, weighted_bytes(w->leaves));
}

/* The sample at share u of the whole weight; never one of weight 0. */
static int64_t walk(const double *sum, int64_t leaves, double u)
{
    int64_t at = 1;

    for (u *= sum[1]; at < leaves;) {
        at *= 2;
        if (u < sum[at] || sum[at + 1] <= 0) continue;
        u -= sum[at++];
    }
    return at - leaves;
}

static void leave(double *sum, int64_t leaves, int64_t i)
{
    int64_t at = leaves + i;

    for (sum[at] = 0, at /= 2; at; at /= 2)
        sum[at] = sum[2 * at] + sum[2 * at + 1];
}

static void draw(const weighted *w, double *sum, int64_t *order)
{
    for (int64_t i = 0; i < w->n; i++) {
        uint64_t high = tp__bits(), low = tp__bits();

        order[i] = walk(sum, w->leaves, (double)(high << 21 | low >> 11) * 0x1p-53);
        if (!w->replacement) leave(sum, w->leaves, order[i]);
    }
}

static bool order_weighted(void *user, uint64_t seed, int64_t pass, int64_t *order)
{
    weighted *w = user;
    size_t bytes = sizeof *w->sum * 2 * (size_t)w->leaves;
    double *sum = w->replacement ? w->sum : tp__grow(NULL, 0, bytes);
    tp_rng own = tp__me()->rng;

    if (!sum) return false;
    if (!w->replacement) memcpy(sum, w->sum, bytes);
    tp__me()->rng =
        (tp_rng){ seed + 0x9E3779B97F4A7C15u * (uint64_t)(pass + 1), (uint64_t)1 << 63 };
    draw(w, sum, order);
    tp__me()->rng = own;
    if (!w->replacement) tp__release(sum, bytes);
    return true;
}

static double weight_at(const tp_tensor *t, int64_t i)
{
    const void *v = tp__data(t);

    i *= t->stride[0];
    return t->dtype == TP_F32 ? (double)((const float *)v)[i] : ((const double *)v)[i];
}

/* Checks the weights; gives how many are above 0, -1 and an error when they can't be. */
static int64_t usable(const tp_tensor *t)
{
    int64_t n = 0;
    double sum = 0;

    for (int64_t i = 0; i < tp_count(t); i++) {
        double v = weight_at(t, i);

        if (v >= 0 && isfinite(v))
            n += v > 0, sum += v;
        else
            return tp__fail(TP_ERR_ARG, "tp_data_weighted", "weight %lld is %g", (long long)i, v),
                   -1;
    }
    if (n && isfinite(sum)) return n;
    return tp__fail(TP_ERR_ARG, "tp_data_weighted",
                    n ? "the sum of the weights is infinite" : "no weight is above 0"),
           -1;
}

static weighted *tree_of(const tp_tensor *t, int64_t n, bool replacement)
{
    int64_t leaves = 1;
    weighted *w;

    while (leaves < tp_count(t))
        leaves *= 2;
    if (!(w = tp__alloc_zeroed(weighted_bytes(leaves)))) return NULL;
    w->n = n, w->leaves = leaves, w->replacement = replacement;
    for (int64_t i = 0; i < tp_count(t); i++)
        w->sum[leaves + i] = weight_at(t, i);
    for (int64_t i = leaves - 1; i > 0; i--)
        w->sum[i] = w->sum[2 * i] + w->sum[2 * i + 1];
    return w;
}

tp_sampler *tp_data_weighted(tp_tensor *weights, int64_t n, bool replacement)
{
    int64_t most;
    weighted *w;

    if (!tp__check(__func__, TP_LIST(weights), 1)) return NULL;
    TP_REQUIRE(tp_rank(weights) == 1 && (weights->dtype == TP_F32 || weights->dtype == TP_F64) &&
                   tp_device_of(weights) == tp__cpu(),
               TP_ERR_ARG, "weights are %s on %s: f32 or f64 (samples) on the CPU",
               tp__text(weights), tp_device_name(tp_device_of(weights)));
    TP_REQUIRE(n >= 0 && n < INT64_MAX / 16, TP_ERR_ARG, "%lld draws", (long long)n);
    if ((most = usable(weights)) < 0) return NULL;
    TP_REQUIRE(replacement || n <= most, TP_ERR_ARG,
               "%lld draws without replacement: %lld weights are above 0", (long long)n,
               (long long)most);
    if (!(w = tree_of(weights, n, replacement))) return NULL;
    return tp_data_sampler(
        (tp_order){ .count = n, .order = order_weighted, .done = free_weighted, .user = w });
}
