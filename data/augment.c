/*
 * augment.c - a list of steps on top of a data set.
 */
#include "data/steps.h"

enum { MOST_STEPS = 64 };

typedef struct pipeline {
    tp_over over;
    int n;
    tp_picture size[MOST_STEPS + 1]; /* before the first step, after each */
    tp_augment step[MOST_STEPS];
    size_t most; /* bytes of the largest picture on the way, the last one left out */
} pipeline;

/* Two buffers in turn; the last step writes to the sample itself. */
static bool run_steps(const pipeline *p, float *first, float *second, float *last)
{
    tp_picture x = p->size[0];

    x.v = first;
    for (int i = 0; i < p->n; i++) {
        tp_picture y = p->size[i + 1];

        y.v = i == p->n - 1 ? last : i % 2 ? first : second;
        if (!p->step[i].kind->run(&p->step[i], &x, &y)) return false;
        x = y;
    }
    return true;
}

static tp_got take(const pipeline *p, int64_t i, void *const *fields, bool stream)
{
    const tp_source *s = &p->over.d->s;
    char *room = tp__alloc(2 * p->most);
    void *from[TP_FIELDS];
    tp_got got;

    if (!room) return TP_FAILED;
    memcpy(from, fields, sizeof *from * (size_t)s->fields);
    from[0] = room;
    got = stream ? s->next(s->user, from) : s->get(s->user, i, from);
    if (got == TP_ITEM && !run_steps(p, (float *)room, (float *)(room + p->most), fields[0]))
        got = TP_FAILED;
    tp__release(room, 2 * p->most);
    return got;
}

static tp_got get_changed(void *user, int64_t i, void *const *fields)
{
    return take(user, i, fields, false);
}

static tp_got next_changed(void *user, void *const *fields)
{
    return take(user, 0, fields, true);
}

static bool rewind_changed(void *user)
{
    const tp_source *s = &((pipeline *)user)->over.d->s;

    return !s->rewind || s->rewind(s->user);
}

static void free_pipeline(void *user)
{
    pipeline *p = user;

    tp_data_set_free(p->over.d);
    tp__release(p, sizeof *p);
}

static bool pictures(const tp_dataset *d, const tp_augment *steps, int n)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_data_augment", d && steps && n > 0 && n <= MOST_STEPS, TP_ERR_ARG,
                  "%d steps: 1 to %d, and a data set, are wanted", n, MOST_STEPS);
    TP_REQUIRE_IN("tp_data_augment",
                  d->s.dtype[0] == TP_F32 && d->s.shape[0].rank == 3 &&
                      (d->s.shape[0].n[0] == 1 || d->s.shape[0].n[0] == 3) &&
                      tp__elements(&d->s.shape[0]) > 0,
                  TP_ERR_SHAPE, "field 0 is %s %s: pictures, f32 (1 or 3, H, W), are wanted",
                  tp_dtype_name(d->s.dtype[0]), tp__shape_text(d->s.shape[0]));
    return true;
}

static bool plan(pipeline *p, const tp_shape *s)
{
    p->size[0] = (tp_picture){ (int)s->n[0], s->n[1], s->n[2], NULL };
    for (int i = 0; i < p->n; i++) {
        tp_picture *x = &p->size[i], *y = x + 1;
        size_t bytes = (tp__picture_bytes(x) + 63) / 64 * 64;

        TP_REQUIRE_IN("tp_data_augment", p->step[i].kind, TP_ERR_ARG,
                      "step %d is none: a function tp_augment_... makes one", i);
        *y = *x;
        p->most = bytes > p->most ? bytes : p->most;
        if (!p->step[i].kind->plan(&p->step[i], x, y)) return false;
        TP_REQUIRE_IN(p->step[i].kind->name,
                      y->h > 0 && y->w > 0 && y->h <= 1 << 16 && y->w <= 1 << 16, TP_ERR_ARG,
                      "it would make pictures of %lld x %lld", (long long)y->w, (long long)y->h);
    }
    return true;
}

static pipeline *pipeline_of(tp_dataset *d, const tp_augment *steps, int n)
{
    pipeline *p = pictures(d, steps, n) ? tp__alloc_zeroed(sizeof *p) : NULL;

    if (!p) return NULL;
    p->over.d = d, p->n = n;
    memcpy(p->step, steps, sizeof *steps * (size_t)n);
    if (plan(p, &d->s.shape[0])) return p;
    tp__release(p, sizeof *p);
    return NULL;
}

tp_dataset *tp_data_augment(tp_dataset *d, const tp_augment *steps, int n)
{
    pipeline *p = pipeline_of(d, steps, n);
    tp_source s;

    if (!p) {
        tp_data_set_free(d);
        return NULL;
    }
    s = d->s;
    s.shape[0] = TP_SHAPE(p->size[n].channels, p->size[n].h, p->size[n].w);
    s.get = get_changed, s.next = d->s.next ? next_changed : NULL, s.rewind = rewind_changed;
    s.done = free_pipeline, s.user = p;
    return tp__data_over(d, s, tp__same_place);
}

bool tp__plan_chance(const tp_augment *a, const tp_picture *x, tp_picture *y)
{
    (void)x, (void)y;
    TP_STEP(a->kind->name, a->v[0] >= 0 && a->v[0] <= 1, "a probability of %g", a->v[0]);
    return true;
}
