/*
 * average.c - what averaged weights need of the data: running statistics of their own.
 */
#include "train/train.h"

#include "autograd/autograd.h"
#include "nn/internal.h"

#include <string.h>

/* One pass over the loader, and the norms that it is for. */
typedef struct pass {
    tp_module *m;
    tp_loader *l;
    bool begun; /* statistics are as new */
    int64_t batches;
} pass;

static tp_batch_norm_opts *norm_of(const tp_module *m)
{
    bool is = !strncmp(m->kind, "batch_norm", 10) && m->opts_bytes == sizeof(tp_batch_norm_opts);

    return is ? m->opts : NULL;
}

static bool count_norm(void *user, const char *name, tp_module *m)
{
    (void)name;
    *(int *)user += norm_of(m) != NULL;
    return true;
}

static bool keep_cumulative(void *user, const char *name, tp_module *m)
{
    tp_batch_norm_opts *o = norm_of(m);
    bool **was = user;

    (void)name;
    if (o) *(*was)++ = o->cumulative, o->cumulative = true;
    return true;
}

static bool give_cumulative_back(void *user, const char *name, tp_module *m)
{
    tp_batch_norm_opts *o = norm_of(m);
    bool **was = user;

    (void)name;
    if (o) o->cumulative = *(*was)++;
    return true;
}

/* Mean 0, variance 1, no batch seen. */
static bool reset(void *user, const char *name, tp_module *m)
{
    (void)user, (void)name;
    for (int i = 0; norm_of(m) && i < m->n_entry; i++) {
        const tp_entry *e = &m->entry[i];

        if (e->buffer && e->t && !tp_fill_(e->t, strcmp(e->name, "running_var") ? 0 : 1))
            return false;
    }
    return true;
}

static bool run(void *user)
{
    pass *p = user;

    for (tp_batch b; tp_data_next(p->l, &b); p->batches++) {
        TP_SCOPE;
        if (!p->begun && !(p->begun = tp__modules(p->m, reset, NULL))) return false;
        if (!tp_nn_forward(p->m, b.x)) return false;
    }
    TP_REQUIRE_IN("tp_swa_update_bn", !tp_ok() || p->batches, TP_ERR_ARG,
                  "the loader gave no batch");
    return tp_ok();
}

static bool usable(const tp_loader *l, const tp_module *m)
{
    const char *where = "tp_swa_update_bn";

    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, l && m, TP_ERR_ARG, "missing loader or module");
    TP_REQUIRE_IN(where, !tp_data_opts(l).endless, TP_ERR_ARG,
                  "an endless loader has no pass that ends");
    TP_REQUIRE_IN(where, tp_data_position(l).batch == 0, TP_ERR_ARG,
                  "the loader stands at batch %lld of its pass: give one that is at a beginning",
                  (long long)tp_data_position(l).batch);
    return true;
}

bool tp_swa_update_bn(tp_loader *l, tp_module *m)
{
    pass p = { .m = m, .l = l };
    int norms = 0;
    bool ok, *was, *at;
    TP_NO_GRAD;

    if (!usable(l, m) || !tp__modules(m, count_norm, &norms)) return false;
    if (!norms) return true;
    if (!(was = tp__alloc((size_t)norms))) return false;
    at = was, tp__modules(m, keep_cumulative, &at);
    ok = tp__in_mode(m, true, run, &p);
    at = was, tp__modules(m, give_cumulative_back, &at);
    tp__release(was, (size_t)norms);
    return ok;
}
