/*
 * windows.c - pieces of a series: of a text, for language models; of measurements, for forecasts.
 */
#include "data/internal.h"

#include <string.h>

typedef struct windows {
    tp_tensor *series;
    tp_windows_opts o;
    size_t row; /* bytes of one place */
} windows;

static tp_got get(void *user, int64_t i, void *const *fields)
{
    const windows *w = user;
    const char *from = (const char *)tp__data(w->series) + (size_t)(i * w->o.stride) * w->row;
    int64_t y_from = w->o.ahead ? w->o.steps : 1, y_rows = w->o.ahead ? w->o.ahead : w->o.steps;

    memcpy(fields[0], from, (size_t)w->o.steps * w->row);
    memcpy(fields[1], from + (size_t)y_from * w->row, (size_t)y_rows * w->row);
    return TP_ITEM;
}

static void release(void *user)
{
    windows *w = user;

    tp__free(w->series);
    tp__release(w, sizeof *w);
}

static bool fits(const tp_tensor *series, const tp_windows_opts *o)
{
    const char *where = "tp_data_windows";
    int64_t most = INT64_MAX / 4, behind = o->ahead ? o->ahead : 1;

    TP_REQUIRE_IN(where, tp_rank(series) > 0 && tp_is_contiguous(series) && tp_device_of(series) == tp__cpu(), TP_ERR_ARG,
                  "%s on %s: contiguous (n, ...) on the CPU is wanted", tp__text(series),
                  tp_device_name(tp_device_of(series)));
    TP_REQUIRE_IN(where, o->steps > 0 && o->steps < most && o->ahead >= 0 && o->ahead < most && o->stride >= 0, TP_ERR_ARG,
                  "windows of %lld places and %lld ahead, %lld apart", (long long)o->steps, (long long)o->ahead,
                  (long long)o->stride);
    TP_REQUIRE_IN(where, tp_dim(series, 0) >= o->steps + behind, TP_ERR_SHAPE,
                  "%s: a window of %lld places and the %lld behind it are more", tp__text(series), (long long)o->steps,
                  (long long)behind);
    return true;
}

static tp_shape rows_of(const tp_tensor *series, int64_t n)
{
    tp_shape s = series->shape;

    s.n[0] = n;
    return s;
}

tp_dataset *tp_data_windows(tp_tensor *series, tp_windows_opts o)
{
    tp_source s = { .fields = 2, .get = get, .done = release };
    windows *w;

    if (!tp__check(__func__, TP_LIST(series), 1)) return NULL;
    if (!o.stride) o.stride = 1;
    if (!fits(series, &o) || !(w = tp__alloc(sizeof *w))) return NULL;
    s.shape[0] = rows_of(series, o.steps), s.shape[1] = rows_of(series, o.ahead ? o.ahead : o.steps);
    s.dtype[0] = s.dtype[1] = tp_dtype_of(series);
    *w = (windows){ tp__retain(series), o, tp__field_bytes(&s, 0) / (size_t)o.steps };
    s.count = (tp_dim(series, 0) - o.steps - (o.ahead ? o.ahead : 1)) / o.stride + 1, s.user = w;
    return tp_data_source(s);
}
