/*
 * workloads.c - the nine workloads: networks, batches of random numbers, what a step is.
 */
#include "tests/bench/workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void uniform(run *r, tp_shape s, tp_device *dev)
{
    TP_SCOPE;
    r->x = tp_keep(tp_rand(s, dev));
}

static tp_tensor *integers(int64_t below, int64_t n, int64_t m, tp_device *dev)
{
    TP_SCOPE;
    return tp_keep(tp_randint(0, below, TP_SHAPE(BATCHES, n, m), dev));
}

static void labels(run *r, int64_t classes, int64_t n, tp_device *dev)
{
    TP_SCOPE;
    r->y = tp_keep(tp_randint(0, classes, TP_SHAPE(BATCHES, n), dev));
}

static tp_tensor *batch(tp_tensor *all, int i)
{
    tp_shape s = tp_shape_of(all);

    s.rank--;
    memmove(s.n, s.n + 1, sizeof *s.n * (size_t)s.rank);
    return tp_reshape(tp_slice(all, 0, i, i + 1), s);
}

static void begin(run *r, tp_module *net, tp_optim *(*make)(tp_params p, tp_adam_opts o), tp_adam_opts o, tp_device *dev)
{
    int i = r->net[0] != NULL;

    r->net[i] = tp_nn_init(net, dev);
    r->opt[i] = make(tp_nn_params(net, "*"), o);
}

static void update(run *r, int i, tp_tensor *loss, double clip)
{
    tp_optim_zero_grad(r->opt[i]);
    tp_backward(loss);
    if (clip > 0) tp_optim_clip_norm(r->opt[i], clip);
    tp_optim_step(r->opt[i]);
}

static void classify(run *r, tp_tensor *x, tp_tensor *y)
{
    update(r, 0, tp_cross_entropy(tp_nn_forward(r->net[0], x), y), 0);
}

/* 784-512-512-10, batch 64, Adam */
static void open_mlp(run *r, tp_device *dev)
{
    const int64_t sizes[] = { 784, 512, 512, 10 };

    begin(r, tp_model_mlp(sizes, TP_LEN(sizes)), tp_optim_adam, tp_adam(1e-3), dev);
    uniform(r, TP_SHAPE(BATCHES, 64, 784), dev), labels(r, 10, 64, dev);
}

/* Two 3x3 convolutions with max-pool, one hidden layer; 28x28, batch 64, Adam */
static void open_cnn(run *r, tp_device *dev)
{
    begin(r, tp_model_cnn((tp_cnn_opts){ 0 }), tp_optim_adam, tp_adam(1e-3), dev);
    uniform(r, TP_SHAPE(BATCHES, 64, 1, 28, 28), dev), labels(r, 10, 64, dev);
}

/* 784-400-20 (Kingma & Welling 2014), batch 128, Adam */
static void open_vae(run *r, tp_device *dev)
{
    begin(r, tp_model_vae((tp_vae_opts){ 0 }), tp_optim_adam, tp_adam(1e-3), dev);
    uniform(r, TP_SHAPE(BATCHES, 128, 784), dev);
}

static void elbo(run *r, tp_tensor *x, tp_tensor *y)
{
    tp_tensor *out[3];

    (void)y;
    if (tp_nn_apply(r->net[0], TP_LIST(x), out, 3) == 3)
        update(r, 0, tp_model_vae_loss(out[0], x, out[1], out[2], 1), 0);
}

/* 2 layers of 256, 64 characters of 96, batch 32, Adam */
static void open_lstm(run *r, tp_device *dev)
{
    begin(r, tp_model_lstm((tp_lstm_model_opts){ .vocabulary = 96 }), tp_optim_adam, tp_adam(1e-3), dev);
    r->x = integers(96, 32, 65, dev);
}

static tp_tensor *next_symbol(tp_module *net, tp_tensor *x)
{
    int64_t T = tp_dim(x, 1) - 1;
    tp_tensor *logits = tp_nn_forward(net, tp_slice(x, 1, 0, T)), *next = tp_slice(x, 1, 1, T + 1);

    return tp_cross_entropy(tp_reshape(logits, TP_SHAPE(-1, 96)), tp_reshape(next, TP_SHAPE(-1)));
}

static void predict(run *r, tp_tensor *x, tp_tensor *y)
{
    (void)y;
    update(r, 0, next_symbol(r->net[0], x), 0);
}

static void predict_clipped(run *r, tp_tensor *x, tp_tensor *y)
{
    (void)y;
    update(r, 0, next_symbol(r->net[0], x), 1);
}

static void open_gpt_of(run *r, int layers, int heads, int64_t width, int64_t context, int64_t n, tp_device *dev)
{
    tp_gpt_opts o = { .vocabulary = 96, .context = context, .layers = layers, .heads = heads, .width = width,
                      .no_bias = true, .erf_gelu = true };
    tp_adam_opts adam = tp_adamw(1e-3);

    adam.beta2 = 0.99, adam.weight_decay = 0.1;
    begin(r, tp_model_gpt(o), tp_optim_adamw, adam, dev);
    r->x = integers(96, n, context + 1, dev);
}

/* 4 layers, 128 wide, 4 heads, 64 tokens, batch 12, AdamW, clipped to 1 */
static void open_gpt(run *r, tp_device *dev)
{
    open_gpt_of(r, 4, 4, 128, 64, 12, dev);
}

/* 6 layers, 384 wide, 6 heads, 256 tokens, batch 8 */
static void open_gpt384(run *r, tp_device *dev)
{
    open_gpt_of(r, 6, 6, 384, 256, 8, dev);
}

/* Both networks for 32x32, 64 wide, batch 64, Adam */
static void open_dcgan(run *r, tp_device *dev)
{
    tp_adam_opts adam = tp_adam(2e-4);

    adam.beta1 = 0.5;
    begin(r, tp_model_discriminator((tp_dcgan_opts){ 0 }), tp_optim_adam, adam, dev);
    begin(r, tp_model_generator((tp_dcgan_opts){ 0 }), tp_optim_adam, adam, dev);
    uniform(r, TP_SHAPE(BATCHES, 64, 1, 32, 32), dev);
}

static void play(run *r, tp_tensor *x, tp_tensor *y)
{
    tp_device *dev = tp_device_of(x);
    tp_tensor *one = tp_ones(TP_SHAPE(64), TP_F32, dev), *zero = tp_zeros(TP_SHAPE(64), TP_F32, dev);
    tp_tensor *fake = tp_nn_forward(r->net[1], tp_randn(TP_SHAPE(64, 100), dev));
    tp_tensor *real = tp_bce_with_logits(tp_nn_forward(r->net[0], x), one);

    (void)y;
    update(r, 0, tp_add(real, tp_bce_with_logits(tp_nn_forward(r->net[0], tp_detach(fake)), zero)), 0);
    update(r, 1, tp_bce_with_logits(tp_nn_forward(r->net[0], fake), one), 0);
}

/* U-Net 32x32x1, base 32, 2 blocks a level, attention at 16x16, batch 32, AdamW */
static void open_ddpm(run *r, tp_device *dev)
{
    TP_SCOPE;
    begin(r, tp_model_unet((tp_unet_opts){ 0 }), tp_optim_adamw, tp_adamw(2e-4), dev);
    uniform(r, TP_SHAPE(BATCHES, 32, 1, 32, 32), dev);
    r->kept = tp_cumprod(tp_affine(tp_linspace(1e-4, 0.02, 1000, TP_F32, dev), -1, 1), 0);
    r->kept = tp_keep(tp_reshape(r->kept, TP_SHAPE(1000, 1, 1, 1)));
}

static void denoise(run *r, tp_tensor *x, tp_tensor *y)
{
    tp_tensor *t = tp_randint(0, 1000, TP_SHAPE(32), tp_device_of(x)), *noise = tp_randn_like(x);
    tp_tensor *kept = tp_index_select(r->kept, 0, t), *guess = NULL;
    tp_tensor *noisy = tp_add(tp_mul(tp_sqrt(kept), x), tp_mul(tp_sqrt(tp_affine(kept, -1, 1)), noise));

    (void)y;
    tp_nn_apply(r->net[0], TP_LIST(noisy, t), &guess, 1);
    update(r, 0, tp_mse(guess, noise), 0);
}

/* ResNet-18 with a 3x3 stem, 3x32x32, batch 32, SGD with momentum and decay */
static void open_resnet18(run *r, tp_device *dev)
{
    tp_sgd_opts sgd = tp_sgd(0.1);

    sgd.momentum = 0.9, sgd.weight_decay = 5e-4;
    r->net[0] = tp_nn_init(tp_model_resnet(tp_resnet18()), dev);
    r->opt[0] = tp_optim_sgd(tp_nn_params(r->net[0], "*"), sgd);
    uniform(r, TP_SHAPE(BATCHES, 32, 3, 32, 32), dev), labels(r, 10, 32, dev);
}

const workload workloads[WORKLOADS] = {
    { "mlp", 0.205, open_mlp, classify },         { "cnn", 1.60, open_cnn, classify },
    { "vae", 0.42, open_vae, elbo },              { "lstm", 13.2, open_lstm, predict },
    { "gpt", 3.98, open_gpt, predict_clipped },   { "gpt384", 145, open_gpt384, predict_clipped },
    { "dcgan", 26.2, open_dcgan, play },          { "ddpm", 80.2, open_ddpm, denoise },
    { "resnet18", 106.5, open_resnet18, classify },
};

const workload *find_workload(const char *name)
{
    for (int i = 0; i < WORKLOADS; i++)
        if (!strcmp(workloads[i].name, name)) return &workloads[i];
    fprintf(stderr, "there is no model %s\n", name);
    exit(2);
}

void train_step(const workload *w, run *r)
{
    TP_SCOPE;

    w->step(r, batch(r->x, r->at), r->y ? batch(r->y, r->at) : NULL);
    r->at = (r->at + 1) % BATCHES;
}

void close_run(run *r)
{
    for (int i = 0; i < MOST_NETS; i++)
        tp_optim_free(r->opt[i]), tp_nn_free(r->net[i]);
    tp_free(r->x), tp_free(r->y), tp_free(r->kept);
}
