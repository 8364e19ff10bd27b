/*
 * subset.c - parts of a data set by index, random splits, and data sets one after the other.
 */
#include "data/internal.h"
#include "data/sampling.h"

#include <math.h>
#include <string.h>

/* ---- by index ---- */

typedef struct subset {
    tp_dataset *d;
    int64_t n, index[];
} subset;

static tp_got get_chosen(void *user, int64_t i, void *const *fields)
{
    const subset *s = user;

    return tp__get(s->d, s->index[i], fields);
}

static tp_dataset *chosen(void *user, int64_t *i)
{
    const subset *s = user;

    *i = s->index[*i];
    return s->d;
}

static size_t subset_bytes(int64_t n)
{
    return sizeof(subset) + sizeof(int64_t) * (size_t)n;
}

static void free_subset(void *user)
{
    subset *s = user;

    tp_data_set_free(s->d);
    tp__release(s, subset_bytes(s->n));
}

static bool indices_ok(const tp_dataset *d, const int64_t *index, int64_t n)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_data_subset", d && d->s.count >= 0, TP_ERR_ARG,
                  "missing data set, or a stream");
    TP_REQUIRE_IN("tp_data_subset", n >= 0 && n < INT64_MAX / 16 && (index || !n), TP_ERR_ARG,
                  "%lld indices", (long long)n);
    for (int64_t i = 0; i < n; i++)
        TP_REQUIRE_IN("tp_data_subset", index[i] >= 0 && index[i] < d->s.count, TP_ERR_ARG,
                      "index %lld is %lld: there are %lld samples", (long long)i,
                      (long long)index[i], (long long)d->s.count);
    return true;
}

tp_dataset *tp_data_subset(tp_dataset *d, const int64_t *index, int64_t n)
{
    subset *s = indices_ok(d, index, n) ? tp__alloc(subset_bytes(n)) : NULL;
    tp_source from;

    if (!s) {
        tp_data_set_free(d);
        return NULL;
    }
    s->d = d, s->n = n;
    if (n) memcpy(s->index, index, sizeof *index * (size_t)n);
    from = d->s;
    from.count = n, from.get = get_chosen, from.done = free_subset, from.user = s;
    return tp__data_over(d, from, chosen);
}

/* ---- random splits ---- */

/* Sizes of the parts from counts or fractions; false and an error when they don't add up. */
static bool part_sizes(const double *share, int n, int64_t all, int64_t *size)
{
    double sum = 0;
    int64_t given = 0;

    for (int i = 0; i < n; i++) {
        TP_REQUIRE_IN("tp_data_split", share[i] >= 0 && share[i] < 0x1p53, TP_ERR_ARG,
                      "share %d is %g", i, share[i]);
        sum += share[i];
    }
    TP_REQUIRE_IN("tp_data_split", fabs(sum - 1) <= 1e-6 || sum == (double)all, TP_ERR_ARG,
                  "the shares add up to %g: %lld samples, or 1, are wanted", sum, (long long)all);
    for (int i = 0; i < n; i++) {
        size[i] =
            (int64_t)(sum == (double)all && all != 1 ? share[i] : floor((double)all * share[i]));
        TP_REQUIRE_IN("tp_data_split",
                      sum != (double)all || all == 1 || (double)size[i] == share[i], TP_ERR_ARG,
                      "share %d is %g, and counts are whole", i, share[i]);
        given += size[i];
    }
    for (int i = 0; given < all; i = (i + 1) % n)
        size[i]++, given++;
    return true;
}

static bool make_parts(tp_dataset *d, const int64_t *order, const int64_t *size, int n,
                       tp_dataset **parts)
{
    for (int i = 0; i < n; order += size[i++]) {
        if ((parts[i] = tp_data_subset(tp_data_retain(d), order, size[i]))) continue;
        while (i--)
            tp_data_set_free(parts[i]), parts[i] = NULL;
        return false;
    }
    return true;
}

enum { MOST_PARTS = 256 };

static bool split(tp_dataset *d, const double *share, int n, uint64_t seed, tp_dataset **parts)
{
    int64_t size[MOST_PARTS], *order;
    size_t bytes;
    bool ok;

    TP_REQUIRE_IN("tp_data_split", d && d->s.count >= 0 && share, TP_ERR_ARG,
                  "missing data set or shares, or a stream");
    if (!part_sizes(share, n, d->s.count, size)) return false;
    bytes = sizeof *order * (size_t)d->s.count;
    if (!(order = tp__alloc(bytes))) return false;
    for (int64_t i = 0; i < d->s.count; i++)
        order[i] = i;
    tp__shuffle(order, d->s.count, seed, 0);
    ok = make_parts(d, order, size, n, parts);
    tp__release(order, bytes);
    return ok;
}

bool tp_data_split(tp_dataset *d, const double *share, int n, uint64_t seed, tp_dataset **parts)
{
    bool ok = false;

    if (parts && n > 0 && n <= MOST_PARTS) {
        memset(parts, 0, sizeof *parts * (size_t)n);
        ok = tp_ok() && split(d, share, n, seed, parts);
    } else if (tp_ok()) {
        tp__fail(TP_ERR_ARG, __func__, "%d parts: 1 to %d", n, MOST_PARTS);
    }
    tp_data_set_free(d);
    return ok;
}

/* ---- one after the other ---- */

typedef struct chain {
    int n;
    struct {
        tp_dataset *d;
        int64_t end; /* of its samples, in the whole */
    } set[];
} chain;

/* Which set holds sample *i; *i becomes the number there. */
static tp_dataset *in_chain(void *user, int64_t *i)
{
    const chain *c = user;
    int low = 0, high = c->n - 1;

    while (low < high) {
        int middle = (low + high) / 2;

        if (*i < c->set[middle].end)
            high = middle;
        else
            low = middle + 1;
    }
    *i -= low ? c->set[low - 1].end : 0;
    return c->set[low].d;
}

static tp_got get_in_chain(void *user, int64_t i, void *const *fields)
{
    tp_dataset *d = in_chain(user, &i);

    return tp__get(d, i, fields);
}

static size_t chain_bytes(int n)
{
    return sizeof(chain) + sizeof *((chain *)0)->set * (size_t)n;
}

static void free_chain(void *user)
{
    chain *c = user;

    for (int i = 0; i < c->n; i++)
        tp_data_set_free(c->set[i].d);
    tp__release(c, chain_bytes(c->n));
}

static bool alike(const tp_source *a, const tp_source *b)
{
    if (a->fields != b->fields) return false;
    for (int f = 0; f < a->fields; f++)
        if (a->dtype[f] != b->dtype[f] || !tp__same(&a->shape[f], &b->shape[f])) return false;
    return true;
}

/* Names of classes are those of the whole only where all sets have the same. */
static bool same_names(const tp_dataset *a, const tp_dataset *b)
{
    if (a->classes != b->classes || !a->names != !b->names) return false;
    for (int64_t i = 0; a->names && i < a->classes; i++)
        if (strcmp(a->names[i], b->names[i]) != 0) return false;
    return true;
}

static bool chain_ok(tp_dataset *const *sets, int n)
{
    int64_t count = 0;

    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_data_concat", n > 0 && sets, TP_ERR_ARG, "%d data sets: at least one", n);
    for (int i = 0; i < n; i++) {
        TP_REQUIRE_IN("tp_data_concat", sets[i] && sets[i]->s.count >= 0, TP_ERR_ARG,
                      "set %d is missing, or a stream", i);
        TP_REQUIRE_IN("tp_data_concat", alike(&sets[0]->s, &sets[i]->s), TP_ERR_SHAPE,
                      "the samples of set %d are not like those of set 0", i);
        TP_REQUIRE_IN("tp_data_concat", count <= INT64_MAX / 2 - sets[i]->s.count, TP_ERR_ARG,
                      "too many samples");
        count += sets[i]->s.count;
    }
    return true;
}

tp_dataset *tp_data_concat(tp_dataset *const *sets, int n)
{
    chain *c = chain_ok(sets, n) ? tp__alloc(chain_bytes(n)) : NULL;
    int64_t classes = 0;
    tp_dataset *d;
    tp_source s;

    if (!c) {
        for (int i = 0; sets && i < n; i++)
            tp_data_set_free(sets[i]);
        return NULL;
    }
    c->n = n;
    s = sets[0]->s, s.count = 0;
    for (int i = 0; i < n; i++) {
        c->set[i].d = sets[i], c->set[i].end = s.count += sets[i]->s.count;
        classes = sets[i]->classes > classes ? sets[i]->classes : classes;
    }
    s.get = get_in_chain, s.next = NULL, s.rewind = NULL, s.done = free_chain, s.user = c;
    if (!(d = tp__data_over(sets[0], s, in_chain))) return NULL;
    d->classes = classes;
    for (int i = 1; i < n; i++)
        if (!same_names(sets[0], sets[i])) d->names = NULL;
    return d;
}
