/*
 * picture.c - fuzzes picture files: alone, and as what a folder holds.
 */
#include "tests/fuzz/fuzz.h"

#define FOLDER "fuzz-pictures"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_link(FOLDER, "x.png", 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const char *path = fuzz_file(0, bytes, n);
    tp_dataset *d;
    tp_tensor *t;
    tp_batch b;
    TP_SCOPE;

    t = tp_data_image_load(path, n % 2 ? 1 : 0, tp_device_open("cpu"));
    fuzz_check((t != NULL) == tp_ok());
    tp_clear_error();
    d = tp_data_images(FOLDER, (tp_images_opts){ .height = 5, .width = 3 });
    fuzz_check((d != NULL) == tp_ok());
    if (d) fuzz_check(tp_data_sample(d, 0, &b) == tp_ok());
    tp_data_set_free(d);
    tp_clear_error();
    return 0;
}
