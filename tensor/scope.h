/*
 * scope.h - how a handle enters and leaves the thread's lent tensors; for tensor.c alone.
 */
#ifndef TP_TENSOR_SCOPE_H
#define TP_TENSOR_SCOPE_H

#include "tensor/internal.h"

bool tp__lend(tp_thread *me, tp_tensor *t); /* to the innermost scope; false: no memory */
void tp__unlend(tp_tensor *t);

#endif
