/*
 * internal.h - what is behind tp_module, for the files of nn/ alone.
 */
#ifndef TP_NN_INTERNAL_H
#define TP_NN_INTERNAL_H

#include "autograd/op.h"
#include "nn/layers.h"

/* A parameter or a buffer: described at first, drawn by tp_nn_init. */
typedef struct tp_entry {
    char *name;
    tp_shape shape;
    tp_init init;
    tp_dtype dtype;
    bool buffer, frozen;
    bool computed; /* from others before each forward: there only while it runs, and in no walk */
    bool fresh;    /* was drawn by tp_nn_init, and not yet seen by its module's settle */
    int64_t zero_row; /* 1 + a row that starts as zeros; 0: none */
    tp_tensor *t; /* NULL until drawn or loaded */
} tp_entry;

typedef struct tp_child {
    char *name;
    tp_module *m;
} tp_child;

typedef struct tp_nn_hook {
    tp_nn_hook_fn *f;
    void *user;
} tp_nn_hook;

/* Texts, by the keys that they have in files. */
typedef struct tp_note {
    char *key, *text;
} tp_note;

typedef struct tp_notes {
    tp_note *note;
    int n, room;
} tp_notes;

struct tp_module {
    char *kind;
    const char *name; /* in its parent; "" for a root */
    tp_entry *entry;
    tp_child *child;
    tp_nn_hook *hook;
    int n_entry, room_entry, n_child, room_child, n_hook;
    bool added, training;
    void *self; /* the user's; NULL: forward is given the module */
    tp_nn_fn *forward;
    void (*release)(void *self);
    bool (*settle)(tp_module *m); /* NULL, or: values that follow from what tp_nn_init has drawn */
    int running; /* forwards that computed entries are there for */
    size_t opts_bytes;
    void *opts; /* a layer's own: plain data, copied by clone */
    tp_notes notes;
};

void tp__notes_free(tp_notes *l);
/* What is there already stays, but for what gets another text; after a failure, a part is there. */
bool tp__notes_copy(tp_notes *to, const tp_notes *from);
bool tp__notes_read(tp_notes *to, const tp_file *f);

/* m, or, when a parameter could not be described, NULL with m freed. */
tp_module *tp__made(tp_module *m, bool ok);
bool tp__entry_add(tp_module *m, tp_entry e);
/* The entry becomes t, whose reference it takes; what it was knows that it was replaced. */
void tp__entry_put(tp_entry *e, tp_tensor *t);
tp_entry *tp__entry_find(tp_module *m, const char *path);
/* The module that path ends in and *name there; NULL without an error when there is none. */
tp_module *tp__owner(tp_module *m, const char *path, const char **name);
/* Frees the child at i; whoever holds its tensors knows that they were replaced. */
void tp__child_remove(tp_module *m, int i);
int tp__child_find(const tp_module *m, const char *name); /* -1: none */
tp_module *tp__child_of(const tp_module *m, const char *name); /* NULL and an error where it is gone */
/* What m computes before its forward, and takes away after it; see parametrize.c. */
bool tp__computed_begin(tp_module *m);
void tp__computed_end(tp_module *m);
/* Walks all entries with their dotted names, children after own, in order of description. */
typedef bool tp__entry_fn(void *user, const char *name, tp_module *m, tp_entry *e);
bool tp__entries(tp_module *m, tp__entry_fn *f, void *user);
/* Walks all modules, m itself first as "". */
typedef bool tp__module_fn(void *user, const char *name, tp_module *m);
bool tp__modules(tp_module *m, tp__module_fn *f, void *user);

/* f with all of m in one mode; every module gets back its own, also after a failure. */
bool tp__in_mode(tp_module *m, bool training, bool (*f)(void *user), void *user);
/* Entry i, or NULL where there are fewer: a bias that isn't there. */
static inline tp_tensor *tp__param(const tp_module *m, int i)
{
    return i < m->n_entry ? m->entry[i].t : NULL;
}

/* Does this kind of values make sense for a parameter of this shape? */
bool tp__init_fits(const char *where, const char *name, tp_shape s, tp_init init);
tp_tensor *tp__init_draw(tp_shape s, tp_init init, tp_dtype d); /* on the host */
/* x (rows, cols) becomes gain times its orthonormal factor. */
bool tp__orthonormal(float *x, int64_t rows, int64_t cols, double gain);

enum { TP_NAME = 256 }; /* room for a dotted name */

#endif
