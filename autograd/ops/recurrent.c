/*
 * recurrent.c - LSTM (Hochreiter & Schmidhuber 1997, with Gers' forget gate), one layer.
 *
 *   i f g o = x_t w_ih' + h_(t-1) w_hh' + b_ih + b_hh       sigmoid, sigmoid, tanh, sigmoid
 *   c_t = f c_(t-1) + i g        h_t = o tanh c_t
 *
 * One product for the inputs of all steps, a kernel for the recurrence, and backward one
 * product for each weight over all steps.
 */
#include "autograd/op.h"

enum { X, H0, C0, W_IH, W_HH, B_IH, B_HH, INPUTS };
enum { Y, H, C };
enum { GATES = C0 + 3, CELLS, SAVED_Y }; /* saved: x h0 c0 w_ih w_hh gates cells y */

static tp_tensor *flat(tp_tensor *t)
{
    return t ? tp_reshape(t, TP_SHAPE(tp_dim(t, 0) * tp_dim(t, 1), tp_dim(t, 2))) : NULL;
}

/* dw_hh: of the first step from h0, of the others from the step before. */
static void give_w_hh(tp_node *n, tp_tensor *dgates, tp_tensor *h0, tp_tensor *y)
{
    int64_t T = tp_dim(dgates, 0);
    tp_tensor *first = flat(tp_slice(dgates, 0, 0, 1)), *later = flat(tp_slice(dgates, 0, 1, T));

    tp__give(n, W_HH, tp__gemm(tp__sink(n, W_HH), first, true, h0, false));
    if (T > 1)
        tp__give(n, W_HH, tp__gemm(tp__sink(n, W_HH), later, true, flat(tp_slice(y, 0, 0, T - 1)), false));
}

static void lstm_backward(tp_node *n)
{
    tp_tensor *x = tp__saved(n, X), *h0 = tp__saved(n, H0), *c0 = tp__saved(n, C0);
    tp_tensor *w_ih = tp__saved(n, W_IH), *w_hh = tp__saved(n, W_HH), *gates = tp__saved(n, GATES);
    tp_tensor *cells = tp__saved(n, CELLS), *y = tp__saved(n, SAVED_Y), *dgates, *dh0, *dc0, *all;
    tp_tensor *dy = tp__rows(tp__dy(n, Y)), *dh = tp__rows(tp__dy(n, H)), *dc = tp__rows(tp__dy(n, C));

    if (!tp_ok()) return;
    dgates = tp__new_like(gates, gates->shape), dh0 = tp__new_like(h0, h0->shape), dc0 = tp__new_like(c0, c0->shape);
    if (!dgates || !dh0 || !dc0) return;
    if (!TP_RUN(lstm_dx, x, tp_dim(x, 0), tp_dim(x, 1), tp_dim(c0, 1), tp__data(w_hh), tp__data(c0),
                tp__data(gates), tp__data(cells), tp__data(dy), tp__data(dh), tp__data(dc),
                tp__data(dgates), tp__data(dh0), tp__data(dc0)))
        return;
    all = flat(dgates);
    if (tp__wants(n, X)) tp__give(n, X, tp_reshape(tp__gemm(TP_FRESH, all, false, w_ih, false), x->shape));
    if (tp__wants(n, W_IH)) tp__give(n, W_IH, tp__gemm(tp__sink(n, W_IH), all, true, flat(x), false));
    if (tp__wants(n, W_HH)) give_w_hh(n, dgates, h0, y);
    for (int b = B_IH; b <= B_HH; b++)
        if (tp__wants(n, b)) tp__give(n, b, tp__sum_to(tp__sink(n, b), all, tp__in_shape(n, b)));
    tp__give(n, H0, dh0), tp__give(n, C0, dc0);
}

static const tp_op lstm_op = { "lstm", lstm_backward, NULL };

/* ---- forward ---- */

static bool state_fits(const char *what, const tp_tensor *t, const tp_tensor *x, int64_t size)
{
    TP_REQUIRE_IN("lstm", t->shape.rank == 2 && tp_dim(t, 0) == tp_dim(x, 1) && tp_dim(t, 1) == size, TP_ERR_SHAPE,
                  "%s is %s, not (%lld, %lld)", what, tp__text(t), (long long)tp_dim(x, 1), (long long)size);
    return true;
}

static bool fits(tp_tensor *const *in)
{
    const tp_tensor *x = in[X], *w_ih = in[W_IH], *w_hh = in[W_HH];
    int64_t size = tp_dim(w_hh, 1);

    TP_REQUIRE_IN("lstm", x->shape.rank == 3 && tp_dim(x, 0) > 0, TP_ERR_SHAPE,
                  "x must be (T, N, in) with T > 0, not %s", tp__text(x));
    TP_REQUIRE_IN("lstm", w_hh->shape.rank == 2 && tp_dim(w_hh, 0) == 4 * size && w_ih->shape.rank == 2 &&
                  tp_dim(w_ih, 0) == 4 * size && tp_dim(w_ih, 1) == tp_dim(x, 2), TP_ERR_SHAPE,
                  "x %s, w_ih %s, w_hh %s: (T, N, in), (4H, in), (4H, H) are wanted", tp__text(x),
                  tp__text(w_ih), tp__text(w_hh));
    TP_REQUIRE_IN("lstm", (in[B_IH] == NULL) == (in[B_HH] == NULL), TP_ERR_ARG, "one bias without the other");
    for (int b = B_IH; b <= B_HH; b++)
        TP_REQUIRE_IN("lstm", !in[b] || (in[b]->shape.rank == 1 && tp_dim(in[b], 0) == 4 * size), TP_ERR_SHAPE,
                      "a bias is %s, not (%lld)", tp__text(in[b]), (long long)(4 * size));
    for (int i = 0; i < INPUTS; i++)
        TP_REQUIRE_IN("lstm", !in[i] || in[i]->dtype == x->dtype, TP_ERR_DTYPE, "x is %s and another input %s",
                      tp__text(x), tp__text(in[i]));
    return (!in[H0] || state_fits("h0", in[H0], x, size)) && (!in[C0] || state_fits("c0", in[C0], x, size));
}

/* x_t w_ih' + b_ih + b_hh for all steps, not recorded: it belongs to the op. */
static tp_tensor *projected(tp_tensor *const *in)
{
    TP_NO_GRAD;
    return tp_linear(in[X], in[W_IH], in[B_IH] ? tp_add(in[B_IH], in[B_HH]) : NULL);
}

/* A copy: a state that is carried on must not hold the whole sequence. */
static tp_tensor *last(tp_tensor *t)
{
    tp_shape s = TP_SHAPE(tp_dim(t, 1), tp_dim(t, 2));
    tp_tensor *from = tp__view(t, s, t->stride + 1, t->offset + (tp_dim(t, 0) - 1) * t->stride[0]);
    tp_tensor *to = from ? tp__new_like(t, s) : NULL;

    return to && tp__copy(to, from, false) ? to : NULL;
}

static bool run(tp_tensor **in, tp_tensor **out)
{
    tp_tensor *x = in[X], *gates, *cells;
    int64_t T = tp_dim(x, 0), N = tp_dim(x, 1), size = tp_dim(in[W_HH], 1);

    for (int s = H0; s <= C0; s++)
        if (!in[s]) in[s] = tp_zeros(TP_SHAPE(N, size), (tp_dtype)x->dtype, tp__device(x));
    for (int i = 0; i < INPUTS; i++)
        in[i] = tp__rows(in[i]);
    if (!tp_ok() || !(gates = projected(in))) return false;
    out[Y] = tp__new_like(x, TP_SHAPE(T, N, size)), cells = tp__new_like(x, TP_SHAPE(T, N, size));
    if (!out[Y] || !cells) return false;
    if (!TP_RUN(lstm, x, T, N, size, tp__data(in[W_HH]), tp__data(in[H0]), tp__data(in[C0]), tp__data(gates),
                tp__data(out[Y]), tp__data(cells)))
        return false;
    out[H] = last(out[Y]), out[C] = last(cells);
    if (!out[H] || !out[C]) return false;
    return tp__record_all(&lstm_op, (tp_list){ in, INPUTS }, (tp_list){ out, 3 },
                          TP_LIST(in[X], in[H0], in[C0], in[W_IH], in[W_HH], gates, cells, out[Y]), NULL, 0);
}

tp_lstm_out tp_lstm(tp_tensor *x, tp_tensor *h0, tp_tensor *c0, tp_tensor *w_ih, tp_tensor *w_hh,
                    tp_tensor *b_ih, tp_tensor *b_hh)
{
    tp_tensor *in[INPUTS] = { x, h0, c0, w_ih, w_hh, b_ih, b_hh }, *out[3] = { NULL };

    TP_SCOPE;
    if (!tp__check("lstm", TP_LIST(x, w_ih, w_hh, h0, c0, b_ih, b_hh), 3)) return (tp_lstm_out){ 0 };
    for (int i = 0; i < INPUTS; i++)
        in[i] = tp__autocast(in[i]);
    if (!tp_ok() || !fits(in) || !run(in, out)) return (tp_lstm_out){ 0 };
    return (tp_lstm_out){ tp_pass(out[Y]), tp_pass(out[H]), tp_pass(out[C]) };
}
