/*
 * file.c - writing safetensors, so that a crash at any instant leaves a whole file.
 *
 * 8 bytes little-endian length, a JSON header padded with blanks to a multiple of 8, the data.
 */
#include "tensor/file.h"
#include "tensor/file_dtype.h"
#include "tensor/internal.h"
#include "tensor/part.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t bytes_of(const tp_tensor *t)
{
    return (size_t)tp_count(t) * tp_dtype_size(tp_dtype_of(t));
}

bool tp__is_utf8(const char *text)
{
    json_t *s = json_string(text);

    json_decref(s);
    return s != NULL;
}

/* ---- the header ---- */

static json_t *describe(const tp_tensor *t, uint64_t at)
{
    json_t *shape = json_array();

    for (int i = 0; i < tp_rank(t); i++)
        json_array_append_new(shape, json_integer(tp_dim(t, i)));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", tp__file_dtype(tp_dtype_of(t)), "shape", shape, "data_offsets",
                     (json_int_t)at, (json_int_t)(at + bytes_of(t)));
}

static json_t *header(const tp_named *tensors, int n, const tp_meta *meta, int n_meta)
{
    json_t *all = json_object(), *texts = json_object();
    uint64_t at = 0;
    bool ok = all && texts;

    for (int i = 0; ok && i < n_meta; i++)
        ok = json_object_set_new(texts, meta[i].key, json_string(meta[i].value)) == 0;
    if (ok && n_meta) ok = json_object_set(all, "__metadata__", texts) == 0;
    for (int i = 0; ok && i < n; i++) {
        const char *name = tensors[i].name, *why = NULL;

        if (!strcmp(name, "__metadata__")) why = "the format keeps that name for itself";
        else if (json_object_get(all, name)) why = "it comes twice";
        else if (json_object_set_new(all, name, describe(tensors[i].t, at))) why = "it isn't UTF-8";
        if (why) tp__fail(TP_ERR_ARG, "tp_file_save", "\"%s\" can't be written: %s", name, why);
        ok = !why, at += bytes_of(tensors[i].t);
    }
    json_decref(texts);
    if (ok) return all;
    tp__fail(TP_ERR_ARG, "tp_file_save", "the metadata is not UTF-8 text");
    json_decref(all);
    return NULL;
}

/* ---- writing ---- */

typedef struct writer {
    const char *path;
    tp_part part;
    bool trial; /* the file is taken away again */
} writer;

static bool failed(const writer *w, const char *what)
{
    tp__fail(TP_ERR_IO, "tp_file_save", "%s can't be %s: %s", w->path, what, strerror(errno));
    return false;
}

static bool put(writer *w, const void *p, size_t bytes)
{
    return fwrite(p, 1, bytes, w->part.f) == bytes || failed(w, "written");
}

static bool put_header(writer *w, json_t *all)
{
    char *text = json_dumps(all, JSON_COMPACT);
    size_t n = text ? strlen(text) : 0, padded = (n + 7) / 8 * 8;
    unsigned char length[8];
    bool ok = text != NULL;

    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(padded >> 8 * i);
    if (!ok) tp__fail(TP_ERR_MEMORY, "tp_file_save", "no memory for the header");
    ok = ok && put(w, length, 8) && put(w, text, n) && put(w, "       ", padded - n);
    free(text);
    return ok;
}

static bool put_tensor(writer *w, const tp_tensor *t)
{
    size_t bytes = bytes_of(t);
    bool direct = tp_is_contiguous(t) && tp_device_of(t) == tp__cpu(), ok;
    void *host = direct ? NULL : tp__alloc(bytes);

    if (direct) return !bytes || put(w, tp__data(t), bytes);
    ok = host && tp_read(t, host, bytes) && put(w, host, bytes);
    tp__release(host, bytes);
    return ok;
}

static bool put_all(writer *w, json_t *all, const tp_named *tensors, int n)
{
    bool ok = put_header(w, all);

    for (int i = 0; ok && i < n; i++)
        ok = put_tensor(w, tensors[i].t);
    return ok && (!fflush(w->part.f) || failed(w, "written"));
}

static bool save(writer *w, json_t *all, const tp_named *tensors, int n)
{
    bool ok = tp__part_open(&w->part, w->path) || failed(w, "written");

    ok = ok && put_all(w, all, tensors, n);
    if (ok && !w->trial) return tp__part_take(&w->part) || failed(w, "replaced");
    tp__part_drop(&w->part);
    return ok;
}

static bool write_file(writer *w, const tp_named *tensors, int n, const tp_meta *meta, int n_meta)
{
    json_t *all;
    bool ok;

    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_file_save", w->path && *w->path, TP_ERR_ARG, "missing path");
    TP_REQUIRE_IN("tp_file_save", n >= 0 && (tensors || !n), TP_ERR_ARG, "%d tensors%s", n, tensors ? "" : ", and no pointer to them");
    TP_REQUIRE_IN("tp_file_save", n_meta >= 0 && (meta || !n_meta), TP_ERR_ARG, "%d texts%s", n_meta,
                  meta ? "" : ", and no pointer to them");
    for (int i = 0; i < n; i++)
        TP_REQUIRE_IN("tp_file_save", tensors[i].name && tensors[i].t, TP_ERR_ARG, "tensor %d is missing", i);
    for (int i = 0; i < n_meta; i++)
        TP_REQUIRE_IN("tp_file_save", meta[i].key && meta[i].value, TP_ERR_ARG, "text %d is missing", i);
    if (!(all = header(tensors, n, meta, n_meta))) return false;
    ok = save(w, all, tensors, n);
    json_decref(all);
    return ok;
}

bool tp_file_save(const char *path, const tp_named *tensors, int n, const tp_meta *meta, int n_meta)
{
    return write_file(&(writer){ .path = path }, tensors, n, meta, n_meta);
}

bool tp__file_try(const char *path, const tp_named *tensors, int n, const tp_meta *meta, int n_meta)
{
    return write_file(&(writer){ .path = path, .trial = true }, tensors, n, meta, n_meta);
}

bool tp_file_exists(const char *path)
{
    return path && access(path, F_OK) == 0;
}
