/*
 * shape.c - counts, strides, layouts, broadcasting, text.
 */
#include "tensor/internal.h"

#include <stdio.h>
#include <string.h>

/* Strides are products of sizes, so those beside a 0 must be countable too. */
int64_t tp__countable(const tp_shape *s)
{
    int64_t n = 1, sizes = 1;
    bool bad = (unsigned)s->rank > TP_MAX_AXES;

    for (int i = 0; !bad && i < s->rank; i++) {
        n *= s->n[i] != 0;
        bad = s->n[i] < 0 || __builtin_mul_overflow(sizes, s->n[i] ? s->n[i] : 1, &sizes);
    }
    return bad || sizes > INT64_MAX / 16 ? -1 : n * sizes;
}

bool tp__shape_ok(const char *where, tp_shape s)
{
    if (tp__countable(&s) >= 0) return true;
    TP_REQUIRE_IN(where, s.rank >= 0 && s.rank <= TP_MAX_AXES, TP_ERR_SHAPE, "%d axes: 0 to %d are possible",
                  s.rank, TP_MAX_AXES);
    for (int i = 0; i < s.rank; i++)
        TP_REQUIRE_IN(where, s.n[i] >= 0, TP_ERR_SHAPE, "negative size in %s", tp__shape_text(s));
    return tp__fail(TP_ERR_SHAPE, where, "%s has too many elements", tp__shape_text(s));
}

int64_t tp__elements(const tp_shape *s)
{
    int64_t n = 1;

    for (int i = 0; i < s->rank; i++)
        n *= s->n[i];
    return n;
}

bool tp__same(const tp_shape *a, const tp_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->n[i] != b->n[i]) return false;
    return true;
}

/* ---- layouts ---- */

void tp__strides(const tp_shape *s, tp_layout layout, int64_t *stride)
{
    int64_t n = 1;

    if (layout == TP_CHANNELS_LAST && s->rank == 4) {
        stride[1] = 1, stride[3] = s->n[1], stride[2] = stride[3] * s->n[3];
        stride[0] = stride[2] * s->n[2];
        return;
    }
    for (int i = s->rank - 1; i >= 0; n *= s->n[i--])
        stride[i] = n;
}

static bool packed(const tp_tensor *t, const int *order)
{
    int64_t n = 1;

    for (int k = t->shape.rank - 1; k >= 0; k--) {
        int i = order ? order[k] : k;

        if (t->shape.n[i] != 1 && t->stride[i] != n) return t->shape.n[i] == 0;
        n *= t->shape.n[i];
    }
    return true;
}

bool tp__dense(const tp_tensor *t, tp_layout layout)
{
    static const int channels_last[] = { 0, 2, 3, 1 };

    if (layout == TP_ROW_MAJOR) return packed(t, NULL);
    return t->shape.rank == 4 && packed(t, channels_last);
}

/* Do strides fall in this order of axes?  Those that are walked once, or not at all, don't count. */
static bool falls(const tp_tensor *t, const int order[4])
{
    int64_t last = INT64_MAX;

    for (int k = 0; k < 4; k++) {
        int64_t stride = t->stride[order[k]];

        if (t->shape.n[order[k]] == 1 || stride == 0) continue;
        if (stride > last) return false;
        last = stride;
    }
    return true;
}

tp_layout tp__layout_among(tp_list operands)
{
    static const int rows[] = { 0, 1, 2, 3 }, channels_last[] = { 0, 2, 3, 1 };

    for (int i = 0; i < operands.n; i++) {
        const tp_tensor *t = operands.t[i];
        bool row;

        if (t->shape.rank != 4) continue;
        row = falls(t, rows);
        if (falls(t, channels_last) != row) return row ? TP_ROW_MAJOR : TP_CHANNELS_LAST;
    }
    return TP_ROW_MAJOR;
}

tp_layout tp__layout_of(const tp_tensor *t)
{
    tp_tensor *one = (tp_tensor *)(uintptr_t)t;

    return t->shape.rank == 4 ? tp__layout_among((tp_list){ &one, 1 }) : TP_ROW_MAJOR;
}

bool tp_is_contiguous(const tp_tensor *t)
{
    return tp__there(__func__, t) && tp__dense(t, TP_ROW_MAJOR);
}

bool tp_is_channels_last(const tp_tensor *t)
{
    return tp__there(__func__, t) && tp__dense(t, TP_CHANNELS_LAST);
}

/* ---- broadcasting ---- */

tp_shape tp__broadcast(const tp_shape *a, const tp_shape *b)
{
    tp_shape s = { .rank = a->rank > b->rank ? a->rank : b->rank };

    for (int i = 1; i <= s.rank; i++) {
        int64_t p = i <= a->rank ? a->n[a->rank - i] : 1, q = i <= b->rank ? b->n[b->rank - i] : 1;

        if (p != q && p != 1 && q != 1) return (tp_shape){ .rank = -1 };
        s.n[s.rank - i] = p == 1 ? q : p;
    }
    return s;
}

/* Strides with which t is read as if it had shape s; false when it can't be. */
bool tp__expanded(const tp_tensor *t, const tp_shape *s, int64_t *stride)
{
    if (t->shape.rank > s->rank) return false;
    for (int i = 1; i <= s->rank; i++) {
        int j = t->shape.rank - i;
        bool repeats = j < 0 || t->shape.n[j] == 1;

        stride[s->rank - i] = repeats ? 0 : t->stride[j];
        if (!repeats && t->shape.n[j] != s->n[s->rank - i]) return false;
    }
    return true;
}

static tp_loop make_loop(const tp_shape *s, tp_list operands, bool ordered)
{
    int64_t stride[TP_LOOP_OPERANDS][TP_MAX_AXES];
    const int64_t *rows[TP_LOOP_OPERANDS];

    for (int k = 0; k < operands.n; k++)
        tp__expanded(operands.t[k], s, stride[k]), rows[k] = stride[k];
    return tp_loop_make(s->rank, s->n, operands.n, rows, ordered);
}

/* Do all operands walk s as one row?  Most calls do. */
static bool flat(const tp_shape *s, tp_list operands)
{
    const tp_tensor *first = operands.t[0];

    if (!tp__dense(first, TP_ROW_MAJOR)) return false;
    for (int k = 0; k < operands.n; k++)
        if (!tp__same(&operands.t[k]->shape, s) ||
            (k && memcmp(operands.t[k]->stride, first->stride, sizeof *first->stride * (size_t)s->rank)))
            return false;
    return true;
}

tp_loop tp__loop(const tp_shape *s, tp_list operands)
{
    if (flat(s, operands)) return tp_loop_flat(tp__elements(s), operands.n);
    return make_loop(s, operands, true);
}

tp_loop tp__loop_logical(const tp_shape *s, tp_list operands)
{
    return make_loop(s, operands, false);
}

/* ---- axes ---- */

int tp__axis(const char *where, const tp_tensor *t, int axis)
{
    int at = axis < 0 ? axis + t->shape.rank : axis;

    if (at >= 0 && at < t->shape.rank) return at;
    tp__fail(TP_ERR_ARG, where, "%s has no axis %d", tp__text(t), axis);
    return -1;
}

bool tp__axes_mask(const char *where, const tp_tensor *t, tp_axes axes, bool *gone)
{
    memset(gone, axes.n == 0, TP_MAX_AXES);
    TP_REQUIRE_IN(where, axes.n >= 0 && axes.n <= TP_MAX_AXES, TP_ERR_ARG, "%d axes", axes.n);
    for (int i = 0; i < axes.n; i++) {
        int a = tp__axis(where, t, axes.axis[i]);

        if (a < 0) return false;
        TP_REQUIRE_IN(where, !gone[a], TP_ERR_ARG, "axis %d is named twice", axes.axis[i]);
        gone[a] = true;
    }
    return true;
}

/* ---- text and questions ---- */

const char *tp__shape_text(tp_shape s)
{
    char *b = tp__text_room();
    int n = snprintf(b, TP_TEXT, "(");

    for (int i = 0; i < s.rank && i < TP_MAX_AXES; i++)
        n += snprintf(b + n, TP_TEXT - (size_t)n, i ? ", %lld" : "%lld", (long long)s.n[i]);
    snprintf(b + n, TP_TEXT - (size_t)n, ")");
    return b;
}

const char *tp__text(const tp_tensor *t)
{
    char *b;

    if (!t) return "nothing";
    b = tp__text_room();
    snprintf(b, TP_TEXT, "%s %s", tp_dtype_name((tp_dtype)t->dtype), tp__shape_text(t->shape));
    return b;
}

tp_shape tp_shape_of(const tp_tensor *t)
{
    return tp__there(__func__, t) ? t->shape : TP_SCALAR;
}

int tp_rank(const tp_tensor *t)
{
    return tp__there(__func__, t) ? t->shape.rank : 0;
}

int64_t tp_dim(const tp_tensor *t, int axis)
{
    if (!tp__there(__func__, t)) return 0;
    if (axis < 0) axis += t->shape.rank;
    return axis >= 0 && axis < t->shape.rank ? t->shape.n[axis] : 0;
}

int64_t tp_count(const tp_tensor *t)
{
    return tp__there(__func__, t) ? tp__elements(&t->shape) : 0;
}

tp_device *tp_device_of(const tp_tensor *t)
{
    return tp__there(__func__, t) ? tp__device(t) : NULL;
}

tp_dtype tp_dtype_of(const tp_tensor *t)
{
    return tp__there(__func__, t) ? (tp_dtype)t->dtype : TP_F32;
}
