/*
 * attention.c - Vaswani et al. 2017, "Attention is all you need": heads side by side.
 *
 *   q, k, v = the thirds of x in_proj_weight' + in_proj_bias, each cut into heads
 *   y = attention(q, k, v) of all heads, joined, through out_proj
 */
#include "nn/attention.h"
#include "nn/internal.h"

#include <math.h>
#include <string.h>

enum { QUERY, KEY, VALUE, PADDING, MASK, CAUSAL, INPUTS };

typedef struct many_heads {
    int64_t E, heads, kdim, vdim;
    tp_multihead_attention_opts o;
} many_heads;

static bool one_weight(const many_heads *k)
{
    return k->kdim == k->E && k->vdim == k->E;
}

/* ---- projections ---- */

static tp_tensor *rows_of(tp_tensor *t, int64_t from, int64_t to)
{
    return t && (from || to < tp_dim(t, 0)) ? tp_slice(t, 0, from, to) : t;
}

/* Parts from .. to - 1 of the three, in one product. */
static tp_tensor *projected(const tp_module *m, const many_heads *k, tp_tensor *x, int from, int to)
{
    bool one = one_weight(k);
    tp_tensor *w = m->entry[one ? 0 : from].t, *b = k->o.no_bias ? NULL : m->entry[one ? 1 : 3].t;

    if (one) w = rows_of(w, from * k->E, to * k->E);
    return tp_linear(x, w, rows_of(b, from * k->E, to * k->E));
}

/* (A, B, parts E) -> for each part (N, heads, rows, E / heads), all of them views */
static bool split_heads(const many_heads *k, tp_tensor *x, int parts, tp_tensor **out)
{
    int N = k->o.batch_first ? 0 : 1;

    if (!x) return false;
    x = tp_reshape(x, TP_SHAPE(tp_dim(x, 0), tp_dim(x, 1), parts, k->heads, k->E / k->heads));
    x = tp_permute(x, TP_AXES(2, N, 3, 1 - N, 4));
    return tp_unbind(x, 0, parts, out);
}

/* Neighbours that are made of one tensor are one product. */
static bool project(const tp_module *m, const many_heads *k, tp_tensor *const *x, tp_tensor *qkv[3])
{
    for (int from = 0, to; from < 3; from = to) {
        for (to = from + 1; to < 3 && x[to] == x[from] && one_weight(k);)
            to++;
        if (!split_heads(k, projected(m, k, x[from], from, to), to - from, qkv + from))
            return false;
    }
    return true;
}

/* (N, heads, L, E / heads), rows outermost in memory -> (N, L, E) or (L, N, E) */
static tp_tensor *joined(const many_heads *k, tp_tensor *y)
{
    y = tp_transpose(y, 1, 2);
    if (!y) return NULL;
    y = tp_reshape(y, TP_SHAPE(tp_dim(y, 0), tp_dim(y, 1), k->E));
    return k->o.batch_first ? y : tp_transpose(y, 0, 1);
}

/* ---- forward ---- */

static bool widths_fit(const many_heads *k, tp_tensor *const *x)
{
    static const char *const name[] = { "query", "key", "value" };
    int64_t width[] = { k->E, k->kdim, k->vdim };
    int N = k->o.batch_first ? 0 : 1;

    for (int i = 0; i < 3; i++)
        TP_REQUIRE_IN("multihead_attention", x[i]->shape.rank == 3 && tp_dim(x[i], 2) == width[i],
                      TP_ERR_SHAPE, "the %s is %s, not (%s, %lld)", name[i], tp__text(x[i]),
                      N ? "length, N" : "N, length", (long long)width[i]);
    TP_REQUIRE_IN(
        "multihead_attention",
        tp_dim(x[KEY], N) == tp_dim(x[QUERY], N) && tp_dim(x[VALUE], N) == tp_dim(x[QUERY], N) &&
            tp_dim(x[VALUE], 1 - N) == tp_dim(x[KEY], 1 - N),
        TP_ERR_SHAPE, "query %s, key %s, value %s: one N, and as many values as keys, are wanted",
        tp__text(x[QUERY]), tp__text(x[KEY]), tp__text(x[VALUE]));
    return true;
}

/* As tp_attention wants it: over (N, heads, L, S), true where a score counts. */
static bool mask_for(const many_heads *k, const tp_tensor *q, const tp_tensor *key, tp_tensor *mask,
                     tp_tensor **out)
{
    int64_t N = tp_dim(q, 0), L = tp_dim(q, 2), S = tp_dim(key, 2);
    tp_shape s = TP_SHAPE(N, k->heads, L, S);

    if (!(*out = mask)) return true;
    TP_REQUIRE_IN("multihead_attention", mask->dtype == TP_BOOL || tp__is_float(mask), TP_ERR_DTYPE,
                  "attn_mask is %s, not bool or a float", tp__text(mask));
    TP_REQUIRE_IN("multihead_attention",
                  (mask->shape.rank == 2 && tp_dim(mask, 0) == L && tp_dim(mask, 1) == S) ||
                      (mask->shape.rank == 3 && tp_dim(mask, 0) == N * k->heads &&
                       tp_dim(mask, 1) == L && tp_dim(mask, 2) == S),
                  TP_ERR_SHAPE, "attn_mask is %s, not (%lld, %lld) or (%lld, %lld, %lld)",
                  tp__text(mask), (long long)L, (long long)S, (long long)(N * k->heads),
                  (long long)L, (long long)S);
    if (mask->dtype == TP_BOOL) mask = tp_logical_not(mask);
    *out = mask && mask->shape.rank == 3 ? tp_reshape(mask, s) : mask;
    return *out != NULL;
}

/* Without a batch, as one of one: (L, E) and, of the padding, (S). */
static bool add_batch(const many_heads *k, tp_tensor **x)
{
    tp_tensor *before = NULL;

    for (int i = 0; i < 3; i++) {
        tp_tensor *given = x[i];

        if (given->shape.rank != 2) return true; /* widths_fit tells what is wrong */
        x[i] = given == before ? x[i - 1] : tp_unsqueeze(given, k->o.batch_first ? 0 : 1);
        if (!x[i]) return false;
        before = given;
    }
    if (x[PADDING] && x[PADDING]->shape.rank == 1) x[PADDING] = tp_unsqueeze(x[PADDING], 0);
    return tp_ok();
}

static int attend(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const many_heads *k = m->opts;
    tp_attention_opts o = { .dropout = m->training ? k->o.dropout : 0 };
    tp_tensor *x[INPUTS] = { NULL }, *qkv[3], *y;
    bool batched;

    (void)room;
    if (in.n > 0) memcpy(x, in.t, sizeof *x * (size_t)(in.n < INPUTS ? in.n : INPUTS));
    if (!x[KEY]) x[KEY] = x[QUERY];
    if (!x[VALUE]) x[VALUE] = x[KEY];
    if (!tp__check("multihead_attention", (tp_list){ x, MASK + 1 }, 3)) return -1;
    batched = x[QUERY]->shape.rank != 2;
    if ((!batched && !add_batch(k, x)) || !widths_fit(k, x)) return -1;
    o.key_padding_mask = x[PADDING], o.causal = x[CAUSAL];
    if (!project(m, k, x, qkv) || !mask_for(k, qkv[0], qkv[1], x[MASK], &o.mask)) return -1;
    y = tp_nn_forward(m->child[0].m, joined(k, tp_attention(qkv[0], qkv[1], qkv[2], o)));
    return tp_nn_gives(out, batched ? y : tp_squeeze(y, TP_AXES(k->o.batch_first ? 0 : 1)));
}

tp_tensor *tp_nn_multihead_attention_forward(tp_module *m, tp_tensor *query, tp_tensor *key,
                                             tp_tensor *value, tp_attention_masks masks)
{
    tp_tensor *y = NULL;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(m && m->forward == attend, TP_ERR_ARG, "%s is no multihead_attention",
               m ? m->kind : "nothing");
    TP_REQUIRE(query && key && value, TP_ERR_ARG, "missing query, key or value");
    tp_nn_apply(m,
                TP_LIST(query, key, value, masks.key_padding_mask, masks.attn_mask,
                        masks.is_causal ? query : NULL),
                &y, 1);
    return y;
}

/* ---- making ---- */

/* Glorot & Bengio 2010 */
static bool xavier(tp_module *m, const char *name, int64_t out, int64_t in)
{
    double bound = sqrt(6 / ((double)in + (double)out));

    return tp_nn_param(m, name, TP_SHAPE(out, in), tp_init_uniform(-bound, bound));
}

static bool describe(tp_module *m, const many_heads *k)
{
    tp_module *out =
        tp_nn_add(m, "out_proj",
                  tp_nn_linear_with(k->E, k->E, (tp_linear_layer_opts){ .no_bias = k->o.no_bias }));
    tp_init zero = tp_init_constant(0);
    bool ok = out && (one_weight(k) ? xavier(m, "in_proj_weight", 3 * k->E, k->E)
                                    : xavier(m, "q_proj_weight", k->E, k->E) &&
                                          xavier(m, "k_proj_weight", k->E, k->kdim) &&
                                          xavier(m, "v_proj_weight", k->E, k->vdim));

    if (!ok || k->o.no_bias) return ok;
    out->entry[1].init = zero;
    return tp_nn_param(m, "in_proj_bias", TP_SHAPE(3 * k->E), zero);
}

tp_module *tp_nn_multihead_attention(int64_t embed_dim, int64_t num_heads,
                                     tp_multihead_attention_opts o)
{
    many_heads k = { embed_dim, num_heads, o.kdim ? o.kdim : embed_dim, o.vdim ? o.vdim : embed_dim,
                     o };
    tp_module *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(embed_dim > 0 && num_heads > 0 && embed_dim % num_heads == 0, TP_ERR_ARG,
               "embed_dim %lld, num_heads %lld: the second must divide the first",
               (long long)embed_dim, (long long)num_heads);
    TP_REQUIRE(k.kdim > 0 && k.vdim > 0 && embed_dim <= INT64_MAX / 4, TP_ERR_ARG,
               "embed_dim %lld, kdim %lld, vdim %lld", (long long)embed_dim, (long long)k.kdim,
               (long long)k.vdim);
    TP_REQUIRE(o.dropout >= 0 && o.dropout <= 1, TP_ERR_ARG,
               "dropout is %g: a probability is wanted", o.dropout);
    m = tp_nn_layer("multihead_attention", attend, &k, sizeof k);
    return tp__made(m, m && describe(m, &k));
}
