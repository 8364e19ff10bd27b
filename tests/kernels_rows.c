/*
 * kernels_rows.c - normalization, pooling, embeddings and cross entropy on the CPU: each
 * level and dtype, against plain loops in double, the same bits for 1, 2 and 3 threads.
 */
#include "tests/kernels_memory.h"

/* ---- normalization ---- */

static const struct {
    int64_t rows, cols;
    double offset; /* of x */
    bool affine;
} norms[] = {
    { 1, 1, 0, true },      { 2, 5, 0, false },    { 7, 16, 100, true },
    { 300, 3, 1000, true }, { 1500, 40, 0, true }, { 130, 700, 3, true },
    { 33, 1030, 0, false },
};

typedef struct norm_data {
    int64_t rows, cols, n;
    void *x, *w, *bias, *mean, *rstd, *y, *dy, *dx, *dw, *db, *running;
    double *vx, *vw, *vb, *vdy;
} norm_data;

static norm_data make_norm(const trial *r, int i, int64_t stats)
{
    norm_data d = { .rows = norms[i].rows, .cols = norms[i].cols };

    d.n = d.rows * d.cols;
    d.x = numbers(r->t, d.n, norms[i].offset - 1, norms[i].offset + 1);
    d.dy = numbers(r->t, d.n, -1, 1), d.dx = numbers(r->t, d.n, -1, 1),
    d.y = nans(r->t, d.n);
    d.w = norms[i].affine ? numbers(r->s, d.cols, -1, 2) : NULL;
    d.bias = norms[i].affine ? numbers(r->s, d.cols, -1, 1) : NULL;
    d.mean = nans(r->s, stats), d.rstd = nans(r->s, stats);
    d.dw = nans(r->s, d.cols), d.db = nans(r->s, d.cols);
    d.running = numbers(r->s, 2 * d.cols, 0, 1);
    d.vx = as_doubles(r->t, d.x, d.n), d.vdy = as_doubles(r->t, d.dy, d.n);
    d.vw = doubles(d.cols), d.vb = doubles(d.cols);
    for (int64_t k = 0; k < d.cols; k++) {
        d.vw[k] = d.w ? get_element(r->s, d.w, k) : 1;
        d.vb[k] = d.bias ? get_element(r->s, d.bias, k) : 0;
    }
    return d;
}

static void free_norm(norm_data *d)
{
    free(d->x), free(d->w), free(d->bias), free(d->mean), free(d->rstd), free(d->y);
    free(d->dy), free(d->dx), free(d->dw), free(d->db), free(d->running);
    free(d->vx), free(d->vw), free(d->vb), free(d->vdy);
}

/* Statistics of n numbers, `step` apart. */
static void moments(const double *x, int64_t n, int64_t step, double *mean, double *var)
{
    *mean = *var = 0;
    for (int64_t i = 0; i < n; i++)
        *mean += x[i * step];
    *mean /= (double)n;
    for (int64_t i = 0; i < n; i++)
        *var += (x[i * step] - *mean) * (x[i * step] - *mean);
    *var /= (double)n;
}

/* One group of n elements normalized together: y, and dx of it given g = dy weight. */
static void normalize(const double *x, const double *g, int64_t n, int64_t step,
                      double eps, double *xhat, double *dx, double *mean, double *rstd)
{
    double var, low = 0, high = 0;

    moments(x, n, step, mean, &var);
    *rstd = 1 / sqrt(var + eps);
    for (int64_t i = 0; i < n; i++) {
        xhat[i * step] = (x[i * step] - *mean) * *rstd;
        low += g[i * step], high += g[i * step] * xhat[i * step];
    }
    for (int64_t i = 0; i < n; i++)
        dx[i * step] =
            *rstd * (g[i * step] - low / (double)n - xhat[i * step] * high / (double)n);
}

/* What a plain loop gets: every output, and the norm of the terms that cancel in dx. */
typedef struct norm_want {
    double *xhat, *dx, *g, *y, *mean, *rstd, *dw, *db, *running, terms;
} norm_want;

static norm_want expect_norm(const trial *r, const norm_data *d, bool batch, double eps,
                             bool add)
{
    int64_t groups = batch ? d->cols : d->rows, length = batch ? d->rows : d->cols,
            n = d->n;
    double *was = as_doubles(r->t, d->dx, n),
           *old = as_doubles(r->s, d->running, 2 * d->cols);
    double rows = (double)d->rows;
    norm_want e = {
        .xhat = doubles(n), .dx = doubles(n), .g = doubles(n), .y = doubles(n)
    };

    e.mean = doubles(groups), e.rstd = doubles(groups), e.dw = doubles(d->cols);
    e.db = doubles(d->cols), e.running = doubles(2 * d->cols);
    for (int64_t k = 0; k < n; k++)
        e.g[k] = d->vdy[k] * d->vw[k % d->cols];
    for (int64_t k = 0; k < groups; k++) {
        int64_t at = batch ? k : k * d->cols, step = batch ? d->cols : 1;

        normalize(d->vx + at, e.g + at, length, step, eps, e.xhat + at, e.dx + at,
                  &e.mean[k], &e.rstd[k]);
        for (int64_t i = 0; i < length; i++)
            e.terms += e.g[at + i * step] * e.rstd[k] * e.g[at + i * step] * e.rstd[k];
    }
    e.terms = sqrt(e.terms);
    for (int64_t k = 0; k < n; k++) {
        e.y[k] = e.xhat[k] * d->vw[k % d->cols] + d->vb[k % d->cols];
        e.dw[k % d->cols] += d->vdy[k] * e.xhat[k], e.db[k % d->cols] += d->vdy[k];
        if (add) e.dx[k] += was[k];
    }
    for (int64_t k = 0; batch && k < d->cols; k++) {
        double unbiased =
            (1 / (e.rstd[k] * e.rstd[k]) - eps) * rows / (rows > 1 ? rows - 1 : 1);

        e.running[k] = old[k] + 0.1 * (e.mean[k] - old[k]);
        e.running[d->cols + k] = old[d->cols + k] + 0.1 * (unbiased - old[d->cols + k]);
    }
    free(was), free(old);
    return e;
}

static void run_norm(trial *r, norm_data *d, bool batch, double eps, bool add)
{
    unsigned char *var = (unsigned char *)d->running + (size_t)d->cols * type_size(r->s);

    if (batch) {
        CHECK(r->b->batch_norm[r->t](&r->c, d->rows, d->cols, d->x, d->w, d->bias, eps,
                                     0.1, d->running, var, d->mean, d->rstd, d->y) == 0);
        CHECK(r->b->batch_norm_dx[r->t](&r->c, d->rows, d->cols, d->dy, d->x, d->mean,
                                        d->rstd, d->w, add, d->dx, d->dw, d->db) == 0);
        return;
    }
    CHECK(r->b->layer_norm[r->t](&r->c, d->rows, d->cols, d->x, d->w, d->bias, eps,
                                 d->mean, d->rstd, d->y) == 0);
    CHECK(r->b->layer_norm_dx[r->t](&r->c, d->rows, d->cols, d->dy, d->x, d->mean,
                                    d->rstd, d->w, add, d->dx, d->dw, d->db) == 0);
}

static void try_norm(trial *r, int i, bool batch)
{
    bool add = i & 1;
    int64_t groups = batch ? norms[i].cols : norms[i].rows;
    norm_data d = make_norm(r, i, groups);
    size_t bytes = (size_t)d.n * type_size(r->t), tall = (size_t)groups * type_size(r->s);
    size_t wide = (size_t)d.cols * type_size(r->s);
    norm_want e = expect_norm(r, &d, batch, 1e-3, add);
    void *kept[6] = { 0 }, *dx0 = memcpy(malloc(bytes), d.dx, bytes);
    void *running0 = memcpy(malloc(2 * wide), d.running, 2 * wide);
    /* a rounding of x - mean is of x's size, not of theirs */
    double *dx, room = 8 + norms[i].offset * norms[i].offset * 8;
    double length = batch ? (double)d.rows : (double)d.cols;

    CASE("%s norm %s %s (%lld, %lld) offset %g", batch ? "batch" : "layer", level,
         type_names[r->t], (long long)d.rows, (long long)d.cols, norms[i].offset);
    for (int threads = 1; threads <= 3; threads++) {
        r->c.threads = threads;
        memcpy(d.dx, dx0, bytes), memcpy(d.running, running0, 2 * wide);
        run_norm(r, &d, batch, 1e-3, add);
        same_bits(&kept[0], d.y, bytes, threads),
            same_bits(&kept[1], d.dx, bytes, threads);
        same_bits(&kept[2], d.mean, tall, threads),
            same_bits(&kept[3], d.rstd, tall, threads);
        same_bits(&kept[4], d.dw, wide, threads),
            same_bits(&kept[5], d.db, wide, threads);
    }
    check_array(r->s, r->s, d.mean, e.mean, groups, length);
    check_array(r->s, r->s, d.rstd, e.rstd, groups, length * room);
    check_array(r->t, r->t, d.y, e.y, d.n, room);
    dx = as_doubles(r->t, d.dx, d.n), check_terms(r->t, dx, e.dx, d.n, e.terms * room);
    check_array(r->s, r->s, d.dw, e.dw, d.cols, (double)d.rows * room);
    check_array(r->s, r->s, d.db, e.db, d.cols, (double)d.rows);
    if (batch) check_array(r->s, r->s, d.running, e.running, 2 * d.cols, room);
    free(e.xhat), free(e.dx), free(e.g), free(e.y), free(e.mean), free(e.rstd),
        free(e.dw);
    free(e.db), free(e.running), free(dx), free(dx0), free(running0), free_norm(&d);
}

static void try_batch_norm(trial *r, int i)
{
    try_norm(r, i, true);
}

static void try_layer_norm(trial *r, int i)
{
    try_norm(r, i, false);
}

Test(kernels_rows, batch_norm)
{
    each_trial(try_batch_norm, LEN(norms));
}

Test(kernels_rows, layer_norm)
{
    each_trial(try_layer_norm, LEN(norms));
}

/* ---- pooling ---- */

static const tp_window windows[] = {
    { 2, 8, 6, 5, 5, 4, 3, 2, 2, 2, 2, 0, 0, 1, 1, 1 },
    { 3, 28, 28, 32, 32, 14, 14, 2, 2, 2, 2, 0, 0, 1, 1, 1 },
    { 1, 7, 9, 300, 300, 4, 5, 3, 3, 2, 2, 1, 1, 1, 1, 1 },
    { 2, 7, 7, 3, 3, 3, 3, 2, 2, 2, 2, 0, 0, 1, 1, 1 },
    { 1, 9, 8, 17, 17, 5, 6, 3, 2, 1, 1, 0, 0, 2, 2, 1 },
    { 1, 6, 6, 4, 4, 2, 2, 2, 2, 3, 3, 0, 0, 1, 1, 1 },
    { 2, 5, 5, 9, 9, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1 },
    { 0, 4, 4, 8, 8, 2, 2, 2, 2, 2, 2, 0, 0, 1, 1, 1 },
};

/* Where in x tap k of the window of output i (n, oh, ow, c) lies; -1: in padding. */
static int64_t tap_at(const tp_window *g, int64_t i, int64_t k)
{
    int64_t c = i % g->C, ow = i / g->C % g->OW, oh = i / g->C / g->OW % g->OH;
    int64_t h = oh * g->stride_h - g->pad_h + k / g->KW * g->dilation_h;
    int64_t w = ow * g->stride_w - g->pad_w + k % g->KW * g->dilation_w;

    if (h < 0 || h >= g->H || w < 0 || w >= g->W) return -1;
    return ((i / g->C / g->OW / g->OH * g->H + h) * g->W + w) * g->C + c;
}

static void try_pool(trial *r, int i)
{
    const tp_window *g = &windows[i];
    int64_t nx = g->N * g->H * g->W * g->C, ny = g->N * g->OH * g->OW * g->C;
    void *x = numbers(r->t, nx, -1, 1), *dy = numbers(r->t, ny, -1, 1),
         *y = nans(r->t, ny);
    void *u = numbers(r->t, nx, -1, 1), *ddy = nans(r->t, ny), *dx = nans(r->t, nx);
    int32_t *place = malloc((size_t)ny * 4 + 1);
    double *want = doubles(nx);
    void *kept[2] = { 0 };

    for (int64_t k = 0; k < nx; k++) { /* many equals, and some that aren't numbers */
        set_element(r->t, x, k, floor(4 * get_element(r->t, x, k)));
        if (k % 97 == 5) set_element(r->t, x, k, NAN);
        if (k % 5 == 0) set_element(r->t, x, k, -INFINITY);
    }
    CASE("pool %s %s case %d", level, type_names[r->t], i);
    for (int threads = 1; threads <= 3; threads++) {
        r->c.threads = threads;
        CHECK(r->b->max_pool2d[r->t](&r->c, g, x, y, place) == 0);
        CHECK(r->b->max_pool2d_dx[r->t](&r->c, g, dy, place, false, dx) == 0);
        CHECK(r->b->max_pool2d_ddy[r->t](&r->c, g, u, place, ddy) == 0);
        same_bits(&kept[0], y, (size_t)ny * type_size(r->t), threads);
        same_bits(&kept[1], dx, (size_t)nx * type_size(r->t), threads);
    }
    for (int64_t k = 0; k < ny; k++) {
        int64_t at = -1, tap = 0;

        for (int64_t e = 0; e < g->KH * g->KW; e++) {
            int64_t here = tap_at(g, k, e);
            double v = here < 0 ? 0 : get_element(r->t, x, here);
            double top = at < 0 ? -INFINITY : get_element(r->t, x, at);

            if (here >= 0 && (at < 0 || (!isnan(top) && (v > top || isnan(v)))))
                at = here, tap = e;
        }
        double best = at < 0 ? -INFINITY : get_element(r->t, x, at),
               got = get_element(r->t, y, k);

        if (at >= 0) want[at] += get_element(r->t, dy, k);
        if (place[k] == tap && (got == best || (isnan(got) && isnan(best))) &&
            get_element(r->t, ddy, k) == (at < 0 ? 0 : get_element(r->t, u, at)))
            continue;
        cr_expect(false, "%s: output %lld is %g at %d, not %g at %d", case_name,
                  (long long)k, got, place[k], best, (int)tap);
        break;
    }
    check_array(r->t, r->t, dx, want, nx, 1);
    CHECK(r->b->max_pool2d_dx[r->t](&r->c, g, dy, place, true, dx) == 0);
    for (int64_t k = 0; k < nx; k++)
        want[k] *= 2;
    check_array(r->t, r->t, dx, want, nx, 1);
    free(x), free(dy), free(y), free(u), free(ddy), free(dx), free(place), free(want);
}

Test(kernels_rows, pool)
{
    each_trial(try_pool, LEN(windows));
}

/* ---- embedding ---- */

static const struct {
    int64_t n, rows, cols, padding;
} tables[] = { { 0, 5, 4, -1 },       { 1, 1, 1, -1 },     { 50, 7, 3, 2 },
               { 3000, 90, 130, -1 }, { 9000, 40, 24, 0 }, { 64, 5000, 65, -1 } };

static void try_embedding(trial *r, int i)
{
    int64_t n = tables[i].n, rows = tables[i].rows, cols = tables[i].cols;
    int64_t *index = malloc((size_t)(n + 1) * sizeof *index);
    void *w = numbers(r->t, rows * cols, -1, 1), *dy = numbers(r->t, n * cols, -1, 1);
    void *y = nans(r->t, n * cols), *dw = NULL, *kept = NULL;
    double *want = doubles(rows * cols), most = 1;
    bool same = true;

    for (int64_t k = 0; k < n; k++)
        index[k] = (int64_t)(number(0, 1) * number(0, 1) * (double)rows);
    CASE("embedding %s %s case %d", level, type_names[r->t], i);
    CHECK(r->b->embedding[r->t](&r->c, n, rows, cols, index, w, y) == 0);
    for (int64_t k = 0; k < n * cols; k++) {
        int64_t row = index[k / cols], at = row * cols + k % cols;

        same = same && get_element(r->t, y, k) == get_element(r->t, w, at);
        if (row != tables[i].padding) want[at] += get_element(r->t, dy, k);
    }
    CHECK(same);
    if (r->t != TP_BF16) most = 1 + (double)n / (double)rows * 4;
    for (int threads = 1; threads <= 3; threads++) {
        free(dw), dw = nans(r->t, rows * cols), r->c.threads = threads;
        CHECK(r->b->embedding_dw[r->t](&r->c, n, rows, cols, index, dy, tables[i].padding,
                                       false, dw) == 0);
        same_bits(&kept, dw, (size_t)(rows * cols) * type_size(r->t), threads);
    }
    check_array(r->t, r->t, dw, want, rows * cols, most);
    CHECK(r->b->embedding_dw[r->t](&r->c, n, rows, cols, index, dy, tables[i].padding,
                                   true, dw) == 0);
    for (int64_t k = 0; k < rows * cols; k++)
        want[k] *= 2;
    check_array(r->t, r->t, dw, want, rows * cols, most);
    if (n > 1) {
        index[1] = rows;
        CHECK(r->b->embedding[r->t](&r->c, n, rows, cols, index, w, y) ==
              TP_KERNEL_FAILED);
        CHECK(strstr(r->c.error, "at position 1 is outside 0..") != NULL);
        CHECK(r->b->embedding_dw[r->t](&r->c, n, rows, cols, index, dy, -1, false, dw) !=
              0);
    }
    free(index), free(w), free(dy), free(y), free(dw), free(want);
}

Test(kernels_rows, embedding)
{
    each_trial(try_embedding, LEN(tables));
}

/* ---- cross entropy ---- */

static const struct {
    int64_t rows, cols;
    bool mean;
    double scale; /* of the logits */
} losses[] = { { 1, 1, true, 1 },    { 3, 4, false, 1 },    { 64, 10, true, 3 },
               { 200, 97, true, 9 }, { 7, 2000, false, 1 }, { 5, 3, true, 1e4 } };

static void try_cross_entropy(trial *r, int i)
{
    int64_t rows = losses[i].rows, cols = losses[i].cols, n = rows * cols;
    void *x = numbers(r->t, n, -losses[i].scale, losses[i].scale), *soft = nans(r->s, 2 * rows);
    void *u = numbers(r->t, n, -1, 1), *dx = numbers(r->t, n, -1, 1),
         *ddx = nans(r->t, n);
    void *row = nans(r->s, rows), *dloss = numbers(r->s, rows, 0.5, 1);
    void *ddloss = nans(r->s, rows), *kept[3] = { 0 }, *dx0 = malloc((size_t)n * 8);
    double loss[2] = { 0 }, count[2] = { 0 }, *want = doubles(n), *wsoft = doubles(2 * rows), *wdx = doubles(n);
    double *wddx = doubles(n), *wrow = doubles(rows), *wddloss = doubles(rows), total = 0,
           used = 0;
    int64_t *y = malloc((size_t)rows * sizeof *y), step = i & 1;
    bool add = i & 1;

    for (int64_t k = 0; k < rows; k++) {
        y[k] = k % 5 == 2 ? -100 : (int64_t)(number(0, 1) * (double)cols);
        used += y[k] != -100;
    }
    for (int64_t k = 0; k < rows; k++) {
        const int64_t first = k * cols;
        double top = -INFINITY, sum = 0, dot = 0, over = losses[i].mean ? used : 1;
        double g = get_element(r->s, dloss, k * step) / over;
        bool counts = y[k] != -100;

        for (int64_t e = 0; e < cols; e++)
            top = fmax(top, get_element(r->t, x, first + e));
        for (int64_t e = 0; e < cols; e++)
            sum += want[first + e] = exp(get_element(r->t, x, first + e) - top);
        for (int64_t e = 0; e < cols; e++)
            want[first + e] /= sum,
                dot += want[first + e] * get_element(r->t, u, first + e);
        wsoft[2 * k] = top, wsoft[2 * k + 1] = 1 / sum;
        if (counts) wrow[k] = top + log(sum) - get_element(r->t, x, first + y[k]);
        if (counts) wddloss[k] = (dot - get_element(r->t, u, first + y[k])) / over;
        for (int64_t e = 0; e < cols; e++) {
            double o = (double)(e == y[k]), q = want[first + e];

            wdx[first + e] =
                (add ? get_element(r->t, dx, first + e) : 0) + (counts ? g * (q - o) : 0);
            wddx[first + e] =
                counts ? g * q * (get_element(r->t, u, first + e) - dot) : 0;
        }
        total += wrow[k];
    }
    memcpy(dx0, dx, (size_t)n * type_size(r->t));
    CASE("cross_entropy %s %s (%lld, %lld)", level, type_names[r->t], (long long)rows,
         (long long)cols);
    for (int threads = 1; threads <= 3; threads++) {
        r->c.threads = threads;
        memcpy(dx, dx0, (size_t)n * type_size(r->t));
        CHECK(r->b->cross_entropy[r->t](&r->c, rows, cols, x, y, -100, losses[i].mean, soft,
                                        row, loss, count) == 0);
        CHECK(r->b->cross_entropy_dx[r->t](&r->c, rows, cols, x, soft, y, -100, losses[i].mean,
                                           dloss, step, count, add, dx) == 0);
        CHECK(r->b->cross_entropy_ddx[r->t](&r->c, rows, cols, x, soft, y, -100, losses[i].mean,
                                            dloss, step, count, u, ddx, ddloss) == 0);
        same_bits(&kept[0], soft, (size_t)(2 * rows) * type_size(r->s), threads);
        same_bits(&kept[1], loss, sizeof loss, threads);
        same_bits(&kept[2], dx, (size_t)n * type_size(r->t), threads);
    }
    total = losses[i].mean ? total / used : total;
    check_array(r->s, r->s, soft, wsoft, 2 * rows, 16);
    check_array(r->s, r->s, row, wrow, rows, 16);
    check_array(r->s, r->s, loss, &total, 1, 16);
    CHECK(get_element(r->s, count, 0) == used);
    check_array(r->t, r->t, dx, wdx, n, 16);
    check_array(r->t, r->t, ddx, wddx, n, 64);
    check_array(r->s, r->t, ddloss, wddloss, rows, 64);

    for (int64_t k = 0; k < rows; k++)
        y[k] = -100;
    CHECK(r->b->cross_entropy[r->t](&r->c, rows, cols, x, y, -100, true, soft, row, loss,
                                    count) == 0);
    CHECK(isnan(get_element(r->s, loss, 0)) && get_element(r->s, count, 0) == 0);
    y[rows - 1] = cols;
    CHECK(r->b->cross_entropy[r->t](&r->c, rows, cols, x, y, -100, true, soft, row, loss,
                                    count) != 0);
    CHECK(strstr(r->c.error, "label") != NULL);
    free(x), free(soft), free(u), free(dx), free(ddx), free(row), free(dloss), free(ddloss);
    free(dx0), free(want), free(wsoft), free(wdx), free(wddx), free(wrow), free(wddloss), free(y);
}

Test(kernels_rows, cross_entropy)
{
    each_trial(try_cross_entropy, LEN(losses));
}
