/*
 * unet.c - the U-Net of "Denoising diffusion probabilistic models" (Ho et al. 2020).
 *
 *     block   y = skip(x) + conv2(silu(norm2(conv1(silu(norm1(x))) + temb_proj(silu(t)))))
 *     attn    y = x + proj_out(attention of the places of norm(x))
 *
 * Levels go down to smaller maps and up again; on the way up each block also takes what the block
 * on the way down has given.  A label's or a text's embedding is added to the time's (Dhariwal &
 * Nichol 2021).  Names are those of the paper's PyTorch port: down.0.block.0.conv1, mid.attn_1,
 * up.2.upsample ...
 */
#include "models/fits.h"
#include "models/waves.h"

enum { GROUPS = 8, MOST_LEVELS = 6, MOST_SKIPS = 64 };

static const tp_conv2d_opts same = { .padding = 1 };

/* ---- a residual block ---- */

static int block_forward(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_tensor *x = in.t[0], *t = tp_nn_call(self, "temb_proj", in.t[1]), *h;

    (void)room;
    h = tp_nn_call(self, "conv1", tp_silu(tp_nn_call(self, "norm1", x)));
    h = tp_add(h, tp_unsqueeze(tp_unsqueeze(t, -1), -1));
    h = tp_nn_call(self, "dropout", tp_silu(tp_nn_call(self, "norm2", h)));
    return tp_nn_gives(out,
                       tp_add(tp_nn_call(self, "nin_shortcut", x), tp_nn_call(self, "conv2", h)));
}

static tp_module *block(int64_t in, int64_t out, int64_t time, double dropout)
{
    tp_module *m = tp_nn_from("block", NULL, block_forward, NULL);

    tp_nn_add(m, "norm1", tp_nn_group_norm(GROUPS, in));
    tp_nn_add(m, "conv1", tp_nn_conv2d(in, out, 3, same));
    tp_nn_add(m, "temb_proj", tp_nn_linear(time, out));
    tp_nn_add(m, "norm2", tp_nn_group_norm(GROUPS, out));
    tp_nn_add(m, "dropout", tp_nn_dropout(dropout));
    tp_nn_add(m, "conv2", tp_nn_conv2d(out, out, 3, same));
    tp_nn_add(m, "nin_shortcut",
              in == out ? tp_nn_identity() : tp_nn_conv2d(in, out, 1, (tp_conv2d_opts){ 0 }));
    return tp_nn_made(m);
}

/* ---- attention ---- */

/* Maps (N, C, H, W) are channels-last in memory: (N, 1, H W, C) is a view of them, and back. */
static tp_tensor *places(tp_tensor *x)
{
    return tp_reshape(tp_permute(x, TP_AXES(0, 2, 3, 1)),
                      TP_SHAPE(tp_dim(x, 0), 1, tp_dim(x, 2) * tp_dim(x, 3), tp_dim(x, 1)));
}

static tp_tensor *map_of(tp_tensor *y, tp_tensor *like)
{
    return tp_permute(
        tp_reshape(y, TP_SHAPE(tp_dim(like, 0), tp_dim(like, 2), tp_dim(like, 3), tp_dim(like, 1))),
        TP_AXES(0, 3, 1, 2));
}

static int attention_forward(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_tensor *x = in.t[0], *qkv = tp_nn_call(self, "qkv", tp_nn_call(self, "norm", x)), *part[3];

    (void)room;
    if (!tp_split(places(qkv), 3, 3, part)) return -1;
    qkv = map_of(tp_attention(part[0], part[1], part[2], (tp_attention_opts){ 0 }), x);
    return tp_nn_gives(out, tp_add(x, tp_nn_call(self, "proj_out", qkv)));
}

static tp_module *attention(int64_t channels)
{
    tp_module *m = tp_nn_from("attention", NULL, attention_forward, NULL);

    tp_nn_add(m, "norm", tp_nn_group_norm(GROUPS, channels));
    tp_nn_add(m, "qkv", tp_nn_conv2d(channels, 3 * channels, 1, (tp_conv2d_opts){ 0 }));
    tp_nn_add(m, "proj_out", tp_nn_conv2d(channels, channels, 1, (tp_conv2d_opts){ 0 }));
    return tp_nn_made(m);
}

/* ---- the time, and what the picture is to show ---- */

/* silu of the embedding, which all blocks take */
static tp_tensor *condition(tp_module *m, const tp_unet_opts *o, tp_list in)
{
    tp_tensor *angle = wave_angles(in.t[1], o->base), *t = tp_concat(TP_LIST(tp_sin(angle), tp_cos(angle)), 1);

    t = tp_nn_call(m, "temb.1", tp_silu(tp_nn_call(m, "temb.0", tp_cast(t, tp_dtype_of(in.t[0])))));
    if (o->classes) t = tp_add(t, tp_nn_call(m, "label_emb", in.t[2]));
    if (o->context) t = tp_add(t, tp_nn_call(m, "text_proj", in.t[2]));
    return tp_silu(t);
}

/* ---- the network ---- */

static tp_tensor *run_block(tp_module *level, int i, tp_tensor *x, tp_tensor *t)
{
    tp_tensor *y = NULL;

    tp_nn_apply(tp_nn_child(tp_nn_get(level, "block"), i), TP_LIST(x, t), &y, 1);
    return tp_nn_has(level, "attn") ? tp_nn_forward(tp_nn_child(tp_nn_get(level, "attn"), i), y)
                                    : y;
}

typedef struct skips {
    tp_tensor *t[MOST_SKIPS];
    int n;
} skips;

static tp_tensor *go_down(tp_module *m, const tp_unet_opts *o, tp_tensor *x, tp_tensor *t, skips *s)
{
    x = s->t[s->n++] = tp_nn_call(m, "conv_in", x);
    for (int l = 0; l < o->levels; l++) {
        tp_module *level = tp_nn_child(tp_nn_get(m, "down"), l);

        for (int i = 0; i < o->blocks; i++)
            x = s->t[s->n++] = run_block(level, i, x, t);
        if (l < o->levels - 1) x = s->t[s->n++] = tp_nn_call(level, "downsample", x);
    }
    return x;
}

static tp_tensor *middle(tp_module *m, tp_tensor *x, tp_tensor *t)
{
    tp_tensor *y = NULL, *z = NULL;

    tp_nn_apply(tp_nn_get(m, "mid.block_1"), TP_LIST(x, t), &y, 1);
    y = tp_nn_call(m, "mid.attn_1", y);
    tp_nn_apply(tp_nn_get(m, "mid.block_2"), TP_LIST(y, t), &z, 1);
    return z;
}

static tp_tensor *go_up(tp_module *m, const tp_unet_opts *o, tp_tensor *x, tp_tensor *t, skips *s)
{
    for (int l = o->levels - 1; l >= 0; l--) {
        tp_module *level = tp_nn_child(tp_nn_get(m, "up"), l);

        for (int i = 0; i <= o->blocks; i++)
            x = run_block(level, i, tp_concat(TP_LIST(x, s->t[--s->n]), 1), t);
        if (l > 0)
            x = tp_nn_call(level, "upsample",
                           tp_interpolate(x, (tp_interpolate_opts){ .scale = 2 }));
    }
    return x;
}

static bool inputs_fit(tp_module *m, const tp_unet_opts *o, tp_list in)
{
    int n = o->classes || o->context ? 3 : 2, step = 1 << (o->levels - 1);
    tp_shape text = TP_SHAPE(tp_dim(in.t[0], 0), o->context);

    if (tp_ok() && n == 3 && in.n == 2)
        return tp_fail(TP_ERR_ARG, "unet: it is conditional, and %s missing",
                       o->classes ? "labels are" : "a text is");
    if (!given(m, in, n, n) ||
        !shaped(m, in.t[0], "x", TP_SHAPE(0, o->channels, 0, 0), "(N, channels, H, W)") ||
        !shaped(m, in.t[1], "time", TP_SHAPE(text.n[0]), "(N)"))
        return false;
    if (tp_dim(in.t[0], 2) % step || tp_dim(in.t[0], 3) % step)
        return tp_fail(TP_ERR_SHAPE, "unet: maps of %lldx%lld can't be halved %d times",
                       (long long)tp_dim(in.t[0], 2), (long long)tp_dim(in.t[0], 3), o->levels - 1);
    if (o->classes) return shaped(m, in.t[2], "labels", TP_SHAPE(text.n[0]), "(N)");
    return !o->context || shaped(m, in.t[2], "text", text, "(N, context)");
}

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_unet_opts *o = tp_nn_opts(self);
    skips s = { .n = 0 };
    tp_tensor *x, *t;

    (void)room;
    if (!inputs_fit(self, o, in)) return -1;
    t = condition(self, o, in);
    x = go_up(self, o, middle(self, go_down(self, o, in.t[0], t, &s), t), t, &s);
    return tp_nn_gives(out, tp_nn_call(self, "conv_out", tp_silu(tp_nn_call(self, "norm_out", x))));
}

/* ---- making it ---- */

static bool fits(const tp_unet_opts *o)
{
    static const char where[] = "tp_model_unet";

    if (!in_range(where, "levels", o->levels, 1, MOST_LEVELS) ||
        !in_range(where, "blocks", o->blocks, 1, MOST_SKIPS / o->levels - 2) ||
        !in_range(where, "base", o->base, GROUPS, MOST_WIDTH) ||
        !in_range(where, "channels", o->channels, 1, MOST_WIDTH) ||
        !in_range(where, "classes", o->classes, 0, MOST_SIZE) ||
        !in_range(where, "context", o->context, 0, MOST_SIZE) || !is_rate(where, o->dropout))
        return false;
    for (int l = 0; l < o->levels; l++)
        if (!in_range(where, "mults", o->mults[l], 1, MOST_DEPTH)) return false;
    if (!in_range(where, "attention", o->attention, 0, (1 << MOST_LEVELS) - 1)) return false;
    if (o->base % GROUPS)
        return tp_fail(TP_ERR_ARG, "%s: base %lld isn't a multiple of its %d groups", where,
                       (long long)o->base, GROUPS);
    return !(o->classes && o->context) ||
           tp_fail(TP_ERR_ARG, "%s: %lld classes and a context of %lld: labels or a text, not both",
                   where, (long long)o->classes, (long long)o->context);
}

static bool filled(tp_unet_opts *o)
{
    tp_unet_opts usual = {
        .channels = 1, .base = 32, .levels = 3, .mults = { 1, 2, 2 }, .blocks = 2, .attention = 2
    };

    if (!o->channels) o->channels = usual.channels;
    if (!o->base) o->base = usual.base;
    if (!o->blocks) o->blocks = usual.blocks;
    if (!o->attention) o->attention = usual.attention;
    if (!o->levels) {
        o->levels = usual.levels;
        for (int l = 0; l < usual.levels; l++)
            o->mults[l] = usual.mults[l];
    }
    return fits(o);
}

/* One level: n blocks, the first from in[0] channels, ... */
static tp_module *level_of(const tp_unet_opts *o, int l, int n, const int64_t *in, int64_t out)
{
    tp_module *level = tp_nn_container("level"),
              *blocks = tp_nn_add(level, "block", tp_nn_list(NULL, 0));
    tp_module *attn = o->attention >> l & 1 ? tp_nn_add(level, "attn", tp_nn_list(NULL, 0)) : NULL;

    for (int i = 0; tp_ok() && i < n; i++) {
        tp_nn_append(blocks, block(in[i], out, 4 * o->base, o->dropout));
        if (attn) tp_nn_append(attn, attention(out));
    }
    return level;
}

/* Gives the channels of the last level; skips: those of each skip, in order. */
static int64_t make_down(tp_module *m, const tp_unet_opts *o, int64_t *skip, int *n)
{
    tp_module *down = tp_nn_add(m, "down", tp_nn_list(NULL, 0)), *level;
    int64_t c = o->base;

    skip[(*n)++] = c;
    for (int l = 0; tp_ok() && l < o->levels; l++) {
        int64_t out = o->base * o->mults[l], in[MOST_SKIPS] = { c };

        for (int i = 0; i < o->blocks; i++)
            in[i] = i ? out : c, skip[(*n)++] = out;
        level = tp_nn_append(down, level_of(o, l, o->blocks, in, out));
        c = out;
        if (l == o->levels - 1) break;
        tp_nn_add(level, "downsample",
                  tp_nn_conv2d(c, c, 3, (tp_conv2d_opts){ .stride = 2, .padding = 1 }));
        skip[(*n)++] = c;
    }
    return c;
}

static void make_middle(tp_module *m, const tp_unet_opts *o, int64_t c)
{
    tp_module *mid = tp_nn_add(m, "mid", tp_nn_container("middle"));

    tp_nn_add(mid, "block_1", block(c, c, 4 * o->base, o->dropout));
    tp_nn_add(mid, "attn_1", attention(c));
    tp_nn_add(mid, "block_2", block(c, c, 4 * o->base, o->dropout));
}

static int64_t make_up(tp_module *m, const tp_unet_opts *o, int64_t c, const int64_t *skip, int n)
{
    tp_module *level[MOST_LEVELS] = { NULL }, *up;

    for (int l = o->levels - 1; tp_ok() && l >= 0; l--) {
        int64_t out = o->base * o->mults[l], in[MOST_SKIPS];

        for (int i = 0; i <= o->blocks; i++)
            in[i] = (i ? out : c) + skip[--n];
        level[l] = level_of(o, l, o->blocks + 1, in, out), c = out;
        if (l > 0) tp_nn_add(level[l], "upsample", tp_nn_conv2d(c, c, 3, same));
    }
    up = tp_nn_add(m, "up", tp_nn_list(NULL, 0));
    for (int l = 0; l < o->levels; l++)
        tp_nn_append(up, level[l]);
    return c;
}

tp_module *tp_model_unet(tp_unet_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("unet", forward, &o, sizeof o) : NULL, *time[2];
    int64_t skip[MOST_SKIPS], c;
    int n = 0;

    if (!m) return NULL;
    time[0] = tp_nn_linear(o.base, 4 * o.base), time[1] = tp_nn_linear(4 * o.base, 4 * o.base);
    tp_nn_add(m, "temb", tp_nn_list(time, 2));
    if (o.classes) tp_nn_add(m, "label_emb", tp_nn_embedding(o.classes + 1, 4 * o.base));
    if (o.context) tp_nn_add(m, "text_proj", tp_nn_linear(o.context, 4 * o.base));
    tp_nn_add(m, "conv_in", tp_nn_conv2d(o.channels, o.base, 3, same));
    c = make_down(m, &o, skip, &n);
    make_middle(m, &o, c);
    c = make_up(m, &o, c, skip, n);
    tp_nn_add(m, "norm_out", tp_nn_group_norm(GROUPS, c));
    tp_nn_add(m, "conv_out", tp_nn_conv2d(c, o.channels, 3, same));
    return tp_nn_made(m);
}
