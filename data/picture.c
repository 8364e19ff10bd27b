/*
 * picture.c - picture files by stb_image, and what it lets pass: it takes what is cut short for
 * whole (JPEG, BMP, PPM), doesn't look at checksums (PNG), leaves an odd maximum as it is (PPM)
 * and, before its version 2.28, writes behind a table for Huffman codes that are too many (JPEG).
 */
#include "data/picture.h"

#include "data/datasets.h"
#include "data/input.h"
#include "tensor/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { SIDE = 1 << 16, PIXELS = 1 << 27, FILE_BYTES = 1 << 30, HEAD = 64 };

/* stb_image frees without a size: each block begins with its own. */
static void *sized_alloc(size_t n)
{
    char *p = n < SIZE_MAX / 2 ? tp__alloc(n + HEAD) : NULL;

    if (!p) return NULL;
    memcpy(p, &n, sizeof n);
    return p + HEAD;
}

static void sized_free(void *p)
{
    size_t n;

    if (!p) return;
    memcpy(&n, (char *)p - HEAD, sizeof n);
    tp__release((char *)p - HEAD, n + HEAD);
}

static void *sized_grow(void *old, size_t had, size_t n)
{
    void *p = sized_alloc(n);

    if (!p) return NULL;
    if (old) memcpy(p, old, had < n ? had : n);
    sized_free(old);
    return p;
}

/* To the end: stb_image declares a static function that it never defines. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_PSD
#define STBI_NO_TGA
#define STBI_NO_PIC
#define STBI_NO_GIF
#define STBI_ASSERT(x)                ((void)0)
#define STBI_MAX_DIMENSIONS           65536 /* SIDE */
#define STBI_MALLOC(n)                sized_alloc(n)
#define STBI_FREE(p)                  sized_free(p)
#define STBI_REALLOC_SIZED(p, had, n) sized_grow(p, had, n)
#define STBI_REALLOC(p, n)            sized_grow(p, n, n)
#include <stb_image.h>
#pragma GCC diagnostic pop

static bool refuse(const char *where, const char *path, const char *why)
{
    if (tp_ok()) tp__fail(TP_ERR_FORMAT, where, "%s: %s", path, why);
    return false;
}

static const char unknown[] = "it is no PNG, JPEG, BMP, PPM or PGM file";
static const char in_words[] = "a PPM or PGM file in ASCII isn't read, only P5 and P6";
static const char damaged[] = "it is damaged, of a kind that isn't read, or too large";

/* Known by the first bytes alone: stb_image would look for a JPEG's behind others. */
static char kind_of(const char *head, size_t n)
{
    if (n >= 8 && !memcmp(head, "\x89PNG\r\n\x1a\n", 8)) return 'p';
    if (n >= 3 && !memcmp(head, "\xFF\xD8\xFF", 3)) return 'j';
    if (n >= 2 && !memcmp(head, "BM", 2)) return 'b';
    return n >= 3 && head[0] == 'P' && (head[1] == '5' || head[1] == '6') ? 'n' : 0;
}

static const char *why_unknown(const char *head, size_t n)
{
    return n >= 3 && head[0] == 'P' && (head[1] == '2' || head[1] == '3') ? in_words : unknown;
}

static bool refused_by_stb(const char *where, const char *path)
{
    const char *why = stbi_failure_reason();
    char text[128];

    if (!why || !strcmp(why, "unknown image type")) return refuse(where, path, damaged);
    snprintf(text, sizeof text, "it can't be read as a picture: %s", why);
    return refuse(where, path, text);
}

static bool size_ok(const char *where, const char *path, int64_t h, int64_t w)
{
    TP_REQUIRE_IN(where, h > 0 && w > 0, TP_ERR_FORMAT, "%s: it has no pixels, or is cut short",
                  path);
    TP_REQUIRE_IN(where, h <= SIDE && w <= SIDE && h * w <= PIXELS, TP_ERR_FORMAT,
                  "%s: %lld x %lld pixels: at most %d a side, %d in all", path, (long long)w,
                  (long long)h, SIDE, PIXELS);
    return true;
}

/* ---- headers ---- */

static int read_some(void *user, char *to, int n)
{
    return (int)fread(to, 1, (size_t)n, user);
}

static void skip_some(void *user, int n)
{
    fseek(user, n, SEEK_CUR);
}

static int at_end(void *user)
{
    return feof((FILE *)user) || ferror((FILE *)user);
}

/* The frame of a JPEG file, behind its first two bytes; false where none is found. */
static bool jpeg_look(FILE *f, int *w, int *h, int *channels)
{
    unsigned char b[8];

    for (;;) {
        int m;

        if (getc(f) != 0xFF) return false;
        while ((m = getc(f)) == 0xFF) {}
        if (m < 0xC0 || m == 0xD8 || m == 0xD9 || m == 0xDA || fread(b, 1, 2, f) != 2) return false;
        if (m <= 0xCF && m != 0xC4 && m != 0xC8 && m != 0xCC) break;
        if ((b[0] << 8 | b[1]) < 2 || fseek(f, (b[0] << 8 | b[1]) - 2, SEEK_CUR)) return false;
    }
    if (fread(b, 1, 6, f) != 6) return false;
    *h = b[1] << 8 | b[2], *w = b[3] << 8 | b[4], *channels = b[5];
    return true;
}

bool tp__picture_look(const char *where, const char *path, tp_picture *p)
{
    static const stbi_io_callbacks from_file = { read_some, skip_some, at_end };
    FILE *f;
    char head[8], kind;
    size_t n;
    int w = 0, h = 0, channels = 0;
    bool ok;

    *p = (tp_picture){ 0 };
    if (!tp__input_ends(where, path)) return false;
    if (!(f = fopen(path, "rb")))
        return tp__fail(TP_ERR_IO, where, "%s can't be read: %s", path, strerror(errno));
    n = fread(head, 1, sizeof head, f), kind = kind_of(head, n), rewind(f);
    if (kind == 'j') ok = !fseek(f, 2, SEEK_SET) && jpeg_look(f, &w, &h, &channels);
    else ok = kind && stbi_info_from_callbacks(&from_file, f, &w, &h, &channels);
    fclose(f);
    if (!kind || (kind == 'j' && !ok))
        return refuse(where, path, kind ? damaged : why_unknown(head, n));
    if (!ok) return refused_by_stb(where, path);
    *p = (tp_picture){ channels, h, w, NULL };
    return size_ok(where, path, h, w);
}

/* ---- what stb_image lets pass ---- */

static uint32_t big(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t little(const unsigned char *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static bool png_whole(const unsigned char *p, size_t n)
{
    for (size_t at = 8; n - at >= 12;) {
        uint32_t length = big(p + at);

        if (length > n - at - 12) return false;
        if (crc32(crc32(0, NULL, 0), p + at + 4, length + 4) != big(p + at + 8 + length))
            return false;
        if (!memcmp(p + at + 4, "IEND", 4)) return true;
        at += 12 + (size_t)length;
    }
    return false;
}

/* An end marker behind the start of the last scan.  In a scan 0xFF is followed by 0 or a restart
 * marker, so that neither can be part of one. */
static bool jpeg_whole(const unsigned char *p, size_t n)
{
    for (size_t at = n - 1; at > 1; at--) {
        if (p[at - 1] != 0xFF) continue;
        if (p[at] == 0xD9) return true;
        if (p[at] == 0xDA) return false;
    }
    return false;
}

/* Makes the comments and such (APP1 to APP13, APP15, COM) before the first scan empty: any bytes
 * may be in them, those of a table too. */
static void blank_comments(unsigned char *p, size_t n)
{
    for (size_t at = 2, length; n - at >= 4 && p[at] == 0xFF; at += 2 + length) {
        unsigned m = p[at + 1];

        if (m < 0xC0 || m == 0xDA || m == 0xFF) return;
        length = (size_t)p[at + 2] << 8 | p[at + 3];
        if (length < 2 || length > n - at - 2) return;
        if ((m > 0xE0 && m <= 0xEF && m != 0xEE) || m == 0xFE) memset(p + at + 4, 0, length - 2);
    }
}

/* Has every table of Huffman codes, wherever its marker may stand, 256 codes at most? */
static bool jpeg_tables_ok(const unsigned char *p, size_t n)
{
    for (size_t i = 2; n - i >= 4 && i < n; i++) {
        long left = p[i] == 0xFF && p[i + 1] == 0xC4 ? (p[i + 2] << 8 | p[i + 3]) - 2 : 0;

        for (size_t at = i + 4; left > 0;) {
            unsigned codes = 0;

            for (size_t k = at + 1; k <= at + 16 && k < n; k++)
                codes += p[k];
            if (codes > 256) return false;
            left -= 17 + (long)codes, at += 17 + codes;
        }
    }
    return true;
}

static bool bmp_whole(const unsigned char *p, size_t n)
{
    uint64_t w, h, bits;
    bool old;

    if (n < 30) return false;
    old = little(p + 14) == 12;
    w = old ? p[18] | (uint32_t)p[19] << 8 : little(p + 18);
    h = old ? p[20] | (uint32_t)p[21] << 8 : (uint64_t)llabs((int32_t)little(p + 22));
    bits = old ? p[24] : p[28];
    return w <= SIDE && h <= SIDE && little(p + 10) + (w * bits + 31) / 32 * 4 * h <= n;
}

/* P5 or P6, three numbers (width, height, maximum) with blanks and comments between them, one
 * blank, the pixels. */
static bool pnm_whole(const unsigned char *bytes, size_t n, const char **why)
{
    const char *p = (const char *)bytes + 2, *from;
    uint64_t v[3] = { 0 };

    for (int i = 0; i < 3; i++) {
        while (*p && strchr(" \t\n\r\v\f#", *p))
            p += *p == '#' ? strcspn(p, "\n\r") : 1;
        for (from = p; *p >= '0' && *p <= '9'; p++)
            if (v[i] <= SIDE) v[i] = 10 * v[i] + (uint64_t)(*p - '0');
        if (p == from && *p) return *why = "its width, height and maximum are no numbers", false;
    }
    if (p + 1 >= (const char *)bytes + n) return false;
    if (v[0] > SIDE || v[1] > SIDE)
        return *why = "its width or height is larger than any that is read", false;
    if (v[2] != 255)
        return *why = "it has no maximum of 255: only such PPM and PGM files are read", false;
    return v[0] * v[1] * (bytes[1] == '6' ? 3 : 1) <= n - (size_t)(p + 1 - (const char *)bytes);
}

static bool whole(const char *where, const char *path, const tp_bytes *b)
{
    unsigned char *p = (unsigned char *)b->p;
    const char *why = "it is cut short or damaged";
    char kind = kind_of(b->p, b->n);
    bool ok = false;

    if (!kind) return refuse(where, path, why_unknown(b->p, b->n));
    if (kind == 'j') blank_comments(p, b->n);
    if (kind == 'p') ok = png_whole(p, b->n);
    else if (kind == 'j') ok = jpeg_whole(p, b->n) && jpeg_tables_ok(p, b->n);
    else if (kind == 'b') ok = bmp_whole(p, b->n);
    else ok = pnm_whole(p, b->n, &why);
    return ok || refuse(where, path, why);
}

/* ---- pixels ---- */

/* Three colours, or the grey of them, of pixels of `stored` channels; `last` is 255 or 65535. */
static void planes_of(const void *pixels, int stored, bool wide, const tp_picture *p)
{
    const float unit = wide ? 1 / 65535.0f : 1 / 255.0f;
    const bool color = stored >= 3;
    const int64_t n = p->h * p->w;

    for (int64_t i = 0; i < n; i++) {
        float v[4] = { 0 };

        for (int c = 0; c < stored; c++)
            v[c] = unit * (float)(wide ? ((const uint16_t *)pixels)[i * stored + c]
                                       : ((const uint8_t *)pixels)[i * stored + c]);
        if (p->channels == 1)
            p->v[i] = color ? 0.299f * v[0] + 0.587f * v[1] + 0.114f * v[2] : v[0];
        else
            for (int c = 0; c < 3; c++)
                p->v[c * n + i] = v[color ? c : 0];
    }
}

static bool decode(const char *where, const char *path, const tp_bytes *b, int channels,
                   tp_picture *p)
{
    const stbi_uc *bytes = (const stbi_uc *)b->p;
    int w, h, stored, n = (int)b->n;
    bool wide;
    void *pixels;

    if (!whole(where, path, b)) return false;
    if (!stbi_info_from_memory(bytes, n, &w, &h, &stored))
        return refused_by_stb(where, path);
    if (!size_ok(where, path, h, w)) return false;
    wide = stbi_is_16_bit_from_memory(bytes, n);
    pixels = wide ? (void *)stbi_load_16_from_memory(bytes, n, &w, &h, &stored, 0)
                  : (void *)stbi_load_from_memory(bytes, n, &w, &h, &stored, 0);
    if (!pixels) return refused_by_stb(where, path);
    *p = (tp_picture){ channels ? channels : stored >= 3 ? 3 : 1, h, w, NULL };
    if ((p->v = tp__alloc(tp__picture_bytes(p)))) planes_of(pixels, stored, wide, p);
    sized_free(pixels);
    return p->v != NULL;
}

bool tp__picture_read(const char *where, const char *path, int channels, tp_picture *p)
{
    tp_bytes b;
    bool ok;

    *p = (tp_picture){ 0 };
    if (!tp__input_raw(where, path, FILE_BYTES, &b)) return false;
    ok = decode(where, path, &b, channels, p);
    tp__bytes_free(&b);
    return ok;
}

void tp__picture_free(tp_picture *p)
{
    if (p->v) tp__release(p->v, tp__picture_bytes(p));
    *p = (tp_picture){ 0 };
}

tp_tensor *tp_data_image_load(const char *path, int channels, tp_device *dev)
{
    tp_tensor *x;
    tp_picture p;
    tp_shape s;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(path && dev, TP_ERR_ARG, "missing path or device");
    TP_REQUIRE(channels == 0 || channels == 1 || channels == 3, TP_ERR_ARG,
               "%d channels: 1, 3, or 0 for those stored", channels);
    if (!tp__picture_read(__func__, path, channels, &p)) return NULL;
    s = TP_SHAPE(p.channels, p.h, p.w);
    x = tp_from(p.v, s, TP_F32, dev);
    tp__picture_free(&p);
    return x;
}
