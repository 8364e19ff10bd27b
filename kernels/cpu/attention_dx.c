/*
 * attention_dx.c - the backward: weights are computed again from the scores and their lse.
 *
 *   p = e^(s - lse)      z: what dropout multiplies weights by
 *   dv = (p z)' dy       dp = z (dy v')       ds = p (dp - sum dy y)
 *   dq = scale ds k      dk = scale ds' q
 *
 * A piece of work is the rows of all heads that share keys, or a chunk of them where there are few
 * such groups; it goes through them in order, and adds to dk and dv of its own.  Chunks are merged in
 * order.  Both are cut by shape alone, so threads change no bit.
 */
#include "kernels/cpu/attention.h"

enum { PIECES = 16 /* of work, at least, where rows allow it */ };

typedef struct desk {
    A *turned_k, *turned_v, *k, *q, *dy, *s, *ds, *dq, *slope;
    A *dk, *dv; /* (S, wide), (S, wide_v) */
    int64_t k_row;
} desk;

static desk lay_out(const job *j, arena *a)
{
    const tp_attention_args *g = j->g;
    desk d;

    d.turned_k = take(a, panels_of(g->S) * BR_WIDTH * g->E), d.turned_v = take(a, panels_of(g->S) * BR_WIDTH * g->Ev);
    d.k = take(a, in_place(g->E) ? 0 : g->S * j->wide), d.k_row = j->wide;
    d.q = take(a, ROWS * j->wide), d.dq = take(a, ROWS * j->wide), d.dy = take(a, ROWS * j->wide_v);
    d.s = take(a, ROWS * KEYS), d.ds = take(a, ROWS * KEYS), d.slope = take(a, ROWS);
    d.dk = d.dv = NULL;
    return d;
}

/* dk and dv of one piece of work, one behind the other. */
static int64_t sums_of(const job *j)
{
    return j->g->S * (j->wide + j->wide_v);
}

static void put_sums(const job *j, int64_t piece, desk *d)
{
    d->dk = j->partial + piece * sums_of(j), d->dv = d->dk + j->g->S * j->wide;
}

/* The desk of a worker on a piece of work: keys and values of its heads, sums at 0. */
static desk open_desk(const job *j, int worker, int64_t n, int64_t kv, int64_t chunk)
{
    const tp_attention_args *g = j->g;
    const T *k = j->k + n * g->k[0] + kv * g->k[1], *v = j->v + n * g->v[0] + kv * g->v[1];
    arena a = { j->scratch + (size_t)worker * j->room, 0 };
    desk d = lay_out(j, &a);

    put_sums(j, j->chunks > 1 ? (n * g->kv_heads + kv) * j->chunks + chunk : worker, &d);
    memset(d.dk, 0, (size_t)sums_of(j) * sizeof(A));
    turn(g->S, g->E, k, g->k[2], d.turned_k), turn(g->S, g->Ev, v, g->v[2], d.turned_v);
    if (in_place(g->E)) d.k = (A *)(uintptr_t)k, d.k_row = g->k[2]; /* only read */
    else load_rows(g->S, g->E, j->wide, k, g->k[2], 1, d.k);
    return d;
}

/* slope[r] = sum dy y, which is sum p dp over all keys. */
static void slopes(const job *j, const tile *t, const desk *d)
{
    const tp_attention_args *g = j->g;
    A v[KEYS];

    for (int64_t r = 0; r < t->rows; r++) {
        const T *y = j->y + t->n * g->y[0] + t->h * g->y[1] + (t->i + r) * g->y[2];
        const A *dy = d->dy + r * j->wide_v;
        A sum = 0;

        for (int64_t i = 0; i < g->Ev; i += KEYS) {
            int64_t some = least(g->Ev - i, KEYS);

            for (int64_t c = 0; c < some; c++)
                v[c] = dy[i + c] * LOAD(y[i + c]);
            sum += tp__fold(some, v);
        }
        d->slope[r] = sum;
    }
}

/* s, scores, becomes p z; ds, dy v', becomes p (dp - slope). */
static void slope_row(const job *j, const tile *t, int64_t r, const desk *d)
{
    const tp_attention_args *g = j->g;
    int64_t n = br_round_up(t->keys, BR_LANES);
    A lse = j->lse[(t->n * g->heads + t->h) * g->L + t->i + r], slope = d->slope[r], keep[KEYS];
    A *restrict s = d->s + r * KEYS, *restrict ds = d->ds + r * KEYS;

    if (g->p > 0) {
        draw_row(j, t, t->i + r, keep);
        for (int64_t c = t->keys; c < n; c++)
            keep[c] = 0;
    }
    for (int64_t c = 0; c < n; c++)
        s[c] = tp_exp(s[c] - lse);
    if (g->p > 0)
        for (int64_t c = 0; c < n; c++)
            ds[c] = s[c] * (keep[c] * ds[c] - slope), s[c] *= keep[c];
    else
        for (int64_t c = 0; c < n; c++)
            ds[c] = s[c] * (ds[c] - slope);
}

static void store_rows(int64_t rows, int64_t cols, int64_t wide, const A *src, A factor, T *dst, int64_t step)
{
    for (int64_t r = 0; r < rows; r++, src += wide, dst += step)
        for (int64_t c = 0; c < cols; c++)
            dst[c] = STORE(factor * src[c]);
}

static void rows_of_head(const job *j, tile t, const desk *d)
{
    const tp_attention_args *g = j->g;
    int64_t keys = keys_before(g, t.i + t.rows);
    side q = { d->q, j->wide, BR_WIDTH }, dy = { d->dy, j->wide_v, BR_WIDTH };

    load_rows(t.rows, g->E, j->wide, j->q + t.n * g->q[0] + t.h * g->q[1] + t.i * g->q[2], g->q[2], (A)g->scale, d->q);
    load_rows(t.rows, g->Ev, j->wide_v, j->dy + t.n * g->dy[0] + t.h * g->dy[1] + t.i * g->dy[2], g->dy[2], 1, d->dy);
    slopes(j, &t, d);
    memset(d->dq, 0, (size_t)(t.rows * j->wide) * sizeof(A));
    for (t.j = 0; t.j < keys; t.j += KEYS) {
        t.keys = least(keys - t.j, KEYS);
        scores(j, &t, d->q, d->turned_k, d->s);
        product((side){ d->dy, j->wide_v, 1 }, (side){ d->turned_v + t.j * g->Ev, BR_WIDTH, g->Ev * BR_WIDTH },
                t.rows, g->Ev, t.keys, false, d->ds, KEYS);
        for (int64_t r = 0; r < t.rows; r++)
            slope_row(j, &t, r, d);
        product((side){ d->s, 1, KEYS }, dy, t.keys, t.rows, g->Ev, true, d->dv + t.j * j->wide_v, j->wide_v);
        product((side){ d->ds, 1, KEYS }, q, t.keys, t.rows, g->E, true, d->dk + t.j * j->wide, j->wide);
        product((side){ d->ds, KEYS, 1 }, (side){ d->k + t.j * d->k_row, d->k_row, BR_WIDTH }, t.rows, t.keys, g->E,
                true, d->dq, j->wide);
    }
    if (j->dq)
        store_rows(t.rows, g->E, j->wide, d->dq, (A)g->scale, j->dq + t.n * g->dq[0] + t.h * g->dq[1] + t.i * g->dq[2],
                   g->dq[2]);
}

static void store_sums(const job *j, int64_t n, int64_t kv, const desk *d)
{
    const tp_attention_args *g = j->g;

    if (j->dk) store_rows(g->S, g->E, j->wide, d->dk, 1, j->dk + n * g->dk[0] + kv * g->dk[1], g->dk[2]);
    if (j->dv) store_rows(g->S, g->Ev, j->wide_v, d->dv, 1, j->dv + n * g->dv[0] + kv * g->dv[1], g->dv[2]);
}

static void range(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    const tp_attention_args *g = j->g;
    int64_t units = j->group * j->blocks;

    for (int64_t i = from; i < to; i++) {
        int64_t n = i / j->chunks / g->kv_heads, kv = i / j->chunks % g->kv_heads, chunk = i % j->chunks;
        desk d = open_desk(j, worker, n, kv, chunk);

        for (int64_t u = br_cut(units, j->chunks, chunk); u < br_cut(units, j->chunks, chunk + 1); u++) {
            int64_t row = u % j->blocks * ROWS;

            rows_of_head(j, (tile){ n, kv * j->group + u / j->blocks, row, least(g->L - row, ROWS), 0, 0 }, &d);
        }
        if (j->chunks == 1) store_sums(j, n, kv, &d);
    }
}

/* Adds the chunks of a group to its first. */
static void merge(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    const tp_attention_args *g = j->g;
    int64_t floats = sums_of(j);

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        desk d = { 0 };

        put_sums(j, i * j->chunks, &d);
        for (int64_t chunk = 1; chunk < j->chunks; chunk++)
            for (int64_t k = 0; k < floats; k++)
                d.dk[k] += d.dk[chunk * floats + k];
        store_sums(j, i / g->kv_heads, i % g->kv_heads, &d);
    }
}

int KERNEL(attention_dx)(tp_ctx *c, const tp_attention_args *g, const void *q, const void *k, const void *v,
                         const void *y, const void *lse, const void *dy, void *dq, void *dk, void *dv)
{
    job j = job_of(g);
    int64_t groups = g->N * g->kv_heads, items, workers, pieces;
    arena whole = { NULL, 0 };

    if (!groups) return 0;
    j.q = q, j.k = k, j.v = v, j.y = y, j.dy = dy, j.dq = dq, j.dk = dk, j.dv = dv;
    j.lse = (A *)(uintptr_t)lse; /* only read here */
    j.chunks = least(br_pieces(PIECES, groups), j.group * j.blocks);
    j.chunks = j.chunks < 1 ? 1 : j.chunks;
    items = groups * j.chunks, workers = tp__workers(c, items, 1);
    lay_out(&j, &whole), j.room = whole.used;
    pieces = j.chunks > 1 ? items : workers;
    j.scratch = tp_scratch(c, (size_t)workers * j.room + (size_t)(pieces * sums_of(&j)) * sizeof(A) + 64);
    if (!j.scratch) return TP_KERNEL_NO_MEMORY;
    j.partial = (A *)(void *)(j.scratch + (size_t)workers * j.room);
    tp__parallel(c, items, 1, range, &j);
    if (j.chunks > 1) tp__parallel(c, groups, 1, merge, &j);
    return 0;
}
