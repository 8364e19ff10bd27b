/*
 * idx.c - fuzzes IDX files, plain or gzip: the input is an image file, then a label file.  The
 * first byte tells how much of it is labels.
 */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    size_t labels;
    tp_loader *l;
    tp_batch b;

    if (n == 0) return 0;
    labels = bytes[0] < n ? bytes[0] : n - 1;
    const char *x = fuzz_file(0, bytes + 1, n - 1 - labels), *y = fuzz_file(1, bytes + n - labels, labels);
    tp_dataset *d = tp_data_idx(x, y);

    fuzz_check((d != NULL) == tp_ok());
    if (d) {
        fuzz_check(tp_data_count(d) > 0 && tp_data_classes(d) >= 1 && tp_data_classes(d) <= 256);
        l = tp_data_loader(d, (tp_loader_opts){ .batch = 3, .shuffle = true });
        for (int i = 0; i < 4 && tp_data_next(l, &b); i++)
            fuzz_check(tp_dim(b.x, 0) == b.size);
        fuzz_check(tp_ok());
        tp_data_free(l);
    }
    tp_clear_error();
    return 0;
}
