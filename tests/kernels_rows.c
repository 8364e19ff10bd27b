/*
 * kernels_rows.c - the CPU kernels that work on rows, windows, draws and updates: each level
 * and dtype, against plain loops in double, with the same bits for 1, 2 and 3 threads.
 */
#include "tests/kernels_memory.h"

#include "kernels/philox.h"

/* Runs f for each level, dtype and count of threads; outputs must be equal between counts. */
typedef struct trial {
    const tp_backend *b;
    tp_dtype t, s; /* of elements; of sums */
    tp_ctx c;
} trial;

static void each_trial(void (*f)(trial *, int), int cases)
{
    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int i = 0; b && i < LEN(float_types) * cases; i++) {
            tp_dtype t = float_types[i / cases];
            trial try = { b, t, sum_type(t), make_ctx(b, 1) };

            f(&try, i % cases);
            free(try.c.scratch);
        }
    }
}

static double *doubles(int64_t n)
{
    return calloc((size_t)n + 1, sizeof(double));
}

static double *as_doubles(tp_dtype t, const void *p, int64_t n)
{
    double *v = doubles(n);

    for (int64_t i = 0; i < n; i++)
        v[i] = get_element(t, p, i);
    return v;
}

/* The same bytes as at the first count of threads? */
static void same_bits(void **kept, const void *p, size_t bytes, int threads)
{
    if (threads == 1) *kept = memcpy(malloc(bytes + 1), p, bytes);
    CHECK(memcmp(*kept, p, bytes) == 0);
    if (threads == 3) free(*kept);
}

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

static void try_norm(trial *r, int i, bool batch)
{
    int64_t groups = batch ? norms[i].cols : norms[i].rows;
    norm_data d = make_norm(r, i, groups);
    int64_t length = batch ? d.rows : d.cols, step = batch ? d.cols : 1, n = d.n;
    double eps = 1e-3, *xhat = doubles(n), *dx = doubles(n), *g = doubles(n),
           *y = doubles(n);
    double *mean = doubles(groups), *rstd = doubles(groups);
    double *dw = doubles(d.cols), *db = doubles(d.cols), *running = doubles(2 * d.cols);
    double *was = as_doubles(r->t, d.dx, n),
           *old = as_doubles(r->s, d.running, 2 * d.cols);
    void *kept[6],
        *dx0 = memcpy(malloc((size_t)n * 8), d.dx, (size_t)n * type_size(r->t));
    void *running0 = memcpy(malloc((size_t)d.cols * 16), d.running,
                            2 * (size_t)d.cols * type_size(r->s));
    bool add = i & 1;
    double *got, terms = 0; /* of dx, which cancel */
    /* a rounding of x - mean is of x's size, not of theirs */
    double room = 8 + fabs(norms[i].offset) * fabs(norms[i].offset) * 8;

    for (int64_t k = 0; k < n; k++)
        g[k] = d.vdy[k] * d.vw[k % d.cols];
    for (int64_t k = 0; k < groups; k++) {
        int64_t at = batch ? k : k * d.cols;

        normalize(d.vx + at, g + at, length, step, eps, xhat + at, dx + at, &mean[k],
                  &rstd[k]);
        for (int64_t e = 0; e < length; e++)
            terms += g[at + e * step] * rstd[k] * g[at + e * step] * rstd[k];
    }
    terms = sqrt(terms);
    for (int64_t k = 0; k < n; k++) {
        y[k] = xhat[k] * d.vw[k % d.cols] + d.vb[k % d.cols];
        dw[k % d.cols] += d.vdy[k] * xhat[k], db[k % d.cols] += d.vdy[k];
        if (add) dx[k] += was[k];
    }
    for (int64_t k = 0; batch && k < d.cols; k++) {
        double unbiased = (1 / (rstd[k] * rstd[k]) - eps) * (double)d.rows /
                          (double)(d.rows > 1 ? d.rows - 1 : 1);

        running[k] = old[k] + 0.1 * (mean[k] - old[k]);
        running[d.cols + k] = old[d.cols + k] + 0.1 * (unbiased - old[d.cols + k]);
    }
    CASE("%s norm %s %s (%lld, %lld) offset %g", batch ? "batch" : "layer", level,
         type_names[r->t], (long long)d.rows, (long long)d.cols, norms[i].offset);
    for (int threads = 1; threads <= 3; threads++) {
        unsigned char *var =
            (unsigned char *)d.running + (size_t)d.cols * type_size(r->s);

        r->c.threads = threads;
        memcpy(d.dx, dx0, (size_t)n * type_size(r->t));
        memcpy(d.running, running0, 2 * (size_t)d.cols * type_size(r->s));
        if (batch) {
            CHECK(r->b->batch_norm[r->t](&r->c, d.rows, d.cols, d.x, d.w, d.bias, eps,
                                         0.1, d.running, var, d.mean, d.rstd, d.y) == 0);
            CHECK(r->b->batch_norm_dx[r->t](&r->c, d.rows, d.cols, d.dy, d.x, d.mean,
                                            d.rstd, d.w, add, d.dx, d.dw, d.db) == 0);
        } else {
            CHECK(r->b->layer_norm[r->t](&r->c, d.rows, d.cols, d.x, d.w, d.bias, eps,
                                         d.mean, d.rstd, d.y) == 0);
            CHECK(r->b->layer_norm_dx[r->t](&r->c, d.rows, d.cols, d.dy, d.x, d.mean,
                                            d.rstd, d.w, add, d.dx, d.dw, d.db) == 0);
        }
        same_bits(&kept[0], d.y, (size_t)n * type_size(r->t), threads);
        same_bits(&kept[1], d.mean, (size_t)groups * type_size(r->s), threads);
        same_bits(&kept[2], d.rstd, (size_t)groups * type_size(r->s), threads);
        same_bits(&kept[3], d.dx, (size_t)n * type_size(r->t), threads);
        same_bits(&kept[4], d.dw, (size_t)d.cols * type_size(r->s), threads);
        same_bits(&kept[5], d.db, (size_t)d.cols * type_size(r->s), threads);
    }
    check_array(r->s, r->s, d.mean, mean, groups, (double)length);
    check_array(r->s, r->s, d.rstd, rstd, groups, (double)length * room);
    check_array(r->t, r->t, d.y, y, n, room);
    got = as_doubles(r->t, d.dx, n);
    check_terms(r->t, got, dx, n, terms * room);
    free(got);
    check_array(r->s, r->s, d.dw, dw, d.cols, (double)d.rows * room);
    check_array(r->s, r->s, d.db, db, d.cols, (double)d.rows);
    if (batch) check_array(r->s, r->s, d.running, running, 2 * d.cols, room);
    CHECK(r->b->layer_norm_dx[r->t](&r->c, d.rows, d.cols, d.dy, d.x, d.mean, d.rstd,
                                    NULL, false, NULL, NULL, NULL) == 0 ||
          batch);
    free(xhat), free(dx), free(g), free(y), free(mean), free(rstd), free(dw), free(db);
    free(running), free(was), free(old), free(dx0), free(running0), free_norm(&d);
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
    void *kept[2];

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
    void *y = nans(r->t, n * cols), *dw = NULL, *kept;
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
    void *x = numbers(r->t, n, -losses[i].scale, losses[i].scale), *p = nans(r->t, n);
    void *u = numbers(r->t, n, -1, 1), *dx = numbers(r->t, n, -1, 1),
         *ddx = nans(r->t, n);
    void *row = nans(r->s, rows), *dloss = numbers(r->s, rows, 0.5, 1);
    void *ddloss = nans(r->s, rows), *kept[3], *dx0 = malloc((size_t)n * 8);
    double loss[2] = { 0 }, count[2] = { 0 }, *want = doubles(n), *wdx = doubles(n);
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
        CHECK(r->b->cross_entropy[r->t](&r->c, rows, cols, x, y, -100, losses[i].mean, p,
                                        row, loss, count) == 0);
        CHECK(r->b->cross_entropy_dx[r->t](&r->c, rows, cols, p, y, -100, losses[i].mean,
                                           dloss, step, count, add, dx) == 0);
        CHECK(r->b->cross_entropy_ddx[r->t](&r->c, rows, cols, p, y, -100, losses[i].mean,
                                            dloss, step, count, u, ddx, ddloss) == 0);
        same_bits(&kept[0], p, (size_t)n * type_size(r->t), threads);
        same_bits(&kept[1], loss, sizeof loss, threads);
        same_bits(&kept[2], dx, (size_t)n * type_size(r->t), threads);
    }
    total = losses[i].mean ? total / used : total;
    check_array(r->t, r->t, p, want, n, 4);
    check_array(r->s, r->s, row, wrow, rows, 16);
    check_array(r->s, r->s, loss, &total, 1, 16);
    CHECK(get_element(r->s, count, 0) == used);
    check_array(r->t, r->t, dx, wdx, n, 16);
    check_array(r->t, r->t, ddx, wddx, n, 64);
    check_array(r->s, r->t, ddloss, wddloss, rows, 64);

    for (int64_t k = 0; k < rows; k++)
        y[k] = -100;
    CHECK(r->b->cross_entropy[r->t](&r->c, rows, cols, x, y, -100, true, p, row, loss,
                                    count) == 0);
    CHECK(isnan(get_element(r->s, loss, 0)) && get_element(r->s, count, 0) == 0);
    y[rows - 1] = cols;
    CHECK(r->b->cross_entropy[r->t](&r->c, rows, cols, x, y, -100, true, p, row, loss,
                                    count) != 0);
    CHECK(strstr(r->c.error, "label") != NULL);
    free(x), free(p), free(u), free(dx), free(ddx), free(row), free(dloss), free(ddloss);
    free(dx0), free(want), free(wdx), free(wddx), free(wrow), free(wddloss), free(y);
}

Test(kernels_rows, cross_entropy)
{
    each_trial(try_cross_entropy, LEN(losses));
}

/* ---- random ---- */

static const struct {
    int rank;
    int64_t n[3];
} draws[] = {
    { 1, { 1 } }, { 1, { 7 } }, { 1, { 40001 } }, { 2, { 9, 1031 } }, { 3, { 5, 3, 6 } }
};

static float drawn(uint64_t key, uint64_t counter, int64_t i, bool normal)
{
    uint32_t bits[4];
    float z[2];

    tp_philox(key, counter + (uint64_t)i / 4, bits);
    tp_philox_normal(bits[i % 4 & 2], bits[(i % 4 & 2) + 1], z);
    return normal ? z[i % 2] : tp_philox_uniform(bits[i % 4]);
}

static void try_random(trial *r, int i)
{
    uint64_t state[2] = { 0x123456789abcdef0u, UINT32_MAX - 5u };
    tp_draw d = { state, 3 };
    int64_t saved[2];

    CASE("random %s %s case %d", level, type_names[r->t], i);
    for (layout k = DENSE; k < ROW; k++) {
        operand o[2];
        tp_loop one, two;
        bool same = true;

        o[0] = make_operand(r->t, k, draws[i].rank, draws[i].n, 0, 0);
        o[1] = make_operand(r->t, (k + 2) % ROW, draws[i].rank, draws[i].n, -1, 1);
        one = loop_of(o, 1, false), two = loop_of(o, 2, false);
        for (int threads = 1; threads <= 3; threads++) {
            r->c.threads = threads;
            CHECK(r->b->uniform[r->t](&r->c, &one, d, -1, 3, at(&o[0])) == 0);
            for (int64_t e = 0; e < o[0].count; e++) {
                double want = -1 + 4 * (double)drawn(state[0], state[1] + 3, e, false),
                       cell;

                set_element(r->t, &cell, 0, want);
                same = same && value(&o[0], e) == get_element(r->t, &cell, 0);
            }
            CHECK(same);
            CHECK(r->b->normal[r->t](&r->c, &one, d, 2, 0.5, at(&o[0])) == 0);
            for (int64_t e = 0; e < o[0].count; e++) {
                double want = 2 + 0.5 * (double)drawn(state[0], state[1] + 3, e, true),
                       cell;

                set_element(r->t, &cell, 0, want);
                same = same && value(&o[0], e) == get_element(r->t, &cell, 0);
            }
            CHECK(same);
            for (int add = 0; add < 2; add++) {
                memset(o[0].bytes, add ? 0 : 0xff, (size_t)o[0].room * type_size(r->t));
                CHECK(r->b->dropout[r->t](&r->c, &two, at(&o[1]), 0.3, d, add,
                                          at(&o[0])) == 0);
                for (int64_t e = 0; e < o[0].count; e++) {
                    bool keep = (double)drawn(state[0], state[1] + 3, e, false) >= 0.3;
                    double want = keep ? value(&o[1], e) / 0.7 : 0, got = value(&o[0], e);

                    same = same && fabs(got - want) <= 2 * type_eps(r->t) * fabs(want);
                }
                CHECK(same);
            }
        }
        CHECK(r->b->dropout[r->t](&r->c, &two, at(&o[1]), 1, d, false, at(&o[0])) == 0);
        for (int64_t e = 0; e < o[0].count; e++)
            same = same && value(&o[0], e) == 0;
        CHECK(same);
        free(o[0].bytes), free(o[1].bytes);
    }
    CHECK(r->b->draw_save[TP_I64](&r->c, d, saved) == 0);
    CHECK((uint64_t)saved[0] == state[0] && (uint64_t)saved[1] == state[1] + 3);
}

Test(kernels_rows, random)
{
    each_trial(try_random, LEN(draws));
}

/* ---- updates ---- */

enum { TENSORS = 4 };

static const int64_t sizes[TENSORS] = { 5, 0, 20011, 8192 };

typedef struct group {
    tp_update u[TENSORS];
    void *p[TENSORS], *g[TENSORS], *m[TENSORS], *v[TENSORS];
    double *wp[TENSORS], *wm[TENSORS], *wv[TENSORS], *wg[TENSORS];
} group;

static group make_group(tp_dtype t)
{
    group s;

    for (int k = 0; k < TENSORS; k++) {
        int64_t n = sizes[k];

        s.p[k] = numbers(t, n, -1, 1), s.g[k] = numbers(t, n, -1, 1);
        s.m[k] = numbers(t, n, 0, 0), s.v[k] = numbers(t, n, 0, 0);
        s.wp[k] = as_doubles(t, s.p[k], n), s.wg[k] = as_doubles(t, s.g[k], n);
        s.wm[k] = doubles(n), s.wv[k] = doubles(n);
        s.u[k] = (tp_update){ n, s.g[k], s.p[k], s.m[k], s.v[k] };
    }
    return s;
}

static void free_group(group *s)
{
    for (int k = 0; k < TENSORS; k++) {
        free(s->p[k]), free(s->g[k]), free(s->m[k]), free(s->v[k]);
        free(s->wp[k]), free(s->wg[k]), free(s->wm[k]), free(s->wv[k]);
    }
}

/* After ten steps: in f64 within 1e-12, else as roundings of ten steps allow. */
static void check_group(const trial *r, const group *s)
{
    for (int k = 0; k < TENSORS; k++) {
        double *got = as_doubles(r->t, s->p[k], sizes[k]), off = 0, size = 1e-300;

        for (int64_t i = 0; i < sizes[k]; i++) {
            off += (got[i] - s->wp[k][i]) * (got[i] - s->wp[k][i]);
            size += s->wp[k][i] * s->wp[k][i];
        }
        CHECK(sqrt(off / size) <= (r->t == TP_F64 ? 1e-12 : 10 * type_eps(r->t)));
        free(got);
    }
}

static const tp_sgd_args sgds[] = {
    { 0, 0, 0, false },        { 0, 0, 0.1, false },   { 0.9, 0, 0, false },
    { 0.9, 0.2, 0.01, false }, { 0.9, 0, 0.01, true },
};
static const tp_adam_args adams[] = {
    { 0.9, 0.999, 1e-8, 0, false },
    { 0.9, 0.95, 1e-6, 0.1, true },
    { 0.8, 0.99, 1e-8, 0.1, false },
};

static void expect_sgd(group *s, tp_sgd_args a, double lr, int step)
{
    for (int k = 0; k < TENSORS; k++)
        for (int64_t i = 0; i < sizes[k]; i++) {
            double d = s->wg[k][i] + a.weight_decay * s->wp[k][i], *m = &s->wm[k][i];

            if (a.momentum != 0) {
                *m = step == 1 ? d : a.momentum * *m + (1 - a.dampening) * d;
                d = a.nesterov ? d + a.momentum * *m : *m;
            }
            s->wp[k][i] -= lr * d;
        }
}

static void expect_adam(group *s, tp_adam_args a, double lr, int step)
{
    double fix1 = 1 - pow(a.beta1, step), fix2 = 1 - pow(a.beta2, step);

    for (int k = 0; k < TENSORS; k++)
        for (int64_t i = 0; i < sizes[k]; i++) {
            double *p = &s->wp[k][i], *m = &s->wm[k][i], *v = &s->wv[k][i];
            double d = s->wg[k][i] + (a.decoupled ? 0 : a.weight_decay * *p);

            if (a.decoupled) *p *= 1 - lr * a.weight_decay;
            *m = a.beta1 * *m + (1 - a.beta1) * d,
            *v = a.beta2 * *v + (1 - a.beta2) * d * d;
            *p -= lr / fix1 * *m / (sqrt(*v) / sqrt(fix2) + a.eps);
        }
}

static void try_update(trial *r, int i)
{
    bool sgd = i < LEN(sgds);
    void *kept;

    CASE("%s %s %s case %d", sgd ? "sgd" : "adam", level, type_names[r->t], i);
    for (int threads = 1; threads <= 3; threads++) {
        double lr = 0.01, step = 0;
        group s =
            make_group(TP_F64); /* drawn anew below, so that all counts see the same */

        free_group(&s), s = make_group(r->t), r->c.threads = threads;
        for (int k = 0; k < TENSORS; k++)
            for (int64_t e = 0; e < sizes[k]; e++) {
                set_element(r->t, s.p[k], e, s.wp[k][e] = (double)(e * 7 % 64) / 32 - 1);
                set_element(r->t, s.g[k], e,
                            s.wg[k][e] = (double)(e * 5 % 64) / 64 - 0.4375);
                if (sgd)
                    set_element(r->t, s.m[k], e,
                                NAN); /* the first step must not read it */
            }
        for (int n = 1; n <= (r->t == TP_BF16 ? 1 : 10); n++) {
            CHECK(r->b->tick[TP_F64](&r->c, &step) == 0 && step == n);
            if (sgd)
                CHECK(r->b->sgd[r->t](&r->c, TENSORS, s.u, sgds[i], &lr, &step) == 0);
            else
                CHECK(r->b->adam[r->t](&r->c, TENSORS, s.u, adams[i - LEN(sgds)], &lr,
                                       &step) == 0);
            if (sgd)
                expect_sgd(&s, sgds[i], lr, n);
            else
                expect_adam(&s, adams[i - LEN(sgds)], lr, n);
        }
        same_bits(&kept, s.p[2], (size_t)sizes[2] * type_size(r->t), threads);
        check_group(r, &s);
        free_group(&s);
    }
}

Test(kernels_rows, updates)
{
    each_trial(try_update, LEN(sgds) + LEN(adams));
}

static void try_clip(trial *r, int i)
{
    group s = make_group(r->t);
    long double want = i == 2 ? 5 : 0;
    double norm = 5, first = 0, max = i == 1 ? 1e9 : 0.5, factor;

    CASE("clip %s %s case %d", level, type_names[r->t], i);
    for (int k = 0; k < TENSORS; k++)
        for (int64_t e = 0; e < sizes[k]; e++) {
            if (i == 3 && r->t == TP_F32) /* squares overflow a float */
                set_element(r->t, s.g[k], e, s.wg[k][e] = 0x1p70);
            want += (long double)s.wg[k][e] * (long double)s.wg[k][e];
        }
    for (int threads = 1; threads <= 3; threads++) {
        r->c.threads = threads, norm = 5;
        CHECK(r->b->sum_squares[r->t](&r->c, TENSORS, s.u, i == 2, &norm) == 0);
        if (threads == 1) first = norm;
        CHECK(norm == first);
    }
    CHECK(fabs(norm - (double)want) <= 1e-12 * (double)want);
    CHECK(r->b->clip_norm[r->t](&r->c, TENSORS, s.u, &norm, max) == 0);
    factor = fmin(1, max / (sqrt((double)want) + 1e-6));
    for (int k = 0; k < TENSORS; k++) {
        for (int64_t e = 0; e < sizes[k]; e++)
            s.wg[k][e] *= factor;
        check_array(r->t, r->t, s.g[k], s.wg[k], sizes[k], 1);
    }
    free_group(&s);
}

Test(kernels_rows, clip)
{
    each_trial(try_clip, 4);
}
