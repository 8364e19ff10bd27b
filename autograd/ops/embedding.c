/*
 * embedding.c - rows of a table by their number.
 *
 *   y[i,:] = w[index[i],:]        dw[r,:] = sum of dy[i,:] where index[i] == r, in the order of i
 *   embedding_dw, given u:        ddy[i,:] = u[index[i],:]       0 where index[i] is the padding
 */
#include "autograd/op.h"

enum { INDEX, WEIGHT }; /* of embedding, and as saved */
enum { DW_DY, DW_INDEX };

typedef struct embedding_attr {
    int64_t rows, padding;
} embedding_attr;

static tp_tensor *embedding(const char *where, tp_tensor *index, tp_tensor *w, int64_t padding);

/* u with the padding's row zero. */
static tp_tensor *without_row(tp_tensor *u, int64_t row)
{
    tp_tensor *zero;

    if (row < 0) return u;
    zero = tp_zeros(TP_SHAPE(1, tp_dim(u, 1)), tp_dtype_of(u), tp_device_of(u));
    return tp_concat(TP_LIST(tp_slice(u, 0, 0, row), zero, tp_slice(u, 0, row + 1, tp_dim(u, 0))), 0);
}

static void embedding_dw_backward(tp_node *n)
{
    const embedding_attr *k = tp__attr(n);

    tp__give(n, DW_DY,
             embedding("embedding", tp__saved(n, 0),
                       without_row(tp__dy(n, 0), k->padding), k->padding));
}

static const tp_op embedding_dw_op = { "embedding_dw", embedding_dw_backward, NULL };

static tp_tensor *embedding_dw(tp_sink to, tp_tensor *dy, tp_tensor *index, embedding_attr k)
{
    int64_t cols = tp_dim(dy, -1);
    tp_place dw;

    if (!(dy = tp__rows(dy)) || !index) return NULL;
    dw = tp__place(to, TP_SHAPE(k.rows, cols), dy, TP_ROW_MAJOR, TP_DENSE_ONLY);
    if (!dw.t || !TP_RUN(embedding_dw, dy, tp_count(index), k.rows, cols, tp__data(index), tp__data(dy),
                         k.padding, dw.add, tp__data(dw.t)))
        return NULL;
    return tp__record(&embedding_dw_op, TP_LIST(dy, index), dw.t, TP_LIST(index), &k, sizeof k);
}

static void embedding_backward(tp_node *n)
{
    tp__give(n, WEIGHT, embedding_dw(tp__sink(n, WEIGHT), tp__dy(n, 0), tp__saved(n, 0),
                                     *(const embedding_attr *)tp__attr(n)));
}

static const tp_op embedding_op = { "embedding", embedding_backward, NULL };

static tp_tensor *embedding(const char *where, tp_tensor *index, tp_tensor *w, int64_t padding)
{
    embedding_attr k = { tp_dim(w, 0), padding };
    tp_tensor *y;
    tp_shape s;

    if (!index || !(w = tp__rows(w))) return NULL;
    s = index->shape, s.n[s.rank++] = tp_dim(w, 1);
    if (!(y = tp__new_like(w, s))) return NULL;
    if (!TP_RUN_SLOT(where, tp__backend(w)->embedding, w, tp_count(index), k.rows,
                     tp_dim(w, 1), tp__data(index), tp__data(w), tp__data(y)))
        return NULL;
    return tp__record(&embedding_op, TP_LIST(index, w), y, TP_LIST(index), &k, sizeof k);
}

tp_tensor *tp__embedding(const char *where, tp_tensor *index, tp_tensor *w)
{
    return embedding(where, tp__rows(index), w, -1);
}

tp_embedding_opts tp_embedding_defaults(void)
{
    return (tp_embedding_opts){ .padding_idx = -1, .filled = true };
}

tp_tensor *tp_embedding_with(tp_tensor *index, tp_tensor *weight, tp_embedding_opts o)
{
    TP_SCOPE;
    if (!tp__check("embedding", TP_LIST(index, weight), 2)) return NULL;
    TP_REQUIRE_IN("embedding", o.filled, TP_ERR_ARG, "start from tp_embedding_defaults()");
    TP_REQUIRE_IN("embedding", weight->shape.rank == 2, TP_ERR_SHAPE, "weight must be (rows, cols), not %s",
                  tp__text(weight));
    TP_REQUIRE_IN("embedding", !tp__is_float(index) && index->dtype != TP_BOOL, TP_ERR_DTYPE,
                  "the index must be i64, i32 or u8, not %s", tp__text(index));
    TP_REQUIRE_IN("embedding", index->shape.rank < TP_MAX_AXES, TP_ERR_SHAPE, "the index is %s: too many axes",
                  tp__text(index));
    TP_REQUIRE_IN("embedding", o.padding_idx >= -1 && o.padding_idx < tp_dim(weight, 0), TP_ERR_ARG,
                  "padding_idx %lld for %lld rows", (long long)o.padding_idx, (long long)tp_dim(weight, 0));
    return tp_pass(embedding("embedding", tp__rows(tp_cast(index, TP_I64)), weight, o.padding_idx));
}

tp_tensor *tp_embedding(tp_tensor *index, tp_tensor *weight)
{
    return tp_embedding_with(index, weight, tp_embedding_defaults());
}
