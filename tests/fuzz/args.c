/*
 * args.c - fuzzes the flags of programs: the input is the arguments, a line each.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return freopen("/dev/null", "w", stdout) == NULL; /* what --help says */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *text = malloc(n + 1), *rest = text, *argv[20] = { (char *)"fuzz" };
    FILE *shown = stderr, *quiet = fopen("/dev/null", "w");
    tp_train_args a = { 0 };
    int argc = 1, status;

    memcpy(text, bytes, n), text[n] = 0;
    while (rest && argc < 19)
        argv[argc++] = strsep(&rest, "\n");
    stderr = quiet;
    status = tp_train_parse(&a, argc, argv);
    stderr = shown, fclose(quiet);
    fuzz_check(status == -1 || status == 0 || status == 2 || (status == 1 && a.resume)); /* 1: no such checkpoint */
    fuzz_check(status != -1 || (a.epochs > 0 && a.batch > 0 && a.lr > 0 && a.steps >= 0 && a.threads >= 0 && a.device &&
                                a.out && a.amp && *a.options == '{'));
    tp_set_threads(1);
    tp_clear_error();
    free(text);
    return 0;
}
