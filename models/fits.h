/*
 * fits.h - what the models' constructors say of options, and their forwards of inputs, that can't
 * be.
 */
#ifndef TP_MODELS_FITS_H
#define TP_MODELS_FITS_H

#include "models/models.h"

#include <stdio.h>
#include <string.h>

/* Up to here products of two don't overflow; tp_nn_param refuses what has too many elements. */
enum { MOST_SIZE = 1 << 30, MOST_WIDTH = 1 << 24, MOST_DEPTH = 1024 };

/* Is this option in least .. most? */
static inline bool in_range(const char *where, const char *option, int64_t value, int64_t least,
                            int64_t most)
{
    if (value >= least && value <= most) return true;
    return tp_fail(TP_ERR_ARG, "%s: %s %lld, and %lld to %lld is possible", where, option,
                   (long long)value, (long long)least, (long long)most);
}

static inline bool is_rate(const char *where, double dropout)
{
    if (dropout >= 0 && dropout <= 1) return true;
    return tp_fail(TP_ERR_ARG, "%s: dropout %g, and 0 to 1 is possible", where, dropout);
}

static inline bool splits(const char *where, int64_t width, int heads)
{
    if (width % heads == 0) return true;
    return tp_fail(TP_ERR_ARG, "%s: width %lld can't be split into %d heads", where, (long long)width, heads);
}

/* Is m what tp_model_<kind> makes? */
static inline bool is_model(const char *where, const tp_module *m, const char *kind)
{
    if (tp_ok() && (!m || strcmp(tp_nn_kind(m), kind)))
        return tp_fail(TP_ERR_ARG, "%s: a model of tp_model_%s is wanted, not %s", where, kind,
                       m ? tp_nn_kind(m) : "nothing");
    return tp_ok();
}

/* Are there least .. most inputs, none of them missing? */
static inline bool given(const tp_module *m, tp_list in, int least, int most)
{
    if (tp_ok() && (in.n < least || in.n > most)) {
        char or_more[24] = "";

        if (most > least) snprintf(or_more, sizeof or_more, " to %d", most);
        return tp_fail(TP_ERR_ARG, "%s: it takes %d%s input%s, not %d", tp_nn_kind(m),
                       least, or_more, most > 1 ? "s" : "", in.n);
    }
    for (int i = 0; tp_ok() && i < in.n; i++)
        if (!in.t[i]) return tp_fail(TP_ERR_ARG, "%s: input %d is missing", tp_nn_kind(m), i);
    return tp_ok();
}

/* The shape of x as it is written: "(3, 5)". */
typedef struct shape_text {
    char s[160];
} shape_text;

static inline shape_text text_of_shape(const tp_tensor *x)
{
    shape_text t;
    size_t n = 1, room = sizeof t.s - 1;

    t.s[0] = '(';
    for (int i = 0; n < room && i < tp_rank(x); i++)
        n += (size_t)snprintf(t.s + n, room - n, "%s%lld", i ? ", " : "", (long long)tp_dim(x, i));
    n = n < room ? n : room - 1, t.s[n] = ')', t.s[n + 1] = 0;
    return t;
}

static inline bool same_shape(const tp_tensor *x, const tp_tensor *y)
{
    bool same = tp_rank(x) == tp_rank(y);

    for (int i = 0; same && i < tp_rank(x); i++)
        same = tp_dim(x, i) == tp_dim(y, i);
    return same;
}

/* Is x of this shape, in which any size fits a 0?  text: how the shape is written, "(N, T)". */
static inline bool shaped(const tp_module *m, tp_tensor *x, const char *what, tp_shape s,
                          const char *text)
{
    bool fits = tp_rank(x) == s.rank;

    for (int i = 0; fits && i < s.rank; i++)
        fits = !s.n[i] || tp_dim(x, i) == s.n[i];
    return fits || tp_fail(TP_ERR_SHAPE, "%s: %s must be %s, not %s", tp_nn_kind(m), what, text,
                           text_of_shape(x).s);
}

/* One input, and labels (N) behind it where the model has classes? */
static inline bool labelled(const tp_module *m, int64_t classes, tp_list in)
{
    int n = classes ? 2 : 1;

    if (tp_ok() && classes && in.n == 1)
        return tp_fail(TP_ERR_ARG, "%s: it is conditional, and labels are missing", tp_nn_kind(m));
    return given(m, in, n, n) &&
           (!classes || shaped(m, in.t[1], "labels", TP_SHAPE(tp_dim(in.t[0], 0)), "(N)"));
}

#endif
