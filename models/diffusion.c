/*
 * diffusion.c - "Denoising diffusion probabilistic models" (Ho et al. 2020) as a model, its loss, and
 * the way from noise to a picture (DDIM: Song et al. 2021).
 *
 * Between a time with a and the next, nearer to the picture, with b, x becomes
 *
 *     sqrt(b) x0 + sqrt(1 - b - s^2) e + s noise,    e = (x - sqrt(a) x0) / sqrt(1 - a)
 *     s = eta sqrt((1 - b) / (1 - a)) sqrt(1 - a / b)
 *
 * where x0 is what the network's prediction says of the picture.  With eta 1 and all times it is
 * the draw from the posterior of x_(t - 1) that DDPM makes.
 */
#include "models/fits.h"

#include <math.h>
#include <stdlib.h>

static const double most_beta = 0.999;

/* ---- the model ---- */

static const tp_diffusion_opts *opts_of(const char *where, tp_module *m)
{
    return is_model(where, m, "diffusion") ? tp_nn_opts(m) : NULL;
}

static bool pictures(tp_module *m, const tp_diffusion_opts *o, tp_tensor *x, const char *what)
{
    return shaped(m, x, what, TP_SHAPE(0, o->unet.channels, o->size, o->size), "(N, channels, size, size)");
}

/* What the U-Net is told: of tokens their embedding. */
static tp_tensor *embedded(tp_module *m, const tp_diffusion_opts *o, tp_tensor *condition)
{
    return condition && o->text.vocabulary ? tp_nn_call(m, "text", condition) : condition;
}

static int denoise(tp_module *m, tp_tensor *x, tp_tensor *t, tp_tensor *told, tp_tensor **out)
{
    return tp_nn_apply(tp_nn_get(m, "unet"), (tp_list){ (tp_tensor *[]){ x, t, told }, told ? 3 : 2 }, out, 1);
}

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_diffusion_opts *o = tp_nn_opts(self);
    bool conditional = o->unet.classes || o->unet.context;
    tp_tensor *y = NULL;

    (void)room;
    if (tp_ok() && conditional && in.n == 2)
        return tp_fail(TP_ERR_ARG, "diffusion: it is conditional, and the condition is missing"), -1;
    if (!given(self, in, 2 + conditional, 2 + conditional) || !pictures(self, o, in.t[0], "x")) return -1;
    return denoise(self, in.t[0], in.t[1], conditional ? embedded(self, o, in.t[2]) : NULL, &y) < 0 ? -1 : tp_nn_gives(out, y);
}

static bool filled(tp_diffusion_opts *o)
{
    static const char where[] = "tp_model_diffusion";

    o->size = o->size ? o->size : 28, o->steps = o->steps ? o->steps : 1000;
    if (!in_range(where, "size", o->size, 1, 1 << 15) || !in_range(where, "steps", o->steps, 1, 1000000) ||
        !in_range(where, "schedule", o->schedule, 0, TP_NOISE_COSINE) ||
        !in_range(where, "target", o->target, 0, TP_TARGET_V))
        return false;
    if (!o->text.vocabulary) return true;
    o->text.width = o->text.width ? o->text.width : o->unet.context;
    if (!o->unet.context || o->unet.context == o->text.width) return true;
    return tp_fail(TP_ERR_ARG, "%s: the U-Net takes texts of width %lld, and the text encoder gives %lld", where,
                   (long long)o->unet.context, (long long)o->text.width);
}

/* The parts, and in o the options that they filled in. */
static bool make_parts(tp_diffusion_opts *o, tp_module **unet, tp_module **text)
{
    static const char where[] = "tp_model_diffusion";
    int64_t step;

    if (!filled(o)) return false;
    if (o->text.vocabulary) {
        if (!(*text = tp_model_text_encoder(o->text))) return false;
        o->text = *(const tp_text_encoder_opts *)tp_nn_opts(*text), o->unet.context = o->text.width;
    }
    if (!(*unet = tp_model_unet(o->unet))) return false;
    o->unet = *(const tp_unet_opts *)tp_nn_opts(*unet), step = (int64_t)1 << (o->unet.levels - 1);
    return o->size % step == 0 || tp_fail(TP_ERR_ARG, "%s: pictures of size %lld can't be halved %d times", where,
                                          (long long)o->size, o->unet.levels - 1);
}

tp_module *tp_model_diffusion(tp_diffusion_opts o)
{
    tp_module *unet = NULL, *text = NULL, *m;

    if (!make_parts(&o, &unet, &text)) return tp_nn_free(unet), tp_nn_free(text), NULL;
    m = tp_nn_layer("diffusion", forward, &o, sizeof o);
    tp_nn_add(m, "unet", unet);
    if (text) tp_nn_add(m, "text", text);
    return tp_nn_made(m);
}

/* ---- noise ---- */

/* 1 - beta, (steps) f64 */
static tp_tensor *kept_shares(const tp_diffusion_opts *o, tp_device *dev)
{
    const double s = 0.008, half_pi = 1.5707963267948966, T = (double)o->steps;
    tp_tensor *f;

    if (o->schedule == TP_NOISE_LINEAR)
        return tp_clamp(tp_affine(tp_linspace(0.1 / T, 20 / T, o->steps, TP_F64, dev), -1, 1), 1 - most_beta, 1);
    f = tp_affine(tp_arange(0, T + 1, 1, TP_F64, dev), half_pi / (1 + s) / T, half_pi * s / (1 + s));
    f = tp_square(tp_cos(f));
    return tp_clamp(tp_div(tp_slice(f, 0, 1, o->steps + 1), tp_slice(f, 0, 0, o->steps)), 1 - most_beta, 1);
}

tp_tensor *tp_model_diffusion_alphas(tp_module *m, tp_device *dev)
{
    const tp_diffusion_opts *o = opts_of(__func__, m);
    TP_SCOPE;

    return o ? tp_pass(tp_cumprod(kept_shares(o, dev), 0)) : NULL;
}

/* a_t for x: (N, 1, 1, 1) f64 */
static tp_tensor *alphas_at(tp_module *m, tp_tensor *x, tp_tensor *t)
{
    return tp_reshape(tp_index_select(tp_model_diffusion_alphas(m, tp_device_of(x)), 0, t), TP_SHAPE(-1, 1, 1, 1));
}

/* sqrt(a) x + sqrt(1 - a) y */
static tp_tensor *mixed(tp_tensor *a, tp_tensor *x, tp_tensor *y)
{
    tp_tensor *p = tp_cast(tp_sqrt(a), tp_dtype_of(x)), *q = tp_cast(tp_sqrt(tp_affine(a, -1, 1)), tp_dtype_of(x));

    return tp_add(tp_mul(p, x), tp_mul(q, y));
}

static tp_tensor *v_of(tp_tensor *a, tp_tensor *x, tp_tensor *noise)
{
    return mixed(a, noise, tp_neg(x));
}

static bool noise_fits(const char *where, tp_module *m, tp_tensor *x, tp_tensor *t, tp_tensor *noise)
{
    const tp_diffusion_opts *o = opts_of(where, m);

    return o && given(m, TP_LIST(x, t, noise), 3, 3) && pictures(m, o, x, "x") &&
           shaped(m, t, "time", TP_SHAPE(tp_dim(x, 0)), "(N)") &&
           shaped(m, noise, "noise", tp_shape_of(x), "of the shape of x");
}

tp_tensor *tp_model_diffusion_noised(tp_module *m, tp_tensor *x, tp_tensor *t, tp_tensor *noise)
{
    TP_SCOPE;
    return noise_fits(__func__, m, x, t, noise) ? tp_pass(mixed(alphas_at(m, x, t), x, noise)) : NULL;
}

tp_tensor *tp_model_diffusion_target(tp_module *m, tp_tensor *x, tp_tensor *t, tp_tensor *noise)
{
    const tp_diffusion_opts *o = noise_fits(__func__, m, x, t, noise) ? tp_nn_opts(m) : NULL;
    TP_SCOPE;

    if (!o) return NULL;
    return tp_pass(o->target == TP_TARGET_V ? v_of(alphas_at(m, x, t), x, noise) : tp_detach(noise));
}

/* ---- the loss ---- */

/* Some conditions left out: the label that stands for none, an embedding of zeros. */
static tp_tensor *dropped(const tp_diffusion_opts *o, tp_tensor *told, double drop)
{
    tp_tensor *out;

    if (!told || drop == 0) return told;
    out = tp_lt_scalar(tp_rand(TP_SHAPE(tp_dim(told, 0)), tp_device_of(told)), drop);
    if (o->unet.classes) return tp_masked_fill(tp_cast(told, TP_I64), out, (double)o->unet.classes);
    return tp_masked_fill(told, tp_unsqueeze(out, 1), 0);
}

tp_tensor *tp_model_diffusion_loss(tp_module *m, tp_tensor *x, tp_tensor *condition, double drop)
{
    const tp_diffusion_opts *o = opts_of(__func__, m);
    TP_SCOPE;
    tp_tensor *t, *noise, *a, *y = NULL;

    if (!o || !given(m, TP_LIST(x), 1, 1) || !pictures(m, o, x, "x")) return NULL;
    if (!(drop >= 0 && drop <= 1)) return tp_fail(TP_ERR_ARG, "%s: drop %g, and 0 to 1 is possible", __func__, drop);
    t = tp_randint(0, o->steps, TP_SHAPE(tp_dim(x, 0)), tp_device_of(x)), noise = tp_randn_like(x);
    condition = dropped(o, embedded(m, o, condition), drop), a = alphas_at(m, x, t);
    if (denoise(m, mixed(a, x, noise), t, condition, &y) < 0) return NULL;
    return tp_pass(tp_mse(y, o->target == TP_TARGET_V ? v_of(a, x, noise) : noise));
}

/* ---- from noise to pictures ---- */

tp_denoise_opts tp_denoise_defaults(void)
{
    return (tp_denoise_opts){ .steps = 50, .guidance = 1, .filled = true };
}

typedef struct walk {
    tp_module *m;
    const tp_diffusion_opts *model;
    tp_denoise_opts o;
    double *a;             /* at each time */
    tp_tensor *condition;  /* kept: what the U-Net is told of all pictures */
    int64_t n, from, to;   /* pictures; those of the batch */
    tp_tensor *c, *u;      /* kept: what it is told of them, and of pictures no matter which */
    tp_tensor *x, *x0;     /* kept: where the batch is, and what that leads to */
    bool ended;            /* by progress */
} walk;

/* The last time first. */
static int64_t time_of(const walk *w, int64_t step)
{
    return (w->o.steps - step) * w->model->steps / w->o.steps - 1;
}

static tp_tensor *asked(const walk *w, tp_tensor *t, tp_tensor *condition)
{
    tp_tensor *y = NULL, *in[] = { w->x, t, condition };

    tp_nn_predict_all(tp_nn_get(w->m, "unet"), (tp_list){ in, condition ? 3 : 2 }, &y, 1);
    return y;
}

/* Two batches, not one of both: on a CPU that is as fast, and needs half the memory. */
static tp_tensor *prediction(const walk *w, int64_t time)
{
    tp_tensor *t = tp_full(TP_SHAPE(tp_dim(w->x, 0)), (double)time, TP_I64, tp_device_of(w->x)), *c, *u;
    double g = w->o.guidance;

    if (g == 0 || g == 1) return asked(w, t, g == 0 ? w->u : w->c);
    c = asked(w, t, w->c), u = asked(w, t, w->u);
    return tp_add(tp_scale(c, g), tp_scale(u, 1 - g));
}

static tp_tensor *picture_in(const walk *w, tp_tensor *y, double a)
{
    bool v = w->model->target == TP_TARGET_V;
    tp_tensor *x0 = tp_sub(tp_scale(w->x, v ? sqrt(a) : 1 / sqrt(a)), tp_scale(y, v ? sqrt(1 - a) : sqrt(1 / a - 1)));

    return w->o.unclipped ? x0 : tp_clamp(x0, -1, 1);
}

static tp_tensor *fresh_noise(const walk *w, int64_t i)
{
    tp_tensor *all = w->o.noise;

    return all ? tp_slice(tp_squeeze(tp_slice(all, 0, i, i + 1), TP_AXES(0)), 0, w->from, w->to) : tp_randn_like(w->x);
}

static bool step(walk *w, int64_t i)
{
    TP_SCOPE;
    bool last = i + 1 == w->o.steps;
    double a = w->a[time_of(w, i)], b = last ? 1 : w->a[time_of(w, i + 1)];
    double s = w->o.eta * sqrt((1 - b) / (1 - a)) * sqrt(1 - a / b), e = sqrt(fmax(0, 1 - b - s * s) / (1 - a));
    tp_tensor *x0 = picture_in(w, prediction(w, time_of(w, i)), a);
    tp_tensor *x = tp_add(tp_scale(x0, sqrt(b) - e * sqrt(a)), tp_scale(w->x, e));

    if (s > 0) x = tp_add(x, tp_scale(fresh_noise(w, i + 1), s));
    return tp_store(&w->x, x) && tp_store(&w->x0, x0);
}

static bool denoise_opts_fit(const walk *w)
{
    static const char where[] = "tp_model_diffusion_sample";
    const tp_denoise_opts *o = &w->o;
    const tp_unet_opts *u = &w->model->unet;
    tp_shape noise = TP_SHAPE(1 + o->steps, w->n, u->channels, w->model->size, w->model->size);

    if (!o->filled) return tp_fail(TP_ERR_ARG, "tp_denoise_opts: start from tp_denoise_defaults()");
    if (!in_range(where, "n", w->n, 0, MOST_SIZE) || !in_range(where, "steps", o->steps, 1, w->model->steps) ||
        !in_range(where, "batch", o->batch, 0, MOST_SIZE))
        return false;
    if (!(o->eta >= 0 && o->eta <= 1) || !isfinite(o->guidance))
        return tp_fail(TP_ERR_ARG, "%s: eta %g, guidance %g: eta is 0 to 1, guidance finite", where, o->eta, o->guidance);
    if (o->guidance != 1 && !u->classes && !u->context)
        return tp_fail(TP_ERR_ARG, "%s: guidance %g, and the model is not conditional", where, o->guidance);
    return !o->noise || shaped(w->m, o->noise, "the noise", noise, "(1 + steps, n, channels, size, size)");
}

/* What serves all batches. */
static bool prepare(walk *w, tp_tensor *condition)
{
    TP_SCOPE;
    const tp_unet_opts *u = &w->model->unet;
    tp_tensor *weight = tp_nn_tensor(w->m, "unet.conv_in.weight");
    size_t bytes = sizeof *w->a * (size_t)w->model->steps;

    if (!weight) return tp_fail(TP_ERR_ARG, "tp_model_diffusion_sample: call tp_nn_init first");
    if ((u->classes || u->context) && !condition && w->o.guidance != 0)
        return tp_fail(TP_ERR_ARG, "tp_model_diffusion_sample: the model is conditional, and the condition is missing");
    if (condition && tp_dim(condition, 0) != w->n)
        return tp_fail(TP_ERR_SHAPE, "tp_model_diffusion_sample: %lld conditions for %lld pictures",
                       (long long)tp_dim(condition, 0), (long long)w->n);
    if (!(w->a = malloc(bytes))) return tp_fail(TP_ERR_MEMORY, "tp_model_diffusion_sample");
    if (condition && w->model->text.vocabulary) condition = tp_nn_predict(tp_nn_get(w->m, "text"), condition);
    return tp_read(tp_model_diffusion_alphas(w->m, tp_device_of(weight)), w->a, bytes) && tp_store(&w->condition, condition);
}

static bool begin(walk *w, int64_t from)
{
    TP_SCOPE;
    const tp_unet_opts *o = &w->model->unet;
    tp_tensor *weight = tp_nn_tensor(w->m, "unet.conv_in.weight"), *c = NULL, *u = NULL;
    tp_device *dev = tp_device_of(weight);
    int64_t n = w->n - from < w->o.batch ? w->n - from : w->o.batch;
    tp_shape s = TP_SHAPE(n, o->channels, w->model->size, w->model->size);

    w->from = from, w->to = from + n;
    if (w->condition) c = tp_slice(w->condition, 0, w->from, w->to);
    if (o->classes) u = tp_full(TP_SHAPE(n), (double)o->classes, TP_I64, dev);
    if (o->context) u = tp_zeros(TP_SHAPE(n, o->context), tp_dtype_of(weight), dev);
    return tp_store(&w->c, c) && tp_store(&w->u, u) && tp_store(&w->x, tp_zeros(s, tp_dtype_of(weight), dev)) &&
           tp_store(&w->x, fresh_noise(w, 0));
}

/* One batch, of which `before` steps of others were. */
static tp_tensor *through(walk *w, int64_t before, int64_t of)
{
    for (int64_t i = 0; !w->ended && i < w->o.steps; i++) {
        if (!step(w, i)) return NULL;
        w->ended = w->o.progress && !w->o.progress(before + i + 1, of, w->x, w->x0, w->o.user);
    }
    return tp_detach(w->x0);
}

static tp_tensor *all_batches(walk *w)
{
    int64_t batches = w->n ? (w->n + w->o.batch - 1) / w->o.batch : 1, k = 0;
    tp_tensor **part = malloc(sizeof *part * (size_t)batches), *y = NULL;

    if (!part) return tp_fail(TP_ERR_MEMORY, "tp_model_diffusion_sample");
    for (; tp_ok() && !w->ended && k < batches; k++)
        part[k] = begin(w, k * w->o.batch) ? through(w, k * w->o.steps, batches * w->o.steps) : NULL;
    if (tp_ok()) y = tp_concat((tp_list){ part, (int)k }, 0);
    free(part);
    return y;
}

tp_tensor *tp_model_diffusion_sample(tp_module *m, int64_t n, tp_tensor *condition, tp_denoise_opts o)
{
    walk w = { .m = m, .model = opts_of(__func__, m), .o = o, .n = n };
    TP_SCOPE;
    TP_NO_GRAD;
    tp_tensor *y = NULL;

    if (!w.model) return NULL;
    if (!o.steps) w.o.steps = w.model->steps;
    if (!denoise_opts_fit(&w)) return NULL;
    if (!o.batch) w.o.batch = n ? n : 1;
    if (prepare(&w, condition)) y = all_batches(&w);
    free(w.a);
    tp_free(w.condition), tp_free(w.c), tp_free(w.u), tp_free(w.x), tp_free(w.x0);
    return tp_pass(y);
}
