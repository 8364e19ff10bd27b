/*
 * numpy.c - fuzzes .npy files, and .npz files with an array "a".
 */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const char *path = fuzz_file(0, bytes, n);
    tp_device *cpu = tp_device_open("cpu");
    char names[100];
    tp_tensor *t;
    TP_SCOPE;

    t = tp_data_npy(path, cpu);
    fuzz_check((t != NULL) == tp_ok());
    tp_clear_error();
    t = tp_data_npz(path, "a", cpu);
    fuzz_check((t != NULL) == tp_ok());
    tp_clear_error();
    fuzz_check(tp_data_npz_names(path, names, sizeof names) == 0 || tp_ok());
    tp_clear_error();
    return 0;
}
