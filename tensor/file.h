/*
 * file.h - named tensors in a safetensors file, which Python reads as it is.
 *
 * A file is 8 bytes of length, a JSON header of that length, and the bytes of the tensors.
 * Reading maps the file; every length and offset is checked before it is believed.  Writing
 * goes to path.part, which is synced and renamed: whatever happens, the old file or the new one
 * is there, whole.  The target of a symbolic link is replaced, not the link, and an earlier
 * file's mode is kept.
 */
#ifndef TP_TENSOR_FILE_H
#define TP_TENSOR_FILE_H

#include "tensor/tensor.h"

TP_API_BEGIN

typedef struct tp_file tp_file; /* made: tp_file_close */

/* A tensor and the name it has in the file. */
typedef struct tp_named {
    const char *name;
    tp_tensor *t;
} tp_named;

/* A line of the file's metadata. */
typedef struct tp_meta {
    const char *key, *value; /* UTF-8 text */
} tp_meta;

/* Refuses while an error is pending.  On failure nothing that was there has changed. */
bool tp_file_save(const char *path, const tp_named *tensors, int n, const tp_meta *meta, int n_meta)
    __attribute__((warn_unused_result));
bool tp_file_exists(const char *path); /* anything of that name; no error */

tp_file *tp_file_open(const char *path);           /* NULL and an error where it isn't whole */
void tp_file_close(tp_file *f);                    /* NULL is allowed; read tensors stay */
int tp_file_count(const tp_file *f);               /* tensors, in the order of the file */
const char *tp_file_name(const tp_file *f, int i); /* the file's; NULL when out of range */
int tp_file_find(const tp_file *f, const char *name); /* -1 when absent */
tp_shape tp_file_shape(const tp_file *f, int i);      /* of tensor i */
tp_dtype tp_file_dtype(const tp_file *f, int i);      /* of tensor i */
tp_tensor *tp_file_read(const tp_file *f, int i, tp_device *dev); /* a copy, lent */
const char *tp_file_meta(const tp_file *f, const char *key);      /* the file's; NULL when absent */
int tp_file_meta_count(const tp_file *f);         /* lines of metadata */
tp_meta tp_file_meta_at(const tp_file *f, int i); /* the file's; NULLs when out of range */

TP_API_END

#endif
