/*
 * kernel.h - a kernel of translated PTX, as its library tells of it.
 */
#ifndef CUDASIM_PTX_KERNEL_H
#define CUDASIM_PTX_KERNEL_H

typedef struct ptx_param {
    int offset, bytes;
} ptx_param;

typedef struct ptx_kernel {
    const char *name;
    void (*run)(void *arguments);
    const ptx_param *params;
    int n_params, bytes, threads; /* threads: the launch bound */
} ptx_kernel;

#ifdef __cplusplus
extern "C" {
#endif

/* By each translated file when it is loaded; capability: 80 of sm_80. */
void ptx_register(int capability, const ptx_kernel *kernels, int n);

#ifdef __cplusplus
}
#endif

#endif
