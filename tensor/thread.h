/*
 * thread.h - all that the library keeps for one thread, in one place.
 */
#ifndef TP_TENSOR_THREAD_H
#define TP_TENSOR_THREAD_H

#include "kernels/backend.h"
#include "tensor/probe.h"
#include "tensor/tensor.h"

enum { TP_SCOPE_DEPTH = 256, TP_DEVICES = 17, TP_SIZE_CLASSES = 64, TP_PATH_DEPTH = 32 };
enum { TP_TEXTS = 24, TP_TEXT = 320 };

/* Small blocks that this thread has freed, a list per size. */
typedef struct tp_cache {
    void *first[TP_SIZE_CLASSES];
    int count[TP_SIZE_CLASSES];
} tp_cache;

/* A step that this thread notes instead of running it, or runs under the same rules where its device can't
 * note; see autograd/capture.c. */
typedef struct tp_tape {
    struct tp_device *device;
    unsigned owner;      /* of the blocks that it takes; 0: nothing is noted */
    uint64_t *generator; /* {seed, offset} on the device, as before each replay */
    tp_rng from;         /* the thread's, where it began */
    uint64_t furthest;   /* the offset that it has reached, where it went back since */
    struct tp_counted **leaf; /* whose gradients it writes, held */
    int leaves, room;
} tp_tape;

typedef struct tp_thread {
    /* error.c */
    tp_code error;
    char error_text[768];
    const char *path[TP_PATH_DEPTH]; /* names of the modules that are running */
    int path_depth;
    char text[TP_TEXTS][TP_TEXT]; /* of tp__text and its like, in turn */
    unsigned next_text;

    /* scope.c: scope d owns lent[mark[d] .. mark[d + 1]); scope 0 is the root */
    struct tp_tensor **lent;
    int n_lent, room_lent, depth, beyond, mark[TP_SCOPE_DEPTH];

    /* random.c */
    tp_rng rng;
    uint64_t *rng_state[TP_DEVICES]; /* {seed, 0} on each device */
    uint64_t rng_seed[TP_DEVICES];   /* what lies there */

    /* modes of autograd/ */
    bool no_grad, releasing, second_run;
    unsigned char anomaly; /* 0: not asked yet; see autograd/node.h */
    tp_dtype autocast; /* TP_F32: off */
    struct tp_made *casts; /* made in this region of autocast; see autograd/autocast.c */
    void (*forget_casts)(struct tp_thread *me); /* set where there are any */
    struct tp_node *released;
    const char *backward_of; /* the op whose backward runs, or NULL */

    tp_probe *probe; /* who watches, or NULL */
    tp_tape *tape; /* or NULL */
    tp_ctx *ctx[TP_DEVICES];
    tp_cache cache; /* of host memory */
    long live;      /* blocks that this thread has taken and not given back */
} tp_thread;

/* One pointer: what is in static thread-local storage limits dlopen, and the stacks of threads. */
extern _Thread_local tp_thread *tp__thread_now __attribute__((tls_model("initial-exec")));
tp_thread *tp__thread_begin(void);

static inline tp_thread *tp__me(void)
{
    tp_thread *t = tp__thread_now;

    return t ? t : tp__thread_begin();
}

/* Room for a text of TP_TEXT bytes, this thread's until TP_TEXTS - 1 more have been asked for. */
char *tp__text_room(void);
void tp__path_push(const char *name);
void tp__path_pop(void);
const char *tp__path_text(void); /* "encoder.0.attn", or "" */

#endif
