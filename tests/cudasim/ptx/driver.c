/*
 * driver.c - a libcuda.so.1 that is there: libtaper looks for no more, and the stand-in of the runtime needs none.
 */
int cuInit(unsigned flags);

int cuInit(unsigned flags)
{
    (void)flags;
    return 100; /* CUDA_ERROR_NO_DEVICE, to NVIDIA's own runtime */
}
