/*
 * map.c - samples made into others by a function, standardized columns, labels and their weights.
 */
#include "data/internal.h"
#include "data/sampling.h"

#include <math.h>
#include <string.h>

/* ---- any function ---- */

typedef struct mapped {
    tp_dataset *d;
    tp_map m;
    size_t bytes, at[TP_FIELDS]; /* of one sample of d: its size, and where its fields begin */
} mapped;

static tp_got apply(mapped *m, int64_t i, void *const *fields, bool stream)
{
    char *room = tp__alloc(m->bytes);
    void *from[TP_FIELDS];
    tp_got got;

    if (!room) return TP_FAILED;
    for (int f = 0; f < m->d->s.fields; f++)
        from[f] = room + m->at[f];
    got = stream ? m->d->s.next(m->d->s.user, from) : tp__get(m->d, i, from);
    if (got == TP_ITEM && !m->m.f(m->m.user, i, (const void *const *)from, fields)) {
        if (tp_ok())
            tp__fail(TP_ERR_USER, "tp_data_map",
                     "sample %lld: the function failed without an error", (long long)i);
        got = TP_FAILED;
    }
    tp__release(room, m->bytes);
    return got;
}

static tp_got get_mapped(void *user, int64_t i, void *const *fields)
{
    return apply(user, i, fields, false);
}

static tp_got next_mapped(void *user, void *const *fields)
{
    return apply(user, 0, fields, true);
}

static bool rewind_mapped(void *user)
{
    const mapped *m = user;

    return !m->d->s.rewind || m->d->s.rewind(m->d->s.user);
}

static void free_mapped(void *user)
{
    mapped *m = user;

    if (m->m.done) m->m.done(m->m.user);
    tp_data_set_free(m->d);
    tp__release(m, sizeof *m);
}

static mapped *mapped_of(tp_dataset *d, const tp_map *map)
{
    mapped *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_data_map", d && map->f, TP_ERR_ARG, "missing data set or function");
    if (!(m = tp__alloc_zeroed(sizeof *m))) return NULL;
    m->d = d, m->m = *map;
    for (int f = 0; f < d->s.fields; f++)
        m->at[f] = m->bytes, m->bytes += (tp__field_bytes(&d->s, f) + 15) / 16 * 16;
    return m;
}

tp_dataset *tp_data_map(tp_dataset *d, tp_map map)
{
    mapped *m = mapped_of(d, &map);
    tp_dataset *y;
    tp_source s;

    if (!m) {
        if (map.done) map.done(map.user);
        tp_data_set_free(d);
        return NULL;
    }
    s = d->s;
    if (map.fields) {
        s.fields = map.fields;
        memcpy(s.shape, map.shape, sizeof s.shape), memcpy(s.dtype, map.dtype, sizeof s.dtype);
    }
    s.get = get_mapped, s.next = d->s.next ? next_mapped : NULL, s.rewind = rewind_mapped;
    s.done = free_mapped, s.user = m;
    if ((y = tp__data_over(d, s, NULL)) && map.fields) y->columns = NULL;
    return y;
}

/* ---- standardized columns ---- */

typedef struct scale {
    tp_over over;
    int field;
    int64_t columns;
    size_t rows;
    tp_tensor *mean, *std;
} scale;

static tp_got scale_sample(const scale *s, tp_got got, void *const *fields)
{
    const float *mean = tp__data(s->mean), *std = tp__data(s->std);
    float *x = fields[s->field];

    for (size_t r = 0; got == TP_ITEM && r < s->rows; r++, x += s->columns)
        for (int64_t c = 0; c < s->columns; c++)
            x[c] = (x[c] - mean[c]) / std[c];
    return got;
}

static tp_got get_scaled(void *user, int64_t i, void *const *fields)
{
    const scale *s = user;

    return scale_sample(s, tp__get(s->over.d, i, fields), fields);
}

static tp_got next_scaled(void *user, void *const *fields)
{
    const scale *s = user;

    return scale_sample(s, s->over.d->s.next(s->over.d->s.user, fields), fields);
}

static bool rewind_scaled(void *user)
{
    const tp_source *s = &((scale *)user)->over.d->s;

    return !s->rewind || s->rewind(s->user);
}

static void free_scale(void *user)
{
    scale *s = user;

    tp__free(s->mean), tp__free(s->std);
    tp_data_set_free(s->over.d);
    tp__release(s, sizeof *s);
}

/* Columns of an f32 field, the last axis; -1 and an error where there is none. */
static int64_t columns_of(const char *where, const tp_dataset *d, int field)
{
    const tp_shape *shape;

    if (!tp_ok()) return -1;
    if (!d || field < 0 || field >= d->s.fields || d->s.dtype[field] != TP_F32)
        return tp__fail(TP_ERR_ARG, where, "missing data set, or field %d isn't f32", field), -1;
    shape = &d->s.shape[field];
    return shape->rank ? shape->n[shape->rank - 1] : 1;
}

static bool numbers_ok(const tp_tensor *t, int64_t columns)
{
    TP_REQUIRE_IN("tp_data_standardize",
                  t->dtype == TP_F32 && tp_count(t) == columns && tp_is_contiguous(t) &&
                      tp_device_of(t) == tp__cpu(),
                  TP_ERR_SHAPE, "mean or std is %s: f32 (%lld) on the CPU is wanted", tp__text(t),
                  (long long)columns);
    return true;
}

static scale *scale_of(tp_dataset *d, int field, tp_tensor *mean, tp_tensor *std)
{
    int64_t columns = columns_of("tp_data_standardize", d, field);
    scale *s;

    if (columns < 0 || !tp__check("tp_data_standardize", TP_LIST(mean, std), 2) ||
        !numbers_ok(mean, columns) || !numbers_ok(std, columns))
        return NULL;
    for (int64_t c = 0; c < columns; c++)
        TP_REQUIRE_IN("tp_data_standardize", ((const float *)tp__data(std))[c] != 0, TP_ERR_ARG,
                      "std of column %lld is 0", (long long)c);
    if (!(s = tp__alloc(sizeof *s))) return NULL;
    *s = (scale){ { d },
                  field,
                  columns,
                  columns ? (size_t)(tp__elements(&d->s.shape[field]) / columns) : 0,
                  tp__retain(mean),
                  tp__retain(std) };
    return s;
}

tp_dataset *tp_data_standardize(tp_dataset *d, int field, tp_tensor *mean, tp_tensor *std)
{
    scale *s = scale_of(d, field, mean, std);
    tp_source from;

    if (!s) {
        tp_data_set_free(d);
        return NULL;
    }
    from = d->s;
    from.get = get_scaled, from.next = d->s.next ? next_scaled : NULL, from.rewind = rewind_scaled;
    from.done = free_scale, from.user = s;
    return tp__data_over(d, from, tp__same_place);
}

typedef struct moments {
    double n, mean, squares; /* of the distances from the mean (Welford 1962) */
} moments;

static void add_row(moments *m, const float *x, int64_t columns)
{
    for (int64_t c = 0; c < columns; c++) {
        double from = x[c] - m[c].mean;

        if (isnan(x[c])) continue;
        m[c].mean += from / ++m[c].n, m[c].squares += from * (x[c] - m[c].mean);
    }
}

static bool add_samples(tp_dataset *d, int field, int64_t columns, moments *m)
{
    size_t rows = columns ? (size_t)(tp__elements(&d->s.shape[field]) / columns) : 0;
    tp_batch b;

    for (int64_t i = 0; i < d->s.count; i++) {
        const float *x;
        TP_SCOPE;

        if (!tp_data_sample(d, i, &b)) return false;
        x = tp__data(field == 0 ? b.x : field == 1 ? b.y : b.extra[field - 2]);
        for (size_t r = 0; r < rows; r++)
            add_row(m, x + r * (size_t)columns, columns);
    }
    return true;
}

bool tp_data_measure(tp_dataset *d, int field, tp_tensor **mean, tp_tensor **std)
{
    int64_t columns = columns_of(__func__, d, field);
    size_t bytes = columns > 0 ? sizeof(moments) * (size_t)columns : 0;
    moments *m;
    bool ok;

    if (columns < 0) return false;
    TP_REQUIRE(d->s.count > 0 && mean && std, TP_ERR_ARG,
               "%lld samples, and places for mean and std, are wanted", (long long)d->s.count);
    if (!(m = tp__alloc_zeroed(bytes))) return false;
    ok = add_samples(d, field, columns, m) &&
         (*mean = tp__new(TP_SHAPE(columns), TP_F32, tp__cpu())) &&
         (*std = tp__new(TP_SHAPE(columns), TP_F32, tp__cpu()));
    for (int64_t c = 0; ok && c < columns; c++) {
        float deviation = m[c].n > 0 ? (float)sqrt(m[c].squares / m[c].n) : 0;

        ((float *)tp__data(*mean))[c] = (float)m[c].mean;
        ((float *)tp__data(*std))[c] = deviation == 0 ? 1 : deviation;
    }
    tp__release(m, bytes);
    return ok;
}

/* ---- labels ---- */

static bool read_label(tp_dataset *d, int64_t i, int64_t *y)
{
    tp_dataset *at = d;
    int64_t j = i;
    tp_batch b;
    TP_SCOPE;

    while (!at->label && at->locate)
        at = at->locate(at->s.user, &j);
    if (at->label) return *y = at->label(at->s.user, j), true;
    if (!tp_data_sample(d, i, &b)) return false;
    *y = *(int64_t *)tp__data(b.y);
    return true;
}

tp_tensor *tp_data_labels(tp_dataset *d)
{
    tp_tensor *y;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(d && d->s.count >= 0, TP_ERR_ARG, "missing data set, or a stream");
    TP_REQUIRE(d->s.fields > 1 && d->s.dtype[1] == TP_I64 && d->s.shape[1].rank == 0, TP_ERR_ARG,
               "field 1 isn't a label: i64 () is wanted");
    if (!(y = tp__new(TP_SHAPE(d->s.count), TP_I64, tp__cpu()))) return NULL;
    for (int64_t i = 0; i < d->s.count; i++)
        if (!read_label(d, i, (int64_t *)tp__data(y) + i)) return NULL;
    return y;
}

static bool labels_ok(const char *where, tp_tensor *labels, int64_t classes)
{
    if (!tp__check(where, TP_LIST(labels), 1)) return false;
    TP_REQUIRE_IN(where,
                  labels->dtype == TP_I64 && tp_rank(labels) == 1 && tp_is_contiguous(labels) &&
                      tp_device_of(labels) == tp__cpu() && classes > 0,
                  TP_ERR_ARG,
                  "labels are %s, and there are %lld classes: i64 (n) on the CPU is wanted",
                  tp__text(labels), (long long)classes);
    for (int64_t i = 0; i < tp_count(labels); i++) {
        int64_t y = ((const int64_t *)tp__data(labels))[i];

        TP_REQUIRE_IN(where, y >= 0 && y < classes, TP_ERR_ARG,
                      "label %lld is %lld: there are %lld classes", (long long)i, (long long)y,
                      (long long)classes);
    }
    return true;
}

static tp_tensor *class_weights(const char *where, tp_tensor *labels, int64_t classes)
{
    tp_tensor *n, *w = NULL;
    TP_SCOPE;

    if (!labels_ok(where, labels, classes) ||
        !(n = tp_zeros(TP_SHAPE(classes), TP_I64, tp__cpu())) ||
        !(w = tp__new(TP_SHAPE(classes), TP_F32, tp__cpu())))
        return NULL;
    for (int64_t i = 0; i < tp_count(labels); i++)
        ((int64_t *)tp__data(n))[((const int64_t *)tp__data(labels))[i]]++;
    for (int64_t c = 0; c < classes; c++) {
        double count = (double)((const int64_t *)tp__data(n))[c];

        ((float *)tp__data(w))[c] =
            count > 0 ? (float)((double)tp_count(labels) / ((double)classes * count)) : 0;
    }
    return tp_pass(w);
}

tp_tensor *tp_data_class_weights(tp_tensor *labels, int64_t classes)
{
    return class_weights(__func__, labels, classes);
}

tp_tensor *tp_data_sample_weights(tp_tensor *labels, int64_t classes)
{
    tp_tensor *y;
    TP_SCOPE;
    tp_tensor *w = class_weights(__func__, labels, classes);

    if (!w || !(y = tp__new(TP_SHAPE(tp_count(labels)), TP_F32, tp__cpu()))) return NULL;
    for (int64_t i = 0; i < tp_count(labels); i++)
        ((float *)tp__data(y))[i] =
            ((const float *)tp__data(w))[((const int64_t *)tp__data(labels))[i]];
    return tp_pass(y);
}
