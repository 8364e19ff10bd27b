/*
 * npy.c - NumPy's arrays: "\x93NUMPY", version, length of a header, the header, a Python dict like
 * {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, then the numbers.
 */
#include "data/npy.h"

#include "data/datasets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOST_ORDER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>')

typedef struct header {
    tp_dtype dtype;
    bool swap, fortran;
    tp_shape shape;
    size_t data; /* where the numbers begin */
} header;

typedef struct reader {
    const char *where, *path, *s, *end; /* s: what is still to read of the header */
} reader;

static bool refuse(const reader *r, const char *why)
{
    tp__fail(TP_ERR_FORMAT, r->where, "%s: %s", r->path, why);
    return false;
}

/* ---- the dict ---- */

static void pass_blanks(reader *r)
{
    while (r->s < r->end && strchr(" \t\n\r", *r->s) && *r->s)
        r->s++;
}

static bool take(reader *r, char c)
{
    pass_blanks(r);
    if (r->s == r->end || *r->s != c) return false;
    r->s++;
    return true;
}

static bool take_word(reader *r, const char *word)
{
    pass_blanks(r);
    if ((size_t)(r->end - r->s) < strlen(word) || memcmp(r->s, word, strlen(word)) != 0)
        return false;
    r->s += strlen(word);
    return true;
}

static bool take_string(reader *r, char *to, size_t room)
{
    char quote = take(r, '\'') ? '\'' : take(r, '"') ? '"' : 0;
    const char *end = quote ? memchr(r->s, quote, (size_t)(r->end - r->s)) : NULL;

    if (!end || (size_t)(end - r->s) >= room) return false;
    memcpy(to, r->s, (size_t)(end - r->s)), to[end - r->s] = 0;
    r->s = end + 1;
    return true;
}

static bool take_size(reader *r, int64_t *v)
{
    const char *from = (pass_blanks(r), r->s);

    for (*v = 0; r->s < r->end && *r->s >= '0' && *r->s <= '9'; r->s++) {
        if (*v > INT64_MAX / 100) return false;
        *v = 10 * *v + *r->s - '0';
    }
    return r->s > from;
}

static bool take_shape(reader *r, tp_shape *s)
{
    *s = TP_SCALAR;
    if (!take(r, '(')) return refuse(r, "its shape is none");
    while (!take(r, ')')) {
        int64_t v;

        if (s->rank == TP_MAX_AXES || !take_size(r, &v))
            return refuse(r, "its shape is none, or has more than 8 axes");
        s->n[s->rank++] = v;
        if (!take(r, ',') && (r->s == r->end || *r->s != ')'))
            return refuse(r, "its shape is none");
    }
    return tp__shape_ok(r->where, *s);
}

/* "<f4": byte order, kind, bytes. */
static bool take_dtype(reader *r, header *h)
{
    static const struct {
        const char *name;
        tp_dtype dtype;
    } kind[] = { { "f4", TP_F32 }, { "f8", TP_F64 }, { "f2", TP_F16 }, { "i8", TP_I64 },
                 { "i4", TP_I32 }, { "u1", TP_U8 },  { "b1", TP_BOOL } };
    char text[32];

    if (!take_string(r, text, sizeof text))
        return refuse(r, "its dtype is no name: arrays of records aren't read");
    for (int i = 0; strchr("<>=|", text[0]) && text[0] && i < TP_LEN(kind); i++) {
        if (strcmp(text + 1, kind[i].name) != 0) continue;
        h->dtype = kind[i].dtype;
        h->swap = tp_dtype_size(h->dtype) > 1 && (text[0] == '<' || text[0] == '>') &&
                  text[0] != HOST_ORDER;
        return true;
    }
    tp__fail(TP_ERR_DTYPE, r->where, "%s: dtype \"%s\": f8 f4 f2 i8 i4 u1 and b1 are read", r->path,
             text);
    return false;
}

static bool take_entry(reader *r, header *h, unsigned *seen)
{
    char key[32];

    if (!take_string(r, key, sizeof key) || !take(r, ':'))
        return refuse(r, "its header is no dict");
    if (!strcmp(key, "descr")) return *seen |= 1, take_dtype(r, h);
    if (!strcmp(key, "shape")) return *seen |= 2, take_shape(r, &h->shape);
    if (strcmp(key, "fortran_order") != 0)
        return refuse(r, "its header has another entry than descr, fortran_order and shape");
    *seen |= 4, h->fortran = take_word(r, "True");
    return h->fortran || take_word(r, "False") ||
           refuse(r, "fortran_order is neither True nor False");
}

static bool take_dict(reader *r, header *h)
{
    unsigned seen = 0;

    if (!take(r, '{')) return refuse(r, "its header is no dict");
    while (!take(r, '}')) {
        if (!take_entry(r, h, &seen)) return false;
        if (!take(r, ',') && (r->s == r->end || *r->s != '}'))
            return refuse(r, "its header is no dict");
    }
    pass_blanks(r);
    return (seen == 7 && r->s == r->end) ||
           refuse(r, "its header lacks descr, fortran_order or shape, or goes on behind them");
}

static bool read_header(reader *r, const tp_bytes *b, header *h)
{
    const unsigned char *p = (const unsigned char *)b->p;
    size_t begin, length;

    if (b->n < 10 || memcmp(p, "\x93NUMPY", 6) != 0) return refuse(r, "it is no .npy file");
    if (p[6] < 1 || p[6] > 3) return refuse(r, "its version is neither 1, 2 nor 3");
    begin = p[6] == 1 ? 10 : 12;
    if (b->n < begin) return refuse(r, "it is cut short");
    length = p[8] | (size_t)p[9] << 8;
    if (p[6] > 1) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (length > b->n - begin) return refuse(r, "it is cut short");
    r->s = b->p + begin, r->end = r->s + length;
    h->data = begin + length;
    return take_dict(r, h);
}

/* ---- the numbers ---- */

static void swap_bytes(char *p, size_t n, size_t size)
{
    for (size_t i = 0; i < n; i++, p += size)
        for (size_t k = 0; k < size / 2; k++) {
            char c = p[k];

            p[k] = p[size - 1 - k], p[size - 1 - k] = c;
        }
}

/* to: the first axis slowest; from: fastest. */
static void reorder(const tp_shape *s, size_t size, const char *from, char *to)
{
    int64_t at[TP_MAX_AXES] = { 0 }, stride[TP_MAX_AXES], n = tp__elements(s), place = 0;

    for (int i = 0; i < s->rank; i++)
        stride[i] = i ? stride[i - 1] * s->n[i - 1] : 1;
    for (int64_t k = 0; k < n; k++, to += size) {
        memcpy(to, from + (size_t)place * size, size);
        for (int i = s->rank - 1; i >= 0; i--) {
            place += stride[i];
            if (++at[i] < s->n[i]) break;
            place -= stride[i] * s->n[i], at[i] = 0;
        }
    }
}

static tp_tensor *in_c_order(const header *h, const char *p, size_t bytes, tp_device *dev)
{
    char *other;
    tp_tensor *t;

    if (!h->fortran || h->shape.rank < 2 || !bytes) return tp_from(p, h->shape, h->dtype, dev);
    if (!(other = tp__alloc(bytes))) return NULL;
    reorder(&h->shape, tp_dtype_size(h->dtype), p, other);
    t = tp_from(other, h->shape, h->dtype, dev);
    tp__release(other, bytes);
    return t;
}

tp_tensor *tp__npy(const char *where, const char *path, tp_bytes *b, tp_device *dev)
{
    reader r = { where, path, NULL, NULL };
    header h = { 0 };
    size_t size, bytes;
    char *p;

    if (!read_header(&r, b, &h)) return NULL;
    size = tp_dtype_size(h.dtype), bytes = (size_t)tp__elements(&h.shape) * size;
    if (b->n - h.data < bytes) return refuse(&r, "it is cut short"), NULL;
    if (b->n - h.data > bytes) return refuse(&r, "there is more in it than its header says"), NULL;
    p = b->p + h.data;
    if (h.swap) swap_bytes(p, bytes / size, size);
    for (size_t i = 0; h.dtype == TP_BOOL && i < bytes; i++)
        p[i] = p[i] != 0;
    return in_c_order(&h, p, bytes, dev);
}

tp_tensor *tp_data_npy(const char *path, tp_device *dev)
{
    tp_tensor *t;
    tp_bytes b;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(dev, TP_ERR_ARG, "missing device");
    if (!tp__input(__func__, path, &b)) return NULL;
    t = tp__npy(__func__, path, &b, dev);
    tp__bytes_free(&b);
    return t;
}

/* ---- writing ---- */

static int make_header(const tp_tensor *t, char *to, size_t room)
{
    static const char *const kind[TP_DTYPES] = {
        [TP_F32] = "f4", [TP_F64] = "f8", [TP_F16] = "f2", [TP_I64] = "i8",
        [TP_I32] = "i4", [TP_U8] = "u1",  [TP_BOOL] = "b1"
    };
    char shape[TP_MAX_AXES * 24] = "";
    size_t at = 0;
    int n;

    for (int i = 0; i < t->shape.rank; i++)
        at += (size_t)snprintf(shape + at, sizeof shape - at, i ? " %lld," : "%lld,",
                               (long long)t->shape.n[i]);
    if (t->shape.rank > 1) shape[at - 1] = 0;
    n = snprintf(to + 10, room - 10, "{'descr': '%c%s', 'fortran_order': False, 'shape': (%s), }",
                 tp_dtype_size((tp_dtype)t->dtype) > 1 ? HOST_ORDER : '|', kind[t->dtype], shape);
    for (; (10 + n + 1) % 64; n++)
        to[10 + n] = ' ';
    to[10 + n++] = '\n';
    memcpy(to, "\x93NUMPY\1\0", 8), to[8] = (char)(n & 255), to[9] = (char)(n >> 8);
    return 10 + n;
}

static bool write_all(const char *path, const char *head, size_t head_n, const char *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(head, 1, head_n, f) == head_n && fwrite(data, 1, n, f) == n;

    if (f && fclose(f)) ok = false;
    TP_REQUIRE_IN("tp_data_npy_save", ok, TP_ERR_IO, "%s can't be written: %s", path,
                  strerror(errno));
    return true;
}

bool tp_data_npy_save(const char *path, const tp_tensor *t)
{
    char head[512];
    size_t bytes;
    char *data;
    bool ok;

    if (!tp__check(__func__, TP_LIST((tp_tensor *)t), 1)) return false;
    TP_REQUIRE(path, TP_ERR_ARG, "missing path");
    TP_REQUIRE(t->dtype != TP_BF16, TP_ERR_DTYPE, "NumPy has no bf16: cast to f32");
    bytes = (size_t)tp_count(t) * tp_dtype_size((tp_dtype)t->dtype);
    if (!(data = tp__alloc(bytes + 1))) return false;
    ok = tp_read(t, data, bytes) &&
         write_all(path, head, (size_t)make_header(t, head, sizeof head), data, bytes);
    tp__release(data, bytes + 1);
    return ok;
}
