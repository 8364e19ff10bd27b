/*
 * cross_entropy.c - softmax with the negative log likelihood of labels, and two derivatives;
 * kernels.def has the formulas.
 *
 * Rows are independent; what is summed over rows is summed in their order, in double.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/softmax.h"

typedef struct entropy_job {
    int64_t cols, ignore, dloss_step;
    const int64_t *y;
    const T *x, *u;
    T *dx;
    A *row, *ddloss, (*soft)[2]; /* top and scale of each row */
    const A *dloss;
    A over; /* what dloss is divided by: count if mean, else 1 */
    bool add;
} entropy_job;

static int64_t grain_of(int64_t cols)
{
    return 1 + TP__MAP_DEAR / (cols + 1);
}

/* ---- forward ---- */

static void forward_body(void *user, int worker, int64_t from, int64_t to)
{
    const entropy_job *j = user;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        const T *x = j->x + r * j->cols;
        tp__soft s = tp__soft_of(j->cols, x);

        j->soft[r][0] = s.top, j->soft[r][1] = 1 / s.sum;
        /* not log p, which may be log 0 */
        j->row[r] = j->y[r] == j->ignore ? 0 : s.top + tp_log(s.sum) - LOAD(x[j->y[r]]);
    }
}

int KERNEL(cross_entropy)(tp_ctx *c, int64_t rows, int64_t cols, const void *x,
                          const int64_t *y, int64_t ignore, bool mean, void *soft, void *row,
                          void *loss, void *count)
{
    entropy_job j = {
        .cols = cols, .ignore = ignore, .y = y, .x = x, .soft = soft, .row = row
    };
    double total = 0, n = 0;

    for (int64_t r = 0; r < rows; r++) {
        if (y[r] == ignore) continue;
        if (y[r] < 0 || y[r] >= cols)
            return tp__kernel_error(c, "label %lld of row %lld is outside 0..%lld",
                                    (long long)y[r], (long long)r, (long long)cols - 1);
        n += 1;
    }
    if (cols) tp__parallel(c, rows, grain_of(cols), forward_body, &j);
    for (int64_t r = 0; r < rows; r++)
        total += cols ? (double)j.row[r] : 0;
    *(A *)loss = (A)(mean ? total / n : total);
    *(A *)count = (A)n;
    return 0;
}

/* ---- its gradient ---- */

static void dx_body(void *user, int worker, int64_t from, int64_t to)
{
    const entropy_job *j = user;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        const T *x = j->x + r * j->cols;
        T *dx = j->dx + r * j->cols;
        bool counts = j->y[r] != j->ignore;
        A g = j->dloss[r * j->dloss_step] / j->over, soft[2] = { j->soft[r][0], j->soft[r][1] }, old;

        if (!counts) {
            if (!j->add) memset(dx, 0, (size_t)j->cols * sizeof(T));
            continue;
        }
        old = j->add ? LOAD(dx[j->y[r]]) : 0;
        if (j->add)
            for (int64_t k = 0; k < j->cols; k++)
                dx[k] = STORE(LOAD(dx[k]) + g * tp__soft_at(LOAD(x[k]), soft));
        else
            for (int64_t k = 0; k < j->cols; k++)
                dx[k] = STORE(g * tp__soft_at(LOAD(x[k]), soft));
        dx[j->y[r]] = STORE(old + g * (tp__soft_at(LOAD(x[j->y[r]]), soft) - 1));
    }
}

int KERNEL(cross_entropy_dx)(tp_ctx *c, int64_t rows, int64_t cols, const void *x,
                             const void *soft, const int64_t *y, int64_t ignore, bool mean,
                             const void *dloss, int64_t dloss_step, const void *count,
                             bool add, void *dx)
{
    entropy_job j = { .cols = cols, .ignore = ignore, .y = y, .x = x, .dx = dx, .add = add };

    j.soft = (A(*)[2])(uintptr_t)soft, j.dloss = dloss, j.dloss_step = dloss_step;
    j.over = mean ? *(const A *)count : 1;
    if (cols) tp__parallel(c, rows, grain_of(cols), dx_body, &j);
    return 0;
}

/* ---- the gradient of that ---- */

static void ddx_body(void *user, int worker, int64_t from, int64_t to)
{
    const entropy_job *j = user;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        const T *x = j->x + r * j->cols, *u = j->u + r * j->cols;
        T *ddx = j->dx + r * j->cols;
        A g = j->dloss[r * j->dloss_step] / j->over, soft[2] = { j->soft[r][0], j->soft[r][1] }, mean;

        j->ddloss[r] = 0;
        if (j->y[r] == j->ignore) {
            memset(ddx, 0, (size_t)j->cols * sizeof(T));
            continue;
        }
        mean = tp__dot_row(j->cols, u, x, soft);
        j->ddloss[r] = (mean - LOAD(u[j->y[r]])) / j->over;
        for (int64_t k = 0; k < j->cols; k++)
            ddx[k] = STORE(g * tp__soft_at(LOAD(x[k]), soft) * (LOAD(u[k]) - mean));
    }
}

int KERNEL(cross_entropy_ddx)(tp_ctx *c, int64_t rows, int64_t cols, const void *x,
                              const void *soft, const int64_t *y, int64_t ignore, bool mean,
                              const void *dloss, int64_t dloss_step, const void *count,
                              const void *u, void *ddx, void *ddloss)
{
    entropy_job j = { .cols = cols, .ignore = ignore, .y = y, .x = x, .u = u, .dx = ddx };

    j.soft = (A(*)[2])(uintptr_t)soft, j.dloss = dloss, j.dloss_step = dloss_step;
    j.ddloss = ddloss, j.over = mean ? *(const A *)count : 1;
    if (cols) tp__parallel(c, rows, grain_of(cols), ddx_body, &j);
    return 0;
}
