/*
 * ctc.c - connectionist temporal classification (Graves et al. 2006).
 *
 *   loss_n  = -log sum over paths of e^(sum of x along the path)
 *   dx      = -dloss_n (the share of the paths that are at class c at time t)
 *   mean    = sum of loss_n / max(1, labels of n), over N
 */
#include "autograd/op.h"

enum { X, LABELS, TIMES, LENGTHS };
enum { SAVED_X, SAVED_LABELS, SAVED_TIMES, SAVED_LENGTHS, ALPHA, ALL_PATHS };

static const tp_op ctc_dx_op = { .name = "ctc_loss_dx" };

static tp_tensor *ctc_dx(tp_sink to, tp_node *n, tp_tensor *dloss)
{
    tp_tensor *x = tp__saved(n, SAVED_X), *labels = tp__saved(n, SAVED_LABELS), *times = tp__saved(n, SAVED_TIMES);
    tp_tensor *lengths = tp__saved(n, SAVED_LENGTHS), *alpha = tp__saved(n, ALPHA), *all = tp__saved(n, ALL_PATHS);
    const tp_ctc_args *k = tp__attr(n);
    tp_place dx;

    if (!(dloss = tp__rows(dloss)) || !x || !labels || !times || !lengths || !alpha || !all) return NULL;
    dx = tp__place(to, x->shape, x, TP_ROW_MAJOR, TP_DENSE_ONLY);
    if (!dx.t || !TP_RUN(ctc_dx, x, k, tp__data(x), tp__data(labels), tp__data(times), tp__data(lengths),
                         tp__data(alpha), tp__data(all), tp__data(dloss), dx.add, tp__data(dx.t)))
        return NULL;
    return tp__record(&ctc_dx_op, TP_LIST(x, dloss), dx.t, TP_NONE_SAVED, NULL, 0);
}

static void ctc_backward(tp_node *n)
{
    tp__give(n, X, ctc_dx(tp__sink(n, X), n, tp__dy(n, 0)));
}

static const tp_op ctc_op = { .name = "ctc_loss", .backward = ctc_backward };

/* ---- checks ---- */

static bool whole_numbers(const tp_tensor *t, const char *what)
{
    TP_REQUIRE_IN("ctc_loss", t->dtype == TP_I64 || t->dtype == TP_I32 || t->dtype == TP_U8, TP_ERR_DTYPE,
                  "%s must be i64, i32 or u8, not %s", what, tp__text(t));
    return true;
}

static bool fits(const tp_tensor *x, const tp_tensor *labels, const tp_tensor *times, const tp_tensor *lengths,
                 tp_ctc_opts o)
{
    tp_shape n = TP_SHAPE(tp_dim(x, 1));

    TP_REQUIRE_IN("ctc_loss", x->shape.rank == 3 && tp_dim(x, 2) > 0, TP_ERR_SHAPE,
                  "log_probs must be (T, N, C), not %s", tp__text(x));
    TP_REQUIRE_IN("ctc_loss", labels->shape.rank == 2 && tp_dim(labels, 0) == n.n[0], TP_ERR_SHAPE,
                  "labels must be (%lld, S), not %s", (long long)n.n[0], tp__text(labels));
    TP_REQUIRE_IN("ctc_loss", tp__same(&times->shape, &n) && tp__same(&lengths->shape, &n), TP_ERR_SHAPE,
                  "lengths must be %s, not %s and %s", tp__shape_text(n), tp__text(times), tp__text(lengths));
    TP_REQUIRE_IN("ctc_loss", o.blank >= 0 && o.blank < tp_dim(x, 2), TP_ERR_ARG, "blank %lld of %lld classes",
                  (long long)o.blank, (long long)tp_dim(x, 2));
    TP_REQUIRE_IN("ctc_loss", (unsigned)o.reduction <= TP_NONE, TP_ERR_ARG, "there is no reduction %d", o.reduction);
    return whole_numbers(labels, "labels") && whole_numbers(times, "input_lengths") &&
           whole_numbers(lengths, "target_lengths");
}

/* ---- forward ---- */

/* loss_n, recorded. */
static tp_tensor *each(tp_tensor *x, tp_tensor *labels, tp_tensor *times, tp_tensor *lengths, tp_ctc_opts o)
{
    tp_ctc_args k = { tp_dim(x, 0), tp_dim(x, 1), tp_dim(x, 2), tp_dim(labels, 1), o.blank, o.zero_infinity };
    tp_dtype wide = x->dtype == TP_F64 ? TP_F64 : TP_F32;
    tp_tensor *alpha = tp__new(TP_SHAPE(k.batch, k.times, 2 * k.most + 1), wide, tp__device(x));
    tp_tensor *loss = tp__new(TP_SHAPE(k.batch), wide, tp__device(x)), *all = tp__new(TP_SHAPE(k.batch), wide, tp__device(x));

    if (!alpha || !loss || !all) return NULL;
    if (!TP_RUN(ctc, x, &k, tp__data(x), tp__data(labels), tp__data(times), tp__data(lengths), tp__data(alpha),
                tp__data(all), tp__data(loss)))
        return NULL;
    return tp__record(&ctc_op, TP_LIST(x, labels, times, lengths), loss, TP_LIST(x, labels, times, lengths, alpha, all),
                      &k, sizeof k);
}

/* loss_n / max(1, labels of n), over N. */
static tp_tensor *mean_per_label(tp_tensor *loss, tp_tensor *lengths)
{
    tp_tensor *n = tp_relu(tp_shift(tp_cast(lengths, tp_dtype_of(loss)), -1)); /* max(0, n - 1), and 1 again */

    return tp_mean(tp_div(loss, tp_shift(n, 1)), TP_ALL);
}

tp_tensor *tp_ctc_loss(tp_tensor *log_probs, tp_tensor *labels, tp_tensor *input_lengths, tp_tensor *target_lengths,
                       tp_ctc_opts o)
{
    tp_tensor *x, *y, *times, *lengths, *loss;

    TP_SCOPE;
    if (!tp__check("ctc_loss", TP_LIST(log_probs, labels, input_lengths, target_lengths), 4)) return NULL;
    if (!fits(log_probs, labels, input_lengths, target_lengths, o)) return NULL;
    x = tp__rows(tp__autocast_loss(log_probs)), y = tp__rows(tp_cast(labels, TP_I64));
    times = tp__rows(tp_cast(input_lengths, TP_I64)), lengths = tp__rows(tp_cast(target_lengths, TP_I64));
    if (!x || !y || !times || !lengths || !(loss = each(x, y, times, lengths, o))) return NULL;
    if (o.reduction == TP_NONE) return tp_pass(loss);
    return tp_pass(o.reduction == TP_SUM ? tp_sum(loss, TP_ALL) : mean_per_label(loss, lengths));
}
