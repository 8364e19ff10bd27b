/*
 * file_read.c - reading safetensors by mapping the file.
 *
 * Nothing in it is believed: the header must end within the file, every tensor's bytes must
 * lie within the data, be as many as its shape says, and follow the one before without gap
 * or overlap, as the format demands.
 */
#include "tensor/file.h"
#include "tensor/file_dtype.h"
#include "tensor/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGEST_HEADER = 100 << 20 };

typedef struct item {
    const char *name; /* in the header's JSON */
    tp_shape shape;
    tp_dtype dtype;
    uint64_t at, bytes;
} item;

struct tp_file {
    char *path;
    unsigned char *map;
    size_t size;
    const unsigned char *data;
    size_t data_bytes;
    json_t *header;
    item *items;
    int n, room;
};

static void *refuse(const tp_file *f, const char *why)
{
    return tp__fail(TP_ERR_FORMAT, "tp_file_open", "%s is not a safetensors file: %s", f->path, why);
}

/* ---- one tensor ---- */

static bool read_shape(const tp_file *f, json_t *list, item *it)
{
    size_t n = json_array_size(list);

    it->shape = TP_SCALAR;
    if (!json_is_array(list) || n > TP_MAX_AXES) return refuse(f, "a shape with more than 8 axes, or none");
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_array_get(list, i);

        if (!json_is_integer(v) || json_integer_value(v) < 0) return refuse(f, "a size that is no number");
        it->shape.n[it->shape.rank++] = json_integer_value(v);
    }
    return tp__shape_ok("tp_file_open", it->shape);
}

static bool read_offsets(const tp_file *f, json_t *pair, item *it)
{
    json_int_t from, to;

    if (json_array_size(pair) != 2 || !json_is_integer(json_array_get(pair, 0)) ||
        !json_is_integer(json_array_get(pair, 1)))
        return refuse(f, "data_offsets that are no pair of numbers");
    from = json_integer_value(json_array_get(pair, 0)), to = json_integer_value(json_array_get(pair, 1));
    if (from < 0 || to < from || (uint64_t)to > f->data_bytes) return refuse(f, "a tensor outside of the file");
    it->at = (uint64_t)from, it->bytes = (uint64_t)(to - from);
    return true;
}

static bool read_item(tp_file *f, const char *name, json_t *v)
{
    item *it = &f->items[f->n];
    const char *type = json_string_value(json_object_get(v, "dtype"));
    int d = tp__file_dtype_of(type);

    if (!json_is_object(v) || !type) return refuse(f, "a tensor without dtype");
    TP_REQUIRE_IN("tp_file_open", d >= 0, TP_ERR_DTYPE, "%s: %s is %s, which taper doesn't have", f->path, name, type);
    it->name = name, it->dtype = (tp_dtype)d;
    if (!read_shape(f, json_object_get(v, "shape"), it) || !read_offsets(f, json_object_get(v, "data_offsets"), it))
        return false;
    if ((uint64_t)tp__elements(&it->shape) * tp_dtype_size(it->dtype) != it->bytes)
        return refuse(f, "a tensor whose bytes and shape don't agree");
    f->n++;
    return true;
}

static int by_offset(const void *a, const void *b)
{
    const item *x = a, *y = b;

    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static bool without_gaps(tp_file *f)
{
    uint64_t at = 0;

    qsort(f->items, (size_t)f->n, sizeof *f->items, by_offset);
    for (int i = 0; i < f->n; i++) {
        if (f->items[i].at != at) return refuse(f, "tensors that overlap, or a gap between them");
        at += f->items[i].bytes;
    }
    return at == f->data_bytes || refuse(f, "bytes behind the last tensor");
}

/* ---- the header ---- */

static bool read_header(tp_file *f)
{
    uint64_t n = 0;
    json_error_t why;
    const char *name;
    json_t *v, *texts;

    for (int i = 0; i < 8 && f->size >= 8; i++)
        n |= (uint64_t)f->map[i] << 8 * i;
    if (f->size < 8 || n > f->size - 8 || n > LARGEST_HEADER) return refuse(f, "it is cut short, or its header is");
    f->data = f->map + 8 + n, f->data_bytes = f->size - 8 - n;
    f->header = json_loadb((const char *)f->map + 8, n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(f->header)) return refuse(f, "its header is no JSON object");
    f->room = (int)json_object_size(f->header);
    if (!(f->items = tp__alloc(sizeof *f->items * (size_t)f->room))) return false;
    json_object_foreach(f->header, name, v)
        if (strcmp(name, "__metadata__") != 0 && !read_item(f, name, v)) return false;
    texts = json_object_get(f->header, "__metadata__");
    if (texts && !json_is_object(texts)) return refuse(f, "metadata that is no text");
    json_object_foreach(texts, name, v)
        if (!json_is_string(v)) return refuse(f, "metadata that is no text");
    return without_gaps(f);
}

static bool map(tp_file *f)
{
    struct stat st = { 0 };
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), why = errno; /* a pipe would wait */
    void *p = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &st) == 0) {
        f->size = (size_t)st.st_size;
        errno = S_ISDIR(st.st_mode) ? EISDIR : 0;
        if (f->size && S_ISREG(st.st_mode)) p = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0);
        why = errno;
    }
    if (fd >= 0) close(fd);
    if (p != MAP_FAILED) return f->map = p, true;
    if (S_ISREG(st.st_mode) && f->size == 0) return refuse(f, "it is empty");
    tp__fail(TP_ERR_IO, "tp_file_open", "%s can't be read: %s", f->path,
             why ? strerror(why) : "it is no regular file");
    return false;
}

/* ---- the interface ---- */

tp_file *tp_file_open(const char *path)
{
    tp_file *f;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(path, TP_ERR_ARG, "missing path");
    if (!(f = tp__alloc_zeroed(sizeof *f))) return NULL;
    if ((f->path = tp__strdup(path)) && map(f) && read_header(f)) return f;
    tp_file_close(f);
    return NULL;
}

void tp_file_close(tp_file *f)
{
    if (!f) return;
    json_decref(f->header);
    if (f->map) munmap(f->map, f->size);
    tp__release(f->items, sizeof *f->items * (size_t)f->room);
    tp__free_text(f->path);
    tp__release(f, sizeof *f);
}

int tp_file_count(const tp_file *f)
{
    return f ? f->n : 0;
}

static const item *at(const tp_file *f, int i)
{
    return f && i >= 0 && i < f->n ? &f->items[i] : NULL;
}

const char *tp_file_name(const tp_file *f, int i)
{
    return at(f, i) ? at(f, i)->name : NULL;
}

tp_shape tp_file_shape(const tp_file *f, int i)
{
    return at(f, i) ? at(f, i)->shape : TP_SCALAR;
}

tp_dtype tp_file_dtype(const tp_file *f, int i)
{
    return at(f, i) ? at(f, i)->dtype : TP_F32;
}

int tp_file_find(const tp_file *f, const char *name)
{
    for (int i = 0; f && name && i < f->n; i++)
        if (!strcmp(f->items[i].name, name)) return i;
    return -1;
}

tp_tensor *tp_file_read(const tp_file *f, int i, tp_device *dev)
{
    const item *it = at(f, i);

    if (!tp_ok()) return NULL;
    TP_REQUIRE(it, TP_ERR_ARG, "there is no tensor %d", i);
    return tp_from(f->data + it->at, it->shape, it->dtype, dev);
}

const char *tp_file_meta(const tp_file *f, const char *key)
{
    return f && key ? json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key)) : NULL;
}

int tp_file_meta_count(const tp_file *f)
{
    return f ? (int)json_object_size(json_object_get(f->header, "__metadata__")) : 0;
}

tp_meta tp_file_meta_at(const tp_file *f, int i)
{
    const char *key;
    json_t *v;

    if (f) json_object_foreach(json_object_get(f->header, "__metadata__"), key, v)
        if (i-- == 0) return (tp_meta){ key, json_string_value(v) };
    return (tp_meta){ NULL, NULL };
}
