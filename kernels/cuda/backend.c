/*
 * backend.c - CUDA as a backend: the one symbol of libtaper_cuda, and its table.
 *
 * A kernel that no file defines is a link error; a dtype that it isn't offered for is a NULL, which ops
 * report as an error.
 */
#include "kernels/cuda/cuda.h"

#define TP_KERNEL(name, dtypes, args) extern tp__fn_##name *const tp_cuda_##name[TP_DTYPES];
#include "kernels/kernels.def"
#undef TP_KERNEL

static const tp_backend backend = {
    .name = "cuda",
    .version = TP_BACKEND_VERSION,
    .bytes = sizeof(tp_backend),
    .fuses = true,
    .count = tp_cuda_count,
    .open = tp_cuda_open,
    .close = tp_cuda_close,
    .alloc = tp_cuda_alloc,
    .release = tp_cuda_release,
    .upload = tp_cuda_upload,
    .download = tp_cuda_download,
    .fetch = tp_cuda_fetch,
    .fetched = tp_cuda_fetched,
    .wait = tp_cuda_wait,
    .describe = tp_cuda_describe,
    .record = tp_cuda_record,
    .recorded = tp_cuda_recorded,
    .replay = tp_cuda_replay,
    .discard = tp_cuda_discard,
#define TP_KERNEL(name, dtypes, args) .name = tp_cuda_##name,
#include "kernels/kernels.def"
#undef TP_KERNEL
};

extern tp_backend_entry tp_cuda_backend __attribute__((visibility("default")));

const tp_backend *tp_cuda_backend(void)
{
    return &backend;
}
