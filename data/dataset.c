/*
 * dataset.c - where samples come from: tensors, callbacks, ranges, lanes.  All are sources.
 */
#include "data/internal.h"

#include <string.h>

/* ---- any source ---- */

static bool source_ok(const tp_source *s)
{
    bool stream = s->count == -1;

    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_data_source", s->count >= -1 && s->fields > 0 && s->fields <= TP_FIELDS, TP_ERR_ARG,
                  "%lld samples of %d fields: fields are 1 to %d, samples -1 for a stream", (long long)s->count,
                  s->fields, TP_FIELDS);
    TP_REQUIRE_IN("tp_data_source", stream ? s->next != NULL : s->get != NULL, TP_ERR_ARG,
                  stream ? "a stream needs next" : "numbered samples need get");
    for (int i = 0; i < s->fields; i++) {
        TP_REQUIRE_IN("tp_data_source", (unsigned)s->dtype[i] < TP_DTYPES && s->shape[i].rank < TP_MAX_AXES,
                      TP_ERR_SHAPE, "field %d is %s %s", i, tp_dtype_name(s->dtype[i]), tp__shape_text(s->shape[i]));
        if (!tp__shape_ok("tp_data_source", s->shape[i])) return false;
    }
    return true;
}

tp_dataset *tp_data_source(tp_source s)
{
    tp_dataset *d = source_ok(&s) ? tp__alloc_zeroed(sizeof *d) : NULL;

    if (!d) {
        if (s.done) s.done(s.user);
        return NULL;
    }
    atomic_init(&d->refs, 1);
    d->s = s;
    return d;
}

tp_dataset *tp_data_retain(tp_dataset *d)
{
    if (d) atomic_fetch_add(&d->refs, 1);
    return d;
}

void tp_data_set_free(tp_dataset *d)
{
    if (!d || atomic_fetch_sub(&d->refs, 1) != 1) return;
    if (d->s.done) d->s.done(d->s.user);
    tp__release(d, sizeof *d);
}

int64_t tp_data_count(const tp_dataset *d)
{
    return d ? d->s.count : 0;
}

int64_t tp_data_classes(const tp_dataset *d)
{
    return d ? d->classes : 0;
}

const char *tp_data_class(const tp_dataset *d, int64_t label)
{
    return d && d->names && label >= 0 && label < d->classes ? d->names[label] : NULL;
}

int tp_data_fields(const tp_dataset *d)
{
    return d ? d->s.fields : 0;
}

tp_shape tp_data_shape(const tp_dataset *d, int field)
{
    return d && field >= 0 && field < d->s.fields ? d->s.shape[field] : TP_SCALAR;
}

tp_dtype tp_data_dtype(const tp_dataset *d, int field)
{
    return d && field >= 0 && field < d->s.fields ? d->s.dtype[field] : TP_F32;
}

tp_dataset *tp__data_over(const tp_dataset *below, tp_source s, tp_dataset *(*locate)(void *user, int64_t *i))
{
    tp_dataset *d = tp_data_source(s);

    if (!d) return NULL;
    d->classes = below->classes, d->names = below->names, d->columns = below->columns, d->locate = locate;
    return d;
}

tp_dataset *tp__same_place(void *user, int64_t *i)
{
    (void)i;
    return ((tp_over *)user)->d;
}

/* ---- one sample ---- */

static tp_tensor *one_row(const tp_source *s, int field)
{
    tp_shape shape = { .rank = s->shape[field].rank + 1, .n = { 1 } };

    memcpy(shape.n + 1, s->shape[field].n, sizeof *shape.n * (size_t)s->shape[field].rank);
    return tp__new(shape, s->dtype[field], tp__cpu());
}

bool tp_data_sample(tp_dataset *d, int64_t i, tp_batch *b)
{
    tp_tensor **to[TP_FIELDS];
    void *at[TP_FIELDS];
    tp_got got;

    if (b) memset(b, 0, sizeof *b);
    if (!tp_ok()) return false;
    TP_REQUIRE(d && b && d->s.count >= 0, TP_ERR_ARG, "missing data set or batch, or a stream");
    TP_REQUIRE(i >= 0 && i < d->s.count, TP_ERR_ARG, "sample %lld of %lld", (long long)i, (long long)d->s.count);
    to[0] = &b->x, to[1] = &b->y;
    for (int f = 2; f < TP_FIELDS; f++)
        to[f] = &b->extra[f - 2];
    for (int f = 0; f < d->s.fields; f++) {
        if (!(*to[f] = one_row(&d->s, f))) return false;
        at[f] = tp__data(*to[f]);
    }
    got = tp__get(d, i, at);
    if (got != TP_ITEM && tp_ok()) tp_fail(TP_ERR_USER, "sample %lld: its source has none", (long long)i);
    b->size = got == TP_ITEM;
    return got == TP_ITEM && tp_ok();
}

/* ---- tensors ---- */

typedef struct rows {
    tp_tensor *t[TP_FIELDS];
    size_t bytes[TP_FIELDS];
    int n;
} rows;

static tp_got get_row(void *user, int64_t i, void *const *fields)
{
    const rows *r = user;

    for (int k = 0; k < r->n; k++)
        memcpy(fields[k], (const char *)tp__data(r->t[k]) + (size_t)i * r->bytes[k], r->bytes[k]);
    return TP_ITEM;
}

static void free_rows(void *user)
{
    rows *r = user;

    for (int k = 0; k < r->n; k++)
        tp__free(r->t[k]);
    tp__release(r, sizeof *r);
}

static bool add_field(rows *r, tp_source *s, tp_tensor *t)
{
    tp_tensor *dense;

    TP_SCOPE;
    TP_REQUIRE_IN("tp_data_tensors", tp_rank(t) > 0, TP_ERR_SHAPE,
                  "field %d is %s: an axis of rows is wanted", r->n, tp__text(t));
    TP_REQUIRE_IN("tp_data_tensors", tp_dim(t, 0) == s->count, TP_ERR_SHAPE,
                  "field %d is %s: %lld rows are wanted", r->n, tp__text(t), (long long)s->count);
    TP_REQUIRE_IN("tp_data_tensors", tp_device_of(t) == tp__cpu(), TP_ERR_DEVICE, "field %d is on %s, not the CPU",
                  r->n, tp_device_name(tp_device_of(t)));
    if (!(dense = tp__handle(t->storage, (tp_dtype)t->dtype, &t->shape, t->stride, t->offset))) return false;
    if (!tp_is_contiguous(dense)) {
        tp_tensor *copy = tp__new_like(dense, dense->shape);

        if (!copy || !tp__copy(copy, dense, false)) return false;
        dense = copy;
    }
    s->shape[r->n] = t->shape, s->shape[r->n].rank--;
    memmove(s->shape[r->n].n, t->shape.n + 1, sizeof *t->shape.n * (size_t)s->shape[r->n].rank);
    s->dtype[r->n] = (tp_dtype)t->dtype;
    r->bytes[r->n] = tp__field_bytes(s, r->n);
    r->t[r->n++] = tp__keep(dense);
    return true;
}

tp_dataset *tp_data_tensors(tp_list fields)
{
    tp_source s = { .get = get_row, .done = free_rows };
    rows *r;

    if (!tp__check(__func__, fields, fields.n)) return NULL;
    TP_REQUIRE(fields.n > 0 && fields.n <= TP_FIELDS, TP_ERR_ARG, "%d fields: 1 to %d", fields.n, TP_FIELDS);
    if (!(r = tp__alloc_zeroed(sizeof *r))) return NULL;
    s.count = tp_rank(fields.t[0]) ? tp_dim(fields.t[0], 0) : 0, s.fields = fields.n, s.user = r;
    for (int i = 0; i < fields.n; i++)
        if (!add_field(r, &s, fields.t[i])) return free_rows(r), NULL;
    return tp_data_source(s);
}

/* ---- ranges ---- */

typedef struct range {
    tp_dataset *d;
    int64_t from;
} range;

static tp_got get_from(void *user, int64_t i, void *const *fields)
{
    const range *r = user;

    return tp__get(r->d, r->from + i, fields);
}

static tp_dataset *in_range(void *user, int64_t *i)
{
    const range *r = user;

    *i += r->from;
    return r->d;
}

static void free_range(void *user)
{
    range *r = user;

    tp_data_set_free(r->d);
    tp__release(r, sizeof *r);
}

static range *range_of(tp_dataset *d, int64_t from, int64_t to)
{
    range *r;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_data_range", d && d->s.count >= 0, TP_ERR_ARG, "missing data set, or a stream");
    TP_REQUIRE_IN("tp_data_range", from >= 0 && from <= to && to <= d->s.count, TP_ERR_ARG,
                  "%lld..%lld of %lld samples", (long long)from, (long long)to, (long long)d->s.count);
    if (!(r = tp__alloc(sizeof *r))) return NULL;
    *r = (range){ d, from };
    return r;
}

tp_dataset *tp_data_range(tp_dataset *d, int64_t from, int64_t to)
{
    range *r = range_of(d, from, to);
    tp_source s;

    if (!r) {
        tp_data_set_free(d);
        return NULL;
    }
    s = d->s;
    s.count = to - from, s.get = get_from, s.done = free_range, s.user = r;
    return tp__data_over(d, s, in_range);
}

/* ---- lanes ---- */

typedef struct lanes {
    tp_tensor *text;
    int64_t batch, steps, length; /* of a lane */
    size_t row;
} lanes;

static tp_got get_window(void *user, int64_t i, void *const *fields)
{
    const lanes *l = user;
    int64_t at = i % l->batch * l->length + i / l->batch * l->steps;
    const char *from = (const char *)tp__data(l->text) + (size_t)at * l->row;

    memcpy(fields[0], from, (size_t)l->steps * l->row);
    memcpy(fields[1], from + l->row, (size_t)l->steps * l->row);
    return TP_ITEM;
}

static void free_lanes(void *user)
{
    lanes *l = user;

    tp__free(l->text);
    tp__release(l, sizeof *l);
}

tp_dataset *tp_data_lanes(tp_tensor *text, int64_t batch, int64_t steps)
{
    tp_source s = { .fields = 2, .get = get_window, .done = free_lanes };
    lanes *l;

    if (!tp__check(__func__, TP_LIST(text), 1)) return NULL;
    TP_REQUIRE(tp_rank(text) > 0 && tp_is_contiguous(text) && tp_device_of(text) == tp__cpu(), TP_ERR_ARG,
               "%s on %s: contiguous (n, ...) on the CPU is wanted", tp__text(text),
               tp_device_name(tp_device_of(text)));
    TP_REQUIRE(batch > 0 && steps > 0 && tp_dim(text, 0) / batch > steps, TP_ERR_ARG,
               "%lld lanes of windows of %lld from %s: a lane must be longer than a window", (long long)batch,
               (long long)steps, tp__text(text));
    if (!(l = tp__alloc(sizeof *l))) return NULL;
    *l = (lanes){ tp__retain(text), batch, steps, tp_dim(text, 0) / batch, 0 };
    s.shape[0] = text->shape, s.shape[0].n[0] = steps, s.shape[1] = s.shape[0];
    s.dtype[0] = s.dtype[1] = (tp_dtype)text->dtype;
    l->row = tp__field_bytes(&s, 0) / (size_t)steps;
    s.count = (l->length - 1) / steps * batch, s.user = l;
    return tp_data_source(s);
}
