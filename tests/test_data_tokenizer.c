/*
 * test_data_tokenizer.c - tokens of characters and of byte pairs, against GPT-2's encoder; files
 * that don't fit together.
 *
 * golden/bpe holds a small vocabulary and what golden/bpe.py says of it.  With TAPER_TEST_DATA
 * naming a folder that has gpt2-bpe/encoder.json and vocab.bpe, GPT-2's own is tried too.
 */
#include "tests/data.h"

#define VOCAB  TP_GOLDEN "/bpe/vocab.json"
#define MERGES TP_GOLDEN "/bpe/merges.txt"

/* Does the text come out as these numbers, and back again? */
static void check_tokens(const tp_tokenizer *t, const char *text, size_t n, const int64_t *want, int64_t count)
{
    TP_SCOPE;
    tp_tensor *ids = tp_data_encode(t, text, n);
    char *back = malloc(n + 1);

    CHECK(ids && tp_count(ids) == count && tp_dtype_of(ids) == TP_I64);
    for (int64_t i = 0; ids && i < tp_count(ids) && i < count; i++)
        CHECK_NEAR(check_at(ids, i), (double)want[i], 0);
    CHECK(tp_data_decode(t, ids, back, n + 1) == n && !memcmp(back, text, n) && back[n] == 0);
    free(back);
}

/* ---- characters ---- */

Test(tokenizer, characters, IN_FOLDER)
{
    static const char text[] = "b\xC3\xA9" "a b\xF0\x9F\x99\x82\n"; /* b é a, a smile */
    tp_tokenizer *t = tp_data_chars(text, strlen(text), NULL), *u = tp_data_chars(text, strlen(text), "<unk>");

    CASE("in the order of their codes");
    CHECK(t && tp_data_tokens(t) == 6 && tp_data_token_id(t, "\n") == 0 && tp_data_token_id(t, " ") == 1);
    check_tokens(t, text, strlen(text), (int64_t[]){ 3, 4, 2, 1, 3, 5, 0 }, 7);
    check_tokens(t, "", 0, NULL, 0);
    CHECK(!strcmp(tp_data_token(t, 4, NULL), "\xC3\xA9") && !tp_data_token(t, 6, NULL) && !tp_data_token(t, -1, NULL) && tp_data_token_id(t, "z") == -1);
    CASE("unknown");
    CHECK_REFUSED(tp_data_encode(t, "abz", 3), TP_ERR_ARG, "\"z\" (U+007A) at byte 2 is not in the vocabulary of 6");
    CHECK_REFUSED(tp_data_encode(t, "ab\xFF", 3), TP_ERR_FORMAT, "byte 2 of the text is no UTF-8");
    CHECK_REFUSED(tp_data_encode(t, "\xC3", 1), TP_ERR_FORMAT, "byte 0 of the text is no UTF-8");
    CHECK_REFUSED(tp_data_encode(u, "a\xED\xA0\x80", 4), TP_ERR_FORMAT, "byte 1"); /* a surrogate */
    CHECK_REFUSED(tp_data_encode(u, "a\xC1\x81", 3), TP_ERR_FORMAT, "byte 1"); /* longer than need be */
    tp_tensor *ids = tp_data_encode(u, "azb", 3);
    char back[4];
    CHECK(check_at(ids, 1) == 6 && tp_data_tokens(u) == 7 && tp_data_decode(u, ids, back, sizeof back) == 7 && !strcmp(back, "a<u"));
    CASE("special");
    CHECK(tp_data_special(u, "<end>") && tp_data_special(u, "<e") && tp_data_special(u, "<end>") && tp_data_tokens(u) == 9);
    check_tokens(u, "a<end>b<e<end><end>", 19, (int64_t[]){ 2, 7, 3, 8, 7, 7 }, 6);
    CASE("saved and loaded");
    CHECK(tp_data_tokenizer_save(u, in_folder("v.json")));
    tp_tokenizer *v = tp_data_tokenizer_load(in_folder("v.json"));
    check_tokens(v, "a<end>b<e<end><end>", 19, (int64_t[]){ 2, 7, 3, 8, 7, 7 }, 6);
    CHECK(check_at(tp_data_encode(v, "z", 1), 0) == 6);
    tp_data_tokenizer_free(v);
    v = tp_data_tokenizer_load(put_text("plain.json", "{\"a\": 1, \"\\u00e9\": 0, \"\\n\": 2}"));
    check_tokens(v, "a\xC3\xA9\n", 4, (int64_t[]){ 1, 0, 2 }, 3);
    CASE("files of text");
    tp_tensor *all = tp_data_text(put_text("t.txt", "aa\n"), v), *bytes = tp_data_text(in_folder("t.txt"), NULL);
    CHECK(tp_count(all) == 3 && check_at(all, 2) == 2 && tp_dtype_of(bytes) == TP_U8 && check_at(bytes, 0) == 'a');
    tp_dataset *lanes = tp_data_lanes(tp_data_text(in_folder("t.txt"), v), 1, 2);
    CHECK(tp_data_count(lanes) == 1 && sample_at(lanes, 0, 1, 1) == 2);
    tp_data_set_free(lanes);
    CHECK_REFUSED(tp_data_text(in_folder("nothing"), v), TP_ERR_IO, "nothing can't be read");
    CHECK_REFUSED(tp_data_text("/dev/zero", v), TP_ERR_IO, "/dev/zero can't be read: it is neither a regular file nor a pipe");
    tp_data_tokenizer_free(t), tp_data_tokenizer_free(u), tp_data_tokenizer_free(v), tp_data_tokenizer_free(NULL);
}

Test(tokenizer, characters_refused, IN_FOLDER)
{
    static const struct {
        const char *json, *why;
    } bad[] = { { "", "v.json: line 1:" },
                { "[1]", "v.json: it is no JSON object" },
                { "{\"a\": 0", "v.json: line 1:" },
                { "{\"a\": 0, \"a\": 1}", "duplicate object key" },
                { "{}", "it has no tokens" },
                { "{\"a\": 1}", "token \"a\" is number 1: the numbers 0 to 0 are wanted" },
                { "{\"a\": 0, \"b\": 0}", "number 0: the numbers 0 to 1 are wanted, each once" },
                { "{\"a\": -1}", "number -1" },
                { "{\"a\": 0.5}", "token \"a\" is number -1" },
                { "{\"a\": \"0\"}", "token \"a\" is number -1" },
                { "{\"\": 0}", "token \"\"" },
                { "{\"ab\": 0}", "token \"ab\" is no single character" },
                { "{\"vocab\": {\"a\": 0}, \"unknown\": \"<u>\"}", "the unknown token \"<u>\" is not in its vocabulary" },
                { "{\"vocab\": {\"a\": 0}, \"special\": [\"<s>\"]}", "special token \"<s>\" is not in its vocabulary" },
                { "{\"vocab\": {\"a\": 0}, \"special\": [7]}", "special token \"\" is not" },
                { "{\"a\xFF\": 0}", "v.json: line 1:" },
                { "{\"a\\u0000\": 0}", "v.json: line 1:" } };
    tp_tensor *ids = tp_from((int64_t[]){ 0, 9 }, TP_SHAPE(2), TP_I64, tp_device_open("cpu"));
    tp_tokenizer *t = tp_data_chars("ab", 2, NULL);

    for (int i = 0; i < TP_LEN(bad); i++) {
        CASE("vocabulary %d", i);
        CHECK_REFUSED(tp_data_tokenizer_load(put_text("v.json", bad[i].json)), TP_ERR_FORMAT, bad[i].why);
    }
    CASE("others");
    CHECK_REFUSED(tp_data_tokenizer_load(in_folder("nothing")), TP_ERR_IO, "nothing can't be read");
    CHECK_REFUSED(tp_data_chars("", 0, NULL), TP_ERR_ARG, "an empty text has no characters");
    CHECK_REFUSED(tp_data_chars("a\0b", 3, NULL), TP_ERR_FORMAT, "byte 1 of the text is no UTF-8, or 0");
    CHECK_REFUSED(tp_data_chars("ab", 2, "a"), TP_ERR_ARG, "\"a\" can't be the unknown token");
    CHECK_REFUSED(tp_data_chars(NULL, 2, NULL), TP_ERR_ARG, "missing text");
    CHECK_REFUSED(tp_data_special(t, ""), TP_ERR_ARG, "missing tokenizer or text");
    CHECK_REFUSED(tp_data_tokenizer_save(t, in_folder("no/v.json")), TP_ERR_IO, "can't be written");
    CHECK_REFUSED(tp_data_encode(NULL, "a", 1), TP_ERR_ARG, "missing tokenizer");
    CHECK_REFUSED(tp_data_decode(t, ids, NULL, 0), TP_ERR_ARG, "number 1 is 9: there are 2 tokens");
    CHECK_REFUSED(tp_data_decode(t, tp_zeros(TP_SHAPE(2), TP_F32, tp_device_open("cpu")), NULL, 0), TP_ERR_ARG, "f32 (2): i64 (n)");
    tp_data_tokenizer_free(t);
}

/* ---- byte pairs ---- */

static void check_golden(const tp_tokenizer *t, const char *path)
{
    size_t n;
    char *all = read_whole(path, &n), *rest = all, *line;
    int lines = 0;

    cr_assert(all, "%s is missing", path);
    while ((line = strsep(&rest, "\n")) && *line) {
        char *hex = strsep(&line, " "), text[1024];
        int64_t ids[1024];
        size_t bytes = *hex == '-' ? 0 : strlen(hex) / 2, count = 0;

        for (size_t i = 0; i < bytes; i++) {
            unsigned v;

            sscanf(hex + 2 * i, "%2x", &v);
            text[i] = (char)v;
        }
        for (char *id; line && (id = strsep(&line, " "));)
            ids[count++] = atoll(id);
        CASE("%.80s, line %d", path, ++lines);
        check_tokens(t, text, bytes, ids, (int64_t)count);
    }
    CHECK(lines > 90);
    free(all);
}

Test(tokenizer, byte_pairs_are_gpt2s, IN_FOLDER)
{
    tp_tokenizer *t = tp_data_bpe(VOCAB, MERGES, NULL);

    cr_assert(t, "%s", tp_error());
    check_golden(t, TP_GOLDEN "/bpe/pairs.txt");
    CASE("tokens by what they stand for");
    size_t n;
    CHECK(tp_data_token_id(t, " the") >= 256 && !strcmp(tp_data_token(t, tp_data_token_id(t, " the"), &n), " the") && n == 4);
    CHECK(tp_data_token_id(t, "\xC3") >= 0 && tp_data_token_id(t, "nowhere") == -1);
    CASE("special tokens are text until they are said to be special");
    int64_t end = tp_data_tokens(t) - 1;
    CHECK(end == tp_data_token_id(t, "<|endoftext|>") && tp_count(tp_data_encode(t, "<|endoftext|>", 13)) > 1);
    CHECK(tp_data_special(t, "<|endoftext|>") && tp_data_tokens(t) == end + 1);
    tp_tensor *ids = tp_data_encode(t, "z<|endoftext|>z", 15);
    CHECK(tp_count(ids) == 3 && check_at(ids, 1) == (double)end);
    CHECK(tp_data_special(t, "[new]") && tp_data_tokens(t) == end + 2 && check_at(tp_data_encode(t, "[new]", 5), 0) == (double)end + 1);
    CHECK_REFUSED(tp_data_encode(t, "ab \x80", 4), TP_ERR_FORMAT, "byte 3 of the text is no UTF-8");
    tp_data_tokenizer_free(t);
}

Test(tokenizer, gpt2_itself, IN_FOLDER)
{
    const char *data = getenv("TAPER_TEST_DATA");
    char dir[512];

    if (!data) cr_skip_test("TAPER_TEST_DATA names no folder with gpt2-bpe");
    snprintf(dir, sizeof dir, "%s/gpt2-bpe", data);
    tp_tokenizer *t = tp_data_gpt2(dir);
    cr_assert(t, "%s", tp_error());
    CASE("GPT-2");
    CHECK(tp_data_tokens(t) == 50257 && tp_data_token_id(t, "<|endoftext|>") == 50256);
    check_tokens(t, "Hello world", 11, (int64_t[]){ 15496, 995 }, 2);
    check_golden(t, TP_GOLDEN "/bpe/gpt2.txt");
    tp_data_tokenizer_free(t);
}

/* Long pieces: n log n, so that a megabyte without a gap takes no hours. */
Test(tokenizer, long_pieces, .timeout = 60)
{
    enum { N = 1 << 20 };
    tp_tokenizer *t = tp_data_bpe(VOCAB, MERGES, NULL);
    char *text = malloc(N + 1), *back = malloc(N + 1);
    tp_tensor *ids;

    CASE("z without end");
    memset(text, 'z', N), text[N] = 0;
    ids = tp_data_encode(t, text, N); /* zz and zz: "zz z" comes before "z z", but needs it */
    CHECK(ids && tp_count(ids) == N / 2 && tp_data_decode(t, ids, back, N + 1) == N && !memcmp(text, back, N));
    CASE("the lower without end");
    for (int i = 0; i < N; i++)
        text[i] = "thelowernewest"[i * 7 % 14];
    ids = tp_data_encode(t, text, N);
    CHECK(ids && tp_data_decode(t, ids, back, N + 1) == N && !memcmp(text, back, N));
    free(text), free(back);
    tp_data_tokenizer_free(t);
}

/* A vocabulary of a, b, ab and a few more. */
static tp_tokenizer *small(const char *vocab, const char *merges, const char *unknown)
{
    put_text("vocab.json", vocab), put_text("merges.txt", merges);
    return tp_data_bpe(in_folder("vocab.json"), in_folder("merges.txt"), unknown);
}

Test(tokenizer, byte_pairs_refused, IN_FOLDER)
{
    static const char vocab[] = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"<unk>\": 3}";
    static const struct {
        const char *merges, *why;
    } bad[] = { { "#version: 0.2\na b\na b\n", "merges.txt: line 3: a pair that was there before: \"a b\"" },
                { "a c\n", "line 1: a part is not in the vocabulary: \"a c\"" },
                { "a b\nab a\n", "line 2: what it makes is not in the vocabulary: \"ab a\"" },
                { "ab\n", "line 1: no pair with a space between: \"ab\"" },
                { "a  b\n", "no pair" },
                { " b\n", "no pair" },
                { "a \n", "no pair" },
                { "a b c\n", "no pair" },
                { "a b\n#version: 0.2\n", "line 2: a part is not" } };

    for (int i = 0; i < TP_LEN(bad); i++) {
        CASE("merges %d", i);
        CHECK_REFUSED(small(vocab, bad[i].merges, NULL), TP_ERR_FORMAT, bad[i].why);
    }
    CASE("vocabularies");
    CHECK_REFUSED(small("{\"a\": 0, \"a\": 1}", "", NULL), TP_ERR_FORMAT, "duplicate object key");
    CHECK_REFUSED(small("{\"a\": 0, \"b\": 2}", "", NULL), TP_ERR_FORMAT, "the numbers 0 to 1 are wanted");
    CHECK_REFUSED(small("{\"a\": 0", "", NULL), TP_ERR_FORMAT, "vocab.json: line 1");
    CHECK_REFUSED(small(vocab, "", "<u>"), TP_ERR_ARG, "the unknown token \"<u>\" is not in it");
    CASE("bytes without a token");
    tp_tokenizer *t = small(vocab, "a b\r\n\n", NULL);
    check_tokens(t, "abba", 4, (int64_t[]){ 2, 1, 0 }, 3);
    CHECK_REFUSED(tp_data_encode(t, "ab c", 4), TP_ERR_ARG, "byte 0x20 at 2 has no token in the vocabulary");
    tp_data_tokenizer_free(t);
    t = small(vocab, "a b", "<unk>");
    tp_tensor *ids = tp_data_encode(t, "acab", 4);
    CHECK(tp_count(ids) == 3 && check_at(ids, 1) == 3 && check_at(ids, 2) == 2);
    tp_data_tokenizer_free(t);
    CASE("folders");
    t = tp_data_gpt2(folder);
    CHECK(t && tp_data_tokens(t) == 4);
    tp_data_tokenizer_free(t);
    unlink(in_folder("merges.txt"));
    CHECK_REFUSED(tp_data_gpt2(folder), TP_ERR_IO, "merges.txt can't be read: No such file");
    unlink(in_folder("vocab.json"));
    CHECK_REFUSED(tp_data_gpt2(folder), TP_ERR_IO, "neither encoder.json nor vocab.json");
    CHECK_REFUSED(tp_data_gpt2(NULL), TP_ERR_ARG, "missing folder");
    CHECK_REFUSED(tp_data_bpe(NULL, NULL, NULL), TP_ERR_ARG, "missing path");
}

static bool use_pairs(void)
{
    tp_tokenizer *t = tp_data_bpe(in_folder("vocab.json"), in_folder("merges.txt"), NULL);
    TP_SCOPE;
    bool ok = t && tp_data_special(t, "<s>") && tp_data_encode(t, "abba<s>ab", 9);

    tp_data_tokenizer_free(t);
    return ok;
}

static bool use_characters(void)
{
    tp_tokenizer *t = tp_data_chars("ab", 2, "<u>"), *u = NULL;
    TP_SCOPE;
    bool ok = t && tp_data_special(t, "<s>") && tp_data_tokenizer_save(t, in_folder("c.json")) &&
              (u = tp_data_tokenizer_load(in_folder("c.json"))) && tp_data_text(in_folder("c.json"), u);

    tp_data_tokenizer_free(t), tp_data_tokenizer_free(u);
    return ok;
}

static bool use_text(void)
{
    tp_tokenizer *t = tp_data_bpe(VOCAB, MERGES, NULL), *u = NULL;
    size_t n = t ? tp_data_tokenizer_text(t, NULL, 0) : 0;
    char *text = malloc(n + 1);

    if (text && n && tp_data_tokenizer_text(t, text, n + 1)) u = tp_data_tokenizer_parse(text, n);
    free(text), tp_data_tokenizer_free(t), tp_data_tokenizer_free(u);
    return u != NULL;
}

/* ---- as JSON ---- */

static void check_ids(const tp_tokenizer *t, const char *s, const int64_t *id, int64_t n)
{
    tp_tensor *ids = tp_data_encode(t, s, strlen(s));

    CHECK(tp_count(ids) == n);
    for (int64_t i = 0; i < n && i < tp_count(ids); i++)
        CHECK(check_at(ids, i) == (double)id[i]);
}

/* t, which goes, becomes text and a file: what is read again encodes s alike. */
static void check_json(tp_tokenizer *t, const char *s)
{
    size_t n = tp_data_tokenizer_text(t, NULL, 0);
    char *text = malloc(n + 1), back[256], cut[8];
    int64_t id[64];
    tp_tokenizer *by_text, *by_file;
    TP_SCOPE;
    tp_tensor *ids = tp_data_encode(t, s, strlen(s));

    cr_assert(text);
    CHECK(n > 8 && tp_data_tokenizer_text(t, text, n + 1) == n && strlen(text) == n && tp_data_tokenizer_save(t, in_folder("t.json")));
    CHECK(tp_data_tokenizer_text(t, cut, sizeof cut) == n && !strncmp(cut, text, 7) && !cut[7]);
    by_text = tp_data_tokenizer_parse(text, n), by_file = tp_data_tokenizer_load(in_folder("t.json"));
    CHECK(tp_data_tokens(by_text) == tp_data_tokens(t) && tp_data_tokens(by_file) == tp_data_tokens(t));
    CHECK(tp_count(ids) <= TP_LEN(id) && tp_read(ids, id, sizeof *id * (size_t)tp_count(ids)));
    check_ids(by_text, s, id, tp_count(ids)), check_ids(by_file, s, id, tp_count(ids));
    CHECK(tp_data_decode(t, ids, back, sizeof back) && *back);
    free(text), tp_data_tokenizer_free(t), tp_data_tokenizer_free(by_text), tp_data_tokenizer_free(by_file);
}

Test(tokenizer, all_kinds_as_json, IN_FOLDER)
{
    tp_tokenizer *t;

    CASE("characters");
    check_json(tp_data_chars("ab\"\\\n", 5, "<unk>"), "a\"b\\z\n");
    CASE("words");
    check_json(tp_data_words("red apple", 9, "<unk>"), "red pear");
    CASE("byte pairs");
    t = tp_data_bpe(VOCAB, MERGES, NULL);
    CHECK(tp_data_special(t, "[new]") && tp_data_special(t, "[\xC3\xA9]") && tp_data_special(t, " the"));
    check_json(t, "see the [new] \xC3\xA9 [\xC3\xA9] thing ");
    CASE("pieces of words");
    t = tp_data_wordpiece(put_text("v.txt", "[UNK]\n[CLS]\nrun\n##ning\n"), true);
    CHECK(tp_data_special(t, "[CLS]"));
    check_json(t, "[CLS]Running z");
    t = tp_data_wordpiece(put_text("v.txt", "[UNK]\nrun\nRun\n##ning\n"), false), check_json(t, "Running running");
}

Test(tokenizer, json_refused)
{
    static const struct {
        const char *json, *why;
    } bad[] = { { "", "line 1" },
                { "[1]", "no JSON object" },
                { "{\"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [\"a b\"]}", "what it makes is not in the vocabulary" },
                { "{\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\", \"a b\"]}", "a pair that was there before" },
                { "{\"vocab\": {\"a\": 0}, \"merges\": [7]}", "merge 0 is no text" },
                { "{\"vocab\": {\"a\": 0}, \"merges\": [\"\"]}", "no pair with a space between" },
                { "{\"vocab\": {\"a\": 0}, \"wordpiece\": {}}", "pieces of words have an unknown token" } };

    for (int i = 0; i < TP_LEN(bad); i++) {
        CASE("%s", bad[i].json);
        CHECK_REFUSED(tp_data_tokenizer_parse(bad[i].json, strlen(bad[i].json)), TP_ERR_FORMAT, bad[i].why);
    }
    CHECK_REFUSED(tp_data_tokenizer_parse(NULL, 3), TP_ERR_ARG, "missing text");
    CHECK_REFUSED(tp_data_tokenizer_text(NULL, NULL, 0), TP_ERR_ARG, "missing tokenizer");
}

Test(tokenizer, out_of_memory, IN_FOLDER)
{
    tp_data_tokenizer_free(small("{\"a\": 0, \"b\": 1, \"ab\": 2}", "a b\n", NULL));
    CASE("byte pairs");
    check_memory(use_pairs);
    CASE("characters");
    check_memory(use_characters);
    CASE("as text");
    check_memory(use_text);
}
