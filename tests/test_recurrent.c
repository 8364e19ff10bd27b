/*
 * test_recurrent.c - GRU, plain cells, and sequences of different lengths.
 */
#include "tests/golden.h"
#include "tests/gradients.h"

static tp_tensor *lengths_of(tp_tensor *x)
{
    return tp_from((int64_t[]){ 3, 1 }, TP_SHAPE(2), TP_I64, tp_device_of(x));
}

static tp_tensor *joined(tp_recurrent_out o)
{
    return tp_add(tp_square(tp_sum(o.y, TP_AXES(0))), o.h);
}

static tp_tensor *joined_lstm(tp_lstm_out o)
{
    return tp_add(joined((tp_recurrent_out){ o.y, o.h }), tp_square(o.c));
}

#define SIX in.t[0], in.t[1], in.t[2], in.t[3], in.t[4], in.t[5]
F(f_gru, joined(tp_gru(SIX, (tp_recurrent_opts){ 0 })))
F(f_gru_lengths, joined(tp_gru(SIX, (tp_recurrent_opts){ .lengths = lengths_of(a), .reverse = true })))
F(f_gru_state, tp_gru(SIX, (tp_recurrent_opts){ .lengths = lengths_of(a) }).h)
F(f_rnn, joined(tp_rnn(SIX, (tp_recurrent_opts){ .reverse = true })))
F(f_rnn_relu, joined(tp_rnn(SIX, (tp_recurrent_opts){ .relu = true, .lengths = lengths_of(a) })))
F(f_lstm, joined_lstm(tp_lstm_with(SIX, in.t[6], (tp_recurrent_opts){ .lengths = lengths_of(a) })))
F(f_lstm_reverse, joined_lstm(tp_lstm_with(SIX, in.t[6], (tp_recurrent_opts){ .lengths = lengths_of(a), .reverse = true })))

#define OF(G) R3(3, 2, 3), R2(2, 2), R2(G, 3), R2(G, 2), R1(G), R1(G)
static const row rows[] = {
    { "gru", f_gru, 6, { OF(6) }, -.7, NULL, ONCE },
    { "gru lengths reverse", f_gru_lengths, 6, { OF(6) }, -.7, NULL, ONCE },
    { "gru state alone", f_gru_state, 6, { OF(6) }, -.7, NULL, ONCE },
    { "rnn reverse", f_rnn, 6, { OF(2) }, -.7, NULL, ONCE },
    { "rnn relu lengths", f_rnn_relu, 6, { OF(2) }, -.7, NULL, ONCE },
    { "lstm lengths", f_lstm, 7, { R3(3, 2, 3), R2(2, 2), R2(2, 2), R2(8, 3), R2(8, 2), R1(8), R1(8) }, -.7, NULL, ONCE },
    { "lstm lengths reverse", f_lstm_reverse, 7, { R3(3, 2, 3), R2(2, 2), R2(2, 2), R2(8, 3), R2(8, 2), R1(8), R1(8) }, -.7, NULL, ONCE },
};

GRADIENTS(recurrent, rows)

/* ---- PyTorch, through the layers, whose parameters are set to the case's ---- */

static int set_weights(kase *k, tp_module *m, tp_lstm_opts o, int at)
{
    static const char *const kind[] = { "weight_ih", "weight_hh", "bias_ih", "bias_hh" };

    for (int layer = 0; layer < o.layers; layer++)
        for (int d = 0; d <= o.bidirectional; d++)
            for (int i = 0; i < 4; i++) {
                char name[40];

                snprintf(name, sizeof name, "%s_l%d%s", kind[i], layer, d ? "_reverse" : "");
                if (!tp_is_contiguous(k->in[at])) /* a parameter is dense */
                    k->in[at] = tp_requires_grad(tp_detach(tp_contiguous(k->in[at])), true);
                tp_nn_set(m, name, k->in[at++]);
            }
    return at;
}

static bool run_layer(kase *k, tp_module *(*make)(int64_t, int64_t, tp_lstm_opts), int states)
{
    tp_lstm_opts o = { .layers = (int)k->opts[0], .bidirectional = k->opts[1], .relu = k->opts[2] };
    tp_module *m = make(tp_dim(k->in[0], 2), tp_dim(k->in[1], 2), o);
    int at = set_weights(k, m, o, 1 + states);
    tp_tensor *lengths = k->opts[3] ? k->in[at] : NULL;

    if (states == 2) {
        tp_lstm_out y = tp_nn_lstm_lengths(m, k->in[0], lengths, k->in[1], k->in[2]);

        k->out[0] = y.y, k->out[1] = y.h, k->out[2] = y.c;
    } else {
        tp_recurrent_out y = tp_nn_recurrent_forward(m, k->in[0], lengths, k->in[1]);

        k->out[0] = y.y, k->out[1] = y.h;
    }
    k->n_out = 1 + states;
    tp_nn_free(m);
    return k->out[0] != NULL;
}

static bool run_lstm_lengths(kase *k) { return run_layer(k, tp_nn_lstm, 2); }
static bool run_gru(kase *k) { return run_layer(k, tp_nn_gru, 1); }
static bool run_rnn(kase *k) { return run_layer(k, tp_nn_rnn, 1); }

GOLDEN(recurrent_more, R(lstm_lengths), R(gru), R(rnn))

/* ---- empty batches; what lies beyond a length, NaN too, is not read ---- */

ON_EACH_DEVICE(recurrent, extremes)
{
    tp_tensor *x, *w, *wh;
    tp_recurrent_out y, z;

    TP_SCOPE;
    w = check_numbers(TP_SHAPE(6, 3), TP_F32, -1, 1, dev), wh = check_numbers(TP_SHAPE(6, 2), TP_F32, -1, 1, dev);
    y = tp_gru(tp_zeros(TP_SHAPE(2, 0, 3), TP_F32, dev), NULL, w, wh, NULL, NULL, (tp_recurrent_opts){ 0 });
    CHECK(tp_count(y.y) == 0 && tp_dim(y.y, 2) == 2 && tp_count(y.h) == 0);
    x = check_numbers(TP_SHAPE(1, 2, 3), TP_F32, -1, 1, dev);
    y = tp_gru(x, NULL, w, wh, NULL, NULL, (tp_recurrent_opts){ 0 });
    x = tp_concat(TP_LIST(x, tp_full(TP_SHAPE(2, 2, 3), NAN, TP_F32, dev)), 0);
    for (int reverse = 0; reverse < 2; reverse++) {
        z = tp_gru(x, NULL, w, wh, NULL, NULL,
                   (tp_recurrent_opts){ .lengths = tp_full(TP_SHAPE(2), 1, TP_I32, dev), .reverse = reverse });
        CHECK_NEAR(tp_item(tp_sum(tp_square(tp_sub(y.h, z.h)), TP_ALL)), 0, 0);
        CHECK_NEAR(tp_item(tp_sum(tp_square(tp_slice(z.y, 0, 1, 3)), TP_ALL)), 0, 0);
    }
}

/* ---- the same bits for any number of threads ---- */

ON_EACH_DEVICE(recurrent, threads)
{
    enum { T = 9, N = 11, H = 40, GATES = 3 * H };
    static float want[GATES * H], got[GATES * H];
    int before = tp_threads();

    for (int threads = 1; threads <= 3; threads++) {
        tp_tensor *x, *w, *wh;

        TP_SCOPE;
        CASE("%d threads on %s", threads, tp_device_name(dev));
        tp_set_threads(threads), tp_seed(3);
        x = tp_randn(TP_SHAPE(T, N, H), dev), w = tp_randn(TP_SHAPE(GATES, H), dev);
        wh = tp_requires_grad(tp_detach(tp_scale(tp_randn(TP_SHAPE(GATES, H), dev), .2)), true);
        tp_backward(tp_sum(tp_square(tp_gru(x, NULL, w, wh, NULL, NULL, (tp_recurrent_opts){ 0 }).y), TP_ALL));
        CHECK(tp_read(tp_grad(wh), threads == 1 ? want : got, sizeof want));
        if (threads > 1) CHECK(!memcmp(want, got, sizeof want));
    }
    tp_set_threads(before);
}

/* ---- refusals ---- */

ON_EACH_DEVICE(recurrent, refusals)
{
    tp_tensor *x, *w, *wh;
    tp_recurrent_opts o = { 0 };
    tp_module *m = tp_nn_gru(3, 2, (tp_lstm_opts){ 0 });

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(3, 2, 3), TP_F32, dev), w = tp_ones(TP_SHAPE(6, 3), TP_F32, dev), wh = tp_ones(TP_SHAPE(6, 2), TP_F32, dev);
    CASE("recurrent on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_gru(NULL, NULL, w, wh, NULL, NULL, o).y, TP_ERR_ARG, "gru: input 0 is missing");
    CHECK_REFUSED(tp_gru(x, NULL, w, w, NULL, NULL, o).y, TP_ERR_SHAPE, "(T, N, in), (3H, in), (3H, H) are wanted");
    CHECK_REFUSED(tp_gru(x, w, w, wh, NULL, NULL, o).y, TP_ERR_SHAPE, "gru: h0 is f32 (6, 3), not (2, 2)");
    CHECK_REFUSED(tp_rnn(x, NULL, w, wh, NULL, NULL, o).y, TP_ERR_SHAPE, "rnn: x f32 (3, 2, 3), w_ih f32 (6, 3)");
    CHECK_REFUSED(tp_rnn(x, NULL, NULL, wh, NULL, NULL, o).y, TP_ERR_ARG, "rnn: input 1 is missing");
    o.lengths = tp_ones(TP_SHAPE(3), TP_I64, dev);
    CHECK_REFUSED(tp_gru(x, NULL, w, wh, NULL, NULL, o).y, TP_ERR_SHAPE, "lengths must be (2), not i64 (3)");
    o.lengths = tp_ones(TP_SHAPE(2), TP_F32, dev);
    CHECK_REFUSED(tp_gru(x, NULL, w, wh, NULL, NULL, o).y, TP_ERR_DTYPE, "lengths must be i64, i32 or u8, not f32 (2)");
    CHECK_REFUSED(tp_nn_rnn(0, 2, (tp_lstm_opts){ 0 }), TP_ERR_ARG, "rnn: 0 in, 2 hidden");
    tp_nn_init(m, dev);
    CHECK_REFUSED(tp_nn_recurrent_forward(m, x, NULL, tp_ones(TP_SHAPE(2, 2, 2), TP_F32, dev)).y, TP_ERR_SHAPE, "gru: h is f32 (2, 2, 2), not (1, 2, 2)");
    tp_nn_free(m);
}

/* No length makes a kernel leave its operands, forward or backward. */
ON_EACH_DEVICE(recurrent, lengths_outside)
{
    static const int64_t lengths[] = { 4, 1000, 0, -1, INT64_MAX, INT64_MIN };

    for (int i = 0; i < 3 * 2 * TP_LEN(lengths); i++) {
        int64_t length = lengths[i / 6], G = i / 2 % 3 == 0 ? 4 : i / 2 % 3 == 1 ? 3 : 1;
        tp_recurrent_opts o = { .reverse = i % 2 };
        char at_once[80], later[80];
        tp_tensor *x, *w, *wh, *y;

        TP_SCOPE;
        x = check_leaf(TP_SHAPE(3, 2, 3), -1, 1, dev), w = check_leaf(TP_SHAPE(2 * G, 3), -1, 1, dev);
        wh = check_leaf(TP_SHAPE(2 * G, 2), -1, 1, dev), o.lengths = tp_from((int64_t[]){ 2, length }, TP_SHAPE(2), TP_I64, dev);
        CASE("%d gates on %s, length %lld%s", (int)G, tp_device_name(dev), (long long)length, o.reverse ? ", reversed" : "");
        snprintf(at_once, sizeof at_once, "length %lld of sequence 1 is outside 1..3", (long long)length);
        snprintf(later, sizeof later, "recurrent: length %lld is outside 1..3", (long long)length);
        y = G == 4   ? tp_lstm_with(x, NULL, NULL, w, wh, NULL, NULL, o).y
            : G == 3 ? tp_gru(x, NULL, w, wh, NULL, NULL, o).y
                     : tp_rnn(x, NULL, w, wh, NULL, NULL, o).y;
        CHECK_REFUSED_BY_DATA(dev, y && tp_backward(tp_sum(y, TP_ALL)), TP_ERR_ARG, at_once, later);
        CHECK(tp_device_wait(dev)); /* told once */
    }
}
