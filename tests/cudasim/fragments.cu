/*
 * fragments.cu - one product of the tensor cores from given registers, and registers from rows in shared
 * memory, for test_mma.c.
 */
#include "kernels/cuda/mma.cuh"

template <class T>
static __global__ void multiply(const uint32_t *as, const uint32_t *bs, float *ds)
{
    uint32_t a[4], b[2];
    float d[4];

    for (int i = 0; i < 4; i++)
        a[i] = as[threadIdx.x * 4 + i], d[i] = ds[threadIdx.x * 4 + i];
    for (int i = 0; i < 2; i++)
        b[i] = bs[threadIdx.x * 2 + i];
    tp_mma_16x8x16<T>(d, a, b);
    for (int i = 0; i < 4; i++)
        ds[threadIdx.x * 4 + i] = d[i];
}

static __global__ void turn(const uint4 *rows, uint4 *registers)
{
    TP_SHARED(uint4, tile, 32);
    uint32_t r[4];

    tile[threadIdx.x] = rows[threadIdx.x];
    __syncthreads();
    tp_load_turned(r, tile + threadIdx.x);
    registers[threadIdx.x] = make_uint4(r[0], r[1], r[2], r[3]);
}

enum { A_BYTES = 32 * 4 * 4, B_BYTES = 32 * 2 * 4 };

/* Registers of 32 lanes, in host memory; 0, or what failed. */
extern "C" __attribute__((visibility("default"))) int
multiply_fragments(bool bf16, const uint32_t *a, const uint32_t *b, float *d)
{
    tp_ctx c = {};
    tp_cuda handles = {};
    char *m = NULL;

    c.handles = &handles;
    cudaMalloc((void **)&m, 2 * A_BYTES + B_BYTES);
    uint32_t *da = (uint32_t *)m, *db = (uint32_t *)(m + A_BYTES);
    float *dd = (float *)(m + A_BYTES + B_BYTES);
    cudaMemcpyAsync(da, a, A_BYTES, cudaMemcpyHostToDevice, NULL);
    cudaMemcpyAsync(db, b, B_BYTES, cudaMemcpyHostToDevice, NULL);
    cudaMemcpyAsync(dd, d, A_BYTES, cudaMemcpyHostToDevice, NULL);
    cudaDeviceSynchronize();
    int failed = bf16 ? TP_LAUNCH(&c, multiply<tp_bf16>, 1, 32, da, db, dd)
                      : TP_LAUNCH(&c, multiply<tp_f16>, 1, 32, da, db, dd);
    cudaMemcpyAsync(d, dd, A_BYTES, cudaMemcpyDeviceToHost, NULL);
    failed |= cudaDeviceSynchronize() != cudaSuccess;
    cudaFree(m);
    return failed;
}

/* 32 rows of eight 16-bit numbers: four matrices; in their place what 32 lanes get. */
extern "C" __attribute__((visibility("default"))) int turn_matrices(void *rows)
{
    tp_ctx c = {};
    tp_cuda handles = {};
    uint4 *m = NULL;

    c.handles = &handles;
    cudaMalloc((void **)&m, 2 * A_BYTES);
    cudaMemcpyAsync(m, rows, A_BYTES, cudaMemcpyHostToDevice, NULL);
    cudaDeviceSynchronize();
    int failed = TP_LAUNCH(&c, turn, 1, 32, m, m + 32);
    cudaMemcpyAsync(rows, m + 32, A_BYTES, cudaMemcpyDeviceToHost, NULL);
    failed |= cudaDeviceSynchronize() != cudaSuccess;
    cudaFree(m);
    return failed;
}

int tp_cuda_error(tp_ctx *, const char *, cudaError_t)
{
    return 1;
}
