/*
 * file.c - fuzzes what reads safetensors: the file itself, and a module and a state loaded from it.
 */
#include "tests/fuzz/fuzz.h"

static tp_module *net;
static tp_state *state;
static int64_t number;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    net = tp_nn_init(tp_nn_linear(2, 1), tp_device_open("cpu"));
    state = tp_state_new();
    tp_state_module(state, "net", net), tp_state_i64(state, "n", &number);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const char *path = fuzz_file(0, bytes, n);
    tp_load_report r;
    tp_file *f;
    TP_SCOPE;

    f = tp_file_open(path);
    fuzz_check(f != NULL || !tp_ok());
    for (int i = 0; i < tp_file_count(f); i++) {
        tp_tensor *t = tp_file_read(f, i, tp_device_open("cpu"));

        fuzz_check(t && tp_file_find(f, tp_file_name(f, i)) >= 0);
    }
    for (int i = 0; i < tp_file_meta_count(f); i++)
        fuzz_check(tp_file_meta_at(f, i).key && tp_file_meta_at(f, i).value);
    tp_file_close(f);
    tp_clear_error();
    fuzz_check(tp_nn_load(net, path, (tp_load_opts){ .report = &r }) == tp_ok());
    tp_clear_error();
    fuzz_check(tp_nn_load(net, path, (tp_load_opts){ .partial = true, .strip_prefix = "a." }) == tp_ok());
    tp_clear_error();
    fuzz_check(tp_state_load(state, path) == tp_ok());
    tp_clear_error();
    return 0;
}
