/*
 * pixel_shuffle.c - Shi et al. 2016: blocks of r by r pixels in place of r r channels, and back.
 *
 * Channel c r r + i r + j goes to row i and column j of its block.  Axes are taken apart, ordered
 * anew and joined: one copy, written in the layout of x.
 */
#include "autograd/op.h"

static bool is_map(const char *name, const tp_tensor *x, int64_t r)
{
    TP_REQUIRE_IN(name, x->shape.rank == 4, TP_ERR_SHAPE, "x must be (N, C, H, W), not %s", tp__text(x));
    TP_REQUIRE_IN(name, r > 0 && r <= INT16_MAX, TP_ERR_ARG, "blocks of %lld by %lld", (long long)r, (long long)r);
    return true;
}

/* x in six axes, ordered, then in four; as (N, H, W, C) where x lies so. */
static tp_tensor *arranged(tp_tensor *x, tp_shape six, tp_axes order, tp_shape four)
{
    bool last = tp__layout_of(x) == TP_CHANNELS_LAST;

    if (last) x = tp_permute(x, TP_AXES(0, 2, 3, 1));
    x = tp_reshape(tp_permute(tp_reshape(x, six), order), four);
    return last ? tp_permute(x, TP_AXES(0, 3, 1, 2)) : x;
}

tp_tensor *tp_pixel_shuffle(tp_tensor *x, int64_t r)
{
    int64_t N, C, H, W;

    TP_SCOPE;
    if (!tp__check("pixel_shuffle", TP_LIST(x), 1) || !is_map("pixel_shuffle", x, r)) return NULL;
    TP_REQUIRE_IN("pixel_shuffle", tp_dim(x, 1) % (r * r) == 0, TP_ERR_SHAPE,
                  "the channels of %s are no multiple of %lld", tp__text(x), (long long)(r * r));
    N = tp_dim(x, 0), C = tp_dim(x, 1) / (r * r), H = tp_dim(x, 2), W = tp_dim(x, 3);
    if (tp__layout_of(x) == TP_CHANNELS_LAST)
        return tp_pass(arranged(x, TP_SHAPE(N, H, W, C, r, r), TP_AXES(0, 1, 4, 2, 5, 3), TP_SHAPE(N, H * r, W * r, C)));
    return tp_pass(arranged(x, TP_SHAPE(N, C, r, r, H, W), TP_AXES(0, 1, 4, 2, 5, 3), TP_SHAPE(N, C, H * r, W * r)));
}

tp_tensor *tp_pixel_unshuffle(tp_tensor *x, int64_t r)
{
    int64_t N, C, H, W;

    TP_SCOPE;
    if (!tp__check("pixel_unshuffle", TP_LIST(x), 1) || !is_map("pixel_unshuffle", x, r)) return NULL;
    TP_REQUIRE_IN("pixel_unshuffle", tp_dim(x, 2) % r == 0 && tp_dim(x, 3) % r == 0, TP_ERR_SHAPE,
                  "%s doesn't consist of blocks of %lld by %lld", tp__text(x), (long long)r, (long long)r);
    N = tp_dim(x, 0), C = tp_dim(x, 1), H = tp_dim(x, 2) / r, W = tp_dim(x, 3) / r;
    if (tp__layout_of(x) == TP_CHANNELS_LAST)
        return tp_pass(arranged(x, TP_SHAPE(N, H, r, W, r, C), TP_AXES(0, 1, 3, 5, 2, 4), TP_SHAPE(N, H, W, C * r * r)));
    return tp_pass(arranged(x, TP_SHAPE(N, C, H, r, W, r), TP_AXES(0, 1, 3, 5, 2, 4), TP_SHAPE(N, C * r * r, H, W)));
}
