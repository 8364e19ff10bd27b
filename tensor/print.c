/*
 * print.c - tensors as text, the way NumPy and PyTorch show them: nested brackets, and dots
 * in the middle of long axes.
 */
#include "tensor/internal.h"
#include "tensor/plain.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHOWN = 3 }; /* numbers at either end of a long axis */

typedef struct printer {
    char *text;
    size_t room, n;
    const double *v;
    const tp_shape *s;
    int64_t stride[TP_MAX_AXES];
} printer;

static void put(printer *p, const char *s)
{
    for (; *s; s++, p->n++)
        if (p->n + 1 < p->room) p->text[p->n] = *s;
}

static void put_axis(printer *p, int axis, int64_t at) /* recursion no deeper than 8 */
{
    char number[32];
    int64_t n;

    if (axis == p->s->rank) {
        snprintf(number, sizeof number, "%.6g", p->v[at]);
        put(p, number);
        return;
    }
    n = p->s->n[axis];
    put(p, "[");
    for (int64_t i = 0; i < n; i++) {
        if (i) put(p, axis == p->s->rank - 1 ? ", " : ",\n ");
        if (n > 2 * SHOWN + 2 && i == SHOWN) put(p, "..., "), i = n - SHOWN;
        put_axis(p, axis + 1, at + i * p->stride[axis]);
    }
    put(p, "]");
}

static double *numbers(const tp_tensor *t, size_t bytes)
{
    double *v = tp__alloc(bytes);
    tp_tensor *wide;
    tp_loop l;

    TP_SCOPE;
    if (!v) return NULL;
    wide = tp__new(t->shape, TP_F64, tp__device(t));
    if (wide) {
        l = tp__loop(&t->shape, TP_LIST(wide, (tp_tensor *)t));
        if (TP_RUN(cast, t, &l, tp__data(t), TP_F64, tp__data(wide)) && tp_read(wide, v, bytes)) return v;
    }
    tp__release(v, bytes);
    return NULL;
}

size_t tp_print(const tp_tensor *t, char *text, size_t room)
{
    printer p = { .text = text, .room = room };
    size_t bytes;
    double *v;

    TP_PLAIN;
    if (text && room) text[0] = 0;
    if (!tp__check(__func__, TP_LIST((tp_tensor *)t), 1)) return 0;
    if (!text && room) return tp__fail(TP_ERR_ARG, __func__, "no text for %zu bytes", room), 0;
    bytes = (size_t)tp_count(t) * sizeof(double);
    if (!(v = numbers(t, bytes))) return 0;
    p.v = v, p.s = &t->shape;
    tp__strides(&t->shape, TP_ROW_MAJOR, p.stride);
    put(&p, tp__text(t));
    put(&p, " on "), put(&p, tp__device(t)->name), put(&p, "\n");
    put_axis(&p, 0, 0);
    tp__release(v, bytes);
    if (room) text[p.n < room ? p.n : room - 1] = 0;
    return p.n;
}
