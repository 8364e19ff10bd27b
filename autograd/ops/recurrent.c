/*
 * recurrent.c - one layer of LSTM (Hochreiter & Schmidhuber 1997, with Gers' forget gate), GRU (Cho et
 * al. 2014) or plain cells (Elman 1990) over a sequence.
 *
 *   LSTM   i f g o = x_t w_ih' + h_(t-1) w_hh' + b_ih + b_hh       sigmoid, sigmoid, tanh, sigmoid
 *          c_t = f c_(t-1) + i g        h_t = o tanh c_t
 *   GRU    r z     = sigmoid(x_t w_ih' + h_(t-1) w_hh' + b_ih + b_hh)
 *          n       = tanh(x_t w_in' + b_in + r (h_(t-1) w_hn' + b_hn))     h_t = (1 - z) n + z h_(t-1)
 *   RNN    h_t     = tanh or relu of x_t w_ih' + h_(t-1) w_hh' + b_ih + b_hh
 *
 * One product for the inputs of all steps, a kernel for the recurrence, and backward one
 * product for each weight over all steps.
 */
#include "autograd/op.h"

enum { X, H0, C0, W_IH, W_HH, B_IH, B_HH, INPUTS };
enum { Y, H, C };
enum { GATES = C0 + 3, MORE, SAVED_Y, LENGTHS }; /* saved: x h0 c0 w_ih w_hh gates more y lengths */

typedef struct cell_attr {
    tp_cell cell;
    bool reverse;
} cell_attr;

static int64_t gates_of(tp_cell cell)
{
    return cell == TP_CELL_LSTM ? 4 : cell == TP_CELL_GRU ? 3 : 1;
}

static tp_tensor *flat(tp_tensor *t)
{
    return t ? tp_reshape(t, TP_SHAPE(tp_dim(t, 0) * tp_dim(t, 1), tp_dim(t, 2))) : NULL;
}

static tp_recurrent_args args_of(const cell_attr *k, const tp_tensor *x, const tp_tensor *h0, const tp_tensor *lengths)
{
    return (tp_recurrent_args){ k->cell, k->reverse, tp_dim(x, 0), tp_dim(x, 1), tp_dim(h0, 1), tp__data(lengths) };
}

/* dw_hh: of the first steps from h0, of the others from the step before, which beyond a length is 0. */
static void give_w_hh(tp_node *n, tp_tensor *dgates, tp_tensor *first, tp_tensor *h0, tp_tensor *y, bool reverse)
{
    int64_t T = tp_dim(dgates, 0);
    tp_tensor *later;

    tp__give(n, W_HH, tp__gemm(tp__sink(n, W_HH), first, true, h0, false));
    if (T == 1) return;
    later = flat(tp_slice(dgates, 0, !reverse, reverse ? T - 1 : T));
    y = flat(tp_slice(y, 0, reverse, reverse ? T : T - 1));
    tp__give(n, W_HH, tp__gemm(tp__sink(n, W_HH), later, true, y, false));
}

/* Of both biases: of the input's side, and of h's, which are one sum where the gates are the same. */
static void give_biases(tp_node *n, tp_tensor *dgates, tp_tensor *of_h)
{
    tp_tensor *both;

    if (dgates == of_h && tp__wants(n, B_IH) && tp__wants(n, B_HH)) {
        both = tp__sum_to(TP_FRESH, flat(dgates), tp__in_shape(n, B_IH));
        tp__give(n, B_IH, both), tp__give(n, B_HH, both);
        return;
    }
    if (tp__wants(n, B_IH)) tp__give(n, B_IH, tp__sum_to(tp__sink(n, B_IH), flat(dgates), tp__in_shape(n, B_IH)));
    if (tp__wants(n, B_HH)) tp__give(n, B_HH, tp__sum_to(tp__sink(n, B_HH), flat(of_h), tp__in_shape(n, B_HH)));
}

static void recurrent_backward(tp_node *n)
{
    const cell_attr *k = tp__attr(n);
    tp_tensor *x = tp__saved(n, X), *h0 = tp__saved(n, H0), *c0 = tp__saved(n, C0), *w_ih = tp__saved(n, W_IH);
    tp_tensor *w_hh = tp__saved(n, W_HH), *gates = tp__saved(n, GATES), *more = tp__saved(n, MORE);
    tp_tensor *y = tp__saved(n, SAVED_Y), *lengths = tp__saved(n, LENGTHS), *dgates, *of_h, *first, *dh0, *dc0 = NULL;
    tp_tensor *dy = tp__rows(tp__dy(n, Y)), *dh = tp__rows(tp__dy(n, H));
    tp_tensor *dc = c0 ? tp__rows(tp__dy(n, C)) : NULL;
    tp_recurrent_args g;

    if (!tp_ok()) return;
    dgates = tp__new_like(gates, gates->shape), dh0 = tp__new_like(h0, h0->shape);
    of_h = k->cell == TP_CELL_GRU ? tp__new_like(gates, gates->shape) : dgates;
    first = tp__new_like(gates, TP_SHAPE(tp_dim(gates, 1), tp_dim(gates, 2)));
    if (c0) dc0 = tp__new_like(c0, c0->shape);
    if (!tp_ok()) return;
    g = args_of(k, x, h0, lengths);
    if (!TP_RUN(recurrent_dx, x, &g, tp__data(w_hh), tp__data(h0), tp__data(c0), tp__data(gates), tp__data(more),
                tp__data(y), tp__data(dy), tp__data(dh), tp__data(dc), tp__data(dgates),
                of_h == dgates ? NULL : tp__data(of_h), tp__data(first), tp__data(dh0), tp__data(dc0)))
        return;
    if (tp__wants(n, X)) tp__give(n, X, tp_reshape(tp__gemm(TP_FRESH, flat(dgates), false, w_ih, false), x->shape));
    if (tp__wants(n, W_HH)) give_w_hh(n, of_h, first, h0, y, k->reverse);
    if (tp__wants(n, W_IH)) tp__give(n, W_IH, tp__gemm(tp__sink(n, W_IH), flat(dgates), true, flat(x), false));
    give_biases(n, dgates, of_h);
    tp__give(n, H0, dh0);
    if (c0) tp__give(n, C0, dc0);
}

static const tp_op ops[] = { { "lstm", recurrent_backward, NULL },
                             { "gru", recurrent_backward, NULL },
                             { "rnn", recurrent_backward, NULL },
                             { "rnn", recurrent_backward, NULL } };

/* ---- forward ---- */

static bool state_fits(const char *name, const char *what, const tp_tensor *t, const tp_tensor *x, int64_t size)
{
    TP_REQUIRE_IN(name, t->shape.rank == 2 && tp_dim(t, 0) == tp_dim(x, 1) && tp_dim(t, 1) == size, TP_ERR_SHAPE,
                  "%s is %s, not (%lld, %lld)", what, tp__text(t), (long long)tp_dim(x, 1), (long long)size);
    return true;
}

static bool fits(const char *name, int64_t G, tp_tensor *const *in)
{
    const tp_tensor *x = in[X], *w_ih = in[W_IH], *w_hh = in[W_HH];
    int64_t size = tp_dim(w_hh, 1);

    TP_REQUIRE_IN(name, x->shape.rank == 3 && tp_dim(x, 0) > 0, TP_ERR_SHAPE,
                  "x must be (T, N, in) with T > 0, not %s", tp__text(x));
    TP_REQUIRE_IN(name, w_hh->shape.rank == 2 && tp_dim(w_hh, 0) == G * size && w_ih->shape.rank == 2 &&
                  tp_dim(w_ih, 0) == G * size && tp_dim(w_ih, 1) == tp_dim(x, 2), TP_ERR_SHAPE,
                  "x %s, w_ih %s, w_hh %s: (T, N, in), (%lldH, in), (%lldH, H) are wanted", tp__text(x),
                  tp__text(w_ih), tp__text(w_hh), (long long)G, (long long)G);
    TP_REQUIRE_IN(name, (in[B_IH] == NULL) == (in[B_HH] == NULL), TP_ERR_ARG, "one bias without the other");
    for (int b = B_IH; b <= B_HH; b++)
        TP_REQUIRE_IN(name, !in[b] || (in[b]->shape.rank == 1 && tp_dim(in[b], 0) == G * size), TP_ERR_SHAPE,
                      "a bias is %s, not (%lld)", tp__text(in[b]), (long long)(G * size));
    for (int i = 0; i < INPUTS; i++)
        TP_REQUIRE_IN(name, !in[i] || in[i]->dtype == x->dtype, TP_ERR_DTYPE, "x is %s and another input %s",
                      tp__text(x), tp__text(in[i]));
    return (!in[H0] || state_fits(name, "h0", in[H0], x, size)) && (!in[C0] || state_fits(name, "c0", in[C0], x, size));
}

static bool lengths_fit(const char *name, const tp_tensor *x, const tp_tensor *n)
{
    TP_REQUIRE_IN(name, !n || n->dtype == TP_I64 || n->dtype == TP_I32 || n->dtype == TP_U8, TP_ERR_DTYPE,
                  "lengths must be i64, i32 or u8, not %s", tp__text(n));
    TP_REQUIRE_IN(name, !n || (n->shape.rank == 1 && tp_dim(n, 0) == tp_dim(x, 1)), TP_ERR_SHAPE,
                  "lengths must be (%lld), not %s", (long long)tp_dim(x, 1), tp__text(n));
    return true;
}

/* x_t w_ih' + b_ih (+ b_hh) for all steps, not recorded: it belongs to the op. */
static tp_tensor *projected(tp_tensor *const *in, tp_cell cell)
{
    TP_NO_GRAD;
    return tp_linear(in[X], in[W_IH],
                     in[B_IH] && cell != TP_CELL_GRU ? tp_add(in[B_IH], in[B_HH]) : in[B_IH]);
}

static bool run(const cell_attr *k, tp_tensor **in, tp_tensor *lengths, tp_tensor **out)
{
    tp_tensor *x = in[X], *gates, *more = NULL;
    int64_t T = tp_dim(x, 0), N = tp_dim(x, 1), size = tp_dim(in[W_HH], 1);
    bool lstm = k->cell == TP_CELL_LSTM;
    tp_recurrent_args g;

    for (int s = H0; s <= (lstm ? C0 : H0); s++)
        if (!in[s]) in[s] = tp_zeros(TP_SHAPE(N, size), (tp_dtype)x->dtype, tp__device(x));
    for (int i = 0; i < INPUTS; i++)
        in[i] = tp__rows(in[i]);
    if (lengths) lengths = tp__rows(tp_cast(lengths, TP_I64));
    if (!tp_ok() || !(gates = projected(in, k->cell))) return false;
    out[Y] = tp__new_like(x, TP_SHAPE(T, N, size)), out[H] = tp__new_like(x, TP_SHAPE(N, size));
    if (lstm) out[C] = tp__new_like(x, TP_SHAPE(N, size));
    if (gates_of(k->cell) > 1) more = tp__new_like(x, TP_SHAPE(T, N, size));
    if (!tp_ok()) return false;
    g = args_of(k, x, in[H0], lengths);
    if (!TP_RUN(recurrent, x, &g, tp__data(in[W_HH]), k->cell == TP_CELL_GRU ? tp__data(in[B_HH]) : NULL,
                tp__data(in[H0]), tp__data(in[C0]), tp__data(gates), tp__data(more), tp__data(out[Y]),
                tp__data(out[H]), tp__data(out[C])))
        return false;
    return tp__record_all(&ops[k->cell], (tp_list){ in, INPUTS }, (tp_list){ out, lstm ? 3 : 2 },
                          TP_LIST(in[X], in[H0], in[C0], in[W_IH], in[W_HH], gates, more, out[Y], lengths), k,
                          sizeof *k);
}

static bool recurrent(tp_cell cell, tp_tensor **in, tp_recurrent_opts o, tp_tensor **out)
{
    cell_attr k = { cell, o.reverse };
    const char *name = ops[cell].name;
    bool ok;

    TP_SCOPE;
    if (!tp__check(name, TP_LIST(in[X], in[W_IH], in[W_HH], in[H0], in[C0], in[B_IH], in[B_HH], o.lengths), 3))
        return false;
    for (int i = 0; i < INPUTS; i++)
        in[i] = tp__autocast(in[i]);
    ok = tp_ok() && fits(name, gates_of(cell), in) && lengths_fit(name, in[X], o.lengths) &&
         run(&k, in, o.lengths, out);
    for (int i = 0; i < 3; i++)
        out[i] = ok ? tp_pass(out[i]) : NULL;
    return ok;
}

tp_lstm_out tp_lstm_with(tp_tensor *x, tp_tensor *h0, tp_tensor *c0, tp_tensor *w_ih, tp_tensor *w_hh,
                         tp_tensor *b_ih, tp_tensor *b_hh, tp_recurrent_opts o)
{
    tp_tensor *in[INPUTS] = { x, h0, c0, w_ih, w_hh, b_ih, b_hh }, *out[3] = { NULL };

    recurrent(TP_CELL_LSTM, in, o, out);
    return (tp_lstm_out){ out[Y], out[H], out[C] };
}

tp_lstm_out tp_lstm(tp_tensor *x, tp_tensor *h0, tp_tensor *c0, tp_tensor *w_ih, tp_tensor *w_hh,
                    tp_tensor *b_ih, tp_tensor *b_hh)
{
    return tp_lstm_with(x, h0, c0, w_ih, w_hh, b_ih, b_hh, (tp_recurrent_opts){ 0 });
}

tp_recurrent_out tp_gru(tp_tensor *x, tp_tensor *h0, tp_tensor *w_ih, tp_tensor *w_hh, tp_tensor *b_ih,
                        tp_tensor *b_hh, tp_recurrent_opts o)
{
    tp_tensor *in[INPUTS] = { x, h0, NULL, w_ih, w_hh, b_ih, b_hh }, *out[3] = { NULL };

    recurrent(TP_CELL_GRU, in, o, out);
    return (tp_recurrent_out){ out[Y], out[H] };
}

tp_recurrent_out tp_rnn(tp_tensor *x, tp_tensor *h0, tp_tensor *w_ih, tp_tensor *w_hh, tp_tensor *b_ih,
                        tp_tensor *b_hh, tp_recurrent_opts o)
{
    tp_tensor *in[INPUTS] = { x, h0, NULL, w_ih, w_hh, b_ih, b_hh }, *out[3] = { NULL };

    recurrent(o.relu ? TP_CELL_RELU : TP_CELL_TANH, in, o, out);
    return (tp_recurrent_out){ out[Y], out[H] };
}
