/*
 * idx.c - IDX files, as MNIST's: big-endian magic 0 0 type rank, sizes, then the numbers; gzip
 * or plain, which zlib tells apart.
 */
#include "data/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { UNSIGNED_BYTE = 8, DENSEST = 1032 /* bytes out of one of deflate's */ };

static bool refuse(const char *path, const char *why)
{
    tp__fail(TP_ERR_FORMAT, "tp_data_idx", "%s: %s", path, why);
    return false;
}

/* zlib's own reason, which begins with the path too. */
static bool refuse_zlib(gzFile f, const char *path)
{
    size_t n = strlen(path);
    int code;
    const char *why = gzerror(f, &code);

    return refuse(path, !strncmp(why, path, n) && !strncmp(why + n, ": ", 2) ? why + n + 2 : why);
}

static bool take(gzFile f, const char *path, void *to, size_t bytes)
{
    while (bytes) {
        unsigned some = bytes > 1u << 30 ? 1u << 30 : (unsigned)bytes;
        int n = gzread(f, to, some);

        if (n < 0) return refuse_zlib(f, path);
        if (n == 0) return refuse(path, "it is cut short");
        to = (char *)to + n, bytes -= (size_t)n;
    }
    return true;
}

static bool read_sizes(gzFile f, const char *path, int rank, tp_shape *s)
{
    unsigned char head[4], size[4];

    if (!take(f, path, head, 4)) return false;
    if (head[0] || head[1] || head[2] != UNSIGNED_BYTE || head[3] != rank)
        return refuse(path, rank == 1 ? "it holds no labels in IDX format" : "it holds no images in IDX format");
    *s = (tp_shape){ .rank = rank };
    for (int i = 0; i < rank; i++) {
        if (!take(f, path, size, 4)) return false;
        s->n[i] = (int64_t)size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3];
        if (s->n[i] <= 0 || s->n[i] > 1 << 28) return refuse(path, "a size in its header can't be");
    }
    return tp__shape_ok("tp_data_idx", *s);
}

/* Can so much be in the file?  So that no memory is asked for what a header invents. */
static bool can_hold(const char *path, const tp_shape *s)
{
    struct stat st;

    if (stat(path, &st) || !S_ISREG(st.st_mode) || tp__elements(s) / DENSEST <= st.st_size) return true;
    return refuse(path, "it is cut short");
}

/* The last number, behind which nothing may follow.  Only a read that wants more than there is
 * makes zlib look at the checksum. */
static bool take_last(gzFile f, const char *path, unsigned char *to)
{
    unsigned char two[2] = { 0 };
    int n = gzread(f, two, 2), code;

    gzerror(f, &code);
    if (n == 2) return refuse(path, "there is more in it than its header says");
    if (n < 0 && code != Z_BUF_ERROR) return refuse_zlib(f, path);
    *to = two[0];
    return (n == 1 && code == Z_OK) || refuse(path, "it is cut short");
}

/* All of a file as u8, lent. */
static tp_tensor *read_file(const char *path, int rank)
{
    gzFile f = gzopen(path, "rb");
    tp_tensor *t = NULL;
    size_t last;
    tp_shape s;

    if (!f) return tp__fail(TP_ERR_IO, "tp_data_idx", "%s can't be read: %s", path, strerror(errno));
    if (read_sizes(f, path, rank, &s) && can_hold(path, &s)) t = tp__new(s, TP_U8, tp__cpu());
    last = t ? (size_t)tp__elements(&s) - 1 : 0;
    if (t && (!take(f, path, tp__data(t), last) || !take_last(f, path, (unsigned char *)tp__data(t) + last))) t = NULL;
    gzclose_r(f);
    return t;
}

static int64_t largest(const tp_tensor *labels)
{
    const unsigned char *y = tp__data(labels);
    int64_t top = 0;

    for (int64_t i = 0; i < tp_count(labels); i++)
        top = y[i] > top ? y[i] : top;
    return top;
}

/* ---- samples: pixels in [0, 1], converted as they are taken ---- */

typedef struct pictures {
    tp_tensor *x, *y;
    size_t pixels;
} pictures;

static tp_got get_picture(void *user, int64_t i, void *const *fields)
{
    const pictures *p = user;
    const unsigned char *from = (const unsigned char *)tp__data(p->x) + (size_t)i * p->pixels;
    float *to = fields[0];

    for (size_t k = 0; k < p->pixels; k++)
        to[k] = (float)from[k] * (1 / 255.0f);
    *(int64_t *)fields[1] = ((const unsigned char *)tp__data(p->y))[i];
    return TP_ITEM;
}

static void free_pictures(void *user)
{
    pictures *p = user;

    tp__free(p->x), tp__free(p->y);
    tp__release(p, sizeof *p);
}

tp_dataset *tp_data_idx(const char *images, const char *labels)
{
    tp_source s = { .fields = 2, .dtype = { TP_F32, TP_I64 }, .get = get_picture, .done = free_pictures };
    tp_tensor *x, *y;
    tp_dataset *d;
    pictures *p;

    TP_SCOPE;
    if (!tp_ok()) return NULL;
    TP_REQUIRE(images && labels, TP_ERR_ARG, "missing path");
    if (!(x = read_file(images, 3)) || !(y = read_file(labels, 1))) return NULL;
    TP_REQUIRE(tp_dim(x, 0) == tp_dim(y, 0), TP_ERR_FORMAT, "%s has %lld images and %s %lld labels", images,
               (long long)tp_dim(x, 0), labels, (long long)tp_dim(y, 0));
    if (!(p = tp__alloc(sizeof *p))) return NULL;
    *p = (pictures){ tp__keep(x), tp__keep(y), (size_t)(tp_dim(x, 1) * tp_dim(x, 2)) };
    s.count = tp_dim(x, 0), s.shape[0] = TP_SHAPE(1, tp_dim(x, 1), tp_dim(x, 2)), s.user = p;
    if ((d = tp_data_source(s))) d->classes = 1 + largest(y);
    return d;
}

/* ---- Fashion-MNIST (Xiao et al. 2017), as Debian's dataset-fashion-mnist has it ---- */

static bool find_file(char *path, size_t room, const char *dir, const char *split, const char *what)
{
    static const char *const ending[] = { ".gz", "" };

    for (int i = 0; i < TP_LEN(ending); i++) {
        FILE *f;

        snprintf(path, room, "%s/%s-%s%s", dir, split, what, ending[i]);
        if ((f = fopen(path, "rb"))) return fclose(f), true;
    }
    tp__fail(TP_ERR_IO, "tp_data_fashion_mnist",
             "there is no %s/%s-%s.gz: install Debian's dataset-fashion-mnist, or name a folder with the four files",
             dir, split, what);
    return false;
}

tp_dataset *tp_data_fashion_mnist(const char *dir, const char *split)
{
    char images[4096], labels[4096];
    const char *stem;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(split && (!strcmp(split, "train") || !strcmp(split, "test")), TP_ERR_ARG,
               "split \"%s\": train or test", split ? split : "");
    if (!dir) dir = "/usr/share/datasets/fashion-mnist";
    stem = !strcmp(split, "train") ? "train" : "t10k";
    if (!find_file(images, sizeof images, dir, stem, "images-idx3-ubyte") ||
        !find_file(labels, sizeof labels, dir, stem, "labels-idx1-ubyte"))
        return NULL;
    return tp_data_idx(images, labels);
}

const char *tp_data_fashion_mnist_class(int label)
{
    static const char *const name[] = { "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot" };

    return label >= 0 && label < TP_LEN(name) ? name[label] : NULL;
}
