/*
 * csv.c - fuzzes tables: the first byte chooses the options, the second the columns.
 */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const y[] = { NULL, "0", "-1", "b", "0,1", "\"b\",2" }, *const x[] = { NULL, "a", "1,-1" };
    tp_csv_opts o;
    tp_dataset *d;
    tp_batch b;

    if (n < 2) return 0;
    o = (tp_csv_opts){ .header = (tp_header)(bytes[0] % 3), .missing = (tp_missing)(bytes[0] / 3 % 4), .words = (tp_words)(bytes[0] / 12 % 3),
                       .classes = bytes[0] / 36 % 2, .no_quotes = bytes[0] / 72 % 2, .y = y[bytes[1] % 6], .x = x[bytes[1] / 6 % 3],
                       .delimiter = bytes[1] & 128 ? ';' : 0 };
    d = tp_data_csv(fuzz_file(0, bytes + 2, n - 2), o);
    fuzz_check((d != NULL) == tp_ok());
    for (int64_t i = 0; d && i < tp_data_count(d) && i < 5; i++) {
        TP_SCOPE;

        fuzz_check(tp_data_sample(d, i, &b) && tp_dim(b.x, 1) > 0 && tp_data_column(d, 0));
        fuzz_check(!tp_data_classes(d) || tp_data_class(d, (int64_t)tp_item(b.y)));
    }
    tp_data_set_free(d);
    tp_clear_error();
    return 0;
}
