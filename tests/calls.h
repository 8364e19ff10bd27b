/*
 * calls.h - calls of ops for tests that only ask what comes of them: refusals by their text, small
 * tensors, and ops with several outputs as functions of one.
 */
#ifndef TP_TESTS_CALLS_H
#define TP_TESTS_CALLS_H

#include "tests/check.h"

/* The call is refused for this reason; the case's name is the call. */
#define REFUSED(call, code, text)                                                        \
    do {                                                                                 \
        CASE("%.150s", #call);                                                           \
        CHECK_REFUSED(call, code, text);                                                 \
    } while (0)
#define SHAPE(call, text)  REFUSED(call, TP_ERR_SHAPE, text)
#define DTYPE(call, text)  REFUSED(call, TP_ERR_DTYPE, text)
#define ARG(call, text)    REFUSED(call, TP_ERR_ARG, text)
#define DEVICE(call, text) REFUSED(call, TP_ERR_DEVICE, text)

static inline tp_tensor *make(tp_dtype d, tp_device *dev, tp_shape s)
{
    return tp_ones(s, d, dev);
}
#define F32(...) make(TP_F32, dev, TP_SHAPE(__VA_ARGS__))
#define F64(...) make(TP_F64, dev, TP_SHAPE(__VA_ARGS__))
#define I64(...) make(TP_I64, dev, TP_SHAPE(__VA_ARGS__))
#define SCALAR   make(TP_F32, dev, TP_SCALAR)

static const tp_conv2d_opts plain_conv;
static const tp_pool2d_opts plain_pool;

/* ---- a call of each op, with the tensors it is given in the place of its inputs ---- */

static inline tp_batch_norm_opts norm_opts(bool training)
{
    tp_batch_norm_opts o = tp_batch_norm_defaults();

    o.training = training;
    return o;
}

static inline tp_tensor *split_of(tp_tensor *x, int axis, int n)
{
    tp_tensor *out[4] = { x, x, x, x };
    bool ok = tp_split(x, axis, n, out);

    CHECK(ok || n < 1 || !out[0]); /* nothing half done */
    return ok ? out[0] : NULL;
}

static inline tp_tensor *sizes_of(tp_tensor *x, int axis, int64_t a, int64_t b)
{
    tp_tensor *out[2] = { x, x };
    bool ok = tp_split_sizes(x, axis, (int64_t[]){ a, b }, 2, out);

    CHECK(ok || (!out[0] && !out[1]));
    return ok ? out[0] : NULL;
}

static inline tp_tensor *concat2(tp_tensor *a, tp_tensor *b, int axis)
{
    return tp_concat(TP_LIST(a, b), axis);
}

static inline tp_tensor *lstm_of(tp_tensor *x, tp_tensor *h, tp_tensor *c, tp_tensor *wi, tp_tensor *wh, tp_tensor *bi,
                          tp_tensor *bh)
{
    tp_lstm_out o = tp_lstm(x, h, c, wi, wh, bi, bh);

    CHECK(!o.y == !o.h && !o.h == !o.c);
    return o.y;
}

#endif
