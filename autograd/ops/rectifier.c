/*
 * rectifier.c - relatives of the rectified linear unit; ops_math.h has the formulas, curve.h
 * says how they are differentiated.
 *
 *   prelu   where(x > 0, x, weight x)
 *   glu     a sigmoid(b)
 */
#include "autograd/ops/curve.h"

TP__CURVE(silu);
TP__CURVE(mish);
TP__CURVE(softplus);
TP__CURVE(log_sigmoid);
TP__CURVE(softsign);
TP__CURVE(tanhshrink);
TP__CURVE(hardswish);
TP__CURVE(elu);
TP__CURVE_OF(selu, elu);
TP__CURVE_OF(celu, elu);
TP__BENT(hardsigmoid);
TP__BENT(hardtanh);
TP__BENT_OF(relu6, hardtanh);
TP__BENT(leaky_relu);
TP__BENT(softshrink);
TP__BENT(hardshrink);
TP__BENT(threshold);

/* ---- without options ---- */

tp_tensor *tp_silu(tp_tensor *x)
{
    return tp__curve_of(&silu_curve, x, 0, 0, 0);
}

tp_tensor *tp_mish(tp_tensor *x)
{
    return tp__curve_of(&mish_curve, x, 0, 0, 0);
}

tp_tensor *tp_log_sigmoid(tp_tensor *x)
{
    return tp__curve_of(&log_sigmoid_curve, x, 0, 0, 0);
}

tp_tensor *tp_softsign(tp_tensor *x)
{
    return tp__curve_of(&softsign_curve, x, 0, 0, 0);
}

tp_tensor *tp_tanhshrink(tp_tensor *x)
{
    return tp__curve_of(&tanhshrink_curve, x, 0, 0, 0);
}

tp_tensor *tp_hardswish(tp_tensor *x)
{
    return tp__curve_of(&hardswish_curve, x, 0, 0, 0);
}

tp_tensor *tp_hardsigmoid(tp_tensor *x)
{
    return tp__curve_of(&hardsigmoid_curve, x, 0, 0, 0);
}

tp_tensor *tp_relu6(tp_tensor *x)
{
    return tp__curve_of(&relu6_curve, x, 0, 6, 0);
}

/* ---- with options ---- */

tp_tensor *tp_leaky_relu(tp_tensor *x, double negative_slope)
{
    return tp__curve_of(&leaky_relu_curve, x, negative_slope, 0, 0);
}

tp_tensor *tp_elu(tp_tensor *x, double alpha)
{
    return tp__curve_of(&elu_curve, x, alpha, 1, 1);
}

tp_tensor *tp_celu(tp_tensor *x, double alpha)
{
    TP_REQUIRE_IN("celu", alpha != 0, TP_ERR_ARG, "alpha is 0, and divides");
    return tp__curve_of(&celu_curve, x, alpha, 1, 1 / alpha);
}

/* The numbers of the paper's appendix. */
tp_tensor *tp_selu(tp_tensor *x)
{
    const double alpha = 1.6732632423543772848170429916717, scale = 1.0507009873554804934193349852946;

    return tp__curve_of(&selu_curve, x, alpha * scale, scale, 1);
}

tp_tensor *tp_softplus(tp_tensor *x, double beta, double threshold)
{
    TP_REQUIRE_IN("softplus", beta != 0, TP_ERR_ARG, "beta is 0, and divides");
    return tp__curve_of(&softplus_curve, tp__autocast_wide(x), beta, threshold, 0);
}

static bool is_width(const char *where, double lambda)
{
    TP_REQUIRE_IN(where, lambda >= 0, TP_ERR_ARG, "lambda is %g: 0 or more is wanted", lambda);
    return true;
}

tp_tensor *tp_softshrink(tp_tensor *x, double lambda)
{
    return is_width("softshrink", lambda) ? tp__curve_of(&softshrink_curve, x, lambda, 0, 0) : NULL;
}

tp_tensor *tp_hardshrink(tp_tensor *x, double lambda)
{
    return is_width("hardshrink", lambda) ? tp__curve_of(&hardshrink_curve, x, lambda, 0, 0) : NULL;
}

tp_tensor *tp_hardtanh(tp_tensor *x, double lo, double hi)
{
    TP_REQUIRE_IN("hardtanh", lo <= hi, TP_ERR_ARG, "from %g to %g", lo, hi);
    return tp__curve_of(&hardtanh_curve, x, lo, hi, 0);
}

tp_tensor *tp_threshold(tp_tensor *x, double threshold, double value)
{
    return tp__curve_of(&threshold_curve, x, threshold, value, 0);
}

/* ---- of two tensors ---- */

/* The weight along axis 1 of x, or a single number. */
static tp_tensor *along_channels(tp_tensor *weight, const tp_tensor *x)
{
    tp_shape s = { .rank = x->shape.rank };
    int64_t n = tp_count(weight);

    TP_REQUIRE_IN("prelu", weight->shape.rank <= 1 && (n == 1 || (s.rank > 1 && n == x->shape.n[1])), TP_ERR_SHAPE,
                  "the weight %s has neither one number nor one for each channel of %s", tp__text(weight), tp__text(x));
    for (int a = 0; a < s.rank; a++)
        s.n[a] = a == 1 && n > 1 ? n : 1;
    return tp_reshape(weight, s);
}

tp_tensor *tp_prelu(tp_tensor *x, tp_tensor *weight)
{
    TP_SCOPE;
    if (!tp__check("prelu", TP_LIST(x, weight), 2)) return NULL;
    TP_REQUIRE_IN("prelu", x->dtype == weight->dtype && tp__is_float(x), TP_ERR_DTYPE,
                  "x is %s, the weight %s: floats of one dtype are wanted", tp__text(x), tp__text(weight));
    if (!(weight = along_channels(weight, x))) return NULL;
    return tp_pass(tp_where(tp_gt_scalar(x, 0), x, tp_mul(x, weight)));
}

tp_tensor *tp_glu(tp_tensor *x, int axis)
{
    tp_tensor *half[2];
    int a;

    TP_SCOPE;
    if (!tp__check("glu", TP_LIST(x), 1) || (a = tp__axis("glu", x, axis)) < 0) return NULL;
    TP_REQUIRE_IN("glu", x->shape.n[a] % 2 == 0, TP_ERR_SHAPE, "%s has no halves along axis %d", tp__text(x), axis);
    return tp_split(x, a, 2, half) ? tp_pass(tp_mul(half[0], tp_sigmoid(half[1]))) : NULL;
}
