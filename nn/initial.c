/*
 * initial.c - the kinds of initial values: what they mean for a shape, and their numbers.
 *
 * Numbers are drawn in f32 on the host, then cast, so that a seed means one network in every
 * dtype.  Contraction is off here.
 */
#include "nn/internal.h"

#include "kernels/philox.h"

#include <string.h>

/* ---- by their names ---- */

tp_init tp_init_constant(double v)
{
    return (tp_init){ .kind = TP_INIT_CONSTANT, .a = v };
}

tp_init tp_init_uniform(double a, double b)
{
    return (tp_init){ .kind = TP_INIT_UNIFORM, .a = a, .b = b };
}

tp_init tp_init_normal(double mean, double std)
{
    return (tp_init){ .kind = TP_INIT_NORMAL, .a = mean, .b = std };
}

tp_init tp_init_trunc_normal(double mean, double std, double a, double b)
{
    return (tp_init){ TP_INIT_TRUNC_NORMAL, mean, std, a, b };
}

tp_init tp_init_xavier_uniform(double gain)
{
    return (tp_init){ .kind = TP_INIT_XAVIER_UNIFORM, .a = gain };
}

tp_init tp_init_xavier_normal(double gain)
{
    return (tp_init){ .kind = TP_INIT_XAVIER_NORMAL, .a = gain };
}

static tp_init kaiming(tp_init_kind kind, tp_kaiming_opts o)
{
    double gain = tp_init_gain(o.nonlinearity ? o.nonlinearity : "leaky_relu", o.a);

    return (tp_init){ .kind = kind, .a = gain, .b = o.mode };
}

tp_init tp_init_kaiming_uniform(tp_kaiming_opts o)
{
    return kaiming(TP_INIT_KAIMING_UNIFORM, o);
}

tp_init tp_init_kaiming_normal(tp_kaiming_opts o)
{
    return kaiming(TP_INIT_KAIMING_NORMAL, o);
}

tp_init tp_init_orthogonal(double gain)
{
    return (tp_init){ .kind = TP_INIT_ORTHOGONAL, .a = gain };
}

tp_init tp_init_eye(void)
{
    return (tp_init){ .kind = TP_INIT_EYE };
}

tp_init tp_init_dirac(int groups)
{
    return (tp_init){ .kind = TP_INIT_DIRAC, .a = groups };
}

double tp_init_gain(const char *nonlinearity, double param)
{
    static const char *const linear[] = { "linear",           "conv1d",
                                          "conv2d",           "conv3d",
                                          "conv_transpose1d", "conv_transpose2d",
                                          "conv_transpose3d", "sigmoid" };

    if (!tp_ok()) return NAN;
    if (!nonlinearity) return tp__fail(TP_ERR_ARG, __func__, "missing nonlinearity"), NAN;
    for (int i = 0; i < TP_LEN(linear); i++)
        if (!strcmp(nonlinearity, linear[i])) return 1;
    if (!strcmp(nonlinearity, "tanh")) return 5. / 3;
    if (!strcmp(nonlinearity, "relu")) return sqrt(2);
    if (!strcmp(nonlinearity, "leaky_relu")) return sqrt(2 / (1 + param * param));
    if (!strcmp(nonlinearity, "selu")) return .75;
    return tp__fail(TP_ERR_ARG, __func__, "there is no gain for \"%s\"", nonlinearity), NAN;
}

/* ---- do they make sense? ---- */

/* The numbers that a kind is made of. */
static bool numbers_fit(const char *where, const char *name, tp_init k)
{
    TP_REQUIRE_IN(where, k.kind != TP_INIT_UNIFORM || k.a <= k.b, TP_ERR_ARG,
                  "%s: uniform from %g to %g", name, k.a, k.b);
    TP_REQUIRE_IN(where, k.kind != TP_INIT_NORMAL || k.b >= 0, TP_ERR_ARG, "%s: a deviation of %g",
                  name, k.b);
    TP_REQUIRE_IN(where,
                  k.kind != TP_INIT_TRUNC_NORMAL ||
                      (isfinite(k.a) && k.b > 0 && isfinite(k.b) && k.lo <= k.hi),
                  TP_ERR_ARG, "%s: normal with mean %g and deviation %g from %g to %g", name, k.a,
                  k.b, k.lo, k.hi);
    TP_REQUIRE_IN(where,
                  k.kind < TP_INIT_XAVIER_UNIFORM || k.kind > TP_INIT_ORTHOGONAL || isfinite(k.a),
                  TP_ERR_ARG, "%s: a gain of %g", name, k.a);
    TP_REQUIRE_IN(where,
                  k.kind < TP_INIT_KAIMING_UNIFORM || k.kind > TP_INIT_KAIMING_NORMAL ||
                      k.b == TP_FAN_IN || k.b == TP_FAN_OUT,
                  TP_ERR_ARG, "%s: there is no fan %g", name, k.b);
    return true;
}

bool tp__init_fits(const char *where, const char *name, tp_shape s, tp_init k)
{
    bool fans = k.kind >= TP_INIT_XAVIER_UNIFORM && k.kind <= TP_INIT_KAIMING_NORMAL;

    TP_REQUIRE_IN(where, (unsigned)k.kind <= TP_INIT_DIRAC, TP_ERR_ARG,
                  "%s: there is no kind %d of initial values", name, (int)k.kind);
    if (!numbers_fit(where, name, k)) return false;
    TP_REQUIRE_IN(where, !fans || s.rank >= 2, TP_ERR_SHAPE, "%s is %s: fans are of 2 axes or more",
                  name, tp__shape_text(s));
    TP_REQUIRE_IN(where, k.kind != TP_INIT_ORTHOGONAL || s.rank >= 2, TP_ERR_SHAPE,
                  "%s is %s: orthogonal is a matrix, of 2 axes or more", name, tp__shape_text(s));
    TP_REQUIRE_IN(where, k.kind != TP_INIT_EYE || s.rank == 2, TP_ERR_SHAPE,
                  "%s is %s: an identity has 2 axes", name, tp__shape_text(s));
    TP_REQUIRE_IN(where, k.kind != TP_INIT_DIRAC || (s.rank >= 3 && s.rank <= 5), TP_ERR_SHAPE,
                  "%s is %s: dirac is for a convolution's weight, of 3 to 5 axes", name,
                  tp__shape_text(s));
    TP_REQUIRE_IN(where, k.kind != TP_INIT_DIRAC || (k.a > 0 && s.n[0] % (int64_t)k.a == 0),
                  TP_ERR_ARG, "%s is %s: its first axis has no %g groups", name, tp__shape_text(s),
                  k.a);
    return true;
}

/* ---- a kind by fans, for a shape, is uniform or normal numbers ---- */

static tp_init resolved(tp_init k, tp_shape s)
{
    double r = 1, in, out, std;

    if (k.kind < TP_INIT_XAVIER_UNIFORM || k.kind > TP_INIT_KAIMING_NORMAL) return k;
    for (int i = 2; i < s.rank; i++)
        r *= (double)s.n[i];
    in = (double)s.n[1] * r, out = (double)s.n[0] * r;
    if (k.kind <= TP_INIT_XAVIER_NORMAL)
        std = k.a * sqrt(2 / (in + out));
    else
        std = k.a / sqrt(k.b == TP_FAN_OUT ? out : in);
    if (k.kind == TP_INIT_XAVIER_NORMAL || k.kind == TP_INIT_KAIMING_NORMAL)
        return tp_init_normal(0, std);
    return tp_init_uniform(-sqrt(3) * std, sqrt(3) * std);
}

/* ---- truncated normal ---- */

/* Uniform places, taken with the probability exp((peak^2 - z^2) / 2), peak the likeliest in
 * [lo, hi] (Robert 1995).  2^-24 is the smallest number that a uniform is compared with, so
 * nothing is ever taken where the exponent is below -17. */
static double truncated(tp_rng *rng, double lo, double hi, double peak)
{
    uint32_t r[4];

    for (;;) {
        tp_philox(rng->seed, rng->offset++, r);
        for (int i = 0; i < 4; i += 2) {
            double z = lo + (hi - lo) * (r[i] * 0x1p-32);

            if (tp__philox_log(1.0f - tp_philox_uniform(r[i + 1])) <= (peak * peak - z * z) / 2)
                return z;
        }
    }
}

static tp_tensor *trunc_normal(tp_shape s, tp_init k, tp_device *host)
{
    double lo = (k.lo - k.a) / k.b, hi = (k.hi - k.a) / k.b, peak = fmin(fmax(0, lo), hi);
    double reach = sqrt(peak * peak + 34);
    tp_tensor *t = tp_zeros(s, TP_F32, host);
    float *y = tp_count(t) ? tp_f32(t) : NULL;

    lo = fmax(lo, -reach), hi = fmin(hi, reach);
    for (int64_t i = 0; y && i < tp_count(t); i++)
        y[i] = (float)fmin(fmax(k.a + k.b * truncated(&tp__me()->rng, lo, hi, peak), k.lo), k.hi);
    return t;
}

/* ---- ones in the right places ---- */

static tp_tensor *dirac(tp_shape s, int64_t groups, tp_device *host)
{
    int64_t each = s.n[0] / groups, r = 1, middle = 0, n = each < s.n[1] ? each : s.n[1];
    tp_tensor *t = tp_zeros(s, TP_F32, host);
    float *y = tp_count(t) ? tp_f32(t) : NULL;

    for (int i = 2; i < s.rank; i++)
        middle = middle * s.n[i] + s.n[i] / 2, r *= s.n[i];
    for (int64_t g = 0; y && g < groups; g++)
        for (int64_t c = 0; c < n; c++)
            y[((g * each + c) * s.n[1] + c) * r + middle] = 1;
    return t;
}

static tp_tensor *orthogonal(tp_shape s, double gain, tp_device *host)
{
    tp_tensor *t = tp_randn(s, host);
    int64_t rows = s.n[0];

    if (tp_count(t) && !tp__orthonormal(tp_f32(t), rows, tp_count(t) / rows, gain)) return NULL;
    return t;
}

/* a x + b, rounded once on every machine. */
static tp_tensor *moved(tp_tensor *t, double a, double b)
{
    float *y = tp_count(t) ? tp_f32(t) : NULL;

    for (int64_t i = 0; y && i < tp_count(t); i++)
        y[i] = fmaf((float)a, y[i], (float)b);
    return t;
}

static tp_tensor *drawn(tp_shape s, tp_init k, tp_device *host)
{
    switch (k.kind) {
    case TP_INIT_UNIFORM:
        return moved(tp_rand(s, host), k.b - k.a, k.a);
    case TP_INIT_NORMAL:
        return moved(tp_randn(s, host), k.b, k.a);
    case TP_INIT_TRUNC_NORMAL:
        return trunc_normal(s, k, host);
    case TP_INIT_ORTHOGONAL:
        return orthogonal(s, k.a, host);
    case TP_INIT_EYE:
        return tp_eye(s.n[0], s.n[1], TP_F32, host);
    default:
        return dirac(s, (int64_t)k.a, host);
    }
}

tp_tensor *tp__init_draw(tp_shape s, tp_init init, tp_dtype d)
{
    tp_device *host = tp_device_open("cpu");

    if (init.kind == TP_INIT_CONSTANT) return tp_full(s, init.a, d, host);
    return tp_cast(drawn(s, resolved(init, s), host), d);
}
