/*
 * picture.c - fuzzes picture files: alone, and as what a folder holds.
 */
#include "tests/fuzz/fuzz.h"

static char folder[] = "/tmp/taper-fuzz-XXXXXX";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[64];

    (void)argc, (void)argv;
    if (!mkdtemp(folder)) abort();
    snprintf(path, sizeof path, "%s/x.png", folder);
    return symlink(fuzz_file(0, NULL, 0), path);
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
    d = tp_data_images(folder, (tp_images_opts){ .height = 5, .width = 3 });
    fuzz_check((d != NULL) == tp_ok());
    if (d) fuzz_check(tp_data_sample(d, 0, &b) == tp_ok());
    tp_data_set_free(d);
    tp_clear_error();
    return 0;
}
