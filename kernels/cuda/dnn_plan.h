/*
 * dnn_plan.h - a convolution as cuDNN is asked for it, and the plan that answers.
 */
#ifndef TP_KERNELS_CUDA_DNN_PLAN_H
#define TP_KERNELS_CUDA_DNN_PLAN_H

#include "kernels/backend.h"

#include <cudnn.h>

/* What is computed from the other two. */
typedef enum tp_dnn_way { TP_DNN_Y, TP_DNN_DX, TP_DNN_DW } tp_dnn_way;

/* Fields of one size, so that no padding lies between them: asks are compared as bytes. */
typedef struct tp_dnn_ask {
    tp_window g;
    int64_t dtype, way;
    int64_t tf32;  /* f32 may be rounded to TF32 */
    int64_t add;   /* the result is added to what is there */
    int64_t align; /* bytes; of all three operands */
} tp_dnn_ask;

enum { TP_DNN_PARTS = 12 };

/* Activations are (N, H, W, C) in memory, weights (O, KH, KW, C / groups): for these cuDNN has its
 * fast engines. */
typedef struct tp_dnn_plan {
    cudnnBackendDescriptor_t plan; /* NULL: cuDNN has none */
    int64_t workspace;             /* bytes */
    cudnnBackendDescriptor_t
        part[TP_DNN_PARTS]; /* what the plan is made of, and itself */
    int parts;
} tp_dnn_plan;

/* The first plan of cuDNN's own order of preference that needs at most `limit` bytes of workspace
 * and gives the same bits each time, with products as exact as asked.  `device`, a
 * CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, describes a GPU that isn't here; with NULL it is h's.
 * False: there is none. */
bool tp_dnn_plan_make(const tp_dnn_ask *q, cudnnHandle_t h,
                      cudnnBackendDescriptor_t device, int64_t limit, tp_dnn_plan *to);
void tp_dnn_plan_free(tp_dnn_plan *p);

/* Queues it on h's stream; x, w, y are operands or the result, as the plan's way has it. */
cudnnStatus_t tp_dnn_plan_run(const tp_dnn_plan *p, cudnnHandle_t h, const void *x,
                              const void *w, const void *y, void *workspace);

#endif
