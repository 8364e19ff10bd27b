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
tp_tensor *tp_detach(tp_tensor *x);             /* the same bytes, without history.  No gradient. */
tp_tensor *tp_cast(tp_tensor *x, tp_dtype d);   /* the same bytes if it has dtype d */
tp_tensor *tp_to(tp_tensor *x, tp_device *d);   /* on d; the same bytes if it is there */

/* ---- axes and copies: all; twice ---- */
tp_tensor *tp_squeeze(tp_tensor *x, tp_axes axes);  /* a view: without those axes that have size 1 */
tp_tensor *tp_unsqueeze(tp_tensor *x, int axis);    /* a view: a new axis of size 1 at `axis` */
tp_tensor *tp_moveaxis(tp_tensor *x, int from, int to); /* a view */
tp_tensor *tp_stack(tp_list xs, int axis);          /* along a new axis; shapes equal */
/* The n = dim(x, axis) views along axis, each without it. */
bool tp_unbind(tp_tensor *x, int axis, int n, tp_tensor **out);
/* x side by side, times.n[i] times along axis i; as PyTorch's repeat, more numbers than axes
 * add axes in front. */
tp_tensor *tp_repeat(tp_tensor *x, tp_shape times);
tp_tensor *tp_repeat_interleave(tp_tensor *x, int64_t n, int axis); /* each element n times */
tp_tensor *tp_roll(tp_tensor *x, int64_t shift, int axis); /* what leaves at one end enters at the other */

/* With a value; mirrored at the edge, which isn't repeated; by the edge; from the other end. */
typedef enum tp_pad_mode { TP_PAD_CONSTANT, TP_PAD_REFLECT, TP_PAD_REPLICATE, TP_PAD_CIRCULAR } tp_pad_mode;
typedef struct tp_pad_opts {
    tp_pad_mode mode;
    double value; /* of a constant */
} tp_pad_opts;
/* pads as torch's: before and after, of the last axis first: TP_SHAPE(left, right, top, bottom).
 * Negative numbers take away.  Reflected padding is smaller than its axis, circular at most as large. */
tp_tensor *tp_pad(tp_tensor *x, tp_shape pads, tp_pad_opts o);

/* ---- bands of matrices: all; twice ---- */
/* x (..., rows, cols) where column - row <= diagonal (tril) or >= diagonal (triu), else 0. */
tp_tensor *tp_tril(tp_tensor *x, int64_t diagonal);
tp_tensor *tp_triu(tp_tensor *x, int64_t diagonal);

/* ---- picked by index along an axis: all; twice ---- */
/* Indices are i64, i32 or u8, from 0; any other number is an error (on CUDA, at the next wait).
 * Sums are taken in the order of the index. */
/* y[i] = x[index[i]] along axis, for each place along the others: index has x's rank, is no larger
 * than x along the other axes, and gives y its shape. */
tp_tensor *tp_gather(tp_tensor *x, int axis, tp_tensor *index);
/* x with y[index[i]] = source[i] along axis; where two meet, the last stays.  index is no larger
 * than source, nor than x along the other axes.  dtypes equal. */
tp_tensor *tp_scatter(tp_tensor *x, int axis, tp_tensor *index, tp_tensor *source);
tp_tensor *tp_scatter_add(tp_tensor *x, int axis, tp_tensor *index, tp_tensor *source); /* += */
/* The slices of x at index (n) along axis, which then has size n. */
tp_tensor *tp_index_select(tp_tensor *x, int axis, tp_tensor *index);
/* x's numbers, v where mask (bool, broadcast to x) is true; the gradient is 0 there. */
tp_tensor *tp_masked_fill(tp_tensor *x, tp_tensor *mask, double v);
/* i64 (..., classes): 1 at the label, else 0.  No gradient. */
tp_tensor *tp_one_hot(tp_tensor *labels, int64_t classes);

/* ---- made of their indices: all; no gradient ---- */
tp_tensor *tp_full_like(tp_tensor *t, double v); /* v everywhere, in t's shape, dtype and layout */
tp_tensor *tp_arange(double start, double end, double step, tp_dtype d, tp_device *dev); /* without end; of integers start and step are whole */
tp_tensor *tp_linspace(double start, double end, int64_t n, tp_dtype d, tp_device *dev); /* with end */
tp_tensor *tp_eye(int64_t rows, int64_t cols, tp_dtype d, tp_device *dev); /* 1 where row == column */

/* ---- draws: floats; no gradient ---- */
/* The thread's generator draws them: tp_seed.  The same numbers on every device. */
/* 1 with probability p, else 0, in p's dtype and layout; on the CPU a p outside 0..1 is an error */
tp_tensor *tp_bernoulli(tp_tensor *p);
tp_tensor *tp_randint(int64_t low, int64_t high, tp_shape s, tp_device *dev); /* in low .. high - 1; up to 2^47 of them.  Gives i64. */
tp_tensor *tp_randperm(int64_t n, tp_device *dev); /* (n): 0 .. n - 1 in a random order.  Gives i64. */
/* i64 (samples) or (rows, samples): places drawn with probability weights / their sum; weights (n) or
 * (rows, n), not negative, finite, not all 0; without replacement at least `samples` above 0.  Waits
 * for the device. */
tp_tensor *tp_multinomial(tp_tensor *weights, int64_t samples, bool replacement);
/* i64 in x's shape: how many of the rising row sorted (..., cols) are below x (..., n); right: not above. */
tp_tensor *tp_searchsorted(tp_tensor *sorted, tp_tensor *x, bool right);

/* ---- looking up: floats; twice ---- */
typedef struct tp_embedding_opts {
    int64_t padding_idx; /* its row gets no gradient; -1, as tp_embedding_defaults(): none */
    bool filled;
} tp_embedding_opts;
tp_embedding_opts tp_embedding_defaults(void); /* no padding row */
/* index (...) of i64, i32 or u8, weight (rows, cols) -> (..., cols) */
tp_tensor *tp_embedding(tp_tensor *index, tp_tensor *weight);
tp_tensor *tp_embedding_with(tp_tensor *index, tp_tensor *weight, tp_embedding_opts o);

TP_API_END

#endif
