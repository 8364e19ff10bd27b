/*
 * gradients.h - ops against finite differences in f64, once and twice, as a table of rows.
 *
 * A row is a function of tensors, their shapes and range, and which derivatives exist.  The
 * worst error over all rows is printed.  A family's test has rows of its own and GRADIENTS(rows).
 */
#ifndef TP_TESTS_GRADIENTS_H
#define TP_TESTS_GRADIENTS_H

#include "tests/check.h"

#define F(name, expression)                                                              \
    static tp_tensor *name(tp_list in, void *user)                                       \
    {                                                                                    \
        tp_tensor *a = in.t[0], *b = in.n > 1 ? in.t[1] : NULL, *c = in.n > 2 ? in.t[2] : NULL; \
        (void)user, (void)a, (void)b, (void)c;                                           \
        return expression;                                                               \
    }

enum { ONCE = 1 }; /* no second derivative */
typedef struct row {
    const char *name;
    tp_function *f;
    int n;
    tp_shape s[7];
    double lo;
    void *(*user)(tp_device *dev); /* what f is given besides, or NULL */
    int flags;
} row;

#define R0         { 0, { 0 } }
#define R1(a)      { 1, { a } }
#define R2(a, b)   { 2, { a, b } }
#define R3(a, b, c) { 3, { a, b, c } }
#define R4(a, b, c, d) { 4, { a, b, c, d } }

static inline double check_row(const row *k, bool twice, tp_device *dev)
{
    tp_tensor *in[7] = { NULL };
    tp_gradcheck_report r;
    bool ok;

    TP_SCOPE;
    CASE("%s on %s, %s", k->name, tp_device_name(dev), twice ? "twice" : "once");
    for (int j = 0; j < k->n; j++)
        in[j] = check_leaf(k->s[j], k->lo, 1.5, dev);
    ok = (twice ? tp_gradgradcheck : tp_gradcheck)(k->f, (tp_list){ in, k->n }, k->user ? k->user(dev) : NULL, &r);
    if (twice && k->flags == ONCE) {
        cr_expect(!ok && strstr(tp_error(), "has no second derivative"), "%s: %s", check_name, tp_error());
        tp_clear_error();
        return 0;
    }
    cr_expect(ok, "%s: worst %.3g at %s  [%s]", check_name, r.worst, r.where, tp_error());
    tp_clear_error();
    return r.worst;
}

static inline void check_rows(const char *family, const row *rows, int n, bool twice)
{
    double worst = 0;
    tp_device *dev;

    for (int d = 0; (dev = check_device(d)); d++)
        for (int i = 0; i < n; i++) {
            double w = check_row(&rows[i], twice, dev);

            worst = w > worst ? w : worst;
        }
    fprintf(stderr, "gradients of %s, %s: worst relative error %.2g over %d functions\n", family,
            twice ? "twice" : "once", worst, n);
}

/* The two tests of a table of rows, named after the family. */
#define GRADIENTS(family, rows)                                                          \
    Test(family, gradients_once)                                                         \
    {                                                                                    \
        check_rows(#family, rows, TP_LEN(rows), false);                                  \
    }                                                                                    \
    Test(family, gradients_twice)                                                        \
    {                                                                                    \
        check_rows(#family, rows, TP_LEN(rows), true);                                   \
    }

#endif
