/*
 * captions.c - what pictures show, by the names of their files, as tokens beside them.
 */
#include "data/datasets.h"
#include "data/input.h"
#include "data/internal.h"
#include "data/tokenizer.h"

#include <string.h>

typedef struct captions {
    tp_over over;
    tp_tensor *token; /* (count, length) i64 */
} captions;

/* ---- what a name says ---- */

static const char *path_of(const char *where, const tp_dataset *d, int64_t i)
{
    const char *path = tp_ok() ? tp_data_image_path(d, i) : NULL;

    if (!path) tp__fail(TP_ERR_ARG, where, "sample %lld is no picture of a folder", (long long)i);
    return path;
}

size_t tp_data_caption(const tp_dataset *d, int64_t i, char *text, size_t room)
{
    const char *path = path_of(__func__, d, i), *name, *dot;
    size_t n;

    if (text && room) *text = 0;
    if (!path) return 0;
    name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    dot = strrchr(name, '.');
    n = dot ? (size_t)(dot - name) : strlen(name);
    for (size_t k = 0; text && k < n && k + 1 < room; k++)
        text[k] = name[k] == '_' ? ' ' : name[k], text[k + 1] = 0;
    return n;
}

tp_tokenizer *tp_data_caption_words(const tp_dataset *d)
{
    tp_tokenizer *t = NULL;
    tp_bytes all = { 0 };

    if (!tp_ok()) return NULL;
    TP_REQUIRE(d && tp_data_count(d) >= 0, TP_ERR_ARG, "missing data set, or a stream");
    for (int64_t i = 0; tp_ok() && i < tp_data_count(d); i++) {
        size_t n = tp_data_caption(d, i, NULL, 0);

        if (!tp_ok() || !tp__bytes_room(&all, n + 2)) break;
        all.n += tp_data_caption(d, i, all.p + all.n, n + 1);
        all.p[all.n++] = '\n';
    }
    if (tp_ok()) t = tp_data_words(all.p, all.n, NULL);
    tp__bytes_free(&all);
    return t;
}

/* ---- the data set ---- */

static tp_got get_captioned(void *user, int64_t i, void *const *fields)
{
    const captions *c = user;
    int64_t length = tp_dim(c->token, 1), *token = tp__data(c->token);
    tp_got got = tp__get(c->over.d, i, fields);

    memcpy(fields[c->over.d->s.fields], token + i * length, sizeof *token * (size_t)length);
    return got;
}

static void free_captions(void *user)
{
    captions *c = user;

    tp_free(c->token);
    tp_data_set_free(c->over.d);
    tp__release(c, sizeof *c);
}

/* Rows as long as the longest; those that are cut at 512 are refused. */
static tp_tensor *rows_of(const tp_tokenizer *t, const char *const *text, int64_t n)
{
    tp_rows_opts o = tp_rows_defaults();
    tp_tensor *lengths, *rows, *short_rows;
    int64_t cut = 0;

    o.padding = tp_data_tokens(t), o.cut = &cut;
    rows = tp_data_rows(t, text, n, o, &lengths);
    TP_REQUIRE_IN("tp_data_captions", !cut, TP_ERR_ARG, "%lld captions are longer than %lld tokens", (long long)cut,
                  (long long)o.most);
    rows = tp_data_trim(rows, lengths), short_rows = tp__new(tp_shape_of(rows), TP_I64, tp__cpu());
    return tp_read(rows, tp__data(short_rows), sizeof(int64_t) * (size_t)tp_count(rows)) ? short_rows : NULL;
}

/* What each picture shows, as (count, the longest), kept. */
static bool take_tokens(captions *c, const tp_tokenizer *t)
{
    int64_t n = c->over.d->s.count;
    tp_names all = { 0 };
    char text[4096];
    TP_SCOPE;

    for (int64_t i = 0; tp_ok() && i < n; i++) {
        size_t length = tp_data_caption(c->over.d, i, text, sizeof text);

        if (tp_ok()) tp__names_add(&all, text, length < sizeof text ? length : sizeof text - 1);
    }
    if (tp_ok()) c->token = tp_keep(rows_of(t, (const char *const *)all.name, n));
    tp__names_free(&all);
    return c->token != NULL;
}

static captions *captions_of(tp_dataset *d, const tp_tokenizer *t)
{
    captions *c;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_data_captions", d && t && d->s.count > 0, TP_ERR_ARG, "missing data set or tokenizer, or a stream");
    TP_REQUIRE_IN("tp_data_captions", d->s.fields < TP_FIELDS, TP_ERR_ARG, "the data set has %d fields already", TP_FIELDS);
    if (!(c = tp__alloc_zeroed(sizeof *c))) return NULL;
    c->over.d = d;
    if (take_tokens(c, t)) return c;
    tp__release(c, sizeof *c);
    return NULL;
}

tp_dataset *tp_data_captions(tp_dataset *d, const tp_tokenizer *t)
{
    captions *c = captions_of(d, t);
    tp_source s;

    if (!c) return tp_data_set_free(d), NULL;
    s = d->s;
    s.shape[s.fields] = TP_SHAPE(tp_dim(c->token, 1)), s.dtype[s.fields++] = TP_I64;
    s.get = get_captioned, s.done = free_captions, s.user = c;
    return tp__data_over(d, s, tp__same_place);
}
