/*
 * capture.h - a training step that a GPU runs as one.
 *
 *     static tp_tensor *step(void *user)            the whole step, on tensors that stay where they are
 *     {
 *         run *r = user;
 *         tp_tensor *loss = tp_cross_entropy(tp_nn_forward(r->m, r->x), r->y);
 *
 *         tp_optim_zero_grad(r->optim), tp_backward(loss), tp_optim_step(r->optim);
 *         return loss;
 *     }
 *     ...
 *     tp_capture *c = tp_capture_new(cuda, step, &r);
 *     for (...) {
 *         tp_copy_(r.x, batch.x), tp_copy_(r.y, batch.y);
 *         loss = tp_capture_run(c);
 *     }
 */
#ifndef TP_AUTOGRAD_CAPTURE_H
#define TP_AUTOGRAD_CAPTURE_H

#include "tensor/tensor.h"

TP_API_BEGIN

/* A step, and its recording. */
typedef struct tp_capture tp_capture;
/* Everything queued on one device, without an error; gives what the caller wants to see, mostly the loss, or
 * NULL with or without an error. */
typedef tp_tensor *tp_step_fn(void *user);

/* Runs nothing yet.  On the CPU each run simply calls step, under the rules of the second run.  user and what step uses
 * must live as long as the capture. */
tp_capture *tp_capture_new(tp_device *dev, tp_step_fn *step, void *user);
/* One step, and always exactly one: the first two call `step`, the third records the kernels that it
 * launches as a CUDA graph, and it and all that follow replay that.  The bits are those of calling `step`.
 * Gives step's result, lent: its bytes are the next run's, too.  A recording is its thread's, until tp_thread_end.
 *
 * After the third run `step` isn't called again, so what it does on the host happens no more.  From the
 * second run on these are errors in it, which name what to do instead: tp_item, tp_read, tp_device_wait; tp_from,
 * tp_to from or to the host; tp_store; tp_seed, and tp_rng_restore of what the step hasn't drawn itself; rates and
 * schedules; hooks.  While it is recorded, thus on a GPU alone, also: anomaly mode; other kernels than the run before
 * launched; kernels of another device, the CPU's too.  An error in the recording makes that run no step: gradients of
 * leaves that it reached are gone, and the next run records again.  One in the second run stops it where it is, as
 * anywhere: what ran before, an optimizer's step perhaps, stays.  What a kernel finds wrong in its data is told by
 * the next wait, as ever, and its run was a step.
 *
 * What changes from step to step is written into tensors between runs (tp_copy_), rates by
 * tp_optim_set_lr or a schedule there.  Random numbers go on as if step had been called.  Gradients stay where
 * they are: tp_zero_grad sets them to 0.  A replay changes parameters without a trace: what was computed from them
 * before a run, outside, must have had its backward.  TF32 and autocast are as they were when it was recorded. */
tp_tensor *tp_capture_run(tp_capture *c);
bool tp_capture_recorded(const tp_capture *c); /* runs are replays from now on */
void tp_capture_free(tp_capture *c); /* its memory is given back; gradients stay */

TP_API_END

#endif
