/*
 * attention.c - the forward: softmax over blocks of keys, one after the other.
 *
 * m is the largest score so far, l the sum of e^(s - m), o that of e^(s - m) v; a larger m
 * rescales both (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax").
 * Work is cut into (sample, head, block of rows), so threads change no bit.
 */
#include "kernels/cpu/attention.h"

/* A worker's memory. */
typedef struct desk {
    A *turned, *v, *q, *s, *o, *m, *l;
    int64_t v_row;
} desk;

static desk lay_out(const job *j, arena *a)
{
    const tp_attention_args *g = j->g;
    desk d;

    d.turned = take(a, panels_of(g->S) * BR_WIDTH * g->E);
    d.v = take(a, in_place(g->Ev) ? 0 : g->S * j->wide_v), d.v_row = j->wide_v;
    d.q = take(a, ROWS * j->wide), d.s = take(a, ROWS * KEYS), d.o = take(a, ROWS * j->wide_v);
    d.m = take(a, ROWS), d.l = take(a, ROWS);
    return d;
}

/* A worker's desk, with keys and values of a head on it. */
static desk open_desk(const job *j, int worker, int64_t n, int64_t kv)
{
    const tp_attention_args *g = j->g;
    const T *v = j->v + n * g->v[0] + kv * g->v[1];
    arena a = { j->scratch + (size_t)worker * j->room, 0 };
    desk d = lay_out(j, &a);

    turn(g->S, g->E, j->k + n * g->k[0] + kv * g->k[1], g->k[2], d.turned);
    if (in_place(g->Ev)) d.v = (A *)(uintptr_t)v, d.v_row = g->v[2]; /* only read */
    else load_rows(g->S, g->Ev, j->wide_v, v, g->v[2], 1, d.v);
    return d;
}

static A top_of(int64_t n, const A *s)
{
    tp__lanes top, v;

    memcpy(&top, s, sizeof top);
    for (int64_t c = TP__LANES; c < n; c += TP__LANES)
        memcpy(&v, s + c, sizeof v), tp__lanes_max(&top, &v);
    return tp__lanes_top(&top);
}

/* Scores of a row become weights against a new largest; what was summed is rescaled. */
static void weigh_row(const job *j, int64_t keys, A *s, A *m, A *l, A *o)
{
    int64_t n = br_round_up(keys, BR_LANES);
    A top = top_of(n, s), base, fade;

    top = top > *m ? top : *m;
    base = top == -(A)INFINITY ? 0 : top; /* nothing met yet: weights are 0, not NaN */
    fade = tp_exp(*m - base);
    for (int64_t c = 0; c < n; c++)
        s[c] = tp_exp(s[c] - base);
    *l = *l * fade + tp__fold(n, s), *m = top;
    if (fade != 1)
        for (int64_t c = 0; c < j->wide_v; c++)
            o[c] *= fade;
}

static void drop(const job *j, const tile *t, A *s)
{
    A keep[KEYS];

    for (int64_t r = 0; r < t->rows; r++, s += KEYS) {
        draw_row(j, t, t->i + r, keep);
        for (int64_t c = 0; c < t->keys; c++)
            s[c] *= keep[c];
    }
}

static void finish(const job *j, const tile *t, const desk *d)
{
    const tp_attention_args *g = j->g;
    A *lse = j->lse + (t->n * g->heads + t->h) * g->L + t->i;

    for (int64_t r = 0; r < t->rows; r++) {
        T *y = j->out + t->n * g->y[0] + t->h * g->y[1] + (t->i + r) * g->y[2];
        A part = d->l[r] == 0 ? 0 : 1 / d->l[r];

        for (int64_t c = 0; c < g->Ev; c++)
            y[c] = STORE(d->o[r * j->wide_v + c] * part);
        lse[r] = d->l[r] == 0 ? (A)INFINITY : d->m[r] + tp_log(d->l[r]);
    }
}

static void rows_of_head(const job *j, tile t, const desk *d)
{
    const tp_attention_args *g = j->g;
    int64_t keys = keys_before(g, t.i + t.rows);

    load_rows(t.rows, g->E, j->wide, j->q + t.n * g->q[0] + t.h * g->q[1] + t.i * g->q[2], g->q[2], (A)g->scale, d->q);
    for (int64_t r = 0; r < t.rows; r++)
        d->m[r] = -(A)INFINITY, d->l[r] = 0;
    memset(d->o, 0, (size_t)(t.rows * j->wide_v) * sizeof(A));
    for (t.j = 0; t.j < keys; t.j += KEYS) {
        t.keys = least(keys - t.j, KEYS);
        scores(j, &t, d->q, d->turned, d->s);
        for (int64_t r = 0; r < t.rows; r++)
            weigh_row(j, t.keys, d->s + r * KEYS, d->m + r, d->l + r, d->o + r * j->wide_v);
        if (g->p > 0) drop(j, &t, d->s);
        product((side){ d->s, KEYS, 1 }, (side){ d->v + t.j * d->v_row, d->v_row, BR_WIDTH }, t.rows, t.keys, g->Ev,
                true, d->o, j->wide_v);
    }
    finish(j, &t, d);
}

static void range(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    const tp_attention_args *g = j->g;
    int64_t opened = -1;
    desk d = { 0 };

    for (int64_t i = from; i < to; i++) {
        int64_t head = i / j->blocks, n = head / g->heads, h = head % g->heads, kv = h / j->group;
        int64_t row = i % j->blocks * ROWS;

        if (n * g->kv_heads + kv != opened) opened = n * g->kv_heads + kv, d = open_desk(j, worker, n, kv);
        rows_of_head(j, (tile){ n, h, row, least(g->L - row, ROWS), 0, 0 }, &d);
    }
}

int KERNEL(attention)(tp_ctx *c, const tp_attention_args *g, const void *q, const void *k, const void *v, void *y,
                      void *lse)
{
    job j = job_of(g);
    int64_t items = g->N * g->heads * j.blocks;
    int64_t grain = 1 + (1 << 16) / (1 + least(g->L, ROWS) * g->S * (g->E + g->Ev));

    arena whole = { NULL, 0 };

    if (!items) return 0;
    lay_out(&j, &whole);
    j.q = q, j.k = k, j.v = v, j.out = y, j.lse = lse, j.room = whole.used;
    j.scratch = tp_scratch(c, (size_t)tp__workers(c, items, grain) * j.room + 64);
    if (!j.scratch) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, items, grain, range, &j);
    return 0;
}
