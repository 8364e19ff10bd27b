/*
 * metric_bleu.c - BLEU of a corpus (Papineni et al. 2002), with sacrebleu's numbers.
 *
 * Of a segment, the places of all n-grams, in the candidate and in each reference, are sorted by
 * what stands there: equal n-grams become neighbours, and are counted without a table.
 */
#include "train/metric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_N = 16 };

typedef struct bleu {
    tp_metric base; /* seen: segments */
    tp_bleu_opts o;
    int64_t match[MOST_N], total[MOST_N], length, wanted; /* tokens of candidates and references */
} bleu;

/* ---- counting ---- */

/* Where an n-gram begins, and whose it is: 0 the candidate's, then the references'. */
typedef struct place {
    const int64_t *at;
    int whose;
} place;

static int by_content(const void *a, const void *b, void *n)
{
    const place *p = a, *q = b;

    for (int i = 0; i < *(int *)n; i++)
        if (p->at[i] != q->at[i]) return p->at[i] < q->at[i] ? -1 : 1;
    return (p->whose > q->whose) - (p->whose < q->whose);
}

static int64_t put_places(place *p, int64_t used, tp_tokens_view t, int whose, int n)
{
    for (int64_t i = 0; i + n <= t.n; i++)
        p[used++] = (place){ t.id + i, whose };
    return used;
}

/* From places that hold one n-gram: its count in the candidate, at most the largest in a reference. */
static int64_t clipped(const place *p, int64_t count)
{
    int64_t own = 0, most = 0, run = 0;

    for (int64_t i = 0; i < count; i++) {
        if (p[i].whose == 0) {
            own++;
            continue;
        }
        run = i > 0 && p[i - 1].whose == p[i].whose ? run + 1 : 1;
        most = run > most ? run : most;
    }
    return own < most ? own : most;
}

static int64_t matches(place *p, int64_t count, int n)
{
    int64_t sum = 0;

    qsort_r(p, (size_t)count, sizeof *p, by_content, &n);
    for (int64_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && !memcmp(p[from].at, p[to].at, (size_t)n * sizeof *p->at);)
            to++;
        sum += clipped(p + from, to - from);
    }
    return sum;
}

/* The length closest to the candidate's; of two the shorter. */
static int64_t closest(int64_t length, const tp_tokens_view *refs, int n_refs)
{
    int64_t best = refs[0].n;

    for (int i = 1; i < n_refs; i++) {
        int64_t d = llabs(refs[i].n - length), least = llabs(best - length);

        if (d < least || (d == least && refs[i].n < best)) best = refs[i].n;
    }
    return best;
}

static void count_segment(bleu *m, tp_tokens_view c, const tp_tokens_view *refs, int n_refs, place *p)
{
    for (int n = 1; n <= m->o.max_n; n++) {
        int64_t used = put_places(p, 0, c, 0, n);

        m->total[n - 1] += used;
        for (int i = 0; i < n_refs; i++)
            used = put_places(p, used, refs[i], i + 1, n);
        m->match[n - 1] += matches(p, used, n);
    }
    m->length += c.n, m->wanted += closest(c.n, refs, n_refs), m->base.seen++;
}

/* ---- the value: compute_bleu of sacrebleu ---- */

/* Of n-grams of length n; *misses counts the lengths without a match. */
static double precision(const bleu *m, int n, int *misses)
{
    double more = m->o.smoothing == TP_BLEU_ADD_K && n > 1;
    double match = (double)m->match[n - 1] + more, total = (double)m->total[n - 1] + more;

    if (total <= 0 || match > 0) return total > 0 ? match / total : 0;
    if (m->o.smoothing == TP_BLEU_EXP) return 1 / (ldexp(1, ++*misses) * total);
    return m->o.smoothing == TP_BLEU_FLOOR ? 0.1 / total : 0;
}

static double bleu_value(tp_metric *base)
{
    const bleu *m = (const bleu *)base;
    int64_t any = 0;
    double logs = 0;
    int misses = 0;

    for (int n = 1; n <= m->o.max_n; n++)
        any += m->match[n - 1];
    if (!any) return 0; /* smoothing makes no likeness where there is none */
    for (int n = 1; n <= m->o.max_n; n++)
        logs += log(precision(m, n, &misses));
    return exp(logs / m->o.max_n) * (m->length < m->wanted ? exp(1 - (double)m->wanted / (double)m->length) : 1);
}

static void bleu_reset(tp_metric *base)
{
    bleu *m = (bleu *)base;

    memset(m->match, 0, sizeof m->match), memset(m->total, 0, sizeof m->total);
    m->length = m->wanted = 0;
}

static const tp_metric_kind kind = { .name = "tp_metric_bleu", .bytes = sizeof(bleu), .value = bleu_value,
                                     .reset = bleu_reset };

tp_metric *tp_metric_bleu(tp_bleu_opts o)
{
    bleu *m;

    if (!o.max_n) o.max_n = 4;
    TP_REQUIRE(o.max_n > 0 && o.max_n <= MOST_N && o.smoothing >= TP_BLEU_NONE && o.smoothing <= TP_BLEU_ADD_K, TP_ERR_ARG,
               "max_n is %d and smoothing %d: 1 to %d, and one of four kinds", o.max_n, (int)o.smoothing, MOST_N);
    if ((m = tp__metric_new(&kind))) m->o = o;
    return m ? &m->base : NULL;
}

/* ---- tokens ---- */

static bool view_ok(const char *where, tp_tokens_view v, int which)
{
    TP_REQUIRE_IN(where, v.n >= 0 && (v.id || !v.n), TP_ERR_ARG, "text %d has %lld tokens%s", which, (long long)v.n,
                  v.id ? "" : ", and no numbers");
    return true;
}

bool tp_metric_bleu_tokens(tp_metric *base, tp_tokens_view candidate, const tp_tokens_view *refs, int n_refs)
{
    size_t bytes;
    int64_t all = candidate.n;
    place *p;

    if (!base || !tp_ok()) return false;
    TP_REQUIRE(base->kind == &kind, TP_ERR_ARG, "%s isn't tp_metric_bleu", base->kind->name);
    TP_REQUIRE(refs && n_refs > 0, TP_ERR_ARG, "%d references: at least one is wanted", n_refs);
    if (!view_ok(__func__, candidate, 0)) return false;
    for (int i = 0; i < n_refs; all += refs[i++].n)
        if (!view_ok(__func__, refs[i], i + 1)) return false;
    bytes = (size_t)(all + 1) * sizeof *p;
    if (!(p = tp__alloc(bytes))) return false;
    count_segment((bleu *)base, candidate, refs, n_refs, p);
    tp__release(p, bytes);
    return true;
}

/* ---- words: their ranks among all of the segment are their tokens ---- */

typedef struct word {
    const char *text;
    size_t length;
    int64_t at; /* among the words in reading order */
} word;

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int64_t split(const char *text, word *w, int64_t used)
{
    while (*text) {
        size_t n = 0;

        while (is_space(*text))
            text++;
        while (text[n] && !is_space(text[n]))
            n++;
        if (n && w) w[used] = (word){ text, n, used };
        used += n > 0;
        text += n;
    }
    return used;
}

static int by_text(const void *a, const void *b)
{
    const word *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->length < y->length ? x->length : y->length);

    return order ? order : (x->length > y->length) - (x->length < y->length);
}

static void rank(word *w, int64_t n, int64_t *id)
{
    int64_t next = 0;

    qsort(w, (size_t)n, sizeof *w, by_text);
    for (int64_t i = 0; i < n; i++)
        id[w[i].at] = next += i > 0 && by_text(&w[i - 1], &w[i]);
}

/* n words in all, in room for them and for a view of each text. */
static bool add_words(tp_metric *m, const char *candidate, const char *const *refs, int n_refs, int64_t n)
{
    size_t word_bytes = (size_t)(n + 1) * sizeof(word), id_bytes = (size_t)(n + 1) * sizeof(int64_t),
           view_bytes = (size_t)(n_refs + 1) * sizeof(tp_tokens_view);
    word *w = tp__alloc(word_bytes);
    int64_t *id = tp__alloc(id_bytes), used = 0;
    tp_tokens_view *v = tp__alloc(view_bytes);
    bool ok = w && id && v;

    for (int i = 0; ok && i <= n_refs; i++) {
        int64_t from = used;

        used = split(i ? refs[i - 1] : candidate, w, used);
        v[i] = (tp_tokens_view){ id + from, used - from };
    }
    if (ok) rank(w, n, id), ok = tp_metric_bleu_tokens(m, v[0], v + 1, n_refs);
    tp__release(w, word_bytes), tp__release(id, id_bytes), tp__release(v, view_bytes);
    return ok;
}

bool tp_metric_bleu_words(tp_metric *m, const char *candidate, const char *const *refs, int n_refs)
{
    int64_t n;

    if (!m || !tp_ok()) return false;
    TP_REQUIRE(candidate && refs && n_refs > 0, TP_ERR_ARG, "a text and at least one reference are wanted");
    n = split(candidate, NULL, 0);
    for (int i = 0; i < n_refs; i++) {
        TP_REQUIRE(refs[i], TP_ERR_ARG, "reference %d is missing", i);
        n = split(refs[i], NULL, n);
    }
    return add_words(m, candidate, refs, n_refs, n);
}
