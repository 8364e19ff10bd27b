/*
 * dot_bf16.c - products of bf16 where the processor multiplies pairs of them (AVX512_BF16):
 *
 *     sum += a[2p] b[2p] + a[2p + 1] b[2p + 1]      in f32
 *
 * Rows of A are read as they lie, two numbers at a time; panels of B, and an A that is transposed,
 * are packed as pairs.  The instruction takes numbers below 2^-126 as 0.  Compiled for v4 alone.
 */
#include "kernels/cpu/brgemm_end.h"
#include "kernels/cpu/brgemm_pack.h"
#include "kernels/cpu/dot_bf16.h"

#include <immintrin.h>

enum {
    LANES = 16,
    VECS = 4,
    WIDTH = VECS * LANES,
    HEIGHT = 6, /* rows of a tile: 24 sums */
    STRIP = 8 * HEIGHT, /* rows that meet a panel together */
    FLOPS = 1 << 21 /* not worth a thread below */
};

typedef struct job {
    const tp_gemm_args *g;
    const T *a, *b;
    T *y;
    int64_t pairs, panels, strips; /* of k, of n, of m */
    uint32_t *scratch;
    size_t room; /* pairs of a worker: a panel, then a strip */
} job;

bool tp__dot_bf16_runs(void)
{
    return __builtin_cpu_supports("avx512bf16");
}

/* ---- packing ---- */

static uint32_t pair(const T *low, const T *high)
{
    return low->bits | (high ? (uint32_t)high->bits << 16 : 0);
}

/* dst[p][j] = (src[2p][j], src[2p + 1][j]), 0 beyond k and from cols up to width */
static void pack_rows(const T *src, int64_t ld, int64_t k, int64_t cols, int64_t width, uint32_t *dst)
{
    for (int64_t p = 0; p < k; p += 2, src += 2 * ld, dst += width) {
        if (p + 1 < k)
            for (int64_t j = 0; j < cols; j++)
                dst[j] = pair(src + j, src + ld + j);
        else
            for (int64_t j = 0; j < cols; j++)
                dst[j] = pair(src + j, NULL);
        for (int64_t j = cols; j < width; j++)
            dst[j] = 0;
    }
}

/* dst[p][j] = (src[j][2p], src[j][2p + 1]) of LANES columns j and LANES pairs p */
static void turn_square(const T *src, int64_t ld, int64_t width, uint32_t *dst)
{
    br_vec m[LANES];

    for (int i = 0; i < LANES; i++)
        memcpy(&m[i], src + i * ld, sizeof m[i]);
    br_turn(m);
    for (int i = 0; i < LANES; i++)
        memcpy(dst + i * width, &m[i], sizeof m[i]);
}

static void pack_columns(const T *src, int64_t ld, int64_t k, int64_t cols, int64_t width, uint32_t *dst)
{
    for (int64_t j = 0; j < width; j += LANES)
        for (int64_t p = 0; p < k; p += 2 * LANES) {
            if (j + LANES <= cols && p + 2 * LANES <= k) {
                turn_square(src + j * ld + p, ld, width, dst + p / 2 * width + j);
                continue;
            }
            for (int64_t q = p; q < p + 2 * LANES && q < k; q += 2)
                for (int64_t i = j; i < j + LANES; i++) {
                    const T *at = src + i * ld + q;

                    dst[q / 2 * width + i] = i < cols ? pair(at, q + 1 < k ? at + 1 : NULL) : 0;
                }
        }
}

/* ---- the tile ---- */

/* Pair p of row r of A is at a + r * row + p * step, in bf16. */
typedef struct rows {
    const T *a;
    int64_t row, step;
} rows;

static inline __attribute__((always_inline)) __m512bh pairs_of(const T *at, bool whole)
{
    uint32_t v = at->bits;

    if (whole) memcpy(&v, at, sizeof v);
    return (__m512bh)_mm512_set1_epi32((int)v);
}

static inline __attribute__((always_inline)) void step(const int n, const int vecs, const T *const *a,
                                                       const uint32_t *b, bool whole, __m512 sum[HEIGHT][VECS])
{
    __m512bh w[VECS];

    BR_UNROLL
    for (int v = 0; v < vecs; v++)
        w[v] = (__m512bh)_mm512_loadu_si512(b + v * LANES);
    BR_UNROLL
    for (int r = 0; r < n; r++) {
        __m512bh x = pairs_of(a[r], whole);

        BR_UNROLL
        for (int v = 0; v < vecs; v++)
            sum[r][v] = _mm512_dpbf16_ps(sum[r][v], x, w[v]);
    }
}

/* out: n rows of vecs vectors.  odd: the last pair has one number. */
static inline __attribute__((always_inline)) void tile(const rows *a, const uint32_t *b, int64_t pairs, bool odd,
                                                       const int n, const int vecs, float *out)
{
    __m512 sum[HEIGHT][VECS];
    const T *at[HEIGHT];

    BR_UNROLL
    for (int r = 0; r < n; r++) {
        at[r] = a->a + r * a->row;
        BR_UNROLL
        for (int v = 0; v < vecs; v++)
            sum[r][v] = _mm512_setzero_ps();
    }
    for (int64_t p = odd; p < pairs; p++, b += vecs * LANES) {
        step(n, vecs, at, b, true, sum);
        BR_UNROLL
        for (int r = 0; r < n; r++)
            at[r] += a->step;
    }
    if (odd) step(n, vecs, at, b, false, sum);
    BR_UNROLL
    for (int r = 0; r < n; r++) {
        BR_UNROLL
        for (int v = 0; v < vecs; v++)
            _mm512_storeu_ps(out + (r * vecs + v) * LANES, sum[r][v]);
    }
}

typedef void tile_fn(const rows *a, const uint32_t *b, int64_t pairs, bool odd, float *out);

#define TILE(n, vecs)                                                                    \
    static void tile_##n##x##vecs(const rows *a, const uint32_t *b, int64_t pairs,       \
                                  bool odd, float *out)                                  \
    {                                                                                    \
        tile(a, b, pairs, odd, n, vecs, out);                                            \
    }
#define ENTRY(n, vecs)  [vecs - 1][n - 1] = tile_##n##x##vecs,
#define HEIGHTS(X, vecs) X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs)
#define ALL(X)          HEIGHTS(X, 1) HEIGHTS(X, 2) HEIGHTS(X, 3) HEIGHTS(X, 4)

ALL(TILE)

static tile_fn *const tiles[VECS][HEIGHT] = { ALL(ENTRY) };

/* ---- a strip of rows and a panel of columns ---- */

typedef struct piece {
    const T *a;
    T *y;
    int64_t col, cols;
    uint32_t *panel, *strip;
} piece;

static br_out output(const job *w, const piece *p, int64_t r, const int64_t *row)
{
    const tp_gemm_args *g = w->g;
    br_out out = { .y = p->y + r * g->ldy + p->col, .row = row, .cols = p->cols, .add = g->add,
                   .activation = g->activation };

    if (g->bias) out.bias = (const T *)g->bias + p->col;
    if (g->preact) out.preact = (T *)g->preact + (out.y - w->y);
    return out;
}

static void run_strip(const job *w, const piece *p, int64_t first)
{
    const tp_gemm_args *g = w->g;
    int64_t n = g->m - first < STRIP ? g->m - first : STRIP, vecs = br_vecs(p->cols);
    rows a = { p->a + first * g->lda, g->lda, 2 };
    int64_t row[HEIGHT];
    float sums[HEIGHT * WIDTH];

    if (g->ta) {
        pack_rows(p->a + first, g->lda, g->k, n, STRIP, p->strip);
        a = (rows){ (const T *)p->strip, 2, 2 * STRIP };
    }
    for (int r = 0; r < HEIGHT; r++)
        row[r] = r * g->ldy;
    for (int64_t r = 0; r < n; r += HEIGHT, a.a += HEIGHT * a.row) {
        int64_t some = n - r < HEIGHT ? n - r : HEIGHT;
        br_out out = output(w, p, first + r, row);

        tiles[vecs - 1][some - 1](&a, p->panel, w->pairs, g->k % 2, sums);
        finish(&out, some, vecs * LANES, sums);
    }
}

static void pack_panel(const job *w, int64_t batch, piece *p)
{
    const tp_gemm_args *g = w->g;
    const T *b = w->b + batch * g->step_b + p->col * (g->tb ? g->ldb : 1);
    int64_t width = br_vecs(p->cols) * LANES;

    (g->tb ? pack_columns : pack_rows)(b, g->ldb, g->k, p->cols, width, p->panel);
}

/* Items are (batch, panel, strip). */
static void body(void *user, int worker, int64_t from, int64_t to)
{
    const job *w = user;
    piece p = { .panel = w->scratch + (size_t)worker * w->room };
    int64_t packed = -1;

    p.strip = p.panel + w->pairs * WIDTH;
    for (int64_t i = from; i < to; i++) {
        int64_t panel = i / w->strips, batch = panel / w->panels;

        p.col = panel % w->panels * WIDTH, p.cols = w->g->n - p.col < WIDTH ? w->g->n - p.col : WIDTH;
        p.a = w->a + batch * w->g->step_a, p.y = w->y + batch * w->g->step_y;
        if (panel != packed) pack_panel(w, batch, &p);
        packed = panel;
        run_strip(w, &p, i % w->strips * STRIP);
    }
}

int tp__dot_bf16(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b, void *y)
{
    job w = { .g = g, .a = a, .b = b, .y = y, .pairs = (g->k + 1) / 2 };
    int64_t items, each = 2 * STRIP * WIDTH * (g->k + 1), grain = 1 + FLOPS / each;

    w.panels = (g->n + WIDTH - 1) / WIDTH, w.strips = (g->m + STRIP - 1) / STRIP;
    items = g->batch * w.panels * w.strips;
    w.room = (size_t)(w.pairs * (WIDTH + (g->ta ? STRIP : 0)) + LANES) / LANES * LANES;
    w.scratch = tp_scratch(c, (size_t)tp__workers(c, items, grain) * w.room * sizeof(uint32_t));
    if (!w.scratch) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, items, grain, body, &w);
    return 0;
}
