/*
 * vqvae.c - the autoencoder of van den Oord et al. 2017, "Neural discrete representation learning".
 *
 *     code = argmin |e - w_k|,   q = w_code
 *     the decoder takes e + sg(q - e): q, with e's gradient (straight through)
 *     loss = -log p(x | q) + |sg(e) - q|^2 + 0.25 |e - sg(q)|^2
 *
 * A batch norm before the codebook keeps e as wide as the codes are at first (Lancucki et al. 2020,
 * "Robust training of vector quantized bottleneck models"), and codes have few numbers (Yu et al.
 * 2022, "Vector-quantized image modeling with improved VQGAN"): so many of them are near some e and
 * are used.
 */
#include "models/fits.h"


/* ---- encoder and decoder ---- */

static tp_module *block(int64_t width)
{
    tp_conv2d_opts same = { .padding = 1 };
    tp_module *l[] = { tp_nn_relu(), tp_nn_conv2d(width, width / 2, 3, same), tp_nn_relu(),
                       tp_nn_conv2d(width / 2, width, 1, (tp_conv2d_opts){ 0 }) };

    return tp_nn_residual(tp_nn_sequential(l, TP_LEN(l)), NULL);
}

static void add_blocks(tp_module *m, const tp_vqvae_opts *o)
{
    for (int i = 0; i < o->blocks; i++)
        tp_nn_append(m, block(o->width));
    tp_nn_append(m, tp_nn_relu());
}

static tp_module *encoder(const tp_vqvae_opts *o)
{
    tp_conv2d_opts half = { .stride = 2, .padding = 1 };
    tp_module *l[] = { tp_nn_conv2d(o->channels, o->width / 2, 4, half), tp_nn_relu(),
                       tp_nn_conv2d(o->width / 2, o->width, 4, half), tp_nn_relu(),
                       tp_nn_conv2d(o->width, o->width, 3, (tp_conv2d_opts){ .padding = 1 }) };
    tp_module *m = tp_nn_sequential(l, TP_LEN(l));

    add_blocks(m, o);
    tp_nn_append(m, tp_nn_conv2d(o->width, o->dims, 1, (tp_conv2d_opts){ .no_bias = true }));
    tp_nn_append(m, tp_nn_batch_norm(o->dims));
    return m;
}

static tp_module *decoder(const tp_vqvae_opts *o)
{
    tp_conv2d_opts half = { .stride = 2, .padding = 1 };
    tp_module *l[] = { tp_nn_conv2d(o->dims, o->width, 3, (tp_conv2d_opts){ .padding = 1 }) };
    tp_module *m = tp_nn_sequential(l, TP_LEN(l));

    add_blocks(m, o);
    tp_nn_append(m, tp_nn_conv_transpose2d(o->width, o->width / 2, 4, half));
    tp_nn_append(m, tp_nn_relu());
    tp_nn_append(m, tp_nn_conv_transpose2d(o->width / 2, o->channels, 4, half));
    return m;
}

/* ---- the codebook ---- */

/* rows (n, dims), w (codes, dims) -> i64 (n): the first of the nearest.  |row|^2 decides
 * nothing. */
static tp_tensor *nearest(tp_tensor *rows, tp_tensor *w)
{
    TP_SCOPE;
    TP_NO_GRAD;
    TP_AUTOCAST(TP_F32); /* bf16 would take neighbours for each other */
    tp_tensor *products = tp_matmul(tp_cast(rows, tp_dtype_of(w)), tp_transpose(w, 0, 1));

    return tp_pass(tp_argmin(tp_sub(tp_sum(tp_square(w), TP_AXES(1)), tp_scale(products, 2)), 1));
}

/* q (N, h, w, dims) -> logits */
static tp_tensor *decoded(tp_module *m, tp_tensor *q)
{
    return tp_nn_call(m, "decoder", tp_permute(q, TP_AXES(0, 3, 1, 2)));
}

static tp_tensor *squared(tp_tensor *a, tp_tensor *b)
{
    return tp_mse_loss(a, b, (tp_loss_opts){ .reduction = TP_SUM });
}

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_vqvae_opts *o = tp_nn_opts(self);
    tp_tensor *x = in.t[0], *w = tp_nn_tensor(self, "codebook.weight"), *e, *q, *code;

    if (!given(self, in, 1, 1)) return -1;
    if (!shaped(self, x, "x", TP_SHAPE(0, o->channels, 0, 0), "(N, channels, H, W)")) return -1;
    if (tp_dim(x, 2) % 4 || tp_dim(x, 3) % 4)
        return tp_fail(TP_ERR_SHAPE, "vqvae: pictures of %lldx%lld can't be halved twice",
                       (long long)tp_dim(x, 2), (long long)tp_dim(x, 3)), -1;
    e = tp_permute(tp_nn_call(self, "encoder", x), TP_AXES(0, 2, 3, 1)); /* (N, h, w, dims) */
    code = nearest(tp_reshape(e, TP_SHAPE(tp_count(e) / o->dims, o->dims)), w);
    code = tp_reshape(code, TP_SHAPE(tp_dim(e, 0), tp_dim(e, 1), tp_dim(e, 2)));
    q = tp_cast(tp_nn_call(self, "codebook", code), tp_dtype_of(e));
    if (room > 2) out[1] = squared(q, tp_detach(e)), out[2] = squared(e, tp_detach(q));
    if (room > 3) out[3] = code;
    q = tp_add(e, tp_detach(tp_sub(q, e)));
    if (tp_nn_gives(out, decoded(self, q)) < 0) return -1;
    return room > 3 ? 4 : room > 2 ? 3 : 1;
}

/* ---- the model ---- */

static bool filled(tp_vqvae_opts *o)
{
    static const char where[] = "tp_model_vqvae";

    o->channels = o->channels ? o->channels : 1, o->width = o->width ? o->width : 64;
    o->codes = o->codes ? o->codes : 128, o->dims = o->dims ? o->dims : 4;
    o->blocks = o->blocks ? o->blocks : 2;
    return in_range(where, "channels", o->channels, 1, MOST_WIDTH) &&
           in_range(where, "width", o->width, 2, MOST_WIDTH) &&
           in_range(where, "codes", o->codes, 1, MOST_SIZE) &&
           in_range(where, "dims", o->dims, 1, MOST_WIDTH) &&
           in_range(where, "blocks", o->blocks, 1, MOST_DEPTH);
}

tp_module *tp_model_vqvae(tp_vqvae_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("vqvae", forward, &o, sizeof o) : NULL;

    if (!m) return NULL;
    tp_nn_add(m, "encoder", encoder(&o));
    tp_nn_add(m, "codebook", tp_nn_embedding(o.codes, o.dims));
    tp_nn_add(m, "decoder", decoder(&o));
    return tp_nn_made(m);
}

tp_tensor *tp_model_vqvae_decode(tp_module *vqvae, tp_tensor *codes)
{
    TP_SCOPE;

    if (!is_model(__func__, vqvae, "vqvae") ||
        !shaped(vqvae, codes, "codes", TP_SHAPE(0, 0, 0), "(N, h, w)"))
        return NULL;
    return tp_pass(decoded(vqvae, tp_nn_call(vqvae, "codebook", codes)));
}

tp_tensor *tp_model_vqvae_loss(tp_tensor *logits, tp_tensor *x, tp_tensor *distance,
                               tp_tensor *commitment)
{
    TP_SCOPE;
    tp_bce_opts sum = { .reduction = TP_SUM };
    tp_tensor *likelihood = tp_bce_with_logits_with(logits, x, sum);

    return tp_pass(tp_add(likelihood, tp_add(distance, tp_scale(commitment, 0.25))));
}

tp_tensor *tp_model_vqvae_perplexity(tp_module *vqvae, tp_tensor *codes)
{
    TP_SCOPE;
    TP_NO_GRAD;
    const tp_vqvae_opts *o = tp_nn_opts(vqvae);
    int64_t n = tp_count(codes);
    tp_device *dev = tp_device_of(codes);
    tp_tensor *one, *share, *logs;

    if (!is_model(__func__, vqvae, "vqvae")) return NULL;
    one = tp_full(TP_SHAPE(n), 1 / (double)n, TP_F32, dev);
    share = tp_zeros(TP_SHAPE(o->codes), TP_F32, dev);
    share = tp_scatter_add(share, 0, tp_reshape(codes, TP_SHAPE(n)), one);
    logs = tp_log(tp_clamp(share, 1e-30, 1)); /* of a share 0 they count for nothing */
    return tp_pass(tp_exp(tp_neg(tp_sum(tp_mul(share, logs), TP_ALL))));
}
