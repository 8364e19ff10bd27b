/*
 * recurrent.c - LSTM, GRU and plain cells of several layers and directions, as torch.nn.LSTM, GRU, RNN.
 */
#include "nn/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum cell { LSTM, GRU, RNN } cell;
static const char *const cell_name[] = { "lstm", "gru", "rnn" };
static const int cell_gates[] = { 4, 3, 1 };

typedef struct stack {
    cell cell;
    int64_t in, hidden;
    tp_lstm_opts o;
} stack;

enum { PER_DIRECTION = 4 }; /* weight_ih, weight_hh, bias_ih, bias_hh */

static int directions(const stack *k)
{
    return k->o.bidirectional ? 2 : 1;
}

/* The parameters of one layer and direction, in the order they were described. */
static tp_tensor *param(const tp_module *m, const stack *k, int at, int i)
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

/* What goes through all layers, and the states that come out of each. */
typedef struct flow {
    tp_tensor *h, *c, *lengths, **hn, **cn;
} flow;

static tp_tensor *one_direction(const tp_module *m, const stack *k, int at, tp_tensor *x, const flow *f)
{
    tp_recurrent_opts o = { f->lengths, at % directions(k) == 1, k->o.relu };
    tp_tensor *w_ih = param(m, k, at, 0), *w_hh = param(m, k, at, 1), *b_ih = param(m, k, at, 2);
    tp_tensor *b_hh = param(m, k, at, 3);
    tp_recurrent_out r;
    tp_lstm_out l;

    if (k->cell == LSTM) {
        l = tp_lstm_with(x, state(f->h, at), state(f->c, at), w_ih, w_hh, b_ih, b_hh, o);
        f->hn[at] = as_state(l.h), f->cn[at] = as_state(l.c);
        return l.y;
    }
    r = (k->cell == GRU ? tp_gru : tp_rnn)(x, state(f->h, at), w_ih, w_hh, b_ih, b_hh, o);
    f->hn[at] = as_state(r.h);
    return r.y;
}

static tp_tensor *one_layer(const tp_module *m, const stack *k, int layer, tp_tensor *x, const flow *f)
{
    int d = directions(k);
    tp_tensor *y[2] = { NULL };

    if (layer && k->o.dropout > 0 && m->training) x = tp_dropout(x, k->o.dropout);
    for (int i = 0; i < d && tp_ok(); i++)
        y[i] = one_direction(m, k, layer * d + i, x, f);
    if (!tp_ok()) return NULL;
    return d == 2 ? tp_concat(TP_LIST(y[0], y[1]), 2) : y[0];
}

static bool states_fit(const stack *k, const tp_tensor *x, const tp_tensor *s, const char *what)
{
    int64_t n = k->o.layers * directions(k), N = tp_dim(x, k->o.batch_first ? 0 : 1);

    TP_REQUIRE_IN(cell_name[k->cell], !s || (s->shape.rank == 3 && tp_dim(s, 0) == n && tp_dim(s, 1) == N &&
                                             tp_dim(s, 2) == k->hidden), TP_ERR_SHAPE,
                  "%s is %s, not (%lld, %lld, %lld)", what, tp__text(s), (long long)n, (long long)N,
                  (long long)k->hidden);
    return true;
}

enum { MOST_LAYERS = 32 };

/* in: x, lengths, h, c; all but the first may be absent.  out: y, h, and of LSTM c. */
static int recurrent(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const stack *k = m->opts;
    const char *name = cell_name[k->cell];
    tp_tensor *x = in.t[0], *hn[2 * MOST_LAYERS], *cn[2 * MOST_LAYERS];
    flow f = { in.n > 2 ? in.t[2] : NULL, in.n > 3 ? in.t[3] : NULL, in.n > 1 ? in.t[1] : NULL, hn, cn };
    int n = k->o.layers * directions(k), outputs = k->cell == LSTM ? 3 : 2;

    if (!tp__check(name, TP_LIST(x, f.lengths, f.h, f.c), 1)) return -1;
    if (x->shape.rank != 3) return tp__fail(TP_ERR_SHAPE, name, "x must have 3 axes, not %s", tp__text(x)), -1;
    if (!states_fit(k, x, f.h, "h") || !states_fit(k, x, f.c, "c")) return -1;
    if (k->o.batch_first) x = tp_transpose(x, 0, 1);
    for (int layer = 0; layer < k->o.layers && tp_ok(); layer++)
        x = one_layer(m, k, layer, x, &f);
    if (!tp_ok()) return -1;
    out[0] = k->o.batch_first ? tp_transpose(x, 0, 1) : x;
    if (room < outputs) return tp_ok() ? 1 : -1;
    out[1] = tp_concat((tp_list){ hn, n }, 0);
    if (outputs == 3) out[2] = tp_concat((tp_list){ cn, n }, 0);
    return tp_ok() ? outputs : -1;
}

/* Adds the parameters of one layer and direction. */
static bool describe(tp_module *m, const stack *k, int layer, int direction)
{
    static const char *const kind[PER_DIRECTION] = { "weight_ih", "weight_hh", "bias_ih", "bias_hh" };
    int64_t H = k->hidden, in = layer ? H * directions(k) : k->in;
    int64_t G = H * cell_gates[k->cell];
    double bound = 1 / sqrt((double)H);
    char name[40];

    for (int i = 0; i < (k->o.no_bias ? 2 : PER_DIRECTION); i++) {
        tp_shape s = i == 0 ? TP_SHAPE(G, in) : i == 1 ? TP_SHAPE(G, H) : TP_SHAPE(G);

        snprintf(name, sizeof name, "%s_l%d%s", kind[i], layer, direction ? "_reverse" : "");
        if (!tp_nn_param(m, name, s, tp_init_uniform(-bound, bound))) return false;
    }
    return true;
}

static tp_module *made(cell c, int64_t in, int64_t hidden, tp_lstm_opts o)
{
    stack k = { c, in, hidden, o };
    tp_module *m;
    bool ok;

    if (!tp_ok()) return NULL;
    if (!k.o.layers) k.o.layers = 1;
    TP_REQUIRE_IN(cell_name[c], in > 0 && hidden > 0 && k.o.layers > 0 && k.o.layers <= MOST_LAYERS &&
                  o.dropout >= 0 && o.dropout <= 1, TP_ERR_ARG,
                  "%lld in, %lld hidden, %d layers (at most %d), dropout %g", (long long)in, (long long)hidden,
                  k.o.layers, MOST_LAYERS, o.dropout);
    TP_REQUIRE_IN(cell_name[c], c == RNN || !o.relu, TP_ERR_ARG,
                  "relu is rnn's: this cell's activations are its own");
    TP_REQUIRE_IN(cell_name[c], hidden <= INT64_MAX / 8, TP_ERR_SHAPE, "%lld hidden: weights would have too many elements",
                  (long long)hidden);
    m = tp_nn_layer(cell_name[c], recurrent, &k, sizeof k);
    ok = m != NULL;
    for (int layer = 0; ok && layer < k.o.layers; layer++)
        for (int d = 0; ok && d < directions(&k); d++)
            ok = describe(m, &k, layer, d);
    return tp__made(m, ok);
}

tp_module *tp_nn_lstm(int64_t in, int64_t hidden, tp_lstm_opts o)
{
    return made(LSTM, in, hidden, o);
}

tp_module *tp_nn_gru(int64_t in, int64_t hidden, tp_lstm_opts o)
{
    return made(GRU, in, hidden, o);
}

tp_module *tp_nn_rnn(int64_t in, int64_t hidden, tp_lstm_opts o)
{
    return made(RNN, in, hidden, o);
}

/* Is m of this module's kinds: an LSTM, or one with a single state? */
static bool is_cell(const char *where, const tp_module *m, bool lstm)
{
    bool one_of_these = m && m->forward == recurrent, is_lstm = one_of_these && !strcmp(m->kind, cell_name[LSTM]);

    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, one_of_these && is_lstm == lstm, TP_ERR_ARG, "%s is no %s", m ? m->kind : "nothing",
                  lstm ? "LSTM" : "GRU or RNN");
    return true;
}

tp_lstm_out tp_nn_lstm_lengths(tp_module *m, tp_tensor *x, tp_tensor *lengths, tp_tensor *h, tp_tensor *c)
{
    tp_tensor *out[3] = { NULL };

    if (!is_cell(__func__, m, true) || tp_nn_apply(m, TP_LIST(x, lengths, h, c), out, 3) != 3) return (tp_lstm_out){ 0 };
    return (tp_lstm_out){ out[0], out[1], out[2] };
}

tp_lstm_out tp_nn_lstm_forward(tp_module *m, tp_tensor *x, tp_tensor *h, tp_tensor *c)
{
    return is_cell(__func__, m, true) ? tp_nn_lstm_lengths(m, x, NULL, h, c) : (tp_lstm_out){ 0 };
}

tp_recurrent_out tp_nn_recurrent_forward(tp_module *m, tp_tensor *x, tp_tensor *lengths, tp_tensor *h)
{
    tp_tensor *out[3] = { NULL };

    if (!is_cell(__func__, m, false) || tp_nn_apply(m, TP_LIST(x, lengths, h), out, 2) != 2) return (tp_recurrent_out){ 0 };
    return (tp_recurrent_out){ out[0], out[1] };
}
