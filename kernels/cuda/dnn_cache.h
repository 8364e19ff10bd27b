/*
 * dnn_cache.h - the cuDNN handle and the plans of a thread's context.
 *
 * They are the context's and not the process's: a handle serves one thread at a time, and so
 * nothing here waits for a lock.  Threads that convolve make plans of their own.
 */
#ifndef TP_KERNELS_CUDA_DNN_CACHE_H
#define TP_KERNELS_CUDA_DNN_CACHE_H

#include "kernels/cuda/dnn_plan.h"

/* The plan for q, made at its first need and valid until the next call.  TP_NO_KERNEL: there is
 * none.  A plan takes long to make and its choice may launch kernels, so none is made while a step
 * is recorded: that is an error, which names op. */
int tp_dnn_find(tp_ctx *c, const char *op, const tp_dnn_ask *q, const tp_dnn_plan **to);

/* Queues it; x, w, y as in tp_dnn_plan_run.  A plan that fails is forgotten for good: TP_NO_KERNEL,
 * or an error while a step is recorded. */
int tp_dnn_run(tp_ctx *c, const char *op, const tp_dnn_ask *q, const tp_dnn_plan *p,
               const void *x, const void *w, const void *y, void *workspace);

#endif
