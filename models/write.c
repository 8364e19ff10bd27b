/*
 * write.c - symbols drawn one by one from a language model, which keeps its states, or its keys and
 * values, from one to the next.
 */
#include "models/models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one symbol ---- */

tp_draw_opts tp_draw_defaults(void)
{
    return (tp_draw_opts){ .temperature = 1, .top_p = 1, .repetition = 1, .filled = true };
}

static bool opts_fit(tp_draw_opts o)
{
    if (!o.filled) return tp_fail(TP_ERR_ARG, "tp_draw_opts: start from tp_draw_defaults()");
    if (o.temperature >= 0 && o.top_k >= 0 && o.top_p > 0 && o.top_p <= 1 && o.repetition > 0) return true;
    return tp_fail(TP_ERR_ARG, "temperature %g, top_k %lld, top_p %g, repetition %g: at least 0, at least 0, above 0 and at "
                   "most 1, above 0", o.temperature, (long long)o.top_k, o.top_p, o.repetition);
}

typedef struct choice {
    double p;
    int64_t symbol;
} choice;

static int likeliest_first(const void *a, const void *b)
{
    const choice *x = a, *y = b;

    return x->p != y->p ? (x->p < y->p) - (x->p > y->p) : (x->symbol > y->symbol) - (x->symbol < y->symbol);
}

/* p holds logits. */
static void discourage(choice *c, int64_t n, const int64_t *seen, int64_t n_seen, double by)
{
    for (int64_t i = 0; by != 1 && i < n_seen; i++) {
        bool before = false; /* each symbol once */

        for (int64_t k = 0; k < i && !before; k++)
            before = seen[k] == seen[i];
        if (!before && seen[i] >= 0 && seen[i] < n) c[seen[i]].p = c[seen[i]].p > 0 ? c[seen[i]].p / by : c[seen[i]].p * by;
    }
}

/* How many of the sorted n may be drawn, their p now probabilities up to a factor; *sum of them. */
static int64_t keep(choice *c, int64_t n, tp_draw_opts o, double *sum)
{
    int64_t kept = o.top_k && o.top_k < n ? o.top_k : n;
    double top = c[0].p, all = 0;

    for (int64_t i = 0; i < kept; i++)
        all += c[i].p = exp((c[i].p - top) / o.temperature);
    *sum = 0;
    for (int64_t i = 0; i < kept; i++)
        if ((*sum += c[i].p) >= o.top_p * all) return i + 1;
    return kept;
}

static int64_t drawn(choice *c, int64_t n, tp_draw_opts o)
{
    double sum, at;
    float u = 0;
    int64_t kept;

    qsort(c, (size_t)n, sizeof *c, likeliest_first);
    if (o.temperature == 0) return c[0].symbol;
    kept = keep(c, n, o, &sum);
    if (!tp_read(tp_rand(TP_SHAPE(1), tp_device_open("cpu")), &u, sizeof u)) return -1;
    at = u * sum;
    for (int64_t i = 0; i < kept; i++)
        if ((at -= c[i].p) < 0) return c[i].symbol;
    return c[kept - 1].symbol;
}

static bool read_logits(tp_tensor *logits, choice *c, int64_t n)
{
    double *v = malloc(sizeof *v * (size_t)n);
    bool ok = v || tp_fail(TP_ERR_MEMORY, "tp_model_draw");

    ok = ok && tp_read(tp_cast(logits, TP_F64), v, sizeof *v * (size_t)n);
    for (int64_t i = 0; ok && i < n; i++) {
        c[i] = (choice){ v[i], i };
        if (isnan(v[i])) ok = tp_fail(TP_ERR_NONFINITE, "tp_model_draw: logit %lld is NaN", (long long)i);
    }
    free(v);
    return ok;
}

int64_t tp_model_draw(tp_tensor *logits, const int64_t *seen, int64_t n, tp_draw_opts o)
{
    int64_t count = tp_count(logits), symbol = -1;
    choice *c;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp_ok() || !opts_fit(o)) return -1;
    if (tp_rank(logits) != 1 || !count) return tp_fail(TP_ERR_SHAPE, "tp_model_draw: logits (vocabulary) are wanted"), -1;
    if (!(c = malloc(sizeof *c * (size_t)count))) return tp_fail(TP_ERR_MEMORY, "tp_model_draw"), -1;
    if (read_logits(logits, c, count)) {
        discourage(c, count, seen, n, o.repetition);
        symbol = drawn(c, count, o);
    }
    free(c);
    return symbol;
}

/* ---- many ---- */

enum { MOST_STATES = 256 };

typedef struct writer {
    tp_module *m;
    tp_device *dev;
    tp_tensor *state[MOST_STATES];
    int states;
    int64_t context; /* 0: without end */
    int64_t *all, n; /* the prompt and what was written */
    int64_t seen, kept; /* symbols that the states have seen, and that are kept in them */
} writer;

static void forget(writer *w)
{
    for (int i = 0; i < w->states; i++)
        tp_free(w->state[i]), w->state[i] = NULL;
    w->kept = 0;
}

/* What the states haven't seen yet, (1, T).  Where the context is full, its second half anew. */
static tp_tensor *unseen(writer *w)
{
    int64_t half = (w->context + 1) / 2, from = w->seen;

    if (w->context && w->kept + w->n - w->seen > w->context) {
        forget(w);
        from = w->n > half ? w->n - half : 0;
    }
    w->kept += w->n - from, w->seen = w->n;
    return tp_to(tp_from(w->all + from, TP_SHAPE(1, w->n - from), TP_I64, tp_device_open("cpu")), w->dev);
}

static int64_t next(writer *w, tp_draw_opts o)
{
    tp_tensor *in[1 + MOST_STATES], *out[1 + MOST_STATES], *logits;
    int64_t T;

    TP_SCOPE;
    in[0] = unseen(w);
    memcpy(in + 1, w->state, sizeof *in * (size_t)w->states);
    if (tp_nn_predict_all(w->m, (tp_list){ in, w->state[0] ? 1 + w->states : 1 }, out, 1 + w->states) < 0) return -1;
    for (int i = 0; i < w->states; i++)
        if (!tp_store(&w->state[i], out[1 + i])) return -1;
    T = tp_dim(out[0], 1);
    logits = tp_reshape(tp_slice(out[0], 1, T - 1, T), TP_SHAPE(-1));
    return tp_model_draw(logits, w->all, w->n, o);
}

static bool write_all(writer *w, int64_t n, tp_draw_opts o, tp_write_fn *f, void *user)
{
    bool more = true;

    TP_NO_GRAD;
    for (int64_t i = 0; more && i < n; i++) {
        int64_t symbol = next(w, o);

        if (symbol < 0) return false;
        w->all[w->n++] = symbol;
        more = f(symbol, user);
    }
    return tp_ok();
}

/* What kind of model m is, and how much it keeps. */
static bool understand(writer *w, tp_module *m)
{
    bool gpt = !strcmp(tp_nn_kind(m), "gpt"), lstm = !strcmp(tp_nn_kind(m), "lstm model");
    const tp_gpt_opts *g = tp_nn_opts(m);
    tp_tensor *weight = m && (gpt || lstm) ? tp_nn_tensor(m, gpt ? "transformer.wte.weight" : "encoder.weight") : NULL;

    if (!weight) return tp_fail(TP_ERR_ARG, "tp_model_write: a language model that tp_nn_init has drawn is wanted, not %s", tp_nn_kind(m));
    w->m = m, w->dev = tp_device_of(weight), w->states = gpt ? 2 * g->layers : 2, w->context = gpt ? g->context : 0;
    return w->states <= MOST_STATES || tp_fail(TP_ERR_ARG, "tp_model_write: more than %d layers", MOST_STATES / 2);
}

bool tp_model_write(tp_module *m, tp_tensor *prompt, int64_t n, tp_draw_opts o, tp_write_fn *f, void *user)
{
    writer w = { 0 };
    bool ok;

    if (!tp_ok() || !opts_fit(o) || !understand(&w, m)) return false;
    if (!f || n < 0 || tp_rank(prompt) != 1 || tp_dtype_of(prompt) != TP_I64 || !tp_count(prompt))
        return tp_fail(TP_ERR_ARG, "tp_model_write: a prompt of i64 (symbols), at least one, is wanted");
    if (!(w.all = malloc(sizeof *w.all * (size_t)(tp_count(prompt) + n)))) return tp_fail(TP_ERR_MEMORY, "tp_model_write");
    w.n = tp_count(prompt);
    ok = tp_read(prompt, w.all, sizeof *w.all * (size_t)w.n);
    ok = ok && write_all(&w, n, o, f, user);
    forget(&w), free(w.all);
    return ok;
}
