/*
 * tokens.c - fuzzes tokenizers: the first two bytes tell how long the vocabulary and the merges
 * are; the rest is text to encode.  What comes back is what went in.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void there_and_back(tp_tokenizer *t, const char *text, size_t n)
{
    char back[4096];
    TP_SCOPE;
    tp_tensor *ids = tp_data_encode(t, text, n);

    fuzz_check((ids != NULL) == tp_ok());
    if (ids) fuzz_check(tp_data_decode(t, ids, back, sizeof back) == n && !memcmp(back, text, n));
    tp_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const char *text = (const char *)bytes + 2, *vocab;
    size_t first, second;
    tp_tokenizer *t;

    if (n < 2 || n > 4000) return 0;
    n -= 2, first = bytes[0] * 2u < n ? bytes[0] * 2u : n, second = bytes[1] < n - first ? bytes[1] : n - first;
    vocab = fuzz_file(0, bytes + 2, first);
    t = tp_data_bpe(vocab, fuzz_file(1, bytes + 2 + first, second), NULL);
    fuzz_check((t != NULL) == tp_ok());
    tp_clear_error();
    if (t) there_and_back(t, text + first + second, n - first - second);
    tp_data_tokenizer_free(t);
    t = tp_data_tokenizer_load(vocab);
    fuzz_check((t != NULL) == tp_ok());
    tp_clear_error();
    if (t && tp_data_tokens(t)) {
        TP_SCOPE;
        fuzz_check(tp_data_encode(t, text, n) || tp_error_code() != TP_OK);
    }
    tp_clear_error();
    tp_data_tokenizer_free(t);
    t = tp_data_chars(text, n, NULL);
    tp_clear_error();
    if (t) there_and_back(t, text, n);
    tp_data_tokenizer_free(t);
    return 0;
}
