/*
 * folder.c - pictures in folders: a folder per class, or one folder without labels.
 */
#include "data/datasets.h"
#include "data/input.h"
#include "data/internal.h"
#include "data/picture.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { DEEPEST = 16, MOST_SIDE = 1 << 16 };

typedef struct album {
    const char *where;
    tp_images_opts o;
    tp_names files, classes;
    int64_t *end; /* files of the classes before and of class c: end[c]; NULL: no labels */
} album;

/* ---- finding ---- */

static bool ends_in(const char *name, const char *const *ending, int n)
{
    const char *dot = strrchr(name, '.');

    for (int i = 0; dot && i < n; i++)
        if (!strcasecmp(dot + 1, ending[i])) return true;
    return false;
}

static bool is_picture(const char *name)
{
    static const char *const ending[] = { "png", "jpg", "jpeg", "bmp", "ppm", "pgm" };

    return ends_in(name, ending, TP_LEN(ending));
}

static bool is_foreign(const char *name)
{
    static const char *const ending[] = { "tif", "tiff", "webp", "gif" };

    return ends_in(name, ending, TP_LEN(ending));
}

/* The names in a folder, sorted, without those that begin with a dot. */
static bool list_folder(const char *where, const char *dir, tp_names *l)
{
    DIR *d = opendir(dir);
    bool ok = true;

    if (!d) return tp__fail(TP_ERR_IO, where, "%s can't be read: %s", dir, strerror(errno));
    for (struct dirent *e; ok && (e = readdir(d));)
        if (e->d_name[0] != '.') ok = tp__names_add(l, e->d_name, strlen(e->d_name));
    closedir(d);
    tp__names_sort(l);
    return ok;
}

static bool add_folder(album *a, const char *dir, int depth);

static bool add_entry(album *a, const char *dir, const char *name, int depth)
{
    char path[4096];
    struct stat st;

    TP_REQUIRE_IN(a->where, (size_t)snprintf(path, sizeof path, "%s/%s", dir, name) < sizeof path,
                  TP_ERR_IO, "%s/...: the path is too long", dir);
    TP_REQUIRE_IN(a->where, !stat(path, &st), TP_ERR_IO, "%s can't be read: %s", path,
                  strerror(errno));
    if (S_ISDIR(st.st_mode)) return depth < 0 || add_folder(a, path, depth + 1);
    TP_REQUIRE_IN(a->where, !is_foreign(name), TP_ERR_FORMAT,
                  "%s: PNG, JPEG, BMP, PPM and PGM files are read", path);
    return !is_picture(name) || tp__names_add(&a->files, path, strlen(path));
}

/* Pictures of a folder; with depth >= 0 those of the folders in it, too. */
static bool add_folder(album *a, const char *dir, int depth)
{
    tp_names l = { 0 };
    bool ok;

    TP_REQUIRE_IN(a->where, depth < DEEPEST, TP_ERR_IO,
                  "%s: folders in folders, %d deep: a link to one above?", dir, DEEPEST);
    ok = list_folder(a->where, dir, &l);
    for (int64_t i = 0; ok && i < l.n; i++)
        ok = add_entry(a, dir, l.name[i], depth);
    tp__names_free(&l);
    return ok;
}

static bool is_folder(const char *dir, const char *name)
{
    char path[4096];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static bool add_class(album *a, const char *dir, int64_t c)
{
    tp_names part;
    int64_t before = a->files.n;

    if (!add_entry(a, dir, a->classes.name[c], 0)) return false;
    TP_REQUIRE_IN(a->where, a->files.n > before, TP_ERR_FORMAT, "%s/%s: there is no picture in it",
                  dir, a->classes.name[c]);
    part = (tp_names){ a->files.name + before, a->files.n - before, 0 };
    tp__names_sort(&part);
    a->end[c] = a->files.n;
    return true;
}

static bool add_classes(album *a, const char *dir)
{
    tp_names l = { 0 };
    bool ok = list_folder(a->where, dir, &l);

    for (int64_t i = 0; ok && i < l.n; i++)
        if (is_folder(dir, l.name[i]))
            ok = tp__names_add(&a->classes, l.name[i], strlen(l.name[i]));
    tp__names_free(&l);
    if (!ok) return false;
    TP_REQUIRE_IN(a->where, a->classes.n, TP_ERR_FORMAT, "%s: there is no folder of a class in it",
                  dir);
    if (!(a->end = tp__alloc(sizeof *a->end * (size_t)a->classes.n))) return false;
    for (int64_t c = 0; c < a->classes.n; c++)
        if (!add_class(a, dir, c)) return false;
    return true;
}

/* Looks at each header, so that what can be wrong is told now; without a wanted size the first
 * picture's is that of all. */
static bool look_at_all(album *a, bool any)
{
    for (int64_t i = 0; i < a->files.n; i++) {
        tp_picture p;

        if (!tp__picture_look(a->where, a->files.name[i], &p)) return false;
        if (any && i == 0) a->o.height = p.h, a->o.width = p.w;
        TP_REQUIRE_IN(a->where, !any || (p.h == a->o.height && p.w == a->o.width), TP_ERR_SHAPE,
                      "%s is %lld x %lld, and %s %lld x %lld: say to what size they shall come",
                      a->files.name[i], (long long)p.w, (long long)p.h, a->files.name[0],
                      (long long)a->o.width, (long long)a->o.height);
    }
    return true;
}

/* ---- samples ---- */

/* What of a picture becomes the sample: the box, in its own pixels, that is resized. */
static bool fit(const album *a, const tp_picture *p, const tp_picture *y)
{
    double tall = (double)y->h / (double)p->h, wide = (double)y->w / (double)p->w;
    tp_picture whole = { p->channels, y->h, y->w, NULL };
    bool ok;

    if (a->o.fit == TP_FIT_STRETCH || tall == wide)
        return tp__resize(p, (tp_box){ 0, 0, p->h, p->w }, y);
    if (tall > wide)
        whole.w = (int64_t)((double)y->h * (double)p->w / (double)p->h);
    else
        whole.h = (int64_t)((double)y->w * (double)p->h / (double)p->w);
    whole.w = whole.w < y->w ? y->w : whole.w, whole.h = whole.h < y->h ? y->h : whole.h;
    if (!(whole.v = tp__alloc(tp__picture_bytes(&whole)))) return false;
    ok = tp__resize(p, (tp_box){ 0, 0, p->h, p->w }, &whole) &&
         tp__resize(&whole,
                    (tp_box){ tp__round((double)(whole.h - y->h) / 2),
                              tp__round((double)(whole.w - y->w) / 2), y->h, y->w },
                    y);
    tp__release(whole.v, tp__picture_bytes(&whole));
    return ok;
}

static int64_t label_of(void *user, int64_t i)
{
    const album *a = user;
    int64_t low = 0, high = a->classes.n - 1;

    while (low < high) {
        int64_t middle = (low + high) / 2;

        if (i < a->end[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static tp_got get_picture(void *user, int64_t i, void *const *fields)
{
    const album *a = user;
    tp_picture p, y = { a->o.channels, a->o.height, a->o.width, fields[0] };
    bool ok;

    if (!tp__picture_read(a->where, a->files.name[i], a->o.channels, &p)) return TP_FAILED;
    ok = fit(a, &p, &y);
    tp__picture_free(&p);
    if (a->end) *(int64_t *)fields[1] = label_of(user, i);
    return ok ? TP_ITEM : TP_FAILED;
}

static void free_album(void *user)
{
    album *a = user;

    tp__release(a->end, sizeof *a->end * (size_t)a->classes.n);
    tp__names_free(&a->files), tp__names_free(&a->classes);
    tp__release(a, sizeof *a);
}

static bool opts_ok(const char *where, const char *dir, tp_images_opts *o)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, dir, TP_ERR_ARG, "missing folder");
    if (!o->channels) o->channels = 3;
    if (!o->width) o->width = o->height;
    TP_REQUIRE_IN(where, o->channels == 1 || o->channels == 3, TP_ERR_ARG, "%d channels: 1 or 3",
                  o->channels);
    TP_REQUIRE_IN(where,
                  o->height >= 0 && o->width >= 0 && !o->height == !o->width &&
                      o->height <= MOST_SIDE && o->width <= MOST_SIDE &&
                      (unsigned)o->fit <= TP_FIT_STRETCH,
                  TP_ERR_ARG, "size %lld x %lld, fit %d: one can't be", (long long)o->width,
                  (long long)o->height, o->fit);
    return true;
}

static tp_dataset *open_album(const char *where, const char *dir, tp_images_opts o, bool labels)
{
    tp_source s = { .fields = labels ? 2 : 1,
                    .dtype = { TP_F32, TP_I64 },
                    .get = get_picture,
                    .done = free_album };
    tp_dataset *d;
    album *a;

    if (!opts_ok(where, dir, &o) || !(a = tp__alloc_zeroed(sizeof *a))) return NULL;
    a->where = where, a->o = o;
    if (!(labels ? add_classes(a, dir) : add_folder(a, dir, -1)) || !look_at_all(a, !o.height))
        return free_album(a), NULL;
    if (!a->files.n)
        return tp__fail(TP_ERR_FORMAT, where, "%s: there is no picture in it", dir), free_album(a),
               NULL;
    s.count = a->files.n, s.shape[0] = TP_SHAPE(a->o.channels, a->o.height, a->o.width), s.user = a;
    if (!(d = tp_data_source(s)) || !labels) return d;
    d->classes = a->classes.n, d->names = (const char *const *)a->classes.name, d->label = label_of;
    return d;
}

tp_dataset *tp_data_image_folder(const char *dir, tp_images_opts o)
{
    return open_album(__func__, dir, o, true);
}

tp_dataset *tp_data_images(const char *dir, tp_images_opts o)
{
    return open_album(__func__, dir, o, false);
}

const char *tp_data_image_path(const tp_dataset *d, int64_t i)
{
    while (d && d->locate && i >= 0 && i < d->s.count)
        d = d->locate(d->s.user, &i);
    if (!d || d->s.get != get_picture || i < 0 || i >= d->s.count) return NULL;
    return ((const album *)d->s.user)->files.name[i];
}
