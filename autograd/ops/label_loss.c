/*
 * label_loss.c - losses of class labels in their general form: weights of classes, smoothed labels
 * (Szegedy et al. 2016), probabilities in place of labels.  cross_entropy.c has the plain one, fused.
 *
 *   nll          row r: -w[y_r] lp[r, y_r], 0 where y_r is ignored; the mean is over sum_r w[y_r]
 *   smoothed     (1 - e) nll + e / C sum_c -w[c] lp[r, c]; the mean is over the same
 *   probable     row r: -sum_c w[c] t[r, c] lp[r, c], t smoothed to (1 - e) t + e / C; the mean is over
 *                rows
 */
#include "autograd/op.h"

/* Rows and classes of one call: lp (rows, C) f32 or f64, y (rows) i64. */
typedef struct labelled {
    const char *where;
    tp_tensor *lp, *y, *weight; /* weight (C) in lp's dtype, or NULL */
    tp_tensor *counts;          /* (rows) bool: not ignored */
    tp_tensor *place;           /* (rows) i64: the label, 0 where it is ignored */
    tp_cross_entropy_opts o;
} labelled;

static tp_tensor *number_like(tp_tensor *t, double v)
{
    return tp_full(TP_SCALAR, v, tp_dtype_of(t), tp_device_of(t));
}

/* What row r counts in the mean: its label's weight, or 1. */
static tp_tensor *row_weights(const labelled *k)
{
    if (!k->weight) return tp_cast(k->counts, tp_dtype_of(k->lp));
    return tp_where(k->counts, tp_index_select(k->weight, 0, k->place), number_like(k->lp, 0));
}

static tp_tensor *reduced(tp_tensor *each, tp_reduce how, tp_tensor *over)
{
    if (how == TP_NONE) return each;
    each = tp_sum(each, TP_ALL);
    return how == TP_SUM ? each : tp_div(each, over);
}

static tp_tensor *label_rows(const labelled *k)
{
    tp_tensor *w = row_weights(k), *picked = tp_gather(k->lp, 1, tp_unsqueeze(k->place, 1)), *each, *all;
    double e = k->o.label_smoothing, classes = (double)tp_dim(k->lp, 1);

    each = tp_where(k->counts, tp_neg(tp_mul(w, tp_squeeze(picked, TP_AXES(1)))), number_like(k->lp, 0));
    if (e > 0) {
        all = tp_neg(tp_sum(k->weight ? tp_mul(k->lp, k->weight) : k->lp, TP_AXES(1)));
        all = tp_where(k->counts, all, number_like(k->lp, 0));
        each = tp_add(tp_scale(each, 1 - e), tp_scale(all, e / classes));
    }
    return reduced(each, k->o.reduction, tp_sum(w, TP_ALL));
}

/* ---- checks ---- */

static bool fits(const labelled *k, const tp_tensor *x, const tp_tensor *y)
{
    TP_REQUIRE_IN(k->where, x->shape.rank == 2 && tp_dim(x, 1) > 0, TP_ERR_SHAPE, "(N, C) is wanted, not %s", tp__text(x));
    TP_REQUIRE_IN(k->where, y->shape.rank == 1 && tp_dim(y, 0) == tp_dim(x, 0), TP_ERR_SHAPE,
                  "labels must be (%lld), not %s", (long long)tp_dim(x, 0), tp__text(y));
    TP_REQUIRE_IN(k->where, y->dtype == TP_I64 || y->dtype == TP_I32 || y->dtype == TP_U8, TP_ERR_DTYPE,
                  "labels must be i64, i32 or u8, not %s", tp__text(y));
    return true;
}

bool tp__label_opts_ok(const char *where, const tp_tensor *x, tp_cross_entropy_opts o)
{
    tp_shape classes = TP_SHAPE(tp_dim(x, 1));

    TP_REQUIRE_IN(where, o.filled, TP_ERR_ARG, "start from tp_cross_entropy_defaults()");
    TP_REQUIRE_IN(where, (unsigned)o.reduction <= TP_NONE, TP_ERR_ARG, "there is no reduction %d", o.reduction);
    TP_REQUIRE_IN(where, o.label_smoothing >= 0 && o.label_smoothing <= 1, TP_ERR_ARG, "label_smoothing %g: 0 to 1",
                  o.label_smoothing);
    TP_REQUIRE_IN(where, !o.weight || (tp__same(&o.weight->shape, &classes) && tp__is_float(o.weight) &&
                                       tp__device(o.weight) == tp__device(x)),
                  TP_ERR_SHAPE, "the weight of classes must be float %s on the device of %s, not %s",
                  tp__shape_text(classes), tp__text(x), tp__text(o.weight));
    return true;
}

/* lp in the dtype that losses have, labels with those ignored set apart. */
static bool prepare(labelled *k)
{
    tp_dtype wide = k->lp->dtype == TP_F64 ? TP_F64 : TP_F32;

    k->lp = tp_cast(k->lp, wide), k->y = tp_cast(k->y, TP_I64);
    if (k->o.weight) k->weight = tp_cast(tp_detach(k->o.weight), wide);
    k->counts = tp_ne_scalar(k->y, (double)k->o.ignore_index);
    k->place = tp_where(k->counts, k->y, tp_full(TP_SCALAR, 0, TP_I64, tp_device_of(k->y)));
    return tp_ok();
}

/* ---- the losses ---- */

tp_tensor *tp_nll_loss(tp_tensor *log_probs, tp_tensor *labels, tp_cross_entropy_opts o)
{
    labelled k = { .where = "nll_loss", .lp = log_probs, .y = labels, .o = o };

    TP_SCOPE;
    if (!tp__check("nll_loss", TP_LIST(log_probs, labels), 2) || !fits(&k, log_probs, labels)) return NULL;
    if (!tp__label_opts_ok("nll_loss", log_probs, o)) return NULL;
    TP_REQUIRE_IN("nll_loss", o.label_smoothing == 0, TP_ERR_ARG, "labels are smoothed by cross_entropy alone");
    return prepare(&k) ? tp_pass(label_rows(&k)) : NULL;
}

tp_tensor *tp__cross_entropy_labels(tp_tensor *x, tp_tensor *y, tp_cross_entropy_opts o)
{
    labelled k = { .where = "cross_entropy", .lp = x, .y = y, .o = o };

    if (!fits(&k, x, y) || !prepare(&k)) return NULL;
    k.lp = tp_log_softmax(k.lp, 1);
    return label_rows(&k);
}

tp_tensor *tp__cross_entropy_probable(tp_tensor *x, tp_tensor *t, tp_cross_entropy_opts o)
{
    tp_dtype wide = x->dtype == TP_F64 ? TP_F64 : TP_F32;
    double e = o.label_smoothing, rows = (double)tp_dim(x, 0);
    tp_tensor *lp, *each;

    TP_REQUIRE_IN("cross_entropy", x->shape.rank == 2 && tp__same(&x->shape, &t->shape) && tp_dim(x, 1) > 0, TP_ERR_SHAPE,
                  "probabilities must be (N, C) as the logits, not %s for %s", tp__text(t), tp__text(x));
    lp = tp_log_softmax(tp_cast(x, wide), 1), t = tp_cast(t, wide);
    if (e > 0) t = tp_affine(t, 1 - e, e / (double)tp_dim(x, 1));
    if (o.weight) t = tp_mul(t, tp_cast(tp_detach(o.weight), wide));
    each = tp_neg(tp_sum(tp_mul(t, lp), TP_AXES(1)));
    return reduced(each, o.reduction, number_like(lp, rows));
}
