/*
 * pool.c - max pooling of channels-last maps, and its derivatives.
 *
 * Loops over channels are the inner ones and become vector code.  The gradient is gathered:
 * each place of x asks the windows that cover it whether it won there, in a fixed order.
 */
#include "kernels/cpu/fold.h"
#include "kernels/cpu/map.h"

#include <math.h>

enum { CHANNELS = 256 /* worked on at a time, on the stack */ };

typedef struct pool_job {
    tp_window g;
    const T *x;
    T *y;
    const int32_t *won;
    int32_t *place;
    bool add;
} pool_job;

static int64_t grain_of(const tp_window *g, int64_t taps)
{
    return 1 + TP__MAP_CHEAP / (taps * g->C + 1);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Of `taps` places from h on, `dilation` apart, those within n: from *first to before *end. */
static void inside(int64_t h, int64_t dilation, int64_t taps, int64_t n, int64_t *first,
                   int64_t *end)
{
    int64_t after = n - h > 0 ? (n - h - 1) / dilation + 1 : 0;

    *first = h < 0 ? (-h - 1) / dilation + 1 : 0;
    *end = smaller(taps, after);
}

/* ---- forward ---- */

/* Takes in one place of the windows: the first of equals stays, and so does the first NaN. */
static void take(int64_t n, const T *x, int32_t tap, A *restrict best,
                 int32_t *restrict place)
{
    for (int64_t k = 0; k < n; k++) {
        A v = LOAD(x[k]), b = best[k];
        bool wins = !(v <= b) && b == b;

        best[k] = wins ? v : b;
        place[k] = wins ? tap : place[k];
    }
}

/* Any window of n channels, at row h and column w of x before clipping. */
static void window_any(const pool_job *j, int64_t image, int64_t h, int64_t w,
                       int64_t first, int64_t n, T *y, int32_t *place)
{
    const tp_window *g = &j->g;
    int64_t kh0, kh1, kw0, kw1;
    A best[CHANNELS];
    bool begun = false;

    for (int64_t k = 0; k < n; k++)
        best[k] = (A)-INFINITY, place[k] = 0;
    inside(h, g->dilation_h, g->KH, g->H, &kh0, &kh1);
    inside(w, g->dilation_w, g->KW, g->W, &kw0, &kw1);
    for (int64_t kh = kh0; kh < kh1; kh++)
        for (int64_t kw = kw0; kw < kw1; kw++) {
            int64_t ih = h + kh * g->dilation_h, iw = w + kw * g->dilation_w;
            const T *x = j->x + ((image * g->H + ih) * g->W + iw) * g->C + first;
            int32_t tap = (int32_t)(kh * g->KW + kw);

            if (begun)
                take(n, x, tap, best, place);
            else /* wins over padding even when it is -infinity too */
                for (int64_t k = 0; k < n; k++)
                    best[k] = LOAD(x[k]), place[k] = tap;
            begun = true;
        }
    for (int64_t k = 0; k < n; k++)
        y[k] = STORE(best[k]);
}

/* best = v and place = tap where v wins. */
static void challenge(tp__lanes *best, tp__mask *place, const T *x, int tap)
{
    tp__lanes v;
    tp__mask wins;

    tp__load(&v, x), wins = ~(v <= *best) & (*best == *best);
    *best = (tp__lanes)(((tp__mask)v & wins) | ((tp__mask)*best & ~wins));
    *place = (wins & tap) | (*place & ~wins);
}

/* Writes what was loaded as T: nothing is rounded. */
static void put_lanes(const tp__lanes *best, const tp__mask *place, T *y, int32_t *to)
{
    typedef int32_t places __attribute__((vector_size(4 * TP__LANES)));
    places p = __builtin_convertvector(*place, places);

#if TP_IS(bf16)
    typedef uint16_t halves __attribute__((vector_size(TP__VECTOR / 2)));
    typedef uint32_t words __attribute__((vector_size(TP__VECTOR)));
    halves h = __builtin_convertvector((words)*best >> 16, halves);

    memcpy(y, &h, sizeof h);
#else
    memcpy(y, best, sizeof *best);
#endif
    memcpy(to, &p, sizeof p);
}

/* Lanes of a window of 2 by 2 that lies within x, all in registers. */
static void window_2x2(const T *x, int64_t right, int64_t down, int64_t n, T *y,
                       int32_t *place)
{
    for (int64_t k = 0; k < n; k += TP__LANES) {
        tp__mask at = { 0 };
        tp__lanes best;

        tp__load(&best, x + k);
        challenge(&best, &at, x + k + right, 1);
        challenge(&best, &at, x + k + down, 2);
        challenge(&best, &at, x + k + down + right, 3);
        put_lanes(&best, &at, y + k, place + k);
    }
}

/* Items are rows of y. */
static void pool_body(void *user, int worker, int64_t from, int64_t to)
{
    const pool_job *j = user;
    const tp_window *g = &j->g;
    bool two = g->KH == 2 && g->KW == 2;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t image = i / g->OH, h = i % g->OH * g->stride_h - g->pad_h;
        bool rows_in = h >= 0 && h + g->dilation_h < g->H;

        for (int64_t ow = 0; ow < g->OW; ow++) {
            int64_t w = ow * g->stride_w - g->pad_w, at = (i * g->OW + ow) * g->C;

            int64_t first = 0;

            if (two && rows_in && w >= 0 && w + g->dilation_w < g->W) {
                first = g->C & -(int64_t)TP__LANES;
                window_2x2(j->x + ((image * g->H + h) * g->W + w) * g->C,
                           g->dilation_w * g->C, g->dilation_h * g->W * g->C, first,
                           j->y + at, j->place + at);
            }
            for (int64_t k = first; k < g->C; k += CHANNELS)
                window_any(j, image, h, w, k, smaller(g->C - k, CHANNELS), j->y + at + k,
                           j->place + at + k);
        }
    }
}

int KERNEL(max_pool2d)(tp_ctx *c, const tp_window *g, const void *x, void *y,
                       int32_t *place)
{
    pool_job j = { .g = *g, .x = x, .y = y, .place = place };

    tp__parallel(c, g->N * g->OH, grain_of(g, g->OW * smaller(g->KH, g->H) * smaller(g->KW, g->W)), pool_body, &j);
    return 0;
}

/* ---- its gradient ---- */

/* The window that has place h at its tap k, along one axis; -1: none. */
static int64_t window_at(int64_t h, int64_t k, int64_t pad, int64_t dilation,
                         int64_t stride, int64_t windows)
{
    int64_t from = h + pad - k * dilation;

    if (from < 0 || from % stride) return -1;
    return from / stride < windows ? from / stride : -1;
}

/* The taps k at which place h may lie in one of `windows`: from *first to before *end. */
static void taps_of(int64_t h, int64_t taps, int64_t pad, int64_t dilation, int64_t stride,
                    int64_t windows, int64_t *first, int64_t *end)
{
    int64_t beyond = h + pad - (windows - 1) * stride; /* from the last window's first place */

    *first = beyond > 0 ? (beyond - 1) / dilation + 1 : 0;
    *end = smaller(taps, (h + pad) / dilation + 1);
}

static void add_winners(int64_t n, const T *dy, const int32_t *won, int32_t tap,
                        A *restrict sum)
{
    for (int64_t k = 0; k < n; k++) {
        A g = LOAD(dy[k]);

        sum[k] += won[k] == tap ? g : 0;
    }
}

/* Where windows don't overlap: dx in one pass. */
static void set_winners(int64_t n, const T *dy, const int32_t *won, int32_t tap, bool add,
                        T *restrict dx)
{
    if (add)
        for (int64_t k = 0; k < n; k++) {
            A g = LOAD(dy[k]);

            dx[k] = STORE(LOAD(dx[k]) + (won[k] == tap ? g : 0));
        }
    else
        for (int64_t k = 0; k < n; k++) {
            T g = dy[k], zero = STORE(0);

            dx[k] = won[k] == tap ? g : zero;
        }
}

static void gather(const pool_job *j, int64_t image, int64_t h, int64_t w, int64_t first,
                   int64_t n, T *dx)
{
    const tp_window *g = &j->g;
    int64_t kh0, kh1, kw0, kw1;
    A sum[CHANNELS];

    for (int64_t k = 0; k < n; k++)
        sum[k] = j->add ? LOAD(dx[k]) : 0;
    taps_of(h, g->KH, g->pad_h, g->dilation_h, g->stride_h, g->OH, &kh0, &kh1);
    taps_of(w, g->KW, g->pad_w, g->dilation_w, g->stride_w, g->OW, &kw0, &kw1);
    for (int64_t kh = kh0; kh < kh1; kh++) {
        int64_t oh = window_at(h, kh, g->pad_h, g->dilation_h, g->stride_h, g->OH);

        for (int64_t kw = kw0; oh >= 0 && kw < kw1; kw++) {
            int64_t ow = window_at(w, kw, g->pad_w, g->dilation_w, g->stride_w, g->OW);
            int64_t at = ((image * g->OH + oh) * g->OW + ow) * g->C + first;

            if (ow >= 0)
                add_winners(n, j->x + at, j->won + at, (int32_t)(kh * g->KW + kw), sum);
        }
    }
    for (int64_t k = 0; k < n; k++)
        dx[k] = STORE(sum[k]);
}

/* One place of dx where windows don't overlap: h and w are in one window at most. */
static void gather_one(const pool_job *j, int64_t image, int64_t h, int64_t w, T *dx)
{
    const tp_window *g = &j->g;
    int64_t oh = (h + g->pad_h) / g->stride_h, kh = (h + g->pad_h) % g->stride_h;
    int64_t ow = (w + g->pad_w) / g->stride_w, kw = (w + g->pad_w) % g->stride_w;
    int64_t at = ((image * g->OH + oh) * g->OW + ow) * g->C;

    if (oh < g->OH && ow < g->OW && kh < g->KH && kw < g->KW)
        set_winners(g->C, j->x + at, j->won + at, (int32_t)(kh * g->KW + kw), j->add, dx);
    else if (!j->add)
        memset(dx, 0, (size_t)g->C * sizeof(T));
}

/* Items are rows of dx. */
static void pool_dx_body(void *user, int worker, int64_t from, int64_t to)
{
    const pool_job *j = user;
    const tp_window *g = &j->g;
    bool apart = g->stride_h >= g->KH && g->stride_w >= g->KW && g->dilation_h == 1 &&
                 g->dilation_w == 1;

    (void)worker;
    for (int64_t i = from; i < to; i++)
        for (int64_t w = 0; w < g->W; w++) {
            T *dx = j->y + (i * g->W + w) * g->C;

            if (apart) {
                gather_one(j, i / g->H, i % g->H, w, dx);
                continue;
            }
            for (int64_t k = 0; k < g->C; k += CHANNELS)
                gather(j, i / g->H, i % g->H, w, k, smaller(g->C - k, CHANNELS), dx + k);
        }
}

int KERNEL(max_pool2d_dx)(tp_ctx *c, const tp_window *g, const void *dy,
                          const int32_t *place, bool add, void *dx)
{
    pool_job j = { .g = *g, .x = dy, .y = dx, .won = place, .add = add };

    tp__parallel(c, g->N * g->H, grain_of(g, g->W), pool_dx_body, &j);
    return 0;
}

/* ---- the gradient of that ---- */

/* Items are rows of ddy.  A window that lay in padding alone has no winner. */
static void pool_ddy_body(void *user, int worker, int64_t from, int64_t to)
{
    const pool_job *j = user;
    const tp_window *g = &j->g;

    (void)worker;
    for (int64_t i = from * g->OW; i < to * g->OW; i++) {
        int64_t image = i / g->OW / g->OH, h = i / g->OW % g->OH * g->stride_h - g->pad_h;
        int64_t w = i % g->OW * g->stride_w - g->pad_w;

        for (int64_t k = 0; k < g->C; k++) {
            int32_t tap = j->won[i * g->C + k];
            int64_t ih = h + tap / g->KW * g->dilation_h;
            int64_t iw = w + tap % g->KW * g->dilation_w;
            bool in = ih >= 0 && ih < g->H && iw >= 0 && iw < g->W;

            j->y[i * g->C + k] =
                in ? j->x[((image * g->H + ih) * g->W + iw) * g->C + k] : STORE(0);
        }
    }
}

int KERNEL(max_pool2d_ddy)(tp_ctx *c, const tp_window *g, const void *u,
                           const int32_t *place, void *ddy)
{
    pool_job j = { .g = *g, .x = u, .y = ddy, .won = place };

    tp__parallel(c, g->N * g->OH, grain_of(g, g->OW), pool_ddy_body, &j);
    return 0;
}
