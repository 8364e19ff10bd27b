/*
 * test_slots_attention.c - CUDA's attention and its gradients against the CPU's.
 */
#include "tests/cudasim/slots.h"

TestSuite(slots, .init = open_machines, .fini = close_machines);

typedef struct shape {
    int64_t N, heads, kv_heads, L, S, E, Ev;
} shape;

static const shape shapes[] = { { 1, 1, 1, 1, 1, 1, 1 },    { 2, 3, 3, 9, 7, 5, 6 },   { 1, 4, 2, 33, 40, 8, 8 },
                                { 1, 2, 1, 11, 70, 70, 3 }, { 1, 1, 1, 3, 5, 3, 130 }, { 1, 2, 2, 40, 40, 16, 16 },
                                { 1, 2, 1, 70, 40, 64, 24 }, { 2, 1, 1, 19, 66, 72, 128 }, { 1, 2, 1, 65, 33, 128, 8 } };

enum { CAUSAL = 1, BIAS = 2, ALLOWED = 4, PADDING = 8, DROPOUT = 16, WAYS = 5 };
static const int ways[WAYS] = { 0, CAUSAL, BIAS | PADDING, ALLOWED | CAUSAL, DROPOUT | BIAS };

static void strides(int64_t *s, int64_t heads, int64_t rows, int64_t width)
{
    s[0] = heads * rows * width, s[1] = rows * width, s[2] = width;
}

static void try_attention(shape k, int way, tp_dtype t)
{
    int64_t rows = k.N * k.heads * k.L, keys = k.N * k.kv_heads * k.S, square = rows * k.S;
    tp_dtype A = sum_of(t);
    buffer q = numbers(t, rows * k.E, -1, 1), key = numbers(t, keys * k.E, -1, 1), v = numbers(t, keys * k.Ev, -1, 1);
    buffer y = blank(t, rows * k.Ev), lse = blank(A, rows), dy = numbers(t, rows * k.Ev, -1, 1);
    buffer dq = blank(t, rows * k.E), dk = blank(t, keys * k.E), dv = blank(t, keys * k.Ev);
    buffer bias = numbers(t, square, -1, 1), allowed = numbers(TP_BOOL, square, 0, 1), padding = numbers(TP_BOOL, k.N * k.S, 0, 1);
    buffer state = values(TP_I64, 2, (double[]){ 99, 3 });
    tp_attention_args g[SIDES];

    for (int s = 0; s < SIDES; s++) {
        tp_attention_args *a = &g[s];

        *a = (tp_attention_args){ k.N, k.heads, k.kv_heads, k.L, k.S, k.E, k.Ev, .scale = 0.6, .causal = way & CAUSAL };
        strides(a->q, k.heads, k.L, k.E), strides(a->k, k.kv_heads, k.S, k.E), strides(a->v, k.kv_heads, k.S, k.Ev);
        strides(a->y, k.heads, k.L, k.Ev), strides(a->dy, k.heads, k.L, k.Ev), strides(a->dq, k.heads, k.L, k.E);
        strides(a->dk, k.kv_heads, k.S, k.E), strides(a->dv, k.kv_heads, k.S, k.Ev);
        memcpy(a->bias_step, (int64_t[]){ k.heads * k.L * k.S, k.L * k.S, k.S, 1 }, sizeof a->bias_step);
        memcpy(a->allowed_step, (int64_t[]){ 0, 0, k.S, 1 }, sizeof a->allowed_step);
        memcpy(a->padding_step, (int64_t[]){ k.S, 1 }, sizeof a->padding_step);
        if (way & BIAS) a->bias = bias.at[s];
        if (way & ALLOWED) a->allowed = allowed.at[s];
        if (way & PADDING) a->padding = padding.at[s];
        if (way & DROPOUT) a->p = 0.3, a->state = state.at[s];
    }
    CASE("attention of %d rows to %d keys, %d and %d wide, way %d, %s", (int)k.L, (int)k.S, (int)k.E, (int)k.Ev, way, dtype_names[t]);
    RUN(attention, t, &g[side], AT(q), AT(key), AT(v), AT(y), AT(lse));
    /* in 16 bits weights are rounded before they meet v, y on both sides: |v| <= 1, weights sum to 1, or with
     * drops to at most 1 / (1 - p); rounding in f32 is less than one more */
    if (is_half(t)) check_some_of(&y, y.n, 4 / (way & DROPOUT ? 0.7 : 1), 1);
    else check_close(&y, 32);
    check_close(&lse, 32);
    RUN(attention_dx, t, &g[side], AT(q), AT(key), AT(v), AT(y), AT(lse), AT(dy), AT(dq), AT(dk), AT(dv));
    /* with one key to meet they are 0: what is left of the difference of two numbers */
    check_some_of(&dq, dq.n, 64, 1), check_some_of(&dk, dk.n, 64, 1), check_close(&dv, 64);
    release_all();
}

Test(slots, attention)
{
    for (int i = 0; i < LEN(shapes) * WAYS * LEN(floats); i++)
        try_attention(shapes[i / LEN(floats) / WAYS], ways[i / LEN(floats) % WAYS], floats[i % LEN(floats)]);
}

Test(slots, wide_heads)
{
    tp_ctx *c = &ctx[CUDA];
    tp_attention_args g = { 1, 1, 1, 1, 1, 300, 1, .scale = 1 };
    buffer x = numbers(TP_F32, 300, 0, 1);

    cr_expect(c->backend->attention[TP_F32](c, &g, x.at[CUDA], x.at[CUDA], x.at[CUDA], x.at[CUDA], x.at[CUDA]) != 0);
    cr_expect(strstr(c->error, "attention: heads of 300 and 1 numbers: CUDA takes up to 256"), "%s", c->error);
    release_all();
}
