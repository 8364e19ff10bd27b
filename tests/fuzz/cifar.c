/*
 * cifar.c - fuzzes CIFAR's files: the first byte tells which kind; long inputs are made by writing
 * the rest again and again.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define FOLDER "fuzz-cifar"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_link(FOLDER, "test_batch.bin", 0), fuzz_link(FOLDER, "test.bin", 0);
    fuzz_link(FOLDER, "batches.meta.txt", 1);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static unsigned char file[2 * 3074];
    size_t size;
    tp_dataset *d;
    tp_batch b;
    TP_SCOPE;

    if (n < 2) return 0;
    size = (bytes[0] & 1 ? 3074u : 3073u) * (1 + (bytes[0] >> 1 & 1)) - (bytes[0] >> 2 == 1);
    for (size_t i = 0; i < size; i++)
        file[i] = bytes[1 + i % (n - 1)];
    fuzz_file(0, file, size), fuzz_file(1, bytes, n);
    d = bytes[0] & 1 ? tp_data_cifar100(FOLDER, "test") : tp_data_cifar10(FOLDER, "test");
    fuzz_check((d != NULL) == tp_ok());
    if (d) fuzz_check(tp_data_sample(d, tp_data_count(d) - 1, &b) && tp_item(b.y) >= 0 && tp_item(b.y) < (double)tp_data_classes(d));
    tp_data_set_free(d);
    tp_clear_error();
    return 0;
}
