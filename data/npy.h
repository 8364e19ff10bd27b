/*
 * npy.h - what npy.c and npz.c share.
 */
#ifndef TP_DATA_NPY_H
#define TP_DATA_NPY_H

#include "data/input.h"
#include "tensor/internal.h"

/* The array that b holds, which may be changed on the way; path is for errors. */
tp_tensor *tp__npy(const char *where, const char *path, tp_bytes *b, tp_device *dev);

#endif
