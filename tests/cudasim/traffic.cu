/*
 * traffic.cu - kernels of which it is plain what they move of memory, for test_traffic.c.
 */
#include "kernels/cuda/launch.cuh"

enum { N = 4096, WARP = 32 };

/* Each number once, k for all. */
static __global__ void scale(const float *x, const float *k, float *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < N; i += step)
        y[i] = *k * x[i];
}

/* A block for each row of 32, all reading the same one too. */
static __global__ void add_first_row(const float *x, const float *, float *y)
{
    int64_t i = (int64_t)blockIdx.x * WARP + threadIdx.x;

    y[i] = x[i] + x[threadIdx.x];
}

/* Twice, by two instructions of two threads. */
static __global__ void add_mirrored(const float *x, const float *, float *y)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

    y[i] = x[i] + x[N - 1 - i];
}

/* Twice by the very same instruction: what a thread sees twice counts twice. */
static __global__ void scale_by_sum(const float *x, const float *, float *y)
{
    float sum = 0;

    for (unsigned lap = 0; lap <= gridDim.x;
         lap++) /* 2, which the compiler doesn't know */
        for (int64_t i = threadIdx.x; i < N; i += blockDim.x) {
            if (lap == 1) y[i] = sum;
            sum += x[i];
        }
}

static __attribute__((noinline)) float number(const float *x, int64_t i)
{
    return x[i];
}

/* Twice by an instruction that both passes share, what one thread has read by another. */
static __global__ void add_reversed(const float *x, const float *, float *y)
{
    for (int64_t i = threadIdx.x; i < N; i += blockDim.x)
        y[i] = number(x, i);
    __syncthreads();
    for (int64_t i = threadIdx.x; i < N; i += blockDim.x)
        y[i] += number(x, N - 1 - i);
}

/* What memory moved, in bytes; negative: a fault. */
extern "C" __attribute__((visibility("default"))) int64_t bytes_moved(int which)
{
    static void (*const kernels[])(const float *, const float *,
                                   float *) = { scale, add_first_row, add_mirrored,
                                                scale_by_sum, add_reversed };
    const int64_t blocks[] = { tp_blocks(N), N / WARP, tp_blocks(N), 1, 1 };
    const unsigned threads[] = { TP_THREADS, WARP, TP_THREADS, TP_THREADS, TP_THREADS };
    static const float zeros[N + 1] = {};
    cudasim_stats from, to;
    tp_ctx c = {};
    tp_cuda handles = {};
    float *x = NULL, *y = NULL;

    c.handles = &handles;
    cudaMalloc((void **)&x, sizeof zeros), cudaMalloc((void **)&y, sizeof zeros);
    cudaMemcpyAsync(x, zeros, sizeof zeros, cudaMemcpyHostToDevice, NULL);
    cudaDeviceSynchronize();
    cudasim_get_stats(&from);
    int failed =
        TP_LAUNCH(&c, kernels[which], blocks[which], threads[which], x, x + N, y);
    failed |= cudaDeviceSynchronize() != cudaSuccess;
    cudasim_get_stats(&to);
    cudaFree(x), cudaFree(y);
    to = cudasim_between(from, to);
    return failed ? -1 : (int64_t)(to.memory_read + to.memory_written);
}

int tp_cuda_error(tp_ctx *, const char *, cudaError_t)
{
    return 1;
}
