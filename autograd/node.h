/*
 * node.h - a recorded call, for node.c, backward.c and their like; ops see op.h.
 */
#ifndef TP_AUTOGRAD_NODE_H
#define TP_AUTOGRAD_NODE_H

#include "autograd/op.h"

/* One input of a node: output `out` of the node (or leaf) that made it.  Not the tensor, whose
 * bytes would then live as long as the graph. */
typedef struct tp_edge {
    tp_node *node;
    int out;
} tp_edge;

typedef struct tp_hook {
    struct tp_hook *next;
    tp_hook_fn *f;
    tp_leaf_hook_fn *leaf; /* one of the two */
    void *user;
} tp_hook;

/* One output of a node, and the gradient gathered for it. */
typedef struct tp_slot {
    tp_tensor *grad; /* NULL: nothing arrived, which means zero */
    tp_device *device;
    const int64_t *n; /* sizes */
    tp_hook *hooks;
    unsigned char rank, dtype, layout;
    bool own;   /* grad may be written in place: nobody else reads its bytes */
    bool asked; /* grad is a result of this pass */
    bool past;  /* grad is of what the activation of this op was applied to */
} tp_slot;

/* A tensor's bytes without its history: so a saved own output is no cycle. */
typedef struct tp_saved {
    tp_storage *storage;        /* NULL: freed, or it was absent, or recomputed: */
    struct tp_segment *segment; /* the checkpointed call, and the place there */
    unsigned version, place;
    int from; /* i: input i;  -1 - k: own output k;  TP_INNER: neither */
    unsigned char rank, dtype;
    bool absent;
    int64_t *n; /* rank sizes, then rank strides */
    int64_t offset;
} tp_saved;
enum { TP_INNER = 1 << 20 };

/* One block: the node, then edges, slots, saved tensors, sizes and attributes. */
struct tp_node {
    tp_counted counted; /* by the tensors that it made and by later nodes */
    const tp_op *op;    /* NULL: a leaf */
    uint64_t number;    /* rises along every path */
    uint64_t pass;      /* the last backward that came here */
    bool wanted, freed;
    unsigned short n_in, n_out, n_saved;
    unsigned bytes;     /* of the block */
    atomic_int handles; /* a leaf: tensors that refer to it */
    int uses;           /* those that give to it in this pass; a leaf: that are still to */
    tp_edge *in;
    tp_slot *out;
    tp_saved *saved;
    void *attr;
    struct tp_note *note; /* for the profiler and anomaly mode: see autograd/cost.h */
    tp_tensor *aside; /* a leaf with hooks: its gradient of earlier passes */
    tp_node *next;    /* while being released */
};

const char *tp__node_name(const tp_node *n);
tp_shape tp__slot_shape(const tp_slot *s);
void tp__attach(tp_tensor *t, tp_node *n, int out); /* t is that output, or leaf */
void tp__free_saved(tp_node *n);
/* The modes that end in tp_mode_end. */
enum { TP_MODE_GRAD, TP_MODE_AUTOCAST, TP_MODE_ANOMALY };
void tp__autocast_end(tp_thread *me, tp_dtype before); /* autocast.c */

/* Anomaly mode, which the environment turns on where the thread hasn't said. */
enum { TP_ANOMALY_UNKNOWN, TP_ANOMALY_OFF, TP_ANOMALY_ON };
unsigned char tp__anomaly_first(void); /* what the environment says, read once */
static inline bool tp__anomaly(tp_thread *me)
{
    if (me->anomaly == TP_ANOMALY_UNKNOWN) me->anomaly = tp__anomaly_first();
    return me->anomaly == TP_ANOMALY_ON;
}
/* Anomaly mode: an error names the op, and says which of its outputs, or gradients,
 * counted from `first`. */
bool tp__nan_free(const char *op, const char *which, int first, tp_list t);

/* capture.c: the captured step writes the gradient of this leaf. */
bool tp__note_leaf(tp_node *n);
bool tp__grad_stays(const tp_tensor *grad); /* a captured step, but for the one being noted, writes there */

/* checkpoint.c */
struct tp_segment *tp__segment_now(void); /* whose first run this is, or NULL */
/* Saved tensors during a first run (gives the place), during a second run, when unpacked, when
 * no longer needed. */
bool tp__segment_unchanged(const struct tp_segment *g); /* its inputs, and parameters it used */
bool tp__segment_save(struct tp_segment *g, tp_saved *s, const tp_tensor *t);
void tp__segment_refill(const tp_tensor *t);
bool tp__segment_filled(tp_saved *s); /* runs the function again if need be */
void tp__segment_drop(tp_saved *s);

#endif
