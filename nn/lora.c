/*
 * lora.c - Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
 *
 *   y = activation(x W' + b + s x A' B')     s = alpha / rank
 *   merged:  W + s B A for W
 */
#include "nn/internal.h"
#include "nn/lora.h"

#include <fnmatch.h>
#include <string.h>

enum { WEIGHT, BIAS };

/* Begins as the options of the linear layer that it was. */
typedef struct adapter {
    tp_linear_layer_opts linear;
    double scale, dropout;
    bool merged;
} adapter;

/* ---- forward ---- */

static tp_tensor *activated(tp_activation a, tp_tensor *x)
{
    switch (a) {
    case TP_RELU:
        return tp_relu(x);
    case TP_GELU:
        return tp_gelu(x);
    case TP_GELU_TANH:
        return tp_gelu_tanh(x);
    default:
        return x;
    }
}

static int lora_linear(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const adapter *k = m->opts;
    tp_tensor *x = in.t[0], *b = m->n_entry > 1 ? m->entry[BIAS].t : NULL, *y, *thin;

    (void)room;
    y = tp_linear_with(x, m->entry[WEIGHT].t, b,
                       (tp_linear_opts){ k->merged ? k->linear.activation : TP_LINEAR });
    if (k->merged || !y) return tp_nn_gives(out, y);
    if (m->training && k->dropout > 0) x = tp_dropout(x, k->dropout);
    thin = tp_scale(tp_nn_forward(tp__child_of(m, "lora_A"), x), k->scale);
    return tp_nn_gives(
        out, activated(k->linear.activation, tp_add(y, tp_nn_forward(tp__child_of(m, "lora_B"), thin))));
}

/* ---- putting on ---- */

typedef struct fitting {
    const char *pattern;
    tp_lora_opts o;
    int n;
} fitting;

/* A linear layer without bias, of the dtype and on the device of `base`. */
static tp_module *thin_linear(const tp_entry *base, int64_t in, int64_t out, bool zero)
{
    tp_module *m = tp_nn_linear_with(in, out, (tp_linear_layer_opts){ .no_bias = true });

    if (!m) return NULL;
    m->entry[WEIGHT].dtype = base->dtype;
    if (zero) m->entry[WEIGHT].init = tp_init_constant(0);
    return base->t ? tp_nn_init(m, tp__device(base->t)) : m;
}

/* What a layer becomes: all that can fail comes before it changes. */
static bool adapt(tp_module *m, const tp_lora_opts *o)
{
    const tp_entry *w = &m->entry[WEIGHT];
    adapter k = { *(const tp_linear_layer_opts *)m->opts, o->alpha / (double)o->rank, o->dropout,
                  false };
    adapter *opts = tp__alloc(sizeof k);
    char *kind = tp__strdup("lora_linear");
    int before = m->n_child;

    if (!opts || !kind || !tp_nn_add(m, "lora_A", thin_linear(w, w->shape.n[1], o->rank, false)) ||
        !tp_nn_add(m, "lora_B", thin_linear(w, o->rank, w->shape.n[0], true))) {
        while (m->n_child > before)
            tp__child_remove(m, before);
        tp__release(opts, sizeof k), tp__release(kind, sizeof "lora_linear");
        return false;
    }
    *opts = k;
    tp__release(m->opts, m->opts_bytes), tp__free_text(m->kind);
    m->opts = opts, m->opts_bytes = sizeof k, m->kind = kind, m->forward = lora_linear;
    return true;
}

static bool is_half(const char *name)
{
    size_t n = strlen(name);

    return n >= 6 && (!strcmp(name + n - 6, "lora_A") || !strcmp(name + n - 6, "lora_B"));
}

static bool matches(const fitting *f, const char *name, const tp_module *m)
{
    return !is_half(name) && !strcmp(m->kind, "linear") && !m->self &&
           m->opts_bytes == sizeof(tp_linear_layer_opts) && !fnmatch(f->pattern, name, 0);
}

static bool count_one(void *user, const char *name, tp_module *m)
{
    fitting *f = user;

    if (!matches(f, name, m)) return true;
    TP_REQUIRE_IN("tp_nn_lora", !m->entry[WEIGHT].computed, TP_ERR_ARG,
                  "%s%sweight is computed: remove its parametrization first", name,
                  *name ? "." : "");
    return f->n++, true;
}

static bool adapt_one(void *user, const char *name, tp_module *m)
{
    fitting *f = user;

    return !matches(f, name, m) || adapt(m, &f->o);
}

static bool freeze_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    (void)user, (void)m;
    if (e->buffer || !fnmatch("*lora_[AB].weight", name, 0)) return true;
    if (e->t && !tp_requires_grad(e->t, false)) return false;
    e->frozen = true;
    return true;
}

static bool lora_ok(tp_module *m, const char *pattern, const tp_lora_opts *o)
{
    TP_REQUIRE_IN("tp_nn_lora", m && pattern, TP_ERR_ARG, "missing module or pattern");
    TP_REQUIRE_IN("tp_nn_lora", o->rank > 0, TP_ERR_ARG, "rank %lld: 1 or more is wanted",
                  (long long)o->rank);
    TP_REQUIRE_IN("tp_nn_lora", o->dropout >= 0 && o->dropout <= 1, TP_ERR_ARG,
                  "dropout is %g: a probability is wanted", o->dropout);
    return true;
}

int tp_nn_lora(tp_module *m, const char *pattern, tp_lora_opts o)
{
    fitting f = { pattern, o, 0 };

    if (!tp_ok()) return -1;
    if (!f.o.rank) f.o.rank = 8;
    if (f.o.alpha == 0) f.o.alpha = 8;
    if (!lora_ok(m, pattern, &f.o) || !tp__modules(m, count_one, &f)) return -1;
    if (!f.n)
        return tp__fail(TP_ERR_ARG, __func__, "no linear layer's name matches \"%s\"", pattern), -1;
    return tp__modules(m, adapt_one, &f) && tp__entries(m, freeze_one, NULL) ? f.n : -1;
}

/* ---- merging ---- */

typedef struct merging {
    bool on;
    int n;
} merging;

static bool merge_one(void *user, const char *name, tp_module *m)
{
    merging *k = user;
    adapter *a = m->forward == lora_linear ? m->opts : NULL;
    tp_tensor *d, *w;

    TP_SCOPE;
    TP_NO_GRAD;
    TP_AUTOCAST(TP_F32); /* off */
    if (!a || a->merged == k->on) return true;
    w = m->entry[WEIGHT].t;
    TP_REQUIRE_IN("tp_nn_lora_merge", w, TP_ERR_ARG, "%s%sweight %s", name, *name ? "." : "",
                  m->entry[WEIGHT].computed ? "is computed: remove its parametrization first"
                                            : "isn't there yet: call tp_nn_init first");
    d = tp_matmul(tp_nn_tensor(m, "lora_B.weight"), tp_nn_tensor(m, "lora_A.weight"));
    d = tp_scale(d, k->on ? a->scale : -a->scale);
    if (!tp_copy_(w, tp_add(w, d))) return false;
    a->merged = k->on, k->n++;
    return true;
}

static int merge(const char *where, tp_module *m, bool on)
{
    merging k = { on, 0 };

    if (!tp_ok()) return -1;
    if (!m) return tp__fail(TP_ERR_ARG, where, "missing module"), -1;
    if (!tp__modules(m, merge_one, &k)) return -1;
    if (!k.n)
        return tp__fail(TP_ERR_ARG, where, "there is nothing to %s", on ? "merge" : "take out"), -1;
    return k.n;
}

int tp_nn_lora_merge(tp_module *m)
{
    return merge(__func__, m, true);
}

int tp_nn_lora_unmerge(tp_module *m)
{
    return merge(__func__, m, false);
}
