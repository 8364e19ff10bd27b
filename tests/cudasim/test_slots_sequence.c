/*
 * test_slots_sequence.c - CUDA's recurrent layers, CTC and rotary embedding against the CPU's.
 */
#include "tests/cudasim/slots.h"

TestSuite(slots, .init = open_machines, .fini = close_machines);

/* ---- recurrent layers ---- */

typedef struct layer {
    tp_cell cell;
    bool reverse, lengths;
    int64_t T, N, H;
} layer;

static tp_ctx other; /* of a second device, which the thread then visits between calls */

static void visit(void)
{
    if (other.handles) cr_expect_eq(other.backend->wait(&other), 0, "%s", other.error);
}

static void try_recurrent(layer k, tp_dtype t)
{
    int64_t G = (k.cell == TP_CELL_LSTM ? 4 : k.cell == TP_CELL_GRU ? 3 : 1) * k.H, state = k.N * k.H, all = k.T * state;
    bool lstm = k.cell == TP_CELL_LSTM, gru = k.cell == TP_CELL_GRU;
    buffer w = numbers(t, G * k.H, -0.3, 0.3), bias = numbers(t, G, -1, 1), h0 = numbers(t, state, -1, 1), c0 = numbers(t, state, -1, 1);
    buffer gates = numbers(t, k.T * k.N * G, -1, 1), more = blank(t, all), y = blank(t, all), hn = blank(t, state), cn = blank(t, state);
    buffer dy = numbers(t, all, -1, 1), dh = numbers(t, state, -1, 1), dc = numbers(t, state, -1, 1), dgates = blank(t, k.T * k.N * G);
    buffer of_h = blank(t, k.T * k.N * G), first = blank(t, k.N * G), dh0 = blank(t, state), dc0 = blank(t, state);
    buffer lengths = blank(TP_I64, k.N);
    tp_recurrent_args g[SIDES];
    double far = is_half(t) ? 64 : 256;

    for (int64_t n = 0; n < k.N; n++)
        ((int64_t *)lengths.at[CPU])[n] = 1 + n * 2 % k.T;
    upload(&lengths);
    for (int s = 0; s < SIDES; s++)
        g[s] = (tp_recurrent_args){ k.cell, k.reverse, k.T, k.N, k.H, k.lengths ? lengths.at[s] : NULL };
    CASE("cell %d%s%s, T %d N %d H %d, %s", (int)k.cell, k.reverse ? " reversed" : "", k.lengths ? " with lengths" : "",
         (int)k.T, (int)k.N, (int)k.H, dtype_names[t]);
    visit();
    RUN(recurrent, t, &g[side], AT(w), gru ? AT(bias) : NULL, AT(h0), lstm ? AT(c0) : NULL, AT(gates), lstm || gru ? AT(more) : NULL,
        AT(y), AT(hn), lstm ? AT(cn) : NULL);
    check_close(&y, far), check_close(&hn, far), check_close(&gates, far);
    if (lstm) check_close(&cn, far);
    if (lstm || gru) check_close(&more, far);
    visit();
    RUN(recurrent_dx, t, &g[side], AT(w), AT(h0), lstm ? AT(c0) : NULL, AT(gates), lstm || gru ? AT(more) : NULL, AT(y),
        k.T % 2 ? AT(dy) : NULL, AT(dh), lstm ? AT(dc) : NULL, AT(dgates), gru ? AT(of_h) : NULL, AT(first), AT(dh0),
        lstm ? AT(dc0) : NULL);
    check_close(&dgates, far), check_close(&first, far), check_close(&dh0, far);
    if (gru) check_close(&of_h, far);
    if (lstm) check_close(&dc0, far);
    release_all();
}

Test(slots, recurrent)
{
    for (int i = 0; i < 4 * 4 * LEN(floats); i++) {
        tp_cell cell = (tp_cell)(i / 4 / LEN(floats));

        try_recurrent((layer){ cell, i & 1, i & 2, 5, 3, 7 }, floats[i / 4 % LEN(floats)]);
        if (i % 4 == 0) try_recurrent((layer){ cell, false, false, 2, 1, 40 }, floats[i / 4 % LEN(floats)]);
    }
}

Test(slots, recurrent_between_devices)
{
    char why[200];

    setenv("CUDASIM_DEVICES", "2", 1);
    other = context_of(ctx[CUDA].backend), other.index = 1;
    if (other.backend->count(why, sizeof why) < 2) cr_skip_test("there is one device");
    cr_assert_eq(other.backend->open(&other), 0, "%s", other.error);
    try_recurrent((layer){ TP_CELL_LSTM, false, false, 3, 2, 4 }, TP_F32);
    other.backend->close(&other);
}

/* ---- CTC ---- */

static void try_ctc(tp_dtype t, bool zero, bool add)
{
    tp_ctc_args k = { .times = 7, .batch = 4, .classes = 5, .most = 3, .blank = 0, .zero_infinity = zero };
    static const double label[] = { 1, 2, 3, 2, 2, 4, 1, 1, 1, 3, 0, 0 }, time[] = { 7, 6, 4, 1 }, length[] = { 3, 3, 3, 0 };
    tp_dtype A = sum_of(t);
    int64_t width = 2 * k.most + 1, n = k.times * k.batch * k.classes;
    buffer x = numbers(t, n, -3, 0), labels = values(TP_I64, 12, label), times = values(TP_I64, 4, time), lengths = values(TP_I64, 4, length);
    buffer alpha = numbers(A, k.batch * k.times * width, 0, 0), all = blank(A, 4), loss = blank(A, 4), dloss = numbers(A, 4, 0.5, 1);
    buffer dx = add ? numbers(t, n, -1, 1) : blank(t, n);

    CASE("ctc, %s, zero_infinity %d, add %d", dtype_names[t], zero, add);
    RUN(ctc, t, &k, AT(x), AT(labels), AT(times), AT(lengths), AT(alpha), AT(all), AT(loss));
    check_close(&loss, 32), check_close(&all, 32);
    RUN(ctc_dx, t, &k, AT(x), AT(labels), AT(times), AT(lengths), AT(alpha), AT(all), AT(dloss), add, AT(dx));
    check_close(&dx, 64);
    release_all();
}

Test(slots, ctc)
{
    for (int i = 0; i < LEN(floats) * 4; i++)
        try_ctc(floats[i / 4], i & 1, i & 2);
}

/* ---- rotary ---- */

Test(slots, rotary)
{
    for (int i = 0; i < LEN(floats) * 8; i++) {
        tp_dtype t = floats[i / 8];
        int64_t N = 2, heads = 3, T = 4, D = 10;
        buffer positions = values(TP_I64, 8, (double[]){ 0, 5, 9, 1000000, 3, 3, 2, 1 });
        buffer x = numbers(t, N * heads * T * D, -1, 1), y = blank(t, N * heads * T * D);
        tp_rotary_args g[SIDES];

        for (int s = 0; s < SIDES; s++) {
            g[s] = (tp_rotary_args){ .N = N, .heads = heads, .T = T, .D = D, .dims = i & 1 ? 10 : 6, .x = { heads * T * D, T * D, D },
                                     .y = { T * heads * D, D, heads * D }, .base = 10000, .halves = i & 2, .inverse = i & 1, .offset = 7 };
            if (i & 4) g[s].positions = positions.at[s], g[s].position_step[0] = i & 1 ? 4 : 0, g[s].position_step[1] = 1;
        }
        CASE("rotary %d, %s", i % 8, dtype_names[t]);
        RUN(rotary, t, &g[side], AT(x), AT(y));
        check_close(&y, t == TP_F64 ? 1e6 : 8); /* an angle near 10^6 is known to 10^-10 */
        release_all();
    }
}
