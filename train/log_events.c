/*
 * log_events.c - a log as TensorBoard reads it: dir/events.out.tfevents.taper.
 *
 * Records of Event { wall_time 1, step 2, file_version 3, summary 5, session_log 7 }, a summary of
 * values { tag 1, simple_value 2, image 4, histo 5, tensor 8, metadata 9 }.
 */
#include "train/canvas.h"
#include "train/log.h"
#include "train/metric.h"
#include "train/protobuf.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BUCKETS = 30 };

/* Writes the event that holds `inner`, a message or bytes, in `field`, and frees it. */
static void put_event(tp_logger *l, int64_t step, int field, tp_message *inner)
{
    tp_message e = { 0 };
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    tp__pb_double(&e, 1, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
    tp__pb_int(&e, 2, step);
    tp__pb_message(&e, field, inner);
    if (tp_ok() && !tp__record_write(l->events, &e)) l->events_lost = true;
    tp__pb_free(&e);
}

/* Steps that are made again replace those of the earlier run: TensorBoard forgets what comes after
 * the step of a session's start. */
void tp__log_events_start(tp_logger *l)
{
    tp_message version = { 0 }, session = { 0 };

    if (!l->events) return;
    tp__pb_append(&version, "brain.Event:2", 13);
    put_event(l, 0, 3, &version);
    if (!l->o.from) return;
    tp__pb_int(&session, 1, 1); /* START */
    put_event(l, l->o.from + 1, 7, &session);
}

bool tp__log_events_open(tp_logger *l)
{
    char path[4096];
    FILE *f;

    if (!l->o.tensorboard || !l->dir) return true;
    snprintf(path, sizeof path, "%s/events.out.tfevents.taper", l->dir);
    if (l->o.append && (f = fopen(path, "r+"))) { /* a record cut short would hide all behind it */
        if (ftruncate(fileno(f), tp__records_end(f))) l->events_lost = true;
        fclose(f);
    }
    l->events = tp__log_file(path, l->o.append);
    TP_REQUIRE_IN("tp_log_open", l->events, TP_ERR_IO, "%s can't be written: %s", path, strerror(errno));
    return true;
}

void tp__log_events_row(tp_logger *l, const double *v)
{
    tp_message summary = { 0 };

    if (!l->events) return;
    for (int i = 0; i < l->n; i++) {
        tp_message value = { 0 };

        if (isnan(v[i])) continue;
        tp__pb_text(&value, 1, l->track[i].key), tp__pb_float(&value, 2, v[i]);
        tp__pb_message(&summary, 1, &value);
    }
    if (summary.n) put_event(l, l->row, 5, &summary);
    tp__pb_free(&summary);
}

/* ---- what is no number ---- */

/* Is there something to write, and a place? */
static bool wanted(const char *where, tp_logger *l, const char *key, const void *what)
{
    if (!l || !l->events || !tp_ok()) return false;
    TP_REQUIRE_IN(where, key && what, TP_ERR_ARG, "missing key or value");
    TP_REQUIRE_IN(where, tp__is_utf8(key), TP_ERR_ARG, "the key isn't UTF-8");
    return true;
}

/* value begins with its tag; `inner` goes into `field`. */
static void put_value(tp_logger *l, const char *key, int field, tp_message *inner, tp_message *metadata)
{
    tp_message value = { 0 }, summary = { 0 };

    tp__log_start(l);
    tp__pb_text(&value, 1, key);
    tp__pb_message(&value, field, inner);
    if (metadata) tp__pb_message(&value, 9, metadata);
    tp__pb_message(&summary, 1, &value);
    put_event(l, l->step, 5, &summary);
}

void tp_log_text(tp_logger *l, const char *key, const char *text)
{
    tp_message tensor = { 0 }, shape = { 0 }, dim = { 0 }, plugin = { 0 }, metadata = { 0 };

    if (!wanted(__func__, l, key, text)) return;
    if (!tp__is_utf8(text)) {
        tp__fail(TP_ERR_ARG, __func__, "the text of %s isn't UTF-8", key);
        return;
    }
    tp__pb_int(&dim, 1, 1), tp__pb_message(&shape, 2, &dim);
    tp__pb_int(&tensor, 1, 7); /* DT_STRING */
    tp__pb_message(&tensor, 2, &shape), tp__pb_text(&tensor, 8, text);
    tp__pb_text(&plugin, 1, "text"), tp__pb_message(&metadata, 1, &plugin);
    put_value(l, key, 8, &tensor, &metadata);
}

/* Sums, and counts in buckets of one width between the least and the largest; NaN and infinities
 * don't count. */
typedef struct histogram {
    double min, max, n, sum, squares, limit[BUCKETS], count[BUCKETS];
} histogram;

static void count(const double *v, int64_t n, histogram *h)
{
    *h = (histogram){ .min = INFINITY, .max = -INFINITY };
    for (int64_t i = 0; i < n; i++)
        if (isfinite(v[i])) {
            h->min = fmin(h->min, v[i]), h->max = fmax(h->max, v[i]);
            h->n++, h->sum += v[i], h->squares += v[i] * v[i];
        }
    for (int k = 0; k < BUCKETS; k++)
        h->limit[k] = h->min + (h->max / BUCKETS - h->min / BUCKETS) * (k + 1);
    h->limit[BUCKETS - 1] = h->max;
    for (int64_t i = 0; i < n; i++) {
        double at = (v[i] - h->min) / (h->max - h->min) * BUCKETS;

        if (isfinite(v[i])) h->count[at >= 0 ? at < BUCKETS ? (int)at : BUCKETS - 1 : 0]++;
    }
}

void tp_log_histogram(tp_logger *l, const char *key, tp_tensor *t)
{
    tp_message m = { 0 };
    size_t bytes = 0;
    histogram h;
    double *v;
    TP_SCOPE;
    TP_NO_GRAD;

    if (!wanted(__func__, l, key, t) || !tp__there(__func__, t) || !(v = tp__metric_f64(t, &bytes))) return;
    count(v, tp_count(t), &h);
    tp__release(v, bytes);
    if (!h.n) return; /* nothing to show */
    tp__pb_double(&m, 1, h.min), tp__pb_double(&m, 2, h.max), tp__pb_double(&m, 3, h.n);
    tp__pb_double(&m, 4, h.sum), tp__pb_double(&m, 5, h.squares);
    tp__pb_doubles(&m, 6, h.limit, BUCKETS), tp__pb_doubles(&m, 7, h.count, BUCKETS);
    put_value(l, key, 5, &m, NULL);
}

static unsigned char level(double v)
{
    return (unsigned char)(fmin(1, fmax(0, v)) * 255 + 0.5); /* NaN is black */
}

static void draw(tp_canvas *c, const double *v, int channels)
{
    size_t plane = (size_t)c->width * (size_t)c->height;

    for (size_t i = 0; i < plane; i++)
        for (size_t k = 0; k < 3; k++)
            c->rgb[3 * i + k] = level(v[channels == 3 ? k * plane + i : i]);
}

static void keep_bytes(void *user, void *p, int n)
{
    tp__pb_append(user, p, (size_t)n);
}

void tp_log_image(tp_logger *l, const char *key, tp_tensor *t)
{
    tp_message m = { 0 }, png = { 0 };
    size_t bytes = 0;
    tp_canvas c;
    double *v;
    TP_SCOPE;
    TP_NO_GRAD;

    if (!wanted(__func__, l, key, t) || !tp__there(__func__, t)) return;
    if (tp_rank(t) != 3 || (tp_dim(t, 0) != 1 && tp_dim(t, 0) != 3) || !tp_count(t) || tp_dim(t, 1) > 16384 ||
        tp_dim(t, 2) > 16384) {
        tp__fail(TP_ERR_SHAPE, __func__, "%s: (1 or 3, H, W), up to 16384 by 16384, is wanted", tp__text(t));
        return;
    }
    if (!(v = tp__metric_f64(t, &bytes))) return;
    if (tp__canvas_begin(&c, (int)tp_dim(t, 2), (int)tp_dim(t, 1), (tp_color){ 0, 0, 0 })) {
        draw(&c, v, (int)tp_dim(t, 0));
        if (!tp__canvas_encode(&c, keep_bytes, &png)) l->events_lost = true;
        tp__pb_int(&m, 1, c.height), tp__pb_int(&m, 2, c.width), tp__pb_int(&m, 3, 3); /* RGB */
        tp__pb_message(&m, 4, &png);
        put_value(l, key, 4, &m, NULL);
        tp__canvas_free(&c);
    }
    tp__release(v, bytes);
}
