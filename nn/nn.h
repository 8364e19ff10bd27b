/*
 * nn.h - modules: parameters plus a forward.  The layers themselves are in nn/layers.h, initial
 * values in nn/init.h.
 *
 * A module is made: free its root once.  It owns the children that it was given, also when the
 * call that took them failed.  Layers are described first and drawn by tp_nn_init.
 */
#ifndef TP_NN_H
#define TP_NN_H

#include "autograd/ops.h"
#include "nn/init.h"
#include "tensor/file.h"

#include <stdio.h>

TP_API_BEGIN

typedef struct tp_module tp_module; /* a kind, parameters, buffers, children, a mode */

/* ---- modules of one's own ---- */

/* Gives up to `room` outputs and returns how many, or -1. */
typedef int tp_nn_fn(void *self, tp_list in, tp_tensor **out, int room);

tp_module *tp_nn_container(const char *kind); /* children and parameters, no forward */
/* release(self) when the module is freed, also after a failure here; both may be NULL, then
 * forward is given the module itself. */
tp_module *tp_nn_from(const char *kind, void *self, tp_nn_fn *forward, void (*release)(void *self));
/* The same with options: plain data, copied, which clones share; forward is given the module. */
tp_module *tp_nn_layer(const char *kind, tp_nn_fn *forward, const void *opts, size_t bytes);
const void *tp_nn_opts(const tp_module *m); /* those; NULL without */
tp_module *tp_nn_add(tp_module *parent, const char *name, tp_module *child); /* returns child */
/* The end of a constructor: gives m, or, after an error, NULL, with m freed. */
tp_module *tp_nn_made(tp_module *m);
/* The end of a forward with one output: puts y there and gives 1, or -1 where y is NULL. */
int tp_nn_gives(tp_tensor **out, tp_tensor *y);

/* A parameter of m, drawn by tp_nn_init. */
bool tp_nn_param(tp_module *m, const char *name, tp_shape s, tp_init init);
/* Saved with the parameters but not trained; dtype i64 or a float. */
bool tp_nn_buffer(tp_module *m, const char *name, tp_shape s, tp_dtype d, double value);

/* ---- the tree ---- */

tp_module *tp_nn_get(tp_module *m, const char *path);     /* "layer1.0.conv1"; "" is m itself */
bool tp_nn_has(tp_module *m, const char *path); /* a module, parameter or buffer of that name */
/* The module's own, not lent; NULL, and no error, before tp_nn_init and for what is computed. */
tp_tensor *tp_nn_tensor(tp_module *m, const char *path);
/* The parameter or buffer becomes t itself, kept: for tied weights.  t is a dense leaf of its
 * shape; a parameter that isn't frozen makes it require a gradient.  An optimizer that holds
 * the tensor before it refuses from then on: make it after tp_nn_set and tp_nn_replace. */
bool tp_nn_set(tp_module *m, const char *path, tp_tensor *t);
/* Puts `with` where path was, which is freed; gives `with`, NULL after a failure. */
tp_module *tp_nn_replace(tp_module *m, const char *path, tp_module *with);
int64_t tp_nn_count(const tp_module *m); /* elements of all parameters; tied ones count once */
int64_t tp_nn_count_trained(const tp_module *m); /* elements of those that aren't frozen */
int tp_nn_children(const tp_module *m);  /* how many; in the order in which they were added: */
tp_module *tp_nn_child(tp_module *m, int i); /* a negative i counts from the end */
const char *tp_nn_child_name(const tp_module *m, int i); /* the module's; NULL out of range */
const char *tp_nn_kind(const tp_module *m); /* "linear"; the module's */
void tp_nn_free(tp_module *m); /* of a root, with all below it; a child is refused */

/* Draws what isn't there yet, in order, on the host, and puts all of it on dev; gives m.  Make
 * optimizers after it: their state stays where the parameters were. */
tp_module *tp_nn_init(tp_module *m, tp_device *dev);
/* Float parameters and buffers, f32 at first; those of norms stay f32 under bf16.  Each stays the
 * same tp_tensor, as PyTorch's Parameters do: what tp_nn_tensor gave, tied weights and optimizers
 * (whose state follows) go on with it.  Gradients and hooks of the leaves are dropped. */
bool tp_nn_cast(tp_module *m, tp_dtype d);

/* ---- running ---- */

/* Runs m: up to `room` outputs, gives how many, or -1; out is no part of in.t.  tp_nn_forward is for
 * one of each. */
int tp_nn_apply(tp_module *m, tp_list in, tp_tensor **out, int room);
tp_tensor *tp_nn_forward(tp_module *m, tp_tensor *x);
tp_tensor *tp_nn_call(tp_module *m, const char *path, tp_tensor *x); /* that of tp_nn_get(m, path) */
tp_tensor *tp_nn_predict(tp_module *m, tp_tensor *x); /* eval and no-grad, both restored */
int tp_nn_predict_all(tp_module *m, tp_list in, tp_tensor **out, int room); /* so, as tp_nn_apply */
/* As tp_checkpoint, with the train and eval modes of the tree restored for the second run. */
int tp_nn_checkpoint(tp_module *m, tp_list in, tp_tensor **out, int room);
/* Called after each forward of m with its outputs. */
typedef void tp_nn_hook_fn(tp_module *m, tp_list in, tp_list out, void *user);
bool tp_nn_add_hook(tp_module *m, tp_nn_hook_fn *f, void *user);

/* ---- by name: patterns as a shell's, "*" is all; no match is an error ---- */

/* Parameters by a pattern; nothing is looked up yet. */
typedef struct tp_params {
    tp_module *m;
    const char *glob;
} tp_params;
tp_params tp_nn_params(tp_module *m, const char *glob); /* those below m whose names match */
/* Calls f for each parameter, and each buffer if asked; returns how many, or -1. */
typedef bool tp_nn_each_fn(void *user, const char *name, tp_tensor **t);
int tp_nn_each(tp_params p, bool buffers, tp_nn_each_fn *f, void *user);
int tp_nn_train(tp_module *m, const char *glob, bool on); /* modules; how many, or -1 */
bool tp_nn_training(const tp_module *m); /* in train mode, as modules are at first */
int tp_nn_freeze(tp_module *m, const char *glob, bool on); /* parameters: no gradient */
/* Draws these parameters by `init`, frozen ones too, in order; those not there yet are drawn so by
 * tp_nn_init.  A padding row of an embedding stays 0.  For weights of two axes alone, call it from
 * tp_nn_each with a parameter's name as the pattern where its rank is above 1.  How many, or -1:
 * then nothing has changed, the generator included. */
int tp_nn_init_as(tp_params p, tp_init init);

/* ---- looking ---- */

/* A table of m and all below it: name, kind, output, parameters, how many of them aren't frozen,
 * and the memory of parameters and outputs, with totals.  From a run on x by tp_nn_predict's
 * rules; hooks aren't called, and the generator is as before.  "-" stands for what didn't run.  An
 * output that lies in its input's memory takes none of its own; tied weights count once, where they
 * come first.  At most 100 columns. */
bool tp_summary(FILE *to, tp_module *m, tp_tensor *x);
/* The same of several inputs, as text: at most `room` bytes with the final 0; gives the length of
 * the whole, 0 after an error. */
size_t tp_summary_text(tp_module *m, tp_list in, char *text, size_t room);

/* ---- copies and files ---- */

bool tp_nn_copy(tp_module *to, tp_module *from); /* values, by name */
tp_module *tp_nn_clone(tp_module *m);            /* not of modules made with a self */

/* A text that goes with m, which copies it: names of classes, a vocabulary, where data came from.  NULL takes
 * it away.  tp_nn_save writes those of the module that it is given, as metadata "note.NAME", and
 * tp_nn_load of a whole file reads them; clones have them too, and so have checkpoints (tp_state), which
 * refuse other texts.  UTF-8. */
bool tp_nn_note(tp_module *m, const char *name, const char *text);
const char *tp_nn_noted(const tp_module *m, const char *name); /* the module's; NULL where there is none */
/* Each of them: key "note.NAME" and the text, the module's; NULLs beyond the last. */
tp_meta tp_nn_note_at(const tp_module *m, int i);

/* What a load has found; filled also where it refuses. */
typedef struct tp_load_report {
    int loaded, missing, unexpected, misshaped;
    char text[2048]; /* a line each, as a table */
} tp_load_report;
typedef struct tp_load_opts {
    const char *skip;         /* names that are left alone, as a pattern */
    const char *only;         /* names that aren't left alone; NULL: all */
    const char *strip_prefix; /* taken off the file's names: "module." */
    const char *rename;       /* "linear.=fc.": file's names that then begin so begin so in m */
    bool partial;             /* load what fits instead of nothing */
    tp_load_report *report;
} tp_load_opts;
/* From a safetensors file.  Strict: a missing, unexpected or mis-shaped tensor refuses all, and
 * the error tells which. */
bool tp_nn_load(tp_module *m, const char *path, tp_load_opts o) __attribute__((warn_unused_result));

/* All parameters and buffers by name, in a safetensors file: the old file or the new one is there,
 * whole, whatever happens. */
bool tp_nn_save(tp_module *m, const char *path) __attribute__((warn_unused_result));
typedef struct tp_save_opts {
    const char *skip, *only; /* patterns, as of loading */
    const tp_meta *meta;     /* texts beside the tensors, which tp_file_meta reads, and how many */
    int n_meta;
} tp_save_opts;
/* Some of them: with these patterns no name left is an error. */
bool tp_nn_save_with(tp_module *m, const char *path, tp_save_opts o) __attribute__((warn_unused_result));

TP_API_END

#endif
