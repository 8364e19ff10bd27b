/*
 * pass.h - what the files of a backward pass share.
 */
#ifndef TP_AUTOGRAD_PASS_H
#define TP_AUTOGRAD_PASS_H

#include "autograd/node.h"

typedef struct pass {
    uint64_t id;
    struct pass *outer; /* in whose hook or op this one runs */
    tp_node **heap, **order;
    int n_heap, n, room;
} pass;

bool tp__roots_ok(const char *where, tp_list ys);
/* leaves: gradients stay in the leaves; else only what was asked for is gathered. */
bool tp__pass_run(tp_list ys, tp_grad_opts o, bool leaves);

/* slot.c: a gradient on its way */
bool tp__slot_put(tp_slot *s, tp_tensor *t, bool own); /* takes t's place for the old one */
void tp__slot_add(tp_slot *s, tp_tensor *dx); /* in place where it can be */
void tp__slot_forget(tp_slot *s);
bool tp__slot_separate(tp_slot *s); /* a dense tensor that nobody else reads */
bool tp__slot_zero(tp_slot *s); /* 0 where nothing has arrived */
bool tp__slot_fits(const char *what, const tp_slot *s, const tp_tensor *g);

#endif
