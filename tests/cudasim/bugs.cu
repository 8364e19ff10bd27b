/*
 * bugs.cu - kernels that are wrong on purpose; test_bugs.c proves that the simulator says so.
 */
#include "kernels/cuda/mma.cuh"

#include <cstdio>
#include <cstdlib>

#define EXPORT extern "C" __attribute__((visibility("default")))

enum { N = 256 };

/* ---- kernels ---- */

static __global__ void copy_one_too_many(const float *x, float *y, int n)
{
    int i = (int)threadIdx.x;

    for (; i <= n; i += (int)blockDim.x) /* < n */
        y[i] = x[i];
}

static __global__ void reverse_without_barrier(const float *x, float *y)
{
    TP_SHARED(float, tile, N);

    tile[threadIdx.x] = x[threadIdx.x];
    /* __syncthreads(); */
    y[threadIdx.x] = tile[N - 1 - threadIdx.x];
}

static __global__ void shift_in_place(const float *x, float *y)
{
    TP_SHARED(float, tile, N);
    float next;

    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    next = tile[(threadIdx.x + 1) % N];
    /* __syncthreads(); */
    tile[threadIdx.x] = next;
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

/* The second warp's shuffle doesn't order the first warp's thread. */
static __global__ void other_warp_reads(const float *x, float *y)
{
    TP_SHARED(float, tile, N);
    float first = 0, v;

    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) first = tile[32];
    v = __shfl_xor_sync(0xffffffffu, tile[threadIdx.x], 1);
    /* __syncthreads(); */
    if (threadIdx.x == 32) tile[32] += v;
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x] + first;
}

/* A block's last thread reads the next block's first number, which that block reads and changes. */
static __global__ void halo_in_place(const float *x, float *y)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    float next = i + 1 < N ? y[i + 1] : 0, own = y[i];

    __syncthreads();
    y[i] = own + next + x[0];
}

static __global__ void beyond_shared(const float *x, float *y)
{
    TP_SHARED(float, tile, N);

    tile[threadIdx.x + 1] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

static __global__ void sum_into_one(const float *x, float *y)
{
    *y += x[blockIdx.x * blockDim.x + threadIdx.x];
}

static __global__ void barrier_for_some(const float *x, float *y)
{
    TP_SHARED(float, tile, N);

    tile[threadIdx.x] = x[threadIdx.x];
    if (threadIdx.x < N / 2) {
        __syncthreads();
        y[threadIdx.x] = tile[N - 1 - threadIdx.x];
    } else {
        __syncthreads();
        y[threadIdx.x] = 0;
    }
}

static __global__ void shuffle_from_absent(const float *x, float *y)
{
    float v = x[threadIdx.x];

    if (threadIdx.x % 32 < 16) v = __shfl_xor_sync(0x0000ffffu, v, 16);
    y[threadIdx.x] = v;
}

static __global__ void half_a_warp(const float *x, float *y)
{
    float v = x[threadIdx.x];

    if (threadIdx.x % 32 < 16)
        v = __shfl_xor_sync(0xffffffffu, v, 1); /* the others wait below */
    else
        __syncthreads();
    y[threadIdx.x] = v;
}

static __global__ void half_an_mma(const float *x, float *y)
{
    uint32_t a[4] = {}, b[2] = {};
    float d[4] = { x[threadIdx.x] };

    if (threadIdx.x % 32 >= 16) return;
    tp_mma_16x8x16<tp_bf16>(d, a, b);
    y[threadIdx.x] = d[0];
}

static __global__ void copy_four(const float *x, float *y)
{
    ((float4 *)y)[threadIdx.x] = ((const float4 *)x)[threadIdx.x];
}

static __global__ void double_all(const float *x, float *y)
{
    y[threadIdx.x] = 2 * x[threadIdx.x];
}

/* ---- each bug from end to end ---- */

struct bench {
    tp_ctx c;
    tp_cuda handles; /* of which launches note their op */
    cudaStream_t stream, other;
    float *x, *y, *host;
};

static void start(bench *b, bool initialize)
{
    *b = bench();
    cudaStreamCreateWithFlags(&b->stream, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b->other, cudaStreamNonBlocking);
    b->c.stream = b->stream, b->c.handles = &b->handles;
    cudaMalloc((void **)&b->x, N * sizeof(float));
    cudaMalloc((void **)&b->y, N * sizeof(float));
    cudaMallocHost((void **)&b->host, N * sizeof(float));
    for (int i = 0; i < N; i++)
        b->host[i] = 1;
    if (!initialize) return;
    cudaMemcpyAsync(b->x, b->host, N * sizeof(float), cudaMemcpyHostToDevice, b->stream);
    cudaMemcpyAsync(b->y, b->host, N * sizeof(float), cudaMemcpyHostToDevice, b->stream);
    cudaStreamSynchronize(b->stream);
}

/* Did a wait report anything? */
static int stop(bench *b)
{
    int failed = cudaStreamSynchronize(b->stream) || cudaStreamSynchronize(b->other);

    cudaFree(b->x), cudaFree(b->y), cudaFreeHost(b->host);
    cudaStreamDestroy(b->stream), cudaStreamDestroy(b->other);
    return failed;
}

#define KERNEL_BUG(name, initialize, threads, ...)                                       \
    EXPORT int bug_##name(void)                                                          \
    {                                                                                    \
        bench b;                                                                         \
                                                                                         \
        start(&b, initialize);                                                           \
        TP_LAUNCH(&b.c, name, 1, threads, __VA_ARGS__);                                  \
        return stop(&b);                                                                 \
    }

KERNEL_BUG(copy_one_too_many, true, 128, b.x, b.y, N)
KERNEL_BUG(reverse_without_barrier, true, N, b.x, b.y)
KERNEL_BUG(shift_in_place, true, N, b.x, b.y)
KERNEL_BUG(other_warp_reads, true, N, b.x, b.y)
KERNEL_BUG(beyond_shared, true, N, b.x, b.y)
KERNEL_BUG(sum_into_one, true, N, b.x, b.y)
KERNEL_BUG(barrier_for_some, true, N, b.x, b.y)
KERNEL_BUG(shuffle_from_absent, true, N, b.x, b.y)
KERNEL_BUG(half_a_warp, true, N, b.x, b.y)
KERNEL_BUG(half_an_mma, true, N, b.x, b.y)
KERNEL_BUG(copy_four, true, 8, b.x + 1, b.y)
KERNEL_BUG(double_all, false, N, b.x, b.y) /* x was never written */

EXPORT int bug_two_blocks(void)
{
    bench b;

    start(&b, true);
    TP_LAUNCH(&b.c, double_all, 2, N, b.x, b.y); /* both write all of y */
    return stop(&b);
}

EXPORT int bug_halo_in_place(void)
{
    bench b;

    start(&b, true);
    TP_LAUNCH(&b.c, halo_in_place, 2, N / 2, b.x, b.y);
    return stop(&b);
}

EXPORT int bug_host_pointer(void)
{
    bench b;

    start(&b, true);
    TP_LAUNCH(&b.c, double_all, 1, N, b.host, b.y);
    return stop(&b);
}

EXPORT int bug_released(void)
{
    bench b;
    float *gone;

    start(&b, true);
    cudaMalloc((void **)&gone, N * sizeof(float));
    cudaFree(gone);
    TP_LAUNCH(&b.c, double_all, 1, N, b.x, gone);
    return stop(&b);
}

/* A release waits, too, but isn't asked: the program's own wait must still fail. */
EXPORT int bug_before_a_release(void)
{
    bench b;
    float *z;

    start(&b, false);
    cudaMalloc((void **)&z, N * sizeof(float));
    TP_LAUNCH(&b.c, double_all, 1, N, b.x, b.y);
    cudaFree(z);
    return stop(&b);
}

/* The second stream doesn't wait for the first: in some order it reads too early. */
EXPORT int bug_other_stream(void)
{
    bench b;
    float *z;
    int failed;

    start(&b, false);
    cudaMalloc((void **)&z, N * sizeof(float));
    cudaMemcpyAsync(b.x, b.host, N * sizeof(float), cudaMemcpyHostToDevice, b.stream);
    b.c.stream = b.other;
    TP_LAUNCH(&b.c, double_all, 1, N, b.x, z);
    failed = cudaDeviceSynchronize();
    cudaFree(z);
    return stop(&b) || failed;
}

/* Where no report comes, as a value alone is wrong: 1 if it is, 2 if a wait fails all the same. */
static int told(bench *b, bool wrong, const char *what)
{
    if (wrong) fprintf(stderr, "%s\n", what);
    return stop(b) ? 2 : wrong;
}

/* Reads what a copy brings before waiting for it. */
EXPORT int bug_early_read(void)
{
    bench b;

    start(&b, true);
    cudaMemcpyAsync(b.host, b.x, N * sizeof(float), cudaMemcpyDeviceToHost, b.stream);
    return told(&b, isnan(b.host[0]), "the host reads NaN before the copy");
}

/* Changes the source of a copy before it has run: the device must not see 1. */
EXPORT int bug_reused_source(void)
{
    bench b;

    start(&b, true);
    cudaMemcpyAsync(b.x, b.host, sizeof(float), cudaMemcpyHostToDevice, b.stream);
    b.host[0] = 5;
    cudaMemcpyAsync(b.host + 1, b.x, sizeof(float), cudaMemcpyDeviceToHost, b.stream);
    cudaStreamSynchronize(b.stream);
    return told(&b, b.host[1] == 5, "the device has the later 5");
}

/* Ends the process. */
EXPORT int bug_host_access(void)
{
    bench b;

    start(&b, true);
    b.x[3] = 1;
    return stop(&b);
}

/* Nothing wrong: must stay silent. */
EXPORT int right_double(void)
{
    bench b;

    start(&b, true);
    TP_LAUNCH(&b.c, double_all, 1, N, b.x, b.y);
    return stop(&b);
}

int tp_cuda_error(tp_ctx *, const char *, cudaError_t)
{
    return 1;
}
