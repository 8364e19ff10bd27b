/*
 * custom_op.c - an op of one's own: forward, backward, checked, and trained with.
 *
 *   custom_op [--epochs 200] [--lr 0.01] [--out out] ...    custom_op --help
 *
 * The op is Swish with a slope that is learned (Ramachandran et al. 2017):
 *   y = x s,   s = sigmoid(b x),   x (..., C), b (C)
 *   dy/dx = s + b x s (1 - s),   dy/db = x^2 s (1 - s)
 * Into the folder --out goes fit.png: the curve that a small network with it has learned.
 */
#include <taper.h>

#include <math.h>
#include <stdio.h>

/* ---- the op ---- */

static bool swish_forward(tp_call *c)
{
    tp_tensor *x = c->in.t[0], *b = c->in.t[1];

    return (c->out[0] = tp_mul(x, tp_sigmoid(tp_mul(x, b)))) != NULL;
}

/* Written in ops of its inputs, so it can be differentiated in its turn.  s is computed again: c->saved
 * would keep it, but without its history.  A gradient has its input's dtype, and with --amp x comes in half
 * the bits that b has. */
static bool swish_backward(tp_call *c, tp_tensor *const *dy, tp_tensor **dx)
{
    tp_tensor *x = c->in.t[0], *b = c->in.t[1], *s = tp_sigmoid(tp_mul(x, b));
    tp_tensor *slope = tp_mul(s, tp_affine(s, -1, 1)); /* s (1 - s) */
    tp_tensor *rows = tp_mul(dy[0], tp_mul(tp_square(x), slope));

    dx[0] = tp_cast(tp_mul(dy[0], tp_add(s, tp_mul(tp_mul(x, b), slope))), tp_dtype_of(x));
    dx[1] = tp_sum(tp_reshape(rows, TP_SHAPE(tp_count(x) / tp_dim(x, -1), tp_dim(x, -1))), TP_AXES(0));
    return tp_ok();
}

static const tp_user_op swish = { "swish", swish_forward, swish_backward };

/* Finite differences against swish_backward, once and twice. */
static tp_tensor *checked(tp_list in, void *user)
{
    (void)user;
    return tp_apply(&swish, in, NULL, 0);
}

static bool check(void)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_tensor *x = tp_requires_grad(tp_cast(tp_randn(TP_SHAPE(5, 3), cpu), TP_F64), true);
    tp_tensor *b = tp_requires_grad(tp_cast(tp_randn(TP_SHAPE(3), cpu), TP_F64), true);
    tp_gradcheck_report once = { 0 }, twice = { 0 };
    bool right = tp_gradcheck(checked, TP_LIST(x, b), NULL, &once) && tp_gradgradcheck(checked, TP_LIST(x, b), NULL, &twice);

    if (!right && tp_ok()) tp_fail(TP_ERR_USER, "swish: a gradient is wrong by %g at %s", fmax(once.worst, twice.worst), once.where);
    return right && tp_train_print("checked op=swish worst=%.1e worst_twice=%.1e\n", once.worst, twice.worst);
}

/* ---- the op as a layer, and a network of it ---- */

static int swish_layer(void *self, tp_list in, tp_tensor **out, int room)
{
    (void)room;
    return (out[0] = tp_apply(&swish, TP_LIST(in.t[0], tp_nn_tensor(self, "b")), NULL, 0)) ? 1 : -1;
}

static tp_module *swish_of(int64_t channels)
{
    tp_module *m = tp_nn_from("swish", NULL, swish_layer, NULL);

    tp_nn_param(m, "b", TP_SHAPE(channels), tp_init_constant(1));
    return m;
}

static tp_module *network(void)
{
    tp_module *layers[] = { tp_nn_linear(1, 32), swish_of(32), tp_nn_linear(32, 32), swish_of(32), tp_nn_linear(32, 1) };

    return tp_nn_sequential(layers, TP_LEN(layers));
}

static tp_tensor *squares(tp_tensor *y, tp_batch b, void *user)
{
    (void)user;
    return tp_mse(y, b.y);
}

enum { N = 256 };

static tp_tensor *column(const double *v, tp_device *dev)
{
    return tp_to(tp_cast(tp_from(v, TP_SHAPE(N, 1), TP_F64, tp_device_open("cpu")), TP_F32), dev);
}

static bool draw(const char *png, tp_module *net, const double *x, const double *y, tp_device *dev)
{
    double got[N];
    TP_SCOPE;
    tp_series s[] = { { "sin 3x", x, y, N }, { "learned", x, got, N } };

    return tp_read(tp_cast(tp_nn_predict(net, column(x, dev)), TP_F64), got, sizeof got) &&
           tp_plot_lines(png, s, 2, (tp_plot_opts){ .title = "Swish with slopes that are learned", .x_label = "x" });
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "an op of one's own", .epochs = 200, .batch = 32, .lr = 0.01, .seed = 1 };
    int status = tp_train_parse(&a, argc, argv);
    double x[N], y[N];
    char picture[4096], state[4096];
    tp_fit_result r = { TP_FIT_FAILED, { 0 } };
    TP_SCOPE;

    if (status >= 0) return status;
    tp_train_catch_interrupt();
    for (int i = 0; i < N; i++)
        x[i] = 4.0 * i / (N - 1) - 2, y[i] = sin(3 * x[i]);
    snprintf(picture, sizeof picture, "%s/fit.png", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);
    tp_device *dev = tp_device_open(a.device), *cpu = tp_device_open("cpu");
    tp_loader *train = tp_data_loader(tp_data_tensors(TP_LIST(column(x, cpu), column(y, cpu))),
                                      (tp_loader_opts){ .batch = a.batch, .shuffle = true, .seed = a.seed, .device = dev });
    tp_module *net = tp_nn_init(network(), dev);
    tp_optim *opt = tp_optim_adam(tp_nn_params(net, "*"), tp_adam(a.lr));

    if (check() && tp_train_fit(net, (tp_fit_opts){ .optim = opt, .train = train, .loss = squares, .epochs = a.steps ? 0 : a.epochs, .steps = a.steps,
                                                    .checkpoint = state, .resume = a.resume, .options = a.options, .amp = tp_train_amp(&a),
                                                    .log = { .dir = a.out } }, &r) && r.why == TP_FIT_DONE && draw(picture, net, x, y, dev))
        tp_train_print("result model=custom_op loss=%.5f steps=%lld\n", r.at.loss, (long long)r.at.step);
    else if (tp_ok()) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a.program, (long long)r.at.step, state);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    tp_optim_free(opt), tp_nn_free(net), tp_data_free(train);
    return tp_train_status();
}
