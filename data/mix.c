/*
 * mix.c - mixup (Zhang et al. 2017) and cutmix (Yun et al. 2019), a sample at a time: the other
 * sample and the share are drawn for each place, so that batches, workers and resuming change
 * nothing.
 */
#include "data/augment.h"
#include "data/internal.h"

#include <math.h>
#include <string.h>

typedef struct mixer {
    tp_over over;
    double alpha;
    int64_t classes, n; /* n: elements of x */
    bool cut;
    size_t bytes, at[TP_FIELDS]; /* of the other sample, and where its fields begin */
} mixer;

/* Gamma(a, 1) by Marsaglia & Tsang (2000); for a < 1 from that of a + 1. */
static double draw_gamma(double a)
{
    double d, c, x, v, boost = 1;
    float normal;

    if (a < 1) boost = pow(1 - tp__uniform(), 1 / a), a++;
    d = a - 1 / 3.0, c = 1 / sqrt(9 * d);
    for (;;) {
        tp__normals(&normal, 1);
        x = normal, v = 1 + c * x;
        v = v * v * v;
        if (v > 0 && log(1 - tp__uniform()) < 0.5 * x * x + d - d * v + d * log(v))
            return boost * d * v;
    }
}

static double draw_beta(double a)
{
    double x = draw_gamma(a), y = draw_gamma(a);

    return x + y > 0 ? x / (x + y) : (double)(tp__uniform() < 0.5); /* a so small that both are 0 */
}

static double mix(const mixer *m, float *x, const float *other, double share)
{
    float l = (float)share;

    for (int64_t i = 0; i < m->n; i++)
        x[i] = l * x[i] + (1 - l) * other[i];
    return share;
}

/* Gives the share that is left of x. */
static double cut(const mixer *m, float *x, const float *other, double share)
{
    const tp_shape *s = &m->over.d->s.shape[0];
    int64_t h = s->n[1], w = s->n[2], down = (int64_t)(tp__uniform() * (double)h),
            across = (int64_t)(tp__uniform() * (double)w);
    double half = 0.5 * sqrt(1 - share);
    int64_t half_h = (int64_t)(half * (double)h), half_w = (int64_t)(half * (double)w);
    int64_t top = down < half_h ? 0 : down - half_h, bottom = down + half_h > h ? h : down + half_h;
    int64_t left = across < half_w ? 0 : across - half_w,
            right = across + half_w > w ? w : across + half_w;

    for (int64_t k = 0; k < s->n[0]; k++)
        for (int64_t r = top; r < bottom; r++)
            memcpy(x + (k * h + r) * w + left, other + (k * h + r) * w + left,
                   sizeof *x * (size_t)(right - left));
    return 1 - (double)((bottom - top) * (right - left)) / (double)(h * w);
}

static bool add_label(const mixer *m, int64_t i, int64_t label, double share, float *y)
{
    TP_REQUIRE_IN("data", label >= 0 && label < m->classes, TP_ERR_ARG,
                  "sample %lld has the label %lld: there are %lld classes", (long long)i,
                  (long long)label, (long long)m->classes);
    y[label] += (float)share;
    return true;
}

static bool blend(const mixer *m, int64_t i, void *const *fields, char *room)
{
    const tp_dataset *d = m->over.d;
    int64_t j = (int64_t)(tp__uniform() * (double)d->s.count), label;
    double share = draw_beta(m->alpha);
    void *own[TP_FIELDS], *other[TP_FIELDS];

    memcpy(own, fields, sizeof *own * (size_t)d->s.fields);
    own[1] = &label;
    for (int f = 0; f < d->s.fields; f++)
        other[f] = room + m->at[f];
    if (tp__get(d, i, own) != TP_ITEM || tp__get(d, j, other) != TP_ITEM) return false;
    share = m->cut ? cut(m, fields[0], other[0], share) : mix(m, fields[0], other[0], share);
    memset(fields[1], 0, sizeof(float) * (size_t)m->classes);
    return add_label(m, i, label, share, fields[1]) &&
           add_label(m, j, *(int64_t *)other[1], 1 - share, fields[1]);
}

static tp_got get_mixed(void *user, int64_t i, void *const *fields)
{
    const mixer *m = user;
    char *room = tp__alloc(m->bytes);
    bool ok = room && blend(m, i, fields, room);

    tp__release(room, m->bytes);
    return ok ? TP_ITEM : TP_FAILED;
}

static void free_mixer(void *user)
{
    mixer *m = user;

    tp_data_set_free(m->over.d);
    tp__release(m, sizeof *m);
}

static mixer *mixer_of(const char *where, tp_dataset *d, double alpha, bool cut_out)
{
    mixer *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(where, d && d->s.count >= 0, TP_ERR_ARG, "missing data set, or a stream");
    TP_REQUIRE_IN(where, alpha > 0 && isfinite(alpha), TP_ERR_ARG,
                  "alpha %g: a finite number above 0 is wanted", alpha);
    TP_REQUIRE_IN(
        where,
        d->s.fields > 1 && d->s.dtype[0] == TP_F32 && d->s.dtype[1] == TP_I64 &&
            !d->s.shape[1].rank && d->classes > 0 && (!cut_out || d->s.shape[0].rank == 3),
        TP_ERR_ARG,
        "fields are %s %s and %s %s, of %lld classes: f32 and a label i64 (), and known classes, "
        "are wanted",
        tp_dtype_name(d->s.dtype[0]), tp__shape_text(d->s.shape[0]), tp_dtype_name(d->s.dtype[1]),
        tp__shape_text(d->s.shape[1]), (long long)d->classes);
    if (!(m = tp__alloc_zeroed(sizeof *m))) return NULL;
    m->over.d = d, m->alpha = alpha, m->classes = d->classes, m->cut = cut_out,
    m->n = tp__elements(&d->s.shape[0]);
    for (int f = 0; f < d->s.fields; f++)
        m->at[f] = m->bytes, m->bytes += (tp__field_bytes(&d->s, f) + 15) / 16 * 16;
    return m;
}

static tp_dataset *mixed(const char *where, tp_dataset *d, double alpha, bool cut_out)
{
    mixer *m = mixer_of(where, d, alpha, cut_out);
    tp_source s;

    if (!m) {
        tp_data_set_free(d);
        return NULL;
    }
    s = d->s;
    s.dtype[1] = TP_F32, s.shape[1] = TP_SHAPE(d->classes);
    s.get = get_mixed, s.done = free_mixer, s.user = m;
    return tp__data_over(d, s, tp__same_place);
}

tp_dataset *tp_data_mixup(tp_dataset *d, double alpha)
{
    return mixed(__func__, d, alpha, false);
}

tp_dataset *tp_data_cutmix(tp_dataset *d, double alpha)
{
    return mixed(__func__, d, alpha, true);
}
