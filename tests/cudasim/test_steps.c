/*
 * test_steps.c - three training steps of each reference model, small, on the device and on the CPU.
 *
 * How far apart parameters may be follows from the CPU: its own f32 (or bf16) run is some way from its
 * f64 run, and as many roundings in another order may be FACTOR times as far.  By the same measure
 * per unit of rounding f64 runs must agree.  Captured steps give the bits of called ones.  And where a
 * simulator counts: what one step costs.
 */
#include "taper.h"
#include "tests/check.h"
#include "tests/cudasim/cudasim.h"

#include <dlfcn.h>

enum { STEPS = 3, REPLAYED = 6, MOST = 60000, FACTOR = 8 };

/* ---- models: widths are no multiples of a tile ---- */

typedef struct run {
    tp_module *net[2];
    tp_optim *opt[2];
    tp_tensor *x, *y;
    tp_dtype dtype;
} run;

typedef struct model {
    const char *name;
    void (*open)(run *r, tp_device *dev);
    void (*step)(run *r);
    int kernels, narrow, calls; /* most in a step: of ours in f32, in bf16 with its casts, and of libraries */
} model;

/* The generator gives the same bits on each device. */
static tp_tensor *floats_of(tp_shape s, tp_device *dev)
{
    return tp_rand(s, dev);
}

static tp_tensor *symbols(int64_t below, tp_shape s, tp_device *dev)
{
    return tp_randint(0, below, s, dev);
}

static void sgd(run *r, int i, tp_module *m, tp_device *dev)
{
    tp_sgd_opts o = tp_sgd(0.02);

    o.momentum = 0.9, o.weight_decay = 1e-3;
    r->net[i] = tp_nn_init(m, dev);
    if (r->dtype == TP_F64) tp_nn_cast(m, TP_F64);
    r->opt[i] = tp_optim_sgd(tp_nn_params(m, "*"), o);
}

/* eps: no step is by the sign of a gradient that is nothing but rounding. */
static void adamw(run *r, int i, tp_module *m, tp_device *dev)
{
    tp_adam_opts o = tp_adamw(1e-2);

    o.eps = 1e-2;
    r->net[i] = tp_nn_init(m, dev);
    if (r->dtype == TP_F64) tp_nn_cast(m, TP_F64);
    r->opt[i] = tp_optim_adamw(tp_nn_params(m, "*"), o);
}

static void update(run *r, int i, tp_tensor *loss, double clip)
{
    tp_optim_zero_grad(r->opt[i]);
    CHECK(tp_backward(loss));
    if (clip > 0) CHECK(tp_optim_clip_norm(r->opt[i], clip));
    CHECK(tp_optim_step(r->opt[i]));
}

static tp_tensor *input(run *r)
{
    return r->dtype == TP_F64 ? tp_cast(r->x, TP_F64) : r->x;
}

static void open_cnn(run *r, tp_device *dev)
{
    sgd(r, 0, tp_model_cnn((tp_cnn_opts){ .size = 12, .width = 3, .hidden = 7, .dropout = .2 }), dev);
    r->x = floats_of(TP_SHAPE(5, 1, 12, 12), dev), r->y = symbols(10, TP_SHAPE(5), dev);
}
static void step_cnn(run *r)
{
    update(r, 0, tp_cross_entropy(tp_nn_forward(r->net[0], input(r)), r->y), 0);
}

static void open_resnet(run *r, tp_device *dev)
{
    sgd(r, 0, tp_model_resnet((tp_resnet_opts){ .channels = 1, .width = 5, .stages = 2, .blocks = { 1, 1 } }), dev);
    r->x = floats_of(TP_SHAPE(5, 1, 8, 8), dev), r->y = symbols(10, TP_SHAPE(5), dev);
}

static void open_lstm(run *r, tp_device *dev)
{
    adamw(r, 0, tp_model_lstm((tp_lstm_model_opts){ .vocabulary = 11, .width = 13, .layers = 2, .dropout = .2 }), dev);
    r->x = symbols(11, TP_SHAPE(3, 6), dev), r->y = symbols(11, TP_SHAPE(18), dev);
}
static void open_gpt(run *r, tp_device *dev)
{
    adamw(r, 0, tp_model_gpt((tp_gpt_opts){ .vocabulary = 11, .context = 9, .layers = 2, .heads = 3, .width = 24,
                                            .dropout = .1 }), dev);
    r->x = symbols(11, TP_SHAPE(3, 6), dev), r->y = symbols(11, TP_SHAPE(18), dev);
}
static void step_text(run *r)
{
    tp_tensor *logits = tp_nn_forward(r->net[0], r->x);

    update(r, 0, tp_cross_entropy(tp_reshape(logits, TP_SHAPE(-1, 11)), r->y), 1);
}

static void open_vae(run *r, tp_device *dev)
{
    adamw(r, 0, tp_model_vae((tp_vae_opts){ .pixels = 19, .hidden = 11, .latent = 3 }), dev);
    r->x = floats_of(TP_SHAPE(7, 19), dev);
}
static void step_vae(run *r)
{
    tp_tensor *x = input(r), *out[3];

    CHECK(tp_nn_apply(r->net[0], TP_LIST(x), out, 3) == 3);
    update(r, 0, tp_model_vae_loss(out[0], x, out[1], out[2], 1), 0);
}

/* A critic with its gradient's penalty, which needs second derivatives, and a generator. */
static void open_gan(run *r, tp_device *dev)
{
    tp_dcgan_opts o = { .latent = 3, .width = 1, .critic = true };

    sgd(r, 0, tp_model_discriminator(o), dev), sgd(r, 1, tp_model_generator(o), dev);
    r->x = floats_of(TP_SHAPE(3, 1, 32, 32), dev), r->y = floats_of(TP_SHAPE(3, 3), dev);
}
static void step_gan(run *r)
{
    tp_tensor *z = r->dtype == TP_F64 ? tp_cast(r->y, TP_F64) : r->y, *real = input(r);
    tp_tensor *fake = tp_nn_forward(r->net[1], z), *shown = tp_detach(fake);
    tp_tensor *score = tp_sub(tp_mean(tp_nn_forward(r->net[0], shown), TP_ALL),
                              tp_mean(tp_nn_forward(r->net[0], real), TP_ALL));

    /* Between real and real is nothing but real: what is drawn in f64 isn't what is drawn in f32. */
    update(r, 0, tp_add(score, tp_model_gradient_penalty(r->net[0], real, real, NULL)), 0);
    update(r, 1, tp_neg(tp_mean(tp_nn_forward(r->net[0], fake), TP_ALL)), 0);
}

static void open_diffusion(run *r, tp_device *dev)
{
    sgd(r, 0, tp_model_unet((tp_unet_opts){ .base = 8, .levels = 2, .mults = { 1, 2 }, .blocks = 1, .dropout = .1 }), dev);
    r->x = floats_of(TP_SHAPE(3, 1, 8, 8), dev), r->y = symbols(1000, TP_SHAPE(3), dev);
}
static void step_diffusion(run *r)
{
    tp_tensor *x = input(r), *guess = NULL;

    tp_nn_apply(r->net[0], TP_LIST(x, r->y), &guess, 1);
    update(r, 0, tp_mse(guess, x), 0);
}

static const model models[] = {
    { "cnn", open_cnn, step_cnn, 32, 51, 11 },
    { "resnet", open_resnet, step_cnn, 83, 106, 20 },
    { "lstm", open_lstm, step_text, 84, 106, 37 },
    { "gpt", open_gpt, step_text, 89, 143, 27 },
    { "vae", open_vae, step_vae, 41, 77, 14 },
    { "gan", open_gan, step_gan, 149, 183, 60 },
    { "diffusion", open_diffusion, step_diffusion, 391, 663, 127 },
};

/* ---- a run ---- */

typedef struct numbers {
    int n;
    double at[MOST];
} numbers;

static bool append(void *user, const char *name, tp_tensor **t)
{
    numbers *to = user;
    tp_tensor *wide;
    int64_t n = tp_count(*t);

    TP_SCOPE;
    (void)name;
    wide = tp_cast(tp_detach(*t), TP_F64);
    if (to->n + n > MOST || !tp_read(wide, to->at + to->n, sizeof(double) * (size_t)n)) return false;
    to->n += (int)n;
    return true;
}

static void gather(const run *r, numbers *to)
{
    to->n = 0;
    for (int i = 0; i < 2 && r->net[i]; i++)
        CHECK(tp_nn_each(tp_nn_params(r->net[i], "*"), false, append, to) > 0);
}

static void (*get_stats)(cudasim_stats *);
static bool with_dnn; /* budgets are of steps with cuDNN's convolutions */

typedef struct job {
    const model *m;
    run r;
    tp_dtype type;
} job;

static tp_tensor *one_step(void *user)
{
    job *j = user;
    TP_SCOPE;
    TP_AUTOCAST(j->type == TP_BF16 ? TP_BF16 : TP_F32);

    j->m->step(&j->r);
    return NULL;
}

static void close_run(run *r)
{
    for (int i = 0; i < 2; i++)
        tp_optim_free(r->opt[i]), tp_nn_free(r->net[i]);
}

static void train(const model *m, tp_dtype t, tp_device *dev, int steps, numbers *to, cudasim_stats *last)
{
    job j = { m, { .dtype = t == TP_F64 ? TP_F64 : TP_F32 }, t };
    cudasim_stats before = { 0 };

    TP_SCOPE;
    CASE("%s, %s on %s", m->name, tp_dtype_name(t), tp_device_name(dev));
    tp_seed(7);
    m->open(&j.r, dev);
    for (int i = 0; i < steps; i++) {
        if (get_stats) get_stats(&before);
        one_step(&j);
    }
    if (get_stats) {
        cudasim_stats now;

        get_stats(&now);
        *last = cudasim_between(before, now);
    }
    CHECK(tp_ok());
    gather(&j.r, to);
    close_run(&j.r);
}

static void train_captured(const model *m, tp_dtype t, tp_device *dev, numbers *to)
{
    job j = { m, { .dtype = t == TP_F64 ? TP_F64 : TP_F32 }, t };
    tp_capture *c = tp_capture_new(dev, one_step, &j);

    TP_SCOPE;
    CASE("%s, %s on %s, captured", m->name, tp_dtype_name(t), tp_device_name(dev));
    tp_seed(7);
    m->open(&j.r, dev);
    for (int i = 0; i < REPLAYED; i++)
        tp_capture_run(c);
    CHECK(tp_ok() && tp_capture_recorded(c));
    gather(&j.r, to);
    tp_capture_free(c), close_run(&j.r);
}

static double distance(const numbers *a, const numbers *b)
{
    double sum = 0;

    CHECK(a->n == b->n);
    for (int i = 0; i < a->n; i++)
        sum += (a->at[i] - b->at[i]) * (a->at[i] - b->at[i]);
    return sqrt(sum);
}

/* ---- the comparison ---- */

static numbers start, exact, narrow, other;

/* u: what a rounding is. */
static double unit(tp_dtype t)
{
    return t == TP_F64 ? 0x1p-53 : t == TP_F32 ? 0x1p-24 : 0x1p-8;
}

static void compare(const model *m, tp_dtype t, double each, tp_device *dev)
{
    double moved = distance(&exact, &start), apart;
    cudasim_stats cost = { 0 };

    train(m, t, dev, STEPS, &other, &cost);
    apart = distance(&exact, &other) / moved;
    CASE("%s, %s on %s: apart by %.2g, of which the CPU's roundings make %.2g", m->name, tp_dtype_name(t),
         tp_device_name(dev), apart, each * unit(t));
    CHECK(apart <= FACTOR * each * unit(t));
    if (!get_stats) return;
    printf("%-10s %-4s %4d kernels, %3d calls, %d waits, %d allocations in a step\n", m->name, tp_dtype_name(t),
           (int)cost.launches, (int)cost.calls, (int)cost.waits, (int)cost.allocations);
    CHECK(cost.waits == 0 && cost.allocations == 0);
    if (with_dnn && t != TP_F64)
        CHECK((int)cost.launches <= (t == TP_F32 ? m->kernels : m->narrow) && (int)cost.calls <= m->calls);
}

static void compare_captured(const model *m, tp_dtype t, tp_device *dev)
{
    cudasim_stats none;

    train(m, t, dev, REPLAYED, &narrow, &none), train_captured(m, t, dev, &other);
    CHECK(distance(&narrow, &other) == 0);
}

static void check_model(const model *m, tp_device *dev)
{
    tp_device *cpu = tp_device_open("cpu");
    cudasim_stats none;
    double each;

    train(m, TP_F64, cpu, 0, &start, &none), train(m, TP_F64, cpu, STEPS, &exact, &none);
    train(m, TP_F32, cpu, STEPS, &narrow, &none);
    each = distance(&exact, &narrow) / distance(&exact, &start) / unit(TP_F32);
    CASE("%s: f32 is %.2g from f64", m->name, each * unit(TP_F32));
    CHECK(each * unit(TP_F32) < 1e-3);
    compare(m, TP_F64, each, dev), compare(m, TP_F32, each, dev);
    train(m, TP_BF16, cpu, STEPS, &narrow, &none);
    compare(m, TP_BF16, distance(&exact, &narrow) / distance(&exact, &start) / unit(TP_BF16), dev);
    compare_captured(m, TP_F32, dev), compare_captured(m, TP_BF16, dev);
}

Test(steps, of_each_model, .timeout = 900)
{
    tp_device *dev = tp_device_open("cuda");
    void *lib = dlopen(getenv("TAPER_CUDA_LIBRARY"), RTLD_NOW | RTLD_NOLOAD);

    cr_assert(dev, "%s", tp_error());
    if (lib) *(void **)&get_stats = dlsym(lib, "cudasim_get_stats");
    with_dnn = lib && dlsym(lib, "cudasim_dnn_get_stats") && !getenv("CUDASIM_DNN");
    for (int i = 0; i < TP_LEN(models); i++)
        check_model(&models[i], dev);
}
