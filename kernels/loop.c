/*
 * loop.c - see loop.h.
 */
#include "kernels/loop.h"

#include <string.h>

static int64_t magnitude(int64_t stride)
{
    return stride < 0 ? -stride : stride;
}

/* Does axis i belong inside axis j?  The output decides, then the inputs. */
static bool inside(int i, int j, int operands, const int64_t *const *stride)
{
    for (int k = 0; k < operands; k++) {
        int64_t a = magnitude(stride[k][i]), b = magnitude(stride[k][j]);

        if (a != b && a && b) return a < b;
    }
    return i > j;
}

static void order(int *axis, int n, int operands, const int64_t *const *stride)
{
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && inside(axis[j - 1], axis[j], operands, stride); j--) {
            int old = axis[j];

            axis[j] = axis[j - 1], axis[j - 1] = old;
        }
}

/* Can axis j be folded into the axis before it? */
static bool even(const tp_loop *l, int64_t n, int j, const int64_t *const *stride)
{
    for (int k = 0; k < l->operands; k++)
        if (l->stride[k][l->rank - 1] != n * stride[k][j]) return false;
    return true;
}

tp_loop tp_loop_make(int rank, const int64_t *n, int operands, const int64_t *const *stride,
                     bool ordered)
{
    tp_loop l;
    int axis[TP_MAX_RANK], axes = 0;

    l.rank = 0, l.operands = operands;
    for (int j = 0; j < rank; j++)
        if (n[j] != 1) axis[axes++] = j;
    if (ordered) order(axis, axes, operands, stride);
    for (int i = 0; i < axes; i++) {
        int j = axis[i];

        if (l.rank && even(&l, n[j], j, stride))
            l.n[l.rank - 1] *= n[j];
        else
            l.n[l.rank++] = n[j];
        for (int k = 0; k < operands; k++)
            l.stride[k][l.rank - 1] = stride[k][j];
    }
    if (l.rank) return l;
    l.n[l.rank++] = 1;
    for (int k = 0; k < operands; k++)
        l.stride[k][0] = 1;
    return l;
}

tp_loop tp_loop_flat(int64_t n, int operands)
{
    tp_loop l;

    l.rank = 1, l.operands = operands, l.n[0] = n;
    for (int k = 0; k < operands; k++)
        l.stride[k][0] = 1;
    return l;
}

int64_t tp_loop_count(const tp_loop *l)
{
    int64_t n = 1;

    for (int j = 0; j < l->rank; j++)
        n *= l->n[j];
    return n;
}

tp_row tp_row_at(const tp_loop *l, int64_t first)
{
    tp_row r;

    r.n = l->n[l->rank - 1];
    r.more = r.n > 0;
    for (int k = 0; k < l->operands; k++)
        r.step[k] = l->stride[k][l->rank - 1], r.at[k] = 0;
    for (int j = l->rank - 2; j >= 0; j--) {
        if (l->n[j] == 0) return r.more = false, r;
        r.i[j] = first % l->n[j], first /= l->n[j];
        for (int k = 0; k < l->operands; k++)
            r.at[k] += r.i[j] * l->stride[k][j];
    }
    return r;
}

tp_row tp_row_first(const tp_loop *l)
{
    return tp_row_at(l, 0);
}

void tp_row_next(const tp_loop *l, tp_row *r)
{
    for (int j = l->rank - 2; j >= 0; j--) {
        for (int k = 0; k < l->operands; k++)
            r->at[k] += l->stride[k][j];
        if (++r->i[j] < l->n[j]) return;
        for (int k = 0; k < l->operands; k++)
            r->at[k] -= l->n[j] * l->stride[k][j];
        r->i[j] = 0;
    }
    r->more = false;
}
