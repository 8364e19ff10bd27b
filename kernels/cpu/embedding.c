/*
 * embedding.c - rows of a table by index, and the gradient of the table.
 *
 * The gradient sorts the places by index, stably, by counting; each row of the table then
 * adds its places in their order.  So nothing is added atomically, and threads can't change
 * the result.
 */
#include "kernels/cpu/map.h"

typedef struct embedding_job {
    int64_t n, rows, cols, padding;
    const int64_t *index;
    const T *w, *dy;
    T *y, *dw;
    const int64_t *start, *order; /* places of row r: order[start[r] .. start[r + 1]) */
    bool add;
} embedding_job;

static bool outside(int64_t rows, int64_t i)
{
    return i < 0 || i >= rows;
}

static int check(tp_ctx *c, int64_t n, int64_t rows, const int64_t *index)
{
    int64_t bad = 0;

    for (int64_t i = 0; i < n; i++)
        bad += outside(rows, index[i]);
    for (int64_t i = 0; bad && i < n; i++)
        if (outside(rows, index[i]))
            return tp__kernel_error(c, "index %lld at position %lld is outside 0..%lld",
                                    (long long)index[i], (long long)i,
                                    (long long)rows - 1);
    return 0;
}

static void embedding_body(void *user, int worker, int64_t from, int64_t to)
{
    const embedding_job *j = user;
    size_t bytes = (size_t)j->cols * sizeof(T);

    (void)worker;
    for (int64_t i = from; i < to; i++)
        memcpy(j->y + i * j->cols, j->w + j->index[i] * j->cols, bytes);
}

int KERNEL(embedding)(tp_ctx *c, int64_t n, int64_t rows, int64_t cols,
                      const int64_t *index, const void *w, void *y)
{
    embedding_job j = { .cols = cols, .index = index, .w = w, .y = y };
    int status = check(c, n, rows, index);

    if (status) return status;
    if (cols) tp__parallel(c, n, 1 + TP__MAP_CHEAP / cols, embedding_body, &j);
    return 0;
}

/* ---- the gradient ---- */

enum {
    COLUMNS = 64, /* what threads share out */
    WIDE = 1024   /* columns that are summed at a time */
};

static void add_place(int64_t n, const T *dy, A *restrict sum)
{
    for (int64_t k = 0; k < n; k++)
        sum[k] += LOAD(dy[k]);
}

/* Columns first .. first + n of one row of the table, n at most WIDE. */
static void table_row(const embedding_job *j, int64_t r, int64_t first, int64_t n)
{
    int64_t i = j->start[r], end = j->start[r + 1];
    const T *dy = j->dy + first;
    T *dw = j->dw + r * j->cols + first;
    A sum[WIDE];

    if (i == end) {
        if (!j->add) memset(dw, 0, (size_t)n * sizeof(T));
        return;
    }
    for (int64_t k = 0; k < n; k++)
        sum[k] = j->add ? LOAD(dw[k]) : 0;
    for (; i < end; i++) { /* places lie far apart: ask for the next one early */
        __builtin_prefetch(dy + j->order[i + 1 < end ? i + 1 : i] * j->cols);
        add_place(n, dy + j->order[i] * j->cols, sum);
    }
    for (int64_t k = 0; k < n; k++)
        dw[k] = STORE(sum[k]);
}

/* Items are blocks of columns: frequent indices make rows cost too unevenly to share out. */
static void blocks_body(void *user, int worker, int64_t from, int64_t to)
{
    const embedding_job *j = user;
    int64_t end = to * COLUMNS < j->cols ? to * COLUMNS : j->cols;

    (void)worker;
    for (int64_t r = 0; r < j->rows; r++)
        for (int64_t first = from * COLUMNS; first < end; first += WIDE)
            table_row(j, r, first, end - first < WIDE ? end - first : WIDE);
}

static void rows_body(void *user, int worker, int64_t from, int64_t to)
{
    const embedding_job *j = user;

    (void)worker;
    for (int64_t r = from; r < to; r++)
        table_row(j, r, 0, j->cols);
}

/* start (rows + 1) and order (n): a counting sort.  Places of padding are left out. */
static void sort(const embedding_job *j, int64_t *start, int64_t *order)
{
    int64_t before = 0;

    memset(start, 0, (size_t)(j->rows + 1) * sizeof *start);
    for (int64_t i = 0; i < j->n; i++)
        if (j->index[i] != j->padding) start[j->index[i]]++;
    for (int64_t r = 0; r <= j->rows; r++) {
        int64_t here = start[r];

        start[r] = before, before += here;
    }
    for (int64_t i = 0; i < j->n; i++)
        if (j->index[i] != j->padding) order[start[j->index[i]]++] = i;
    for (int64_t r = j->rows; r > 0; r--) /* each start has moved on to the next one's */
        start[r] = start[r - 1];
    start[0] = 0;
}

int KERNEL(embedding_dw)(tp_ctx *c, int64_t n, int64_t rows, int64_t cols,
                         const int64_t *index, const void *dy, int64_t padding, bool add,
                         void *dw)
{
    embedding_job j = { .n = n, .rows = rows, .cols = cols, .padding = padding };
    int status = check(c, n, rows, index);
    int64_t *start, size = (n + rows) * cols;

    if (status) return status;
    start = tp_scratch(c, (size_t)(rows + 1 + n) * sizeof *start);
    if (!start) return TP_KERNEL_NO_MEMORY;
    j.index = index, j.dy = dy, j.dw = dw, j.add = add;
    j.start = start, j.order = start + rows + 1;
    sort(&j, start, start + rows + 1);
    if (cols > COLUMNS)
        tp__parallel(c, (cols + COLUMNS - 1) / COLUMNS,
                     1 + TP__MAP_CHEAP * cols / COLUMNS / (size + 1), blocks_body, &j);
    else if (cols)
        tp__parallel(c, rows, 1 + TP__MAP_CHEAP * rows / (size + 1), rows_body, &j);
    return 0;
}
