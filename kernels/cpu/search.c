/*
 * search.c - places in rows that rise, by halving.
 */
#include "kernels/cpu/map.h"

typedef struct job {
    int64_t cols, n;
    const T *sorted, *x;
    bool right;
    int64_t *place;
} job;

/* How many of row[0..cols) are below v, or, to its right, not above. */
static int64_t below(const T *row, int64_t cols, A v, bool right)
{
    int64_t low = 0, high = cols;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        A at = LOAD(row[middle]);

        if (at < v || (right && at == v)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++)
        j->place[i] = below(j->sorted + i / j->n * j->cols, j->cols, LOAD(j->x[i]), j->right);
}

int KERNEL(search)(tp_ctx *c, int64_t rows, int64_t cols, int64_t n, const void *sorted, const void *x, bool right,
                   int64_t *place)
{
    job j = { cols, n, sorted, x, right, place };

    tp__parallel(c, rows * n, TP__MAP_DEAR / 16, body, &j);
    return 0;
}
