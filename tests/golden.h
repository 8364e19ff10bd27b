/*
 * golden.h - ops, forward and backward, against what PyTorch computed.
 *
 * tests/golden/golden.py tells the names in the files.  Each case runs in f64, f32 and bf16, with
 * its operands dense, as strided slices, and, where they have four axes, channels-last.
 *
 * A result may differ from the reference by c epsilon sqrt(length) times the norm of the
 * reference, length being that of the longest sum in it, and c = 8 throughout.
 */
#ifndef TP_TESTS_GOLDEN_H
#define TP_TESTS_GOLDEN_H

#include "tests/check.h"

#ifndef TP_GOLDEN
#define TP_GOLDEN "tests/golden"
#endif

enum { MOST = 48 };
static const double tolerance_factor = 8;

typedef struct kase {
    const tp_file *f;
    char name[64];
    tp_device *dev;
    tp_dtype dtype;
    bool wide; /* in bf16 all operands but the first are f32: a norm's weights and statistics */
    tp_tensor *in[MOST], *out[MOST];
    int n_in, n_out, n_opts, n_fopts;
    int64_t opts[8];
    double fopts[4];
} kase;

/* ---- the files ---- */

static inline tp_file *open_golden(const char *stem)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s.safetensors", TP_GOLDEN, stem);
    return tp_file_open(path);
}

static inline tp_tensor *get(const tp_file *f, const char *name, const char *role, int i, tp_device *dev)
{
    char full[128];
    int at;

    if (i >= 0) snprintf(full, sizeof full, "%s.%s.%d", name, role, i);
    else snprintf(full, sizeof full, "%s.%s", name, role);
    at = tp_file_find(f, full);
    return at < 0 ? NULL : tp_file_read(f, at, dev);
}

static inline void get_options(kase *k)
{
    tp_tensor *o = get(k->f, k->name, "opts", -1, tp_device_open("cpu"));
    tp_tensor *r = get(k->f, k->name, "fopts", -1, tp_device_open("cpu"));

    k->n_opts = (int)tp_count(o), k->n_fopts = (int)tp_count(r);
    cr_expect(!o || tp_read(o, k->opts, sizeof *k->opts * (size_t)k->n_opts), "%s", tp_error());
    cr_expect(!r || tp_read(r, k->fopts, sizeof *k->fopts * (size_t)k->n_fopts), "%s", tp_error());
}

/* ---- how operands lie in memory ---- */

typedef enum dress { DENSE, STRIDED, LAST, DRESSES } dress;
static const char *const dress_name[] = { "dense", "strided", "channels-last" };

static inline tp_tensor *dressed(tp_tensor *x, dress d)
{
    if (d == STRIDED && tp_rank(x))
        return tp_slice(tp_concat(TP_LIST(x, x), -1), -1, 0, tp_dim(x, -1));
    return d == LAST && tp_rank(x) == 4 ? tp_channels_last(x) : x;
}

static inline bool load_operands(kase *k, dress how)
{
    bool differs = how == DENSE;

    for (k->n_in = 0; k->n_in < MOST; k->n_in++) {
        tp_tensor *x = get(k->f, k->name, "in", k->n_in, k->dev), *y;
        tp_dtype d = k->wide && k->n_in && k->dtype == TP_BF16 ? TP_F32 : k->dtype;

        if (!x) break;
        if (tp_dtype_of(x) == TP_F64) x = tp_cast(x, d);
        y = dressed(x, how);
        differs = differs || (y != x && !tp_is_contiguous(y));
        k->in[k->n_in] = tp_detach(y);
        if (tp__is_float(y)) tp_requires_grad(k->in[k->n_in], true);
    }
    return differs; /* otherwise the case has run already */
}

/* ---- comparing ---- */

static inline double *values(tp_tensor *t)
{
    double *v = malloc(sizeof *v * (size_t)(tp_count(t) + 1));

    cr_expect(tp_read(tp_cast(tp_detach(t), TP_F64), v, sizeof *v * (size_t)tp_count(t)), "%s", tp_error());
    return v;
}

static inline void compare(const kase *k, const char *what, int i, tp_tensor *got, tp_tensor *want, double length)
{
    double epsilon = k->dtype == TP_F64 ? 0x1p-52 : k->dtype == TP_F32 ? 0x1p-23 : 0x1p-8, norm = 0, error = 0, bound;
    tp_shape a = tp_shape_of(got), b = tp_shape_of(want);
    double *x, *y;

    cr_expect(got && tp__same(&a, &b), "%s: %s %d is %s, not %s  [%s]", check_name, what, i, tp__text(got),
              tp__text(want), tp_error());
    if (!got || !tp__same(&a, &b)) return;
    x = values(got), y = values(want);
    for (int64_t j = 0; j < tp_count(want); j++) {
        if ((isnan(x[j]) && isnan(y[j])) || x[j] == y[j]) continue;
        norm += y[j] * y[j], error += (x[j] - y[j]) * (x[j] - y[j]);
    }
    for (int64_t j = 0; j < tp_count(want); j++)
        if (x[j] == y[j] && isfinite(y[j])) norm += y[j] * y[j];
    bound = tolerance_factor * epsilon * sqrt(length) * fmax(sqrt(norm), epsilon);
    cr_expect(sqrt(error) <= bound, "%s: %s %d is off by %.3g, %.3g is allowed", check_name, what, i, sqrt(error), bound);
    free(x), free(y);
}

/* sum of <out, dout>: its gradients are those that PyTorch was asked for */
static inline tp_tensor *folded(const kase *k)
{
    tp_tensor *sum = NULL;

    for (int i = 0; i < k->n_out; i++) {
        tp_tensor *d = get(k->f, k->name, "dout", i, k->dev), *part;

        if (!d || !k->out[i]) continue;
        part = tp_sum(tp_mul(k->out[i], tp_cast(d, k->dtype)), TP_ALL);
        sum = sum ? tp_add(sum, part) : part;
    }
    return sum;
}

static inline double longest(const kase *k)
{
    double n = 1;

    for (int i = 0; i < k->n_in; i++)
        n = fmax(n, (double)tp_count(k->in[i]));
    return n;
}

static inline void check_case(kase *k, bool (*run)(kase *k))
{
    tp_tensor *sum;

    if (!run(k)) {
        cr_expect(false, "%s: failed: %s", check_name, tp_error());
        tp_clear_error();
        return;
    }
    for (int i = 0; i < k->n_out; i++)
        compare(k, "output", i, k->out[i], get(k->f, k->name, "out", i, k->dev), longest(k));
    if (!(sum = folded(k))) return;
    CHECK(tp_backward(sum));
    for (int i = 0; i < k->n_in; i++) {
        tp_tensor *want = get(k->f, k->name, "grad", i, k->dev);

        if (want) compare(k, "gradient", i, tp_grad(k->in[i]), want, longest(k));
    }
    CHECK(tp_ok());
    tp_clear_error();
}

/* ---- bf16 ----
 * Against the same op in f64 on the same rounded operands; one rounding of each result, and the
 * rule above with bf16's epsilon, since sums are kept in f32. */

static inline void round_operands(kase *k, kase *exact)
{
    exact->n_in = k->n_in;
    for (int i = 0; i < k->n_in; i++) {
        exact->in[i] = k->in[i];
        if (!tp__is_float(k->in[i])) continue;
        exact->in[i] = tp_requires_grad(tp_detach(tp_cast(tp_detach(k->in[i]), TP_F64)), true);
    }
}

static inline void check_bf16(kase *k, bool (*run)(kase *k))
{
    kase exact = *k;
    tp_tensor *sum, *sum_exact;

    exact.dtype = TP_F64;
    round_operands(k, &exact);
    if (!run(k)) {
        cr_expect(false, "%s: failed: %s", check_name, tp_error());
        tp_clear_error();
        return;
    }
    cr_assert(run(&exact), "%s: %s", check_name, tp_error());
    for (int i = 0; i < k->n_out; i++)
        compare(k, "output", i, k->out[i], exact.out[i], longest(k));
    sum = folded(k), sum_exact = folded(&exact);
    if (!sum) return;
    CHECK(tp_backward(sum));
    CHECK(tp_backward(sum_exact));
    for (int i = 0; tp_ok() && i < k->n_in; i++)
        if (tp_grad(exact.in[i])) compare(k, "gradient", i, tp_grad(k->in[i]), tp_grad(exact.in[i]), longest(k));
    CHECK(tp_ok());
    tp_clear_error();
}

typedef struct entry {
    const char *op;
    bool (*run)(kase *k);
    bool wide;
} entry;

static inline int check_op(const tp_file *f, const entry *e)
{
    static const tp_dtype dtypes[] = { TP_F64, TP_F32, TP_BF16 };
    tp_device *dev;
    int n = 0;

    for (int d = 0; (dev = check_device(d)); d++)
        for (int c = 0;; c++) {
            char first[96];

            snprintf(first, sizeof first, "%s.%d.out.0", e->op, c);
            if (tp_file_find(f, first) < 0) break;
            for (int t = 0; t < TP_LEN(dtypes); t++)
                for (dress how = DENSE; how < DRESSES; how++) {
                    kase k = { .f = f, .dev = dev, .dtype = dtypes[t], .wide = e->wide };

                    TP_SCOPE;
                    snprintf(k.name, sizeof k.name, "%s.%d", e->op, c);
                    CASE("%s, %s, %s, %s", k.name, tp_dtype_name(k.dtype), dress_name[how], tp_device_name(dev));
                    get_options(&k);
                    if (load_operands(&k, how)) (k.dtype == TP_BF16 ? check_bf16 : check_case)(&k, e->run), n++;
                }
        }
    cr_expect(n > 0, "no case of %s", e->op);
    return n;
}

/* ---- what a test of ops is made of ---- */

#define ONE(k, y) (((k)->out[0] = (y)), (k)->n_out = 1, (k)->out[0] != NULL)
#define UNARY(op) static bool run_##op(kase *k) { return ONE(k, tp_##op(k->in[0])); }
#define BINARY(op) static bool run_##op(kase *k) { return ONE(k, tp_##op(k->in[0], k->in[1])); }

static inline tp_axes axes_of(const kase *k, int from)
{
    tp_axes a = { .n = k->n_opts - from };

    for (int i = 0; i < a.n; i++)
        a.axis[i] = (int)k->opts[from + i];
    return a;
}

static inline tp_axes fold_of(const kase *k)
{
    tp_axes a = axes_of(k, 1);

    a.keep = k->opts[0];
    return a;
}

static inline void check_file(const char *stem, const entry *ops, int n)
{
    tp_file *f = open_golden(stem);
    int cases = 0;

    cr_assert(f, "%s", tp_error());
    for (int i = 0; i < n; i++)
        cases += check_op(f, &ops[i]);
    fprintf(stderr, "golden %s: %d cases\n", stem, cases);
    tp_file_close(f);
}

#define R(op)      { #op, run_##op, false }
#define R_WIDE(op) { #op, run_##op, true }
#define GOLDEN(stem, ...)                                                                \
    Test(golden, stem)                                                                   \
    {                                                                                    \
        static const entry ops[] = { __VA_ARGS__ };                                      \
        check_file(#stem, ops, TP_LEN(ops));                                             \
    }

#endif
