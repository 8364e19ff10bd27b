/*
 * ops.h - the differentiable operations.
 *
 * What holds for every function here, unless its comment says otherwise:
 *
 * - Inputs share a device.  Dtypes are promoted as PyTorch's; f32, f64 and bf16 compute, on a GPU
 *   f16 too.
 * - Shapes broadcast as NumPy's.  A negative axis counts from the end.
 * - The result is lent: it dies with the innermost open scope.  Inputs are never consumed,
 *   and no op returns its own argument: views share the bytes, under a handle of their own.
 * - A failure gives NULL and records the error; until it is cleared every op gives NULL.
 * - Options are a struct by value: zero means the default, or, where a comment says so, a
 *   function fills it and the caller edits.
 *
 * A section's title says which dtypes its functions take (floats: f32, f64 and bf16, on a GPU
 * f16 too) and how often they can be differentiated: twice, once, or not at all; a comment says where one differs.
 */
#ifndef TP_AUTOGRAD_OPS_H
#define TP_AUTOGRAD_OPS_H

#include "autograd/ops_math.h"
#include "autograd/ops_shape.h"
#include "autograd/ops_layer.h"
#include "autograd/ops_loss.h"

#endif
