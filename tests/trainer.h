/*
 * trainer.h - a training step with everything in it, and snapshots of all that it may change.
 */
#ifndef TP_TESTS_TRAINER_H
#define TP_TESTS_TRAINER_H

#include "tests/check.h"

/* ---- snapshots of all tensors of a model and its optimizer ---- */

typedef struct snapshot {
    unsigned char *bytes;
    size_t n;
    bool write; /* back into the tensors, instead of out of them */
} snapshot;

static inline bool shoot(void *user, const char *name, tp_tensor **t)
{
    snapshot *s = user;
    size_t bytes = (size_t)tp_count(*t) * tp_dtype_size(tp_dtype_of(*t));
    bool ok = true;

    TP_SCOPE;
    TP_NO_GRAD;
    (void)name;
    if (s->write) ok = tp_copy_(*t, tp_from(s->bytes + s->n, tp_shape_of(*t), tp_dtype_of(*t), tp_device_of(*t)));
    else s->bytes = realloc(s->bytes, s->n + bytes), ok = tp_read(*t, s->bytes + s->n, bytes);
    s->n += bytes;
    return ok;
}

static inline void all_tensors(snapshot *s, tp_module *m, tp_optim *o)
{
    s->n = 0;
    CHECK(tp_nn_each(tp_nn_params(m, "*"), false, shoot, s) > 0);
    CHECK(!o || tp_optim_each(o, shoot, s) > 0);
}

static inline bool same(const snapshot *a, const snapshot *b)
{
    return a->n == b->n && !memcmp(a->bytes, b->bytes, a->n);
}

/* ---- a step with everything in it ---- */

typedef struct trainer {
    tp_module *net, *conv, *embed, *lstm, *norm, *drop, *fc, *segment;
    tp_optim *opt;
    tp_tensor *pictures, *tokens, *labels;
    tp_dtype autocast;
    bool anomaly;
    snapshot start, after, now;
    long live;
    int halves; /* updates that failed half way */
} trainer;

static inline bool twice_forward(tp_call *c)
{
    c->out[0] = tp_scale(c->in.t[0], 2), c->out[1] = tp_square(c->in.t[0]), c->n_out = 2;
    return c->out[1];
}

static inline bool twice_backward(tp_call *c, tp_tensor *const *dy, tp_tensor **dx)
{
    tp_tensor *a = dy[0] ? tp_scale(dy[0], 2) : NULL, *b = dy[1] ? tp_scale(tp_mul(dy[1], c->in.t[0]), 2) : NULL;

    dx[0] = a && b ? tp_add(a, b) : a ? a : b;
    return tp_ok();
}

static const tp_user_op twice = { "twice", twice_forward, twice_backward };

static inline tp_tensor *seen(const trainer *k)
{
    tp_tensor *h = tp_nn_forward(k->conv, k->pictures), *part[4], *both[2] = { NULL };

    if (!tp_split(h, 1, 4, part)) return NULL; /* the third part is not used */
    h = tp_concat(TP_LIST(part[3], tp_slice(part[0], 1, 0, 1), tp_tanh(part[1])), 1);
    if (tp_apply_all(&twice, TP_LIST(h), NULL, 0, both, 2) != 2) return NULL;
    return tp_add(both[0], tp_gelu(both[1]));
}

static inline tp_tensor *told(const trainer *k)
{
    tp_lstm_out o = tp_nn_lstm_forward(k->lstm, tp_nn_forward(k->embed, k->tokens), NULL, NULL);
    tp_tensor *last = tp_slice(o.y, 1, 2, 3), *out = NULL;

    last = last ? tp_flatten(last, 1) : NULL;
    return tp_nn_checkpoint(k->segment, TP_LIST(last), &out, 1) == 1 ? out : NULL;
}

/* The gradient's own gradient, as in WGAN-GP. */
static inline tp_tensor *penalty(const trainer *k, tp_tensor *features)
{
    tp_tensor *mid = tp_requires_grad(tp_detach(features), true), *y = tp_nn_forward(k->fc, tp_sigmoid(mid));
    tp_tensor *g = tp_grad_of(tp_sum(y, TP_ALL), mid, (tp_grad_opts){ .create_graph = true });

    return tp_mean(tp_square(tp_shift(tp_sqrt(tp_sum(tp_square(g), TP_AXES(1))), -1)), TP_ALL);
}

static inline tp_tensor *loss_of(const trainer *k)
{
    TP_AUTOCAST(k->autocast);
    tp_mode anomaly __attribute__((cleanup(tp__mode_close), unused)) = tp_anomaly_begin(k->anomaly);
    tp_tensor *h = seen(k), *t = told(k), *f, *loss;

    if (!tp_ok()) return NULL;
    f = tp_concat(TP_LIST(tp_cast(h, TP_F32), tp_cast(t, TP_F32)), 1);
    f = tp_nn_forward(k->drop, tp_nn_forward(k->norm, f));
    loss = tp_cross_entropy(tp_cast(tp_nn_forward(k->fc, f), TP_F32), k->labels);
    return tp_add(loss, tp_cast(penalty(k, f), TP_F32));
}

static inline bool step(void *user)
{
    trainer *k = user;
    bool ok;

    tp_seed(7);
    {
        TP_SCOPE;
        ok = tp_optim_zero_grad(k->opt) && tp_backward(loss_of(k)) && tp_optim_clip_norm(k->opt, .5) &&
             tp_optim_step(k->opt);
    }
    return ok;
}

static inline void trainer_rewind(trainer *k)
{
    k->start.write = true, all_tensors(&k->start, k->net, k->opt), k->start.write = false;
}

static inline tp_module *sequential_of(tp_module *a, tp_module *b, tp_module *c, tp_module *d, tp_module *e)
{
    return tp_nn_sequential((tp_module *[]){ a, b, c, d, e }, 5);
}

static inline void build(trainer *k, bool adam, tp_device *dev)
{
    tp_sgd_opts sgd = tp_sgd(.1);

    k->net = tp_nn_container("net");
    k->conv = tp_nn_add(k->net, "conv", sequential_of(tp_nn_conv2d(1, 2, 3, (tp_conv2d_opts){ .padding = 1 }),
                                                      tp_nn_batch_norm(2), tp_nn_relu(), tp_nn_max_pool2d(2), tp_nn_flatten()));
    k->embed = tp_nn_add(k->net, "embed", tp_nn_embedding(5, 4));
    k->lstm = tp_nn_add(k->net, "lstm", tp_nn_lstm(4, 3, (tp_lstm_opts){ .layers = 2, .dropout = .2, .batch_first = true,
                                                                         .bidirectional = true }));
    k->segment = tp_nn_add(k->net, "segment", sequential_of(tp_nn_linear(6, 4), tp_nn_dropout(.3), tp_nn_gelu(),
                                                            tp_nn_batch_norm(4), tp_nn_tanh()));
    k->norm = tp_nn_add(k->net, "norm", tp_nn_layer_norm(TP_SHAPE(9)));
    k->drop = tp_nn_add(k->net, "drop", tp_nn_dropout(.1));
    k->fc = tp_nn_add(k->net, "fc", tp_nn_linear(9, 3));
    tp_nn_init(k->net, dev);
    sgd.momentum = .9, sgd.nesterov = true, sgd.weight_decay = .01;
    k->opt = adam ? tp_optim_adamw(tp_nn_params(k->net, "*"), tp_adamw(.1)) : tp_optim_sgd(tp_nn_params(k->net, "*"), sgd);
    k->pictures = tp_keep(check_numbers(TP_SHAPE(2, 1, 4, 4), TP_F32, -1, 1, dev));
    k->tokens = tp_keep(tp_from((int64_t[]){ 0, 1, 4, 2, 2, 3 }, TP_SHAPE(2, 3), TP_I64, dev));
    k->labels = tp_keep(tp_from((int64_t[]){ 2, 0 }, TP_SHAPE(2), TP_I64, dev));
}

/* At its start; what a step makes of it is known. */
static inline void trainer_open(trainer *k, bool adam, tp_device *dev)
{
    build(k, adam, dev);
    cr_assert(tp_ok() && k->opt, "%s", tp_error());
    all_tensors(&k->start, k->net, k->opt);
    CHECK(step(k) && tp_optim_zero_grad(k->opt));
    all_tensors(&k->after, k->net, k->opt);
    CHECK(!same(&k->start, &k->after));
    trainer_rewind(k);
    tp_thread_end(), k->live = tp__live();
}

static inline void trainer_close(trainer *k)
{
    free(k->start.bytes), free(k->after.bytes), free(k->now.bytes);
    tp_optim_free(k->opt), tp_nn_free(k->net);
    tp_free(k->pictures), tp_free(k->tokens), tp_free(k->labels);
}

#endif
