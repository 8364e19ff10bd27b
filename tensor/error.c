/*
 * error.c - the first error of this thread, and what the library may say.
 */
#include "tensor/internal.h"
#include "tensor/plain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct {
    tp_log_fn *f;
    void *user;
} say;

bool tp_ok(void)
{
    return tp__me()->error == TP_OK;
}

const char *tp_error(void)
{
    return tp__me()->error_text;
}

tp_code tp_error_code(void)
{
    return tp__me()->error;
}

void tp_clear_error(void)
{
    tp_thread *me = tp__me();

    me->error = TP_OK, me->error_text[0] = 0;
}

static void keep(tp_code code, const char *where, const char *fmt, va_list args)
{
    tp_thread *me = tp__me();
    size_t n = 0, room = sizeof me->error_text;
    const char *path = tp__path_text();

    TP_PLAIN;
    if (me->error != TP_OK) return; /* the first one explains the others */
    me->error = code == TP_OK ? TP_ERR_USER : code;
    if (where) n = (size_t)snprintf(me->error_text, room, "%s: ", where);
    vsnprintf(me->error_text + n, room - n, fmt ? fmt : "no reason was given", args);
    n = strlen(me->error_text);
    if (*path) snprintf(me->error_text + n, room - n, "  [in %s]", path);
}

void *tp__fail(tp_code code, const char *where, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    keep(code, where, fmt, args);
    va_end(args);
    return NULL;
}

void *tp_fail(tp_code code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    keep(code, NULL, fmt, args);
    va_end(args);
    return NULL;
}

bool tp__kernel_failed(const char *kernel, const tp_tensor *t, int status)
{
    tp_ctx *c = tp__ctx(t);

    if (!c) return false;
    if (status == TP_NO_KERNEL)
        tp__fail(TP_ERR_DTYPE, kernel, "not offered for %s on %s", tp__text(t),
                 tp__device(t)->name);
    else if (status == TP_KERNEL_NO_MEMORY)
        tp__fail(TP_ERR_MEMORY, kernel, "%s", c->error);
    else
        tp__fail(status == TP_DEVICE_FAILED ? TP_ERR_DEVICE : TP_ERR_ARG, kernel, "%s", c->error);
    return false;
}

void *tp__device_failed(const char *where, const tp_ctx *c, int status)
{
    bool memory = status == TP_KERNEL_NO_MEMORY;
    tp_code code = memory ? TP_ERR_MEMORY : status == TP_BAD_DATA ? TP_ERR_ARG : TP_ERR_DEVICE;

    return tp__fail(code, where, "%s", memory && !*c->error ? "out of memory" : c->error);
}

/* ---- where in the model ---- */

void tp__path_push(const char *name)
{
    tp_thread *me = tp__me();

    if (me->path_depth < TP_PATH_DEPTH) me->path[me->path_depth] = name;
    me->path_depth++;
}

void tp__path_pop(void)
{
    tp__me()->path_depth--;
}

const char *tp__path_text(void)
{
    tp_thread *me = tp__me();
    char *text = tp__text_room();
    size_t n = 0, room = 192;

    text[0] = 0;
    for (int i = 0; i < me->path_depth && i < TP_PATH_DEPTH && n < room - 1; i++) {
        const char *dot = n ? "." : "";

        if (*me->path[i]) n += (size_t)snprintf(text + n, room - n, "%s%s", dot, me->path[i]);
    }
    return text;
}

/* ---- notes and warnings ---- */

void tp_set_log(tp_log_fn *f, void *user)
{
    say.f = f, say.user = user;
}

/* The receiver's own locale is back before it is called. */
static void put_plain(char *text, size_t room, const char *fmt, va_list args)
{
    TP_PLAIN;
    vsnprintf(text, room, fmt, args);
}

void tp__log(int level, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (!say.f) return;
    va_start(args, fmt);
    put_plain(text, sizeof text, fmt, args);
    va_end(args);
    say.f(say.user, level, text);
}

/* ---- inputs of an op ---- */

bool tp__dead(const char *where)
{
    tp__fail(TP_ERR_ARG, where, "the tensor has left its scope, or was freed: tp_pass or tp_keep it");
    return false;
}

bool tp__check(const char *where, tp_list in, int n_must)
{
    const tp_tensor *first = NULL;
    tp_probe *p = tp__me()->probe;

    if (!tp_ok()) return false;
    if (p && p->check) p->check(p);
    TP_REQUIRE_IN(where, in.n >= 0 && (in.t || !in.n), TP_ERR_ARG, in.n < 0 ? "a list of %d tensors"
                  : "a list of %d tensors, and no pointer to them", in.n);
    for (int i = 0; i < in.n; i++) {
        const tp_tensor *t = in.t[i];

        if (!t && i >= n_must) continue;
        TP_REQUIRE_IN(where, t, TP_ERR_ARG, in.n > 1 ? "input %d is missing" : "missing input", i);
        TP_REQUIRE_IN(where, tp__alive(t), TP_ERR_ARG,
                      "input %d has left its scope: tp_pass or tp_keep it", i);
        if (!first) first = t;
        TP_REQUIRE_IN(where, tp__device(t) == tp__device(first), TP_ERR_DEVICE,
                      "%s is on %s and %s is on %s", tp__text(first), tp__device(first)->name,
                      tp__text(t), tp__device(t)->name);
    }
    return true;
}
