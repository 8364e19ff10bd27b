/*
 * recurrent.c - LSTM of several layers and directions, as torch.nn.LSTM.
 */
#include "nn/internal.h"

#include <math.h>
#include <stdio.h>

typedef struct lstm_shape {
    int64_t in, hidden;
    tp_lstm_opts o;
} lstm_shape;

enum { PER_DIRECTION = 4 }; /* weight_ih, weight_hh, bias_ih, bias_hh */

static int directions(const lstm_shape *k)
{
    return k->o.bidirectional ? 2 : 1;
}

/* The parameters of one layer and direction, in the order they were described. */
static tp_tensor *param(const tp_module *m, const lstm_shape *k, int at, int i)
{
    int per = k->o.no_bias ? 2 : PER_DIRECTION;

    return i < per ? m->entry[at * per + i].t : NULL;
}

/* State `at` of (layers * directions, N, H), or NULL. */
static tp_tensor *state(tp_tensor *all, int at)
{
    return all ? tp_reshape(tp_slice(all, 0, at, at + 1), TP_SHAPE(tp_dim(all, 1), tp_dim(all, 2))) : NULL;
}

static tp_tensor *as_state(tp_tensor *t)
{
    return t ? tp_reshape(t, TP_SHAPE(1, tp_dim(t, 0), tp_dim(t, 1))) : NULL;
}

static tp_tensor *one_direction(const tp_module *m, const lstm_shape *k, int at, tp_tensor *x, tp_tensor *h,
                                tp_tensor *c, tp_tensor **hn, tp_tensor **cn)
{
    bool backwards = at % directions(k) == 1;
    tp_lstm_out o;

    o = tp_lstm(backwards ? tp_flip(x, 0) : x, state(h, at), state(c, at), param(m, k, at, 0), param(m, k, at, 1),
                param(m, k, at, 2), param(m, k, at, 3));
    hn[at] = as_state(o.h), cn[at] = as_state(o.c);
    return o.y && backwards ? tp_flip(o.y, 0) : o.y;
}

static tp_tensor *one_layer(const tp_module *m, const lstm_shape *k, int layer, tp_tensor *x, tp_tensor *h,
                            tp_tensor *c, tp_tensor **hn, tp_tensor **cn)
{
    int d = directions(k);
    tp_tensor *y[2] = { NULL };

    if (layer && k->o.dropout > 0 && m->training) x = tp_dropout(x, k->o.dropout);
    for (int i = 0; i < d && tp_ok(); i++)
        y[i] = one_direction(m, k, layer * d + i, x, h, c, hn, cn);
    if (!tp_ok()) return NULL;
    return d == 2 ? tp_concat(TP_LIST(y[0], y[1]), 2) : y[0];
}

static bool states_fit(const lstm_shape *k, const tp_tensor *x, const tp_tensor *s, const char *what)
{
    int64_t n = k->o.layers * directions(k), N = tp_dim(x, k->o.batch_first ? 0 : 1);

    TP_REQUIRE_IN("lstm", !s || (s->shape.rank == 3 && tp_dim(s, 0) == n && tp_dim(s, 1) == N &&
                                 tp_dim(s, 2) == k->hidden), TP_ERR_SHAPE, "%s is %s, not (%lld, %lld, %lld)",
                  what, tp__text(s), (long long)n, (long long)N, (long long)k->hidden);
    return true;
}

enum { MOST_LAYERS = 32 };

static int lstm(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const lstm_shape *k = m->opts;
    tp_tensor *x = in.t[0], *h = in.n > 1 ? in.t[1] : NULL, *c = in.n > 2 ? in.t[2] : NULL;
    tp_tensor *hn[2 * MOST_LAYERS], *cn[2 * MOST_LAYERS];
    int n = k->o.layers * directions(k);

    if (!tp__check("lstm", TP_LIST(x, h, c), 1)) return -1;
    if (x->shape.rank != 3)
        return tp__fail(TP_ERR_SHAPE, "lstm", "x must have 3 axes, not %s", tp__text(x)), -1;
    if (!states_fit(k, x, h, "h") || !states_fit(k, x, c, "c")) return -1;
    if (k->o.batch_first) x = tp_transpose(x, 0, 1);
    for (int layer = 0; layer < k->o.layers && tp_ok(); layer++)
        x = one_layer(m, k, layer, x, h, c, hn, cn);
    if (!tp_ok()) return -1;
    out[0] = k->o.batch_first ? tp_transpose(x, 0, 1) : x;
    if (room < 3) return tp_ok() ? 1 : -1;
    out[1] = tp_concat((tp_list){ hn, n }, 0), out[2] = tp_concat((tp_list){ cn, n }, 0);
    return tp_ok() ? 3 : -1;
}

/* Adds the parameters of one layer and direction. */
static bool describe(tp_module *m, const lstm_shape *k, int layer, int direction)
{
    static const char *const kind[PER_DIRECTION] = { "weight_ih", "weight_hh", "bias_ih", "bias_hh" };
    int64_t H = k->hidden, in = layer ? H * directions(k) : k->in;
    double bound = 1 / sqrt((double)H);
    char name[40];

    for (int i = 0; i < (k->o.no_bias ? 2 : PER_DIRECTION); i++) {
        tp_shape s = i == 0 ? TP_SHAPE(4 * H, in) : i == 1 ? TP_SHAPE(4 * H, H) : TP_SHAPE(4 * H);

        snprintf(name, sizeof name, "%s_l%d%s", kind[i], layer, direction ? "_reverse" : "");
        if (!tp_nn_param(m, name, s, (tp_init){ TP_INIT_UNIFORM, -bound, bound })) return false;
    }
    return true;
}

tp_module *tp_nn_lstm(int64_t in, int64_t hidden, tp_lstm_opts o)
{
    lstm_shape k = { in, hidden, o };
    tp_module *m;
    bool ok;

    if (!tp_ok()) return NULL;
    if (!k.o.layers) k.o.layers = 1;
    TP_REQUIRE(in > 0 && hidden > 0 && k.o.layers > 0 && k.o.layers <= MOST_LAYERS && o.dropout >= 0 &&
               o.dropout <= 1, TP_ERR_ARG, "%lld in, %lld hidden, %d layers (at most %d), dropout %g",
               (long long)in, (long long)hidden, k.o.layers, MOST_LAYERS, o.dropout);
    TP_REQUIRE(hidden <= INT64_MAX / 8, TP_ERR_SHAPE, "%lld hidden: weights would have too many elements", (long long)hidden);
    m = tp__layer("lstm", lstm, &k, sizeof k);
    ok = m != NULL;
    for (int layer = 0; ok && layer < k.o.layers; layer++)
        for (int d = 0; ok && d < directions(&k); d++)
            ok = describe(m, &k, layer, d);
    return tp__made(m, ok);
}

tp_lstm_out tp_nn_lstm_forward(tp_module *m, tp_tensor *x, tp_tensor *h, tp_tensor *c)
{
    tp_tensor *out[3] = { NULL };

    if (tp_ok() && (!m || m->forward != lstm))
        tp__fail(TP_ERR_ARG, __func__, "%s is no LSTM", m ? m->kind : "nothing");
    if (!tp_ok() || tp_nn_apply(m, TP_LIST(x, h, c), out, 3) != 3) return (tp_lstm_out){ 0 };
    return (tp_lstm_out){ out[0], out[1], out[2] };
}
