/*
 * copy.c - fill, copy and cast, for every dtype.
 *
 * A copy that turns one axis into another, as between NCHW and channels-last, goes in tiles
 * turned in registers, within bands that use each line of x whole.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/number.h"
#include "kernels/cpu/vector.h"

/* ---- fill ---- */

static void fill_set(int64_t n, const T *a, const T *b, const A *k, T *y)
{
    T v = STORE(k[0]);

    (void)a, (void)b;
    for (int64_t i = 0; i < n; i++)
        y[i] = v;
}

static tp__map_block *const fill_blocks[2] = { fill_set, fill_set };

int KERNEL(fill)(tp_ctx *c, const tp_loop *l, double value, void *y)
{
    return tp__map_over(c, l, TP__MAP_CHEAP, fill_blocks, NULL, NULL, tp__from_double(value),
                        0, false, y);
}

/* ---- copy ---- */

static void copy_set(int64_t n, const T *a, const T *b, const A *k, T *y)
{
    (void)b, (void)k;
    memmove(y, a, (size_t)n * sizeof(T));
}

static void copy_add(int64_t n, const T *a, const T *b, const A *k, T *y)
{
    (void)b, (void)k;
    TP__INDEPENDENT
    for (int64_t i = 0; i < n; i++)
#if TP_IS(b8)
        y[i] = y[i] || a[i];
#else
        y[i] = STORE(LOAD(y[i]) + LOAD(a[i]));
#endif
}

static tp__map_block *const copy_blocks[2] = { copy_set, copy_add };

/* A copy whose axis `turned` is dense in x while the last one is dense in y. */
typedef struct turn {
    tp_loop others; /* the axes that are neither, and one of size 1 */
    int64_t rows, cols, sx, sy, band, bands;
    const T *x;
    T *y;
    bool add;
} turn;

/* A row of a tile: elements, whatever they mean. */
#if TP_IS(f64) || TP_IS(i64)
#define SIDE (TP__VECTOR / 8)
typedef uint64_t lane;
#elif TP_IS(f32) || TP_IS(i32)
#define SIDE (TP__VECTOR / 4 < 8 ? TP__VECTOR / 4 : 8)
typedef uint32_t lane;
#elif TP_IS(bf16) || TP_IS(f16)
#define SIDE 8
typedef uint16_t lane;
#else
#define SIDE 8
typedef uint8_t lane;
#endif
typedef lane line __attribute__((vector_size(SIDE * sizeof(lane))));

#if SIDE == 8
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif SIDE == 4
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#else
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 2)
#define HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif

static inline void interleave(const line *a, line *b)
{
    for (int i = 0; i < SIDE / 2; i++) {
        b[2 * i] = LOW(a[i], a[i + SIDE / 2]);
        b[2 * i + 1] = HIGH(a[i], a[i + SIDE / 2]);
    }
}

/* y[r][c] = x[c][r] of SIDE by SIDE: interleaving lines i and i + SIDE / 2 turns the bits of
 * the index of an element by one; log2 SIDE times exchanges row and column. */
static void turn_square(const T *x, int64_t sx, T *y, int64_t sy)
{
    line a[SIDE], b[SIDE];

    for (int c = 0; c < SIDE; c++)
        memcpy(&a[c], x + c * sx, sizeof a[c]);
    interleave(a, b);
#if SIDE == 8
    interleave(b, a), interleave(a, b);
#elif SIDE == 4
    interleave(b, a), memcpy(b, a, sizeof b);
#endif
    for (int r = 0; r < SIDE; r++)
        memcpy(y + r * sy, &b[r], sizeof b[r]);
}

static void turn_tile(const T *x, int64_t sx, T *y, int64_t sy, bool add)
{
    T tile[SIDE * SIDE];

    if (!add) {
        turn_square(x, sx, y, sy);
        return;
    }
    turn_square(x, sx, tile, SIDE);
    for (int r = 0; r < SIDE; r++)
        copy_add(SIDE, tile + SIDE * r, tile, NULL, y + r * sy);
}

/* What doesn't fill a tile: along the longer side. */
static void turn_edge(int64_t rows, int64_t cols, const T *x, int64_t sx, T *y,
                      int64_t sy, bool add)
{
    if (add)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < cols; c++)
                copy_add(1, x + c * sx + r, x, NULL, y + r * sy + c);
    else if (rows > cols)
        for (int64_t c = 0; c < cols; c++)
            for (int64_t r = 0; r < rows; r++)
                y[r * sy + c] = x[c * sx + r];
    else
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < cols; c++)
                y[r * sy + c] = x[c * sx + r];
}

static void turn_band(const turn *t, const T *x, T *y, int64_t rows)
{
    int64_t whole = rows & -(int64_t)SIDE, across = t->cols & -(int64_t)SIDE, sx = t->sx,
            sy = t->sy;

    for (int64_t c = 0; c < across; c += SIDE)
        for (int64_t r = 0; r < whole; r += SIDE)
            turn_tile(x + c * sx + r, sx, y + r * sy + c, sy, t->add);
    turn_edge(rows - whole, t->cols, x + whole, sx, y + whole * sy, sy, t->add);
    turn_edge(whole, t->cols - across, x + across * sx, sx, y + across, sy, t->add);
}

/* Items are bands of rows of y, within each place of the other axes. */
static void turn_body(void *user, int worker, int64_t from, int64_t to)
{
    const turn *t = user;
    tp_row place = tp_row_at(&t->others, from / t->bands);
    int64_t band = from % t->bands;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t r = band * t->band, left = t->rows - r;

        turn_band(t, t->x + place.at[1] + r, t->y + place.at[0] + r * t->sy,
                  left < t->band ? left : t->band);
        if (++band == t->bands) tp_row_next(&t->others, &place), band = 0;
    }
}

/* Is l such a copy?  Then t is all of it but the pointers. */
static bool turns(const tp_loop *l, turn *t)
{
    int last = l->rank - 1, turned = -1;

    if (l->rank < 2 || l->stride[0][last] != 1) return false;
    if (l->stride[1][last] == 0 || l->stride[1][last] == 1) return false;
    for (int j = 0; j < last; j++)
        if (l->stride[1][j] == 1 && l->stride[0][j] != 0) turned = j;
    if (turned < 0 || tp_loop_count(l) < 256) return false;
    t->rows = l->n[turned], t->cols = l->n[last];
    t->sx = l->stride[1][last], t->sy = l->stride[0][turned];
    t->others.rank = 0, t->others.operands = 2;
    for (int j = 0; j <= last; j++) {
        int to = t->others.rank;

        if (j == turned) continue;
        t->others.n[to] = j == last ? 1 : l->n[j];
        for (int k = 0; k < 2; k++)
            t->others.stride[k][to] = j == last ? 0 : l->stride[k][j];
        t->others.rank++;
    }
    t->band =
        t->cols < SIDE ? 256 : 64 / (int64_t)sizeof(T); /* a cache line of x at least */
    t->bands = (t->rows + t->band - 1) / t->band;
    return true;
}

int KERNEL(copy)(tp_ctx *c, const tp_loop *l, const void *x, bool add, void *y)
{
    turn t;
    int64_t size;

    if (!turns(l, &t))
        return tp__map_over(c, l, TP__MAP_CHEAP, copy_blocks, x, NULL, 0, 0, add, y);
    t.x = x, t.y = y, t.add = add, size = t.cols * t.band;
    tp__parallel(c, tp_loop_count(&t.others) * t.bands, 1 + TP__MAP_CHEAP / size,
                 turn_body, &t);
    return 0;
}

/* ---- cast ---- */

typedef void cast_block(int64_t n, const T *x, void *y);

#define CAST(dtype, U, value)                                                            \
    static void to_##dtype(int64_t n, const T *x, void *y)                               \
    {                                                                                    \
        U *to = y;                                                                       \
                                                                                         \
        for (int64_t i = 0; i < n; i++) {                                                \
            A a = LOAD(x[i]);                                                            \
            to[i] = value;                                                               \
        }                                                                                \
    }

CAST(f32, float, (float)a)
CAST(f64, double, (double)a)
CAST(bf16, tp_bf16, tp_bf16_of((float)a))
CAST(f16, tp_f16, tp_f16_of((float)a))
#if TP_IS_FLOAT
CAST(i64, int64_t, TO_I64(a))
CAST(i32, int32_t, TO_I32(a))
CAST(u8, uint8_t, (uint8_t)TO_U8(a))
#else /* wraps, as C does */
CAST(i64, int64_t, (int64_t)a)
CAST(i32, int32_t, (int32_t)a)
CAST(u8, uint8_t, (uint8_t)a)
#endif
CAST(b8, uint8_t, a != 0)

static const struct {
    cast_block *block;
    int64_t size;
} casts[TP_DTYPES] = {
    [TP_F32] = { to_f32, 4 }, [TP_F64] = { to_f64, 8 }, [TP_BF16] = { to_bf16, 2 },
    [TP_F16] = { to_f16, 2 }, [TP_I64] = { to_i64, 8 }, [TP_I32] = { to_i32, 4 },
    [TP_U8] = { to_u8, 1 },   [TP_BOOL] = { to_b8, 1 },
};

typedef struct cast_job {
    const tp_loop *l;
    const T *x;
    unsigned char *y;
    cast_block *block;
    int64_t size, length, cuts;
} cast_job;

static void cast_run(const cast_job *j, int64_t n, const T *x, int64_t sx,
                     unsigned char *y, int64_t sy)
{
    T from[TP__MAP_BUFFER];
    _Alignas(64) unsigned char to[TP__MAP_BUFFER * sizeof(double)];

    if (sx == 1 && sy == 1) {
        j->block(n, x, y);
        return;
    }
    for (int64_t i = 0; i < n; i += TP__MAP_BUFFER) {
        int64_t some = n - i < TP__MAP_BUFFER ? n - i : TP__MAP_BUFFER;
        unsigned char *at = y + i * sy * j->size;

        tp__gather(some, x + i * sx, sx, from);
        j->block(some, from, sy == 1 ? at : to);
        for (int64_t k = 0; sy != 1 && k < some; k++)
            memcpy(at + k * sy * j->size, to + k * j->size, (size_t)j->size);
    }
}

static void cast_body(void *user, int worker, int64_t from, int64_t to)
{
    const cast_job *j = user;
    tp_row r = tp_row_at(j->l, from / j->cuts);
    int64_t cut = from % j->cuts;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t first = cut * j->length, left = r.n - first;

        cast_run(j, left < j->length ? left : j->length,
                 j->x + r.at[1] + first * r.step[1], r.step[1],
                 j->y + (r.at[0] + first * r.step[0]) * j->size, r.step[0]);
        if (++cut == j->cuts) tp_row_next(j->l, &r), cut = 0;
    }
}

int KERNEL(cast)(tp_ctx *c, const tp_loop *l, const void *x, tp_dtype to, void *y)
{
    cast_job j = {
        .l = l, .x = x, .y = y, .block = casts[to].block, .size = casts[to].size
    };
    int64_t n = l->n[l->rank - 1], count = tp_loop_count(l);

    if (count == 0) return 0;
    j.length = n < TP__MAP_CHEAP ? n : TP__MAP_CHEAP;
    j.cuts = (n + j.length - 1) / j.length;
    tp__parallel(c, count / n * j.cuts, (TP__MAP_CHEAP + j.length - 1) / j.length,
                 cast_body, &j);
    return 0;
}
