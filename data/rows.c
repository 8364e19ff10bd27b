/*
 * rows.c - texts as rows of numbers, and batches of rows that are about as long.
 */
#include "data/internal.h"
#include "data/sampling.h"
#include "data/tokens.h"

#include <stdlib.h>
#include <string.h>

/* ---- rows ---- */

static bool rows_fit(const tp_tokenizer *t, const char *const *text, int64_t n,
                     const tp_rows_opts *o)
{
    const char *where = "tp_data_rows";
    int64_t symbols[] = { o->begin, o->end, o->padding },
            ends = (o->begin >= 0) + (o->end >= 0);

    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, o->filled, TP_ERR_ARG, "start from tp_rows_defaults()");
    TP_REQUIRE_IN(where, t && (text || !n) && n >= 0, TP_ERR_ARG,
                  "missing tokenizer or texts");
    for (int i = 0; i < TP_LEN(symbols); i++)
        TP_REQUIRE_IN(where,
                      symbols[i] >= (i < 2 ? -1 : 0) && symbols[i] < tp_data_tokens(t) + (i == 2),
                      TP_ERR_ARG, "symbol %lld: there are %lld", (long long)symbols[i],
                      (long long)tp_data_tokens(t));
    TP_REQUIRE_IN(where, o->most > ends && o->most < INT32_MAX, TP_ERR_ARG,
                  "rows of %lld symbols", (long long)o->most);
    return true;
}

/* One row; gives its length, -1 after an error. */
static int64_t fill_row(const tp_tokenizer *t, const char *text, const tp_rows_opts *o,
                        int64_t *to, bool *cut)
{
    TP_SCOPE;
    tp_tensor *ids = text ? tp_data_encode(t, text, strlen(text))
                          : tp__fail(TP_ERR_ARG, "tp_data_rows", "a text is missing");
    int64_t room = o->most - (o->begin >= 0) - (o->end >= 0), n = tp_count(ids), at = 0;

    if (!ids) return -1;
    *cut = n > room;
    if (*cut) n = room;
    if (o->begin >= 0) to[at++] = o->begin;
    if (n) memcpy(to + at, tp__data(ids), sizeof *to * (size_t)n);
    at += n;
    if (o->end >= 0) to[at++] = o->end;
    for (int64_t i = at; i < o->most; i++)
        to[i] = o->padding;
    return at;
}

tp_rows_opts tp_rows_defaults(void)
{
    return (tp_rows_opts){ .begin = -1, .end = -1, .most = 512, .filled = true };
}

tp_rows_opts tp_rows_marked(tp_tokenizer *t, int64_t most)
{
    static const char *const name[][3] = { { "<pad>", "<s>", "</s>" },
                                           { "[PAD]", "[CLS]", "[SEP]" } };
    tp_rows_opts o = tp_rows_defaults();
    int64_t id[3];

    o.most = most;
    for (int i = 0; i < 3; i++) {
        const char *mark = name[t && t->wordpiece][i];

        if (!tp_data_special(t, mark)) return o;
        id[i] = tp_data_token_id(t, mark);
    }
    o.padding = id[0], o.begin = id[1], o.end = id[2];
    return o;
}

tp_tensor *tp_data_rows(const tp_tokenizer *t, const char *const *text, int64_t n,
                        tp_rows_opts o, tp_tensor **lengths)
{
    tp_tensor *y, *length;
    int64_t cut = 0;

    if (lengths) *lengths = NULL;
    if (!rows_fit(t, text, n, &o)) return NULL;
    y = tp__new(TP_SHAPE(n, o.most), TP_I64, tp__cpu()),
    length = tp__new(TP_SHAPE(n), TP_I64, tp__cpu());
    for (int64_t i = 0; tp_ok() && i < n; i++) {
        bool shortened = false;
        int64_t at =
            fill_row(t, text[i], &o, (int64_t *)tp__data(y) + i * o.most, &shortened);

        ((int64_t *)tp__data(length))[i] = at, cut += shortened;
    }
    if (!tp_ok()) return NULL;
    if (lengths) *lengths = length;
    if (o.cut) *o.cut = cut;
    return y;
}

tp_tensor *tp_data_trim(tp_tensor *rows, tp_tensor *lengths)
{
    int64_t n = tp_count(lengths), longest = 0, *length;

    if (!tp__check(__func__, TP_LIST(rows, lengths), 2)) return NULL;
    TP_REQUIRE(tp_rank(rows) == 2 && rows->dtype == TP_I64 && tp_rank(lengths) == 1 &&
                   lengths->dtype == TP_I64 && n == tp_dim(rows, 0),
               TP_ERR_SHAPE, "rows %s and lengths %s: i64 (N, T) and (N) are wanted",
               tp__text(rows), tp__text(lengths));
    if (!(length = tp__alloc(sizeof *length * (size_t)(n + 1)))) return NULL;
    if (tp_read(lengths, length, sizeof *length * (size_t)n))
        for (int64_t i = 0; i < n; i++)
            longest = length[i] > longest ? length[i] : longest;
    tp__release(length, sizeof *length * (size_t)(n + 1));
    if (!tp_ok()) return NULL;
    if (longest > tp_dim(rows, 1)) longest = tp_dim(rows, 1);
    return tp__view(rows, TP_SHAPE(n, longest), rows->stride, rows->offset);
}

size_t tp_data_row(const tp_tokenizer *t, const tp_tensor *rows, int64_t i,
                   tp_rows_opts o, char *text, size_t room)
{
    int64_t n = tp_dim(rows, 1), *id, from = 0, to = 0;
    size_t bytes = sizeof *id * (size_t)(n + 1), length = 0;

    if (text && room) *text = 0;
    if (!tp_ok()) return 0;
    if (!t || !o.filled || tp_rank(rows) != 2 || rows->dtype != TP_I64 || i < 0 ||
        i >= tp_dim(rows, 0))
        return tp__fail(TP_ERR_ARG, __func__,
                        "missing tokenizer or options, or row %lld of %s: i64 (n, ...) "
                        "is wanted",
                        (long long)i, tp__text(rows)),
               0;
    if (!(id = tp__alloc(bytes))) return 0;
    TP_SCOPE;
    if (tp_read(tp__view(rows, TP_SHAPE(n), rows->stride + 1, rows->offset + i * rows->stride[0]), id,
                sizeof *id * (size_t)n)) {
        const int64_t *row = id;

        from = n && row[0] == o.begin;
        for (to = from; to < n && row[to] != o.end && row[to] != o.padding;)
            to++;
        length = tp_data_decode(
            t, tp_from(row + from, TP_SHAPE(to - from), TP_I64, tp__cpu()), text, room);
    }
    tp__release(id, bytes);
    return length;
}

/* ---- an order in which neighbours are about as long ---- */

enum { BATCHES = 32 }; /* sorted at a time: the rest stays a matter of chance */

typedef struct by_length {
    int64_t n, batch, length[];
} by_length;

typedef struct sorted {
    int64_t length, at, sample;
} sorted;

static int shorter_first(const void *a, const void *b)
{
    const sorted *x = a, *y = b;

    return x->length != y->length ? (x->length > y->length) - (x->length < y->length)
                                  : (x->at > y->at) - (x->at < y->at);
}

/* Batch `to` of the order's begins where batch `from` of s does; what is no whole batch stays
 * last. */
static void deal(const by_length *k, const sorted *s, uint64_t seed, int64_t pass,
                 int64_t *batches, int64_t *order)
{
    int64_t whole = k->n / k->batch;

    for (int64_t i = 0; i < whole; i++)
        batches[i] = i;
    tp__shuffle(batches, whole, seed + 1, pass);
    for (int64_t i = 0; i < whole * k->batch; i++)
        order[i] = s[batches[i / k->batch] * k->batch + i % k->batch].sample;
    for (int64_t i = whole * k->batch; i < k->n; i++)
        order[i] = s[i].sample;
}

static bool order_by_length(void *user, uint64_t seed, int64_t pass, int64_t *order)
{
    const by_length *k = user;
    size_t bytes = sizeof(sorted) * (size_t)k->n,
           more = sizeof *order * (size_t)(k->n / k->batch + 1);
    sorted *s = tp__alloc(bytes + 1);
    int64_t *batches = tp__alloc(more), block = BATCHES * k->batch;

    for (int64_t i = 0; i < k->n; i++)
        order[i] = i;
    tp__shuffle(order, k->n, seed, pass);
    for (int64_t i = 0; s && i < k->n; i++)
        s[i] = (sorted){ k->length[order[i]], i, order[i] };
    for (int64_t i = 0; s && i < k->n; i += block)
        qsort(s + i, (size_t)(i + block < k->n ? block : k->n - i), sizeof *s,
              shorter_first);
    if (s && batches) deal(k, s, seed, pass, batches, order);
    tp__release(s, bytes + 1);
    tp__release(batches, more);
    return tp_ok();
}

static void free_by_length(void *user)
{
    by_length *k = user;

    tp__release(k, sizeof *k + sizeof *k->length * (size_t)k->n);
}

tp_sampler *tp_data_by_length(tp_tensor *lengths, int64_t batch)
{
    int64_t n;
    by_length *k;

    if (!tp__check(__func__, TP_LIST(lengths), 1)) return NULL;
    TP_REQUIRE(tp_rank(lengths) == 1 && lengths->dtype == TP_I64 &&
                   tp_device_of(lengths) == tp__cpu() && tp_is_contiguous(lengths),
               TP_ERR_ARG, "lengths are %s on %s: contiguous i64 (samples) on the CPU",
               tp__text(lengths), tp_device_name(tp_device_of(lengths)));
    TP_REQUIRE(batch > 0 && batch < INT32_MAX, TP_ERR_ARG, "batches of %lld",
               (long long)batch);
    n = tp_count(lengths);
    if (!(k = tp__alloc(sizeof *k + sizeof *k->length * (size_t)n))) return NULL;
    k->n = n, k->batch = batch;
    if (n) memcpy(k->length, tp__data(lengths), sizeof *k->length * (size_t)n);
    return tp_data_sampler((tp_order){
        .count = n, .order = order_by_length, .done = free_by_length, .user = k });
}

/* ---- both ---- */

/* (samples) of (samples, k), from .. to - 1 */
static tp_tensor *sums(const tp_tensor *lengths, int64_t from, int64_t to)
{
    tp_tensor *y = tp__new(TP_SHAPE(to - from), TP_I64, tp__cpu());
    int64_t k = tp_rank(lengths) == 2 ? tp_dim(lengths, 1) : 1, *v = tp__data(y);
    const int64_t *length = tp__data(lengths);

    for (int64_t i = 0; y && i < to - from; i++) {
        v[i] = 0;
        for (int64_t j = 0; j < k; j++)
            v[i] += length[(from + i) * k + j];
    }
    return y;
}

static tp_sampler *shortest_first(tp_tensor *lengths)
{
    int64_t n = tp_count(lengths), *index = NULL;
    sorted *s = lengths ? tp__alloc(sizeof *s * (size_t)n + 1) : NULL;
    tp_sampler *y = NULL;

    for (int64_t i = 0; s && i < n; i++)
        s[i] = (sorted){ ((const int64_t *)tp__data(lengths))[i], i, i };
    if (s && n) qsort(s, (size_t)n, sizeof *s, shorter_first);
    if (s && (index = tp__alloc(sizeof *index * (size_t)n + 1))) {
        for (int64_t i = 0; i < n; i++)
            index[i] = s[i].sample;
        y = tp_data_order(index, n, false);
        tp__release(index, sizeof *index * (size_t)n + 1);
    }
    tp__release(s, sizeof *s * (size_t)n + 1);
    return y;
}

tp_loader *tp_data_rows_loader(tp_list fields, tp_tensor *lengths, int64_t from,
                               int64_t to, tp_loader_opts o)
{
    tp_dataset *d;

    TP_SCOPE;
    if (!tp__check(__func__, TP_LIST(lengths), 1)) return NULL;
    TP_REQUIRE(
        (tp_rank(lengths) == 1 || tp_rank(lengths) == 2) && lengths->dtype == TP_I64 &&
            tp_is_contiguous(lengths) && tp_device_of(lengths) == tp__cpu(),
        TP_ERR_ARG, "lengths are %s: contiguous i64 (samples) or (samples, k) on the CPU",
        tp__text(lengths));
    TP_REQUIRE(!o.sampler, TP_ERR_ARG, "the order is by length: no sampler can be given");
    d = tp_data_tensors(fields);
    if (d && tp_data_count(d) != tp_dim(lengths, 0))
        tp__fail(TP_ERR_SHAPE, __func__, "%lld samples and %lld lengths",
                 (long long)tp_data_count(d), (long long)tp_dim(lengths, 0));
    d = tp_data_range(d, from, to);
    if (d && o.shuffle)
        o.sampler = tp_data_by_length(sums(lengths, from, to), o.batch ? o.batch : 1);
    else if (d)
        o.sampler = shortest_first(sums(lengths, from, to));
    o.shuffle = false;
    return tp_data_loader(d, o);
}
