/*
 * recurrent_dx.c - the adjoint of a recurrent layer: backwards through each row's time.
 *
 * dh of a step is what comes from y, from the product of the step after, and what is carried past
 * the product: by GRU's z, and through the time beyond a row's length.
 */
#include "kernels/cpu/recurrent.h"

/* ---- cells: from dh to the gates before their activations ---- */

/* One row of one step: from dh and the carried dc to the gates before their activations. */
static NOINLINE void lstm_dx(int64_t H, const T *restrict gates, const T *restrict c,
                             const T *restrict before, const A *restrict dh,
                             A *restrict dc, T *restrict dgates)
{
    for (int64_t j = 0; j < H; j++) {
        A i = LOAD(gates[j]), f = LOAD(gates[H + j]), g = LOAD(gates[2 * H + j]);
        A o = LOAD(gates[3 * H + j]), s = tp_tanh(LOAD(c[j]));
        A d = dc[j] + dh[j] * o * (1 - s * s);

        dgates[j] = STORE(d * g * i * (1 - i));
        dgates[H + j] = STORE(d * LOAD(before[j]) * f * (1 - f));
        dgates[2 * H + j] = STORE(d * i * (1 - g * g));
        dgates[3 * H + j] = STORE(dh[j] * s * o * (1 - o));
        dc[j] = d * f;
    }
}

/* dgates is of the input's side, dgates_h of h's: they differ in n, by r. */
static NOINLINE void gru_dx(int64_t H, const T *restrict gates, const T *restrict more, const T *restrict before,
                            const A *restrict dh, A *restrict carry, T *restrict dgates, T *restrict dgates_h)
{
    for (int64_t j = 0; j < H; j++) {
        A r = LOAD(gates[j]), z = LOAD(gates[H + j]), n = LOAD(gates[2 * H + j]);
        A dn = dh[j] * (1 - z) * (1 - n * n), dz = dh[j] * (LOAD(before[j]) - n) * z * (1 - z);
        A dr = dn * LOAD(more[j]) * r * (1 - r);

        dgates[j] = dgates_h[j] = STORE(dr), dgates[H + j] = dgates_h[H + j] = STORE(dz);
        dgates[2 * H + j] = STORE(dn), dgates_h[2 * H + j] = STORE(dn * r);
        carry[j] = dh[j] * z;
    }
}

static NOINLINE void tanh_dx(int64_t H, const T *restrict y, const A *restrict dh, T *restrict dgates)
{
    for (int64_t j = 0; j < H; j++)
        dgates[j] = STORE(dh[j] * (1 - LOAD(y[j]) * LOAD(y[j])));
}

static NOINLINE void relu_dx(int64_t H, const T *restrict y, const A *restrict dh, T *restrict dgates)
{
    for (int64_t j = 0; j < H; j++) {
        A d = dh[j];

        dgates[j] = STORE(LOAD(y[j]) > 0 ? d : 0);
    }
}

/* ---- the sequence ---- */

/* dh of a step, gathered in right; nothing is carried on yet. */
static void gather(const job *k, int64_t n, const T *dy)
{
    A *restrict dh = k->right + n * k->pitch, *restrict carry = k->carry + n * k->g.H;

    for (int64_t j = 0; j < k->g.H; j++)
        dh[j] += carry[j], carry[j] = 0;
    for (int64_t j = 0; dy && j < k->g.H; j++)
        dh[j] += LOAD(dy[j]);
}

/* Step s of row n. */
static void step(const job *k, int64_t n, int64_t s)
{
    int64_t H = k->g.H, N = k->g.N, at = time_of(k, n, s) * N + n, before = time_of(k, n, s - 1) * N + n;
    const T *gates = k->gates_in + at * k->G, *last, *c = given_row(k->more_in, at, H);
    T *dgates = k->gates + at * k->G, *of_h = k->gates_h ? k->gates_h + at * k->G : dgates;
    A *dh = k->right + n * k->pitch, *left = k->left + n * k->near;

    gather(k, n, given_row(k->dy, at, H));
    if (k->g.cell == TP_CELL_LSTM) {
        last = s ? k->more_in + before * H : k->c0 + n * H;
        lstm_dx(H, gates, c, last, dh, k->state + n * H, dgates);
    } else if (k->g.cell == TP_CELL_GRU) {
        last = s ? k->y_in + before * H : k->h0 + n * H;
        gru_dx(H, gates, c, last, dh, k->carry + n * H, dgates, of_h);
    } else {
        (k->g.cell == TP_CELL_TANH ? tanh_dx : relu_dx)(H, k->y_in + at * H, dh, dgates);
    }
    for (int64_t j = 0; j < k->G; j++)
        left[j] = LOAD(of_h[j]); /* as stored, which is what dw will be made of */
    if (s == 0 && k->first) memcpy(k->first + n * k->G, of_h, (size_t)k->G * sizeof(T));
}

/* Beyond the length of row n: dh goes by. */
static void rest(const job *k, int64_t n, int64_t at)
{
    size_t bytes = (size_t)k->G * sizeof(T);

    gather(k, n, NULL);
    memcpy(k->carry + n * k->g.H, k->right + n * k->pitch, (size_t)k->g.H * sizeof(A));
    memset(k->left + n * k->near, 0, (size_t)k->G * sizeof(A));
    memset(k->gates + at * k->G, 0, bytes);
    if (k->gates_h) memset(k->gates_h + at * k->G, 0, bytes);
}

static void rows(void *user, int worker, int64_t from, int64_t to)
{
    const job *k = user;
    int64_t H = k->g.H;

    (void)worker;
    for (int64_t n = from; n < to; n++) {
        load_row(given_row(k->dh, n, H), H, k->right + n * k->pitch);
        load_row(given_row(k->dc, n, H), H, k->state + n * H);
        load_row(NULL, H, k->carry + n * H);
    }
    for (int64_t s = k->g.T - 1; s >= 0; s--) {
        for (int64_t n = from; n < to; n++)
            if (s < length_of(k, n)) step(k, n, s);
            else rest(k, n, s * k->g.N + n);
        multiply(k, from, to);
    }
    for (int64_t n = from; n < to; n++) {
        gather(k, n, NULL);
        store_row(k->right + n * k->pitch, H, row_of(k->dh0, n, H));
        store_row(k->state + n * H, H, row_of(k->dc0, n, H));
    }
}

static void pack_rows(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    pack(user, false, from, to);
}

int KERNEL(recurrent_dx)(tp_ctx *c, const tp_recurrent_args *g, const void *w, const void *h0, const void *c0,
                         const void *gates, const void *more, const void *y, const void *dy, const void *dh,
                         const void *dc, void *dgates, void *dgates_h, void *first, void *dh0, void *dc0)
{
    job k = { .g = *g, .G = gates_of(g), .w = w, .h0 = h0, .c0 = c0, .gates_in = gates, .more_in = more, .y_in = y };

    k.dy = dy, k.dh = dh, k.dc = dc, k.gates = dgates, k.gates_h = dgates_h, k.first = first, k.dh0 = dh0, k.dc0 = dc0;
    if (g->N == 0 || g->H == 0) return 0;
    if (!prepare(c, &k, k.G, g->H)) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, br_pieces(br_vecs(k.cols), BR_VECS), 1, pack_rows, &k);
    tp__parallel(c, g->N, grain_of(&k), rows, &k);
    return 0;
}
