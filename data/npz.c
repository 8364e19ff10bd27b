/*
 * npz.c - NumPy's archives: zip files of .npy files, stored or deflated, found by the directory at
 * the end, with its 64-bit forms (APPNOTE 4.3 to 4.5).
 */
#include "data/datasets.h"
#include "data/npy.h"

#include <string.h>
#include <zlib.h>

enum {
    END_BYTES = 22,
    WIDE_END_BYTES = 56,
    LOCATOR_BYTES = 20,
    ENTRY_BYTES = 46,
    LOCAL_BYTES = 30,
    STORED = 0,
    DEFLATED = 8,
    DENSEST = 1032 /* bytes out of one of deflate's */
};

typedef struct archive {
    const char *where, *path;
    tp_bytes b;
    uint64_t at, left, end; /* next entry of the directory, how many are left, where it ends */
} archive;

typedef struct entry {
    const char *name;
    size_t name_n;
    unsigned flags, method;
    uint32_t crc;
    uint64_t packed, bytes, local;
} entry;

static bool refuse(const archive *a, const char *why)
{
    tp__fail(TP_ERR_FORMAT, a->where, "%s: %s", a->path, why);
    return false;
}

/* A little-endian number of n bytes, which lie in the file. */
static uint64_t number(const archive *a, uint64_t at, int n)
{
    uint64_t v = 0;

    while (n--)
        v = v << 8 | (unsigned char)a->b.p[at + (uint64_t)n];
    return v;
}

static bool within(const archive *a, uint64_t at, uint64_t n)
{
    return at <= a->b.n && n <= a->b.n - at;
}

/* ---- the directory ---- */

static bool open_wide(archive *a, uint64_t end)
{
    uint64_t at;

    if (end < LOCATOR_BYTES || number(a, end - LOCATOR_BYTES, 4) != 0x07064b50) return true;
    at = number(a, end - LOCATOR_BYTES + 8, 8);
    if (!within(a, at, WIDE_END_BYTES) || number(a, at, 4) != 0x06064b50)
        return refuse(a, "its directory can't be found");
    a->left = number(a, at + 32, 8), a->at = number(a, at + 48, 8), a->end = number(a, at + 40, 8);
    return true;
}

static bool open_directory(archive *a)
{
    uint64_t end = a->b.n - END_BYTES,
             last = a->b.n > END_BYTES + 65535 ? a->b.n - END_BYTES - 65535 : 0;

    if (a->b.n < END_BYTES) return refuse(a, "it is no .npz file");
    while (number(a, end, 4) != 0x06054b50)
        if (end-- <= last) return refuse(a, "it is no .npz file, or cut short");
    a->left = number(a, end + 10, 2), a->at = number(a, end + 16, 4),
    a->end = number(a, end + 12, 4);
    if (!open_wide(a, end)) return false;
    if (!within(a, a->at, a->end)) return refuse(a, "its directory can't be found");
    a->end += a->at;
    return true;
}

/* 64-bit numbers, for those that are all ones. */
static bool widen(const archive *a, entry *e, uint64_t at, uint64_t end)
{
    uint64_t *wide[] = { &e->bytes, &e->packed, &e->local };

    while (end - at >= 4) {
        uint64_t id = number(a, at, 2), n = number(a, at + 2, 2);

        at += 4;
        if (n > end - at) return refuse(a, "an entry of its directory is damaged");
        for (int i = 0; id == 1 && i < 3; i++) {
            if (*wide[i] != UINT32_MAX) continue;
            if (n < 8) return refuse(a, "an entry of its directory is damaged");
            *wide[i] = number(a, at, 8), at += 8, n -= 8;
        }
        at += n;
    }
    return true;
}

/* The next entry; false: none is left, or an error. */
static bool next_entry(archive *a, entry *e)
{
    uint64_t extra, n;

    if (!a->left) return false;
    if (a->end - a->at < ENTRY_BYTES || number(a, a->at, 4) != 0x02014b50)
        return refuse(a, "its directory is damaged");
    *e = (entry){ .name = a->b.p + a->at + ENTRY_BYTES,
                  .name_n = number(a, a->at + 28, 2),
                  .flags = (unsigned)number(a, a->at + 8, 2),
                  .method = (unsigned)number(a, a->at + 10, 2),
                  .crc = (uint32_t)number(a, a->at + 16, 4),
                  .packed = number(a, a->at + 20, 4),
                  .bytes = number(a, a->at + 24, 4),
                  .local = number(a, a->at + 42, 4) };
    extra = a->at + ENTRY_BYTES + e->name_n, n = number(a, a->at + 30, 2);
    if (a->end - a->at - ENTRY_BYTES < e->name_n + n + number(a, a->at + 32, 2))
        return refuse(a, "its directory is damaged");
    if (!widen(a, e, extra, extra + n)) return false;
    a->at = extra + n + number(a, a->at + 32, 2), a->left--;
    return true;
}

static size_t bare_length(const entry *e) /* of the name, without .npy */
{
    return e->name_n > 4 && !memcmp(e->name + e->name_n - 4, ".npy", 4) ? e->name_n - 4 : e->name_n;
}

static bool is_named(const entry *e, const char *name)
{
    size_t n = strlen(name);

    return (n == e->name_n || n == bare_length(e)) && !memcmp(e->name, name, n);
}

/* ---- contents ---- */

static bool inflate_all(const archive *a, const char *from, uint64_t packed, tp_bytes *to,
                        uint64_t bytes)
{
    z_stream z = { 0 };
    int status = inflateInit2(&z, -15);
    uint64_t in = 0, out = 0;

    if (status != Z_OK)
        return tp__fail(TP_ERR_MEMORY, a->where, "no memory to inflate %s", a->path);
    while (status == Z_OK && (in < packed || out < bytes)) {
        uint64_t some = packed - in < 1 << 30 ? packed - in : 1 << 30,
                 room = bytes - out < 1 << 30 ? bytes - out : 1 << 30;

        z.next_in = (unsigned char *)from + in, z.avail_in = (unsigned)some;
        z.next_out = (unsigned char *)to->p + out, z.avail_out = (unsigned)room;
        status = inflate(&z, Z_NO_FLUSH);
        in += some - z.avail_in, out += room - z.avail_out;
    }
    inflateEnd(&z);
    return (status == Z_STREAM_END && in == packed && out == bytes) ||
           refuse(a, "an array in it can't be inflated");
}

static bool unpack(const archive *a, const entry *e, tp_bytes *to)
{
    uint64_t data;

    if (!within(a, e->local, LOCAL_BYTES) || number(a, e->local, 4) != 0x04034b50)
        return refuse(a, "an array lies outside of it");
    data = e->local + LOCAL_BYTES + number(a, e->local + 26, 2) + number(a, e->local + 28, 2);
    if (!within(a, data, e->packed)) return refuse(a, "an array lies outside of it");
    if (e->flags & 1 || (e->method != STORED && e->method != DEFLATED))
        return refuse(a, "an array in it is neither stored nor deflated");
    if (e->method == STORED ? e->bytes != e->packed : e->bytes / DENSEST > e->packed)
        return refuse(a, "the size of an array can't be");
    if (!tp__bytes_room(to, e->bytes + 1)) return false;
    to->n = e->bytes;
    if (e->method == STORED)
        memcpy(to->p, a->b.p + data, e->bytes);
    else if (!inflate_all(a, a->b.p + data, e->packed, to, e->bytes))
        return false;
    return crc32_z(crc32_z(0, NULL, 0), (unsigned char *)to->p, to->n) == e->crc ||
           refuse(a, "an array in it is damaged: its checksum is another");
}

static tp_tensor *read_entry(const archive *a, const entry *e, tp_device *dev)
{
    tp_bytes b = { 0 };
    tp_tensor *t = unpack(a, e, &b) ? tp__npy(a->where, a->path, &b, dev) : NULL;

    tp__bytes_free(&b);
    return t;
}

static bool open_archive(archive *a, const char *where, const char *path)
{
    *a = (archive){ .where = where, .path = path };
    return tp__input_raw(where, path, SIZE_MAX, &a->b) && open_directory(a);
}

tp_tensor *tp_data_npz(const char *path, const char *name, tp_device *dev)
{
    tp_tensor *t = NULL;
    bool found = false;
    archive a;
    entry e;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(name && dev, TP_ERR_ARG, "missing name or device");
    if (open_archive(&a, __func__, path))
        while (!found && next_entry(&a, &e))
            if ((found = is_named(&e, name))) t = read_entry(&a, &e, dev);
    if (!found && tp_ok())
        tp__fail(TP_ERR_ARG, __func__, "%s: there is no array \"%s\" in it", path, name);
    tp__bytes_free(&a.b);
    return t;
}

size_t tp_data_npz_names(const char *path, char *text, size_t room)
{
    size_t n = 0;
    archive a;
    entry e;

    if (text && room) *text = 0;
    if (!tp_ok()) return 0;
    if (open_archive(&a, __func__, path))
        while (next_entry(&a, &e)) {
            size_t some = bare_length(&e);

            for (size_t k = 0; k <= some; k++, n++)
                if (text && n + 1 < room) text[n] = k < some ? e.name[k] : '\n', text[n + 1] = 0;
        }
    tp__bytes_free(&a.b);
    return tp_ok() ? n : 0;
}
