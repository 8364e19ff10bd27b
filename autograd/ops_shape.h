/*
 * ops_shape.h - the same elements otherwise arranged, and picked by index.  Read autograd/ops.h first.
 */
#ifndef TP_AUTOGRAD_OPS_SHAPE_H
#define TP_AUTOGRAD_OPS_SHAPE_H

#include "tensor/tensor.h"

TP_API_BEGIN

/* ---- the same elements, otherwise arranged: all; twice ---- */
/* One size may be -1: what is left.  A view where strides allow it, else a copy. */
tp_tensor *tp_reshape(tp_tensor *x, tp_shape s);
tp_tensor *tp_flatten(tp_tensor *x, int from); /* axes from, from + 1, ... become one */
tp_tensor *tp_transpose(tp_tensor *x, int a, int b); /* a view: two axes swapped */
tp_tensor *tp_permute(tp_tensor *x, tp_axes order);  /* a view: axis i is x's order.axis[i] */
/* x[..., from:to, ...] along axis, a view; negative places count from the end.  Unlike Python's,
 * places past the end are refused. */
tp_tensor *tp_slice(tp_tensor *x, int axis, int64_t from, int64_t to);
tp_tensor *tp_slice_step(tp_tensor *x, int axis, int64_t from, int64_t to, int64_t step); /* step > 0 */
bool tp_split(tp_tensor *x, int axis, int n, tp_tensor **out); /* n equal views */
/* Views of the given sizes, which must add up. */
bool tp_split_sizes(tp_tensor *x, int axis, const int64_t *sizes, int n, tp_tensor **out);
tp_tensor *tp_concat(tp_list xs, int axis); /* shapes equal but along axis */
tp_tensor *tp_flip(tp_tensor *x, int axis);     /* backwards along axis, a copy */
tp_tensor *tp_expand(tp_tensor *x, tp_shape s); /* a view: axes of size 1 repeated */
tp_tensor *tp_contiguous(tp_tensor *x);         /* row-major; the same bytes if they are */
tp_tensor *tp_channels_last(tp_tensor *x);      /* (N, C, H, W) with C innermost in memory */
tp_tensor *tp_clone(tp_tensor *x);              /* a copy, in x's layout */
tp_tensor *tp_detach(tp_tensor *x);             /* the same bytes, without history */
tp_tensor *tp_cast(tp_tensor *x, tp_dtype d);   /* the same bytes if it has dtype d */
tp_tensor *tp_to(tp_tensor *x, tp_device *d);   /* on d; the same bytes if it is there */

/* ---- looking up: floats; twice ---- */
typedef struct tp_embedding_opts {
    int64_t padding_idx; /* its row gets no gradient; -1, as tp_embedding_defaults(): none */
    bool filled;
} tp_embedding_opts;
tp_embedding_opts tp_embedding_defaults(void);
/* index (...) of i64, i32 or u8, weight (rows, cols) -> (..., cols) */
tp_tensor *tp_embedding(tp_tensor *index, tp_tensor *weight);
tp_tensor *tp_embedding_with(tp_tensor *index, tp_tensor *weight, tp_embedding_opts o);

TP_API_END

#endif
