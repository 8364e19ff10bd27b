/*
 * reduce.c - sum over any axes of a tp_loop, argmax, and the count of NaN.
 *
 * An axis is folded where y's stride is 0.  Two ways cover all shapes:
 *
 *     runs     x is dense along a folded axis: pieces of runs are summed, by fold.h
 *     columns  x is dense along a kept axis: whole rows are added to a row of sums
 *
 * Both cut the folded space into groups, by shape alone; sums of groups are kept in scratch
 * and added as a tree, so threads never change a bit.
 */
#include "kernels/cpu/fold.h"

enum {
    RUN_GROUP = 16384,    /* elements of a group of runs */
    COLUMNS = 1024,       /* columns that are summed at a time */
    COLUMN_GROUP = 65536, /* elements of a group of rows */
    LEAST_ROWS = 64,      /* rows of a group of rows */
    MOST_ROWS = 512,
    GRAIN = 16384 /* elements worth a thread */
};

/* What both ways need: y[place of kept] (+)= sum of x over folded. */
typedef struct sum_job {
    tp_loop kept, folded; /* kept has operands y, x; folded x alone */
    const T *x;
    T *y;
    bool add;
    int64_t outputs, pieces, length, cuts; /* runs: pieces of an output; cuts in a run */
    int64_t W, sx, sy, blocks, block;      /* columns */
    int64_t rows, groups, group;           /* of one output; pieces or rows in a group */
    A *partial;                            /* (outputs, groups) or (outputs, groups, W) */
} sum_job;

static void put(const sum_job *j, int64_t at, A sum)
{
    j->y[at] = STORE(j->add ? LOAD(j->y[at]) + sum : sum);
}

/* Walks the elements of a loop one by one. */
typedef struct spot {
    tp_row r;
    int64_t i;
} spot;

static spot spot_at(const tp_loop *l, int64_t first)
{
    int64_t n = l->n[l->rank - 1];

    return (spot){ tp_row_at(l, first / n), first % n };
}

static void spot_next(const tp_loop *l, spot *s)
{
    if (++s->i < s->r.n) return;
    s->i = 0;
    tp_row_next(l, &s->r);
}

static int64_t spot_of(const spot *s, int operand)
{
    return s->r.at[operand] + s->i * s->r.step[operand];
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- runs ---- */

static A run_sum(int64_t n, const T *x, int64_t step)
{
    A v[TP__PIECE];

#if TP_IS(f32) || TP_IS(f64)
    if (step == 1) return tp__fold(n, x);
#endif
    if (step == 1)
        for (int64_t i = 0; i < n; i++)
            v[i] = LOAD(x[i]);
    else
        for (int64_t i = 0; i < n; i++)
            v[i] = LOAD(x[i * step]);
    return tp__fold(n, v);
}

/* The pieces of group g of the output that starts at x. */
static A run_group(const sum_job *j, const T *x, int64_t g)
{
    int64_t p = g * j->group, end = smaller(p + j->group, j->pieces);
    int64_t cut, step = j->folded.stride[0][j->folded.rank - 1];
    tp_row r;
    tp__cascade s;

    if (j->pieces == 1) return run_sum(j->rows, x, step);
    cut = p % j->cuts, r = tp_row_at(&j->folded, p / j->cuts);
    s.count = 0;
    for (; p < end; p++) {
        int64_t first = cut * j->length;

        tp__cascade_push(&s, run_sum(smaller(r.n - first, j->length),
                                     x + r.at[0] + first * step, step));
        if (++cut == j->cuts) tp_row_next(&j->folded, &r), cut = 0;
    }
    return tp__cascade_sum(&s);
}

static void runs_body(void *user, int worker, int64_t from, int64_t to)
{
    const sum_job *j = user;
    spot at = spot_at(&j->kept, from / j->groups);
    int64_t g = from % j->groups;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        A sum = run_group(j, j->x + spot_of(&at, 1), g);

        if (j->partial)
            j->partial[i] = sum;
        else
            put(j, spot_of(&at, 0), sum);
        if (++g == j->groups) spot_next(&j->kept, &at), g = 0;
    }
}

static void runs_finish(const sum_job *j)
{
    spot at = spot_at(&j->kept, 0);

    for (int64_t i = 0; i < j->outputs; i++, spot_next(&j->kept, &at)) {
        tp__cascade s;

        s.count = 0;
        for (int64_t g = 0; g < j->groups; g++)
            tp__cascade_push(&s, j->partial[i * j->groups + g]);
        put(j, spot_of(&at, 0), tp__cascade_sum(&s));
    }
}

static int sum_runs(tp_ctx *c, sum_job *j)
{
    int64_t n = j->folded.n[j->folded.rank - 1];

    j->length = n < TP__PIECE ? n : TP__PIECE;
    j->cuts = (n + j->length - 1) / j->length;
    j->pieces = j->rows / n * j->cuts;
    j->group = 1 + (RUN_GROUP - 1) / j->length;
    j->groups = (j->pieces + j->group - 1) / j->group;
    if (j->groups > 1) {
        j->partial = tp_scratch(c, (size_t)(j->outputs * j->groups) * sizeof(A));
        if (!j->partial) return TP_KERNEL_NO_MEMORY;
    }
    tp__parallel(c, j->outputs * j->groups,
                 1 + GRAIN / smaller(j->rows, j->length * j->group), runs_body, j);
    if (j->partial) runs_finish(j);
    return 0;
}

/* ---- columns ---- */

/* sum[i] += the sum of eight rows, as a tree. */
static void add_eight(int64_t n, const T *const x[8], int64_t step, A *restrict sum)
{
    const T *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
    const T *x4 = x[4], *x5 = x[5], *x6 = x[6], *x7 = x[7];

    if (step == 1)
        for (int64_t i = 0; i < n; i++)
            sum[i] += ((LOAD(x0[i]) + LOAD(x1[i])) + (LOAD(x2[i]) + LOAD(x3[i]))) +
                      ((LOAD(x4[i]) + LOAD(x5[i])) + (LOAD(x6[i]) + LOAD(x7[i])));
    else
        for (int64_t i = 0, k = 0; i < n; i++, k += step)
            sum[i] += ((LOAD(x0[k]) + LOAD(x1[k])) + (LOAD(x2[k]) + LOAD(x3[k]))) +
                      ((LOAD(x4[k]) + LOAD(x5[k])) + (LOAD(x6[k]) + LOAD(x7[k])));
}

static void add_one(int64_t n, const T *x, int64_t step, A *restrict sum)
{
    if (step == 1)
        for (int64_t i = 0; i < n; i++)
            sum[i] += LOAD(x[i]);
    else
        for (int64_t i = 0; i < n; i++)
            sum[i] += LOAD(x[i * step]);
}

/* Adds `rows` places of the folded space, from place `first` on. */
static void add_places(const sum_job *j, const T *x, int64_t n, int64_t first,
                       int64_t rows, A *sum)
{
    spot at = spot_at(&j->folded, first);
    int64_t r = 0;

    for (; r + 8 <= rows; r += 8) {
        const T *eight[8];

        for (int k = 0; k < 8; k++, spot_next(&j->folded, &at))
            eight[k] = x + spot_of(&at, 0);
        add_eight(n, eight, j->sx, sum);
    }
    for (; r < rows; r++, spot_next(&j->folded, &at))
        add_one(n, x + spot_of(&at, 0), j->sx, sum);
}

/* As above where rows follow one another in memory and are narrow: some are taken together
 * as a wide one, whose sums are then added up. */
static void add_narrow(const sum_job *j, const T *x, int64_t first, int64_t rows, A *sum)
{
    int64_t W = j->W, together = 128 / W, wide = together * W, r = 0;
    A many[128] = { 0 };

    x += first * W;
    for (; r + 8 * together <= rows; r += 8 * together) {
        const T *eight[8];

        for (int k = 0; k < 8; k++)
            eight[k] = x + r * W + k * wide;
        add_eight(wide, eight, 1, many);
    }
    for (int64_t i = 0; i < wide; i += W)
        for (int64_t k = 0; k < W; k++)
            sum[k] += many[i + k];
    for (; r < rows; r++)
        add_one(W, x + r * W, 1, sum);
}

static bool narrow(const sum_job *j)
{
    return j->W < 64 && j->sx == 1 && j->folded.rank == 1 &&
           j->folded.stride[0][0] == j->W;
}

/* Items are (output, block of columns, group of rows). */
static void columns_body(void *user, int worker, int64_t from, int64_t to)
{
    const sum_job *j = user;
    A sum[COLUMNS];

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t g = i % j->groups, b = i / j->groups % j->blocks;
        int64_t o = i / j->groups / j->blocks, col = b * j->block, first = g * j->group;
        int64_t n = smaller(j->W - col, j->block),
                rows = smaller(j->rows - first, j->group);
        spot at = spot_at(&j->kept, o);
        const T *x = j->x + spot_of(&at, 1) + col * j->sx;

        for (int64_t k = 0; k < n; k++)
            sum[k] = 0;
        if (narrow(j))
            add_narrow(j, x, first, rows, sum);
        else
            add_places(j, x, n, first, rows, sum);
        if (j->partial)
            memcpy(j->partial + (o * j->groups + g) * j->W + col, sum,
                   (size_t)n * sizeof(A));
        else
            for (int64_t k = 0; k < n; k++)
                put(j, spot_of(&at, 0) + (col + k) * j->sy, sum[k]);
    }
}

/* Items are (output, block of columns): adds the groups in pairs, pairs of pairs, ... */
static void columns_finish(void *user, int worker, int64_t from, int64_t to)
{
    const sum_job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t o = i / j->blocks, col = i % j->blocks * j->block;
        int64_t n = smaller(j->W - col, j->block), W = j->W;
        A *p = j->partial + o * j->groups * W + col;
        spot at = spot_at(&j->kept, o);

        for (int64_t s = 1; s < j->groups; s *= 2)
            for (int64_t g = 0; g + s < j->groups; g += 2 * s) {
                A *restrict to_row = p + g * W;
                const A *from_row = p + (g + s) * W;

                for (int64_t k = 0; k < n; k++)
                    to_row[k] += from_row[k];
            }
        for (int64_t k = 0; k < n; k++)
            put(j, spot_of(&at, 0) + (col + k) * j->sy, p[k]);
    }
}

static int sum_columns(tp_ctx *c, sum_job *j)
{
    j->block = smaller(j->W, COLUMNS), j->blocks = (j->W + COLUMNS - 1) / COLUMNS;
    j->group = smaller(COLUMN_GROUP / j->block, MOST_ROWS);
    if (j->group < LEAST_ROWS) j->group = LEAST_ROWS;
    j->groups = j->rows ? (j->rows + j->group - 1) / j->group : 1;
    if (j->groups > 1) {
        j->partial = tp_scratch(c, (size_t)(j->outputs * j->groups * j->W) * sizeof(A));
        if (!j->partial) return TP_KERNEL_NO_MEMORY;
    }
    tp__parallel(c, j->outputs * j->blocks * j->groups,
                 1 + GRAIN / (1 + j->block * smaller(j->rows, j->group)), columns_body,
                 j);
    if (j->partial)
        tp__parallel(c, j->outputs * j->blocks, 1 + GRAIN / (j->block * j->groups),
                     columns_finish, j);
    return 0;
}

/* ---- which way ---- */

/* How far apart neighbours lie; a broadcast axis comes last. */
static int64_t distance(int64_t stride)
{
    return stride == 0 ? INT64_MAX : stride < 0 ? -stride : stride;
}

/* The kept or folded axis along which x is densest; -1: none. */
static int densest(const tp_loop *l, bool kept)
{
    int best = -1;

    for (int i = 0; i < l->rank; i++) {
        if ((l->stride[0][i] != 0) != kept) continue;
        if (best < 0 || distance(l->stride[1][i]) <= distance(l->stride[1][best]))
            best = i;
    }
    return best;
}

static void push_axis(tp_loop *to, const tp_loop *l, int axis, int from)
{
    to->n[to->rank] = l->n[axis];
    for (int k = 0; k < to->operands; k++)
        to->stride[k][to->rank] = l->stride[from + k][axis];
    to->rank++;
}

static void end_loop(tp_loop *l)
{
    if (l->rank) return;
    l->n[0] = 1, l->rank = 1;
    for (int k = 0; k < l->operands; k++)
        l->stride[k][0] = 0;
}

/* Folded axes go to j->folded, its densest innermost; the others but `column` to j->kept. */
static void split(const tp_loop *l, sum_job *j, int run, int column)
{
    j->kept.rank = j->folded.rank = 0, j->kept.operands = 2, j->folded.operands = 1;
    for (int i = 0; i < l->rank; i++)
        if (l->stride[0][i] == 0) {
            if (i != run) push_axis(&j->folded, l, i, 1);
        } else if (i != column) {
            push_axis(&j->kept, l, i, 0);
        }
    if (run >= 0) push_axis(&j->folded, l, run, 1);
    end_loop(&j->kept), end_loop(&j->folded);
    j->outputs = tp_loop_count(&j->kept), j->rows = tp_loop_count(&j->folded);
}

/* A single number of few: without ado. */
static int sum_small(const tp_loop *l, const T *x, bool add, T *y)
{
    A sum = run_sum(l->n[0], x, l->stride[1][0]);

    *y = STORE(add ? LOAD(*y) + sum : sum);
    return 0;
}

/* A folded axis is empty: every sum is 0. */
static int sum_nothing(const sum_job *j)
{
    spot at = spot_at(&j->kept, 0);

    for (int64_t i = 0; i < j->outputs; i++, spot_next(&j->kept, &at))
        for (int64_t k = 0; k < j->W; k++)
            put(j, spot_of(&at, 0) + k * j->sy, 0);
    return 0;
}

int KERNEL(sum)(tp_ctx *c, const tp_loop *l, const void *x, bool add, void *y)
{
    sum_job j;
    int run, column;
    bool runs;

    if (l->rank == 1 && l->stride[0][0] == 0 && l->n[0] <= TP__PIECE)
        return sum_small(l, x, add, y);
    j.x = x, j.y = y, j.add = add, j.partial = NULL;
    run = densest(l, false), column = densest(l, true);
    runs = column < 0 || (run >= 0 && l->n[run] >= 16 &&
                          distance(l->stride[1][run]) < distance(l->stride[1][column]));
    split(l, &j, run, runs ? -1 : column);
    j.W = runs ? 1 : l->n[column];
    if (j.outputs == 0 || j.W == 0) return 0;
    j.sx = runs ? 0 : l->stride[1][column], j.sy = runs ? 0 : l->stride[0][column];
    if (!j.rows) return sum_nothing(&j);
    return runs ? sum_runs(c, &j) : sum_columns(c, &j);
}

/* ---- argmax ---- */

typedef struct argmax_job {
    int64_t cols;
    const T *x;
    int64_t *y;
} argmax_job;

/* The largest of a row, or a NaN if there is one: a NaN's lane becomes NaN in `odd`. */
static A row_top(int64_t n, const T *x)
{
    tp__lanes top, odd, v;
    A best, strange;
    int64_t i = 0;

    if (n < TP__LANES) {
        best = LOAD(x[0]);
        for (i = 1; i < n; i++) {
            A w = LOAD(x[i]);

            best = best >= w || best != best ? best : w;
        }
        return best;
    }
    tp__load(&top, x), odd = top - top; /* an infinity's is NaN too: then the search is */
    for (; i + TP__LANES <= n; i += TP__LANES)
        tp__load(&v, x + i), tp__lanes_max(&top, &v), odd += v * 0;
    tp__load(&v, x + n - TP__LANES), tp__lanes_max(&top, &v), odd += v * 0;
    best = tp__lanes_top(&top), strange = tp__lanes_sum(&odd);
    for (i = 0; strange != strange && i < n; i++)
        if (LOAD(x[i]) != LOAD(x[i])) return LOAD(x[i]);
    return best;
}

static void argmax_body(void *user, int worker, int64_t from, int64_t to)
{
    const argmax_job *j = user;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        const T *x = j->x + r * j->cols;
        A top = row_top(j->cols, x);
        int64_t i = 0;

        if (top == top)
            while (!(LOAD(x[i]) >= top))
                i++;
        else
            while (LOAD(x[i]) == LOAD(x[i]))
                i++;
        j->y[r] = i;
    }
}

int KERNEL(argmax)(tp_ctx *c, int64_t rows, int64_t cols, const void *x, int64_t *y)
{
    argmax_job j = { .cols = cols, .x = x, .y = y };

    if (rows > 0 && cols < 1) return tp__kernel_error(c, "argmax of no elements");
    tp__parallel(c, rows, 1 + GRAIN / (cols + 1), argmax_body, &j);
    return 0;
}

/* ---- count_nan ---- */

typedef struct count_nan_job {
    const tp_loop *l;
    const T *x;
    int64_t *count; /* per worker, a cache line apart */
    int64_t length, cuts;
} count_nan_job;

enum { APART = 8 };

static int64_t count_nan_run(int64_t n, const T *x, int64_t step)
{
    int count = 0; /* n is at most GRAIN */

    if (step == 1)
        for (int64_t i = 0; i < n; i++) {
            A v = LOAD(x[i]);
            count += v != v;
        }
    else
        for (int64_t i = 0; i < n; i++) {
            A v = LOAD(x[i * step]);
            count += v != v;
        }
    return count;
}

static void count_nan_body(void *user, int worker, int64_t from, int64_t to)
{
    const count_nan_job *j = user;
    tp_row r = tp_row_at(j->l, from / j->cuts);
    int64_t cut = from % j->cuts, count = 0;

    for (int64_t i = from; i < to; i++) {
        int64_t first = cut * j->length;

        count += count_nan_run(smaller(r.n - first, j->length),
                               j->x + r.at[0] + first * r.step[0], r.step[0]);
        if (++cut == j->cuts) tp_row_next(j->l, &r), cut = 0;
    }
    j->count[worker * APART] += count; /* a worker may get several ranges */
}

int KERNEL(count_nan)(tp_ctx *c, const tp_loop *l, const void *x, int64_t *n)
{
    count_nan_job j = { .l = l, .x = x };
    int64_t last = l->n[l->rank - 1], count = tp_loop_count(l), items, grain, total = 0;
    int workers;

    *n = 0;
    if (count == 0) return 0;
    j.length = smaller(last, GRAIN), j.cuts = (last + j.length - 1) / j.length;
    items = count / last * j.cuts, grain = 1 + (GRAIN - 1) / j.length;
    workers = tp__workers(c, items, grain);
    j.count = tp_scratch(c, (size_t)workers * APART * sizeof(int64_t));
    if (!j.count) return TP_KERNEL_NO_MEMORY;
    memset(j.count, 0, (size_t)workers * APART * sizeof(int64_t));
    tp__parallel(c, items, grain, count_nan_body, &j);
    for (int w = 0; w < workers; w++)
        total += j.count[w * APART];
    *n = total;
    return 0;
}
