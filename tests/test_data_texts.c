/*
 * test_data_texts.c - texts to learn from: tables of text, byte pairs that are learned, pieces
 * of words as BERT's, rows and their order, BLEU of plain text.
 *
 * golden/texts holds what golden/texts.py says of them.  With TAPER_TEST_DATA naming a folder
 * that has bert-wordpiece/vocab.txt, BERT's own vocabulary is tried too.
 */
#include "tests/data.h"

#define TEXTS TP_GOLDEN "/texts"

static char *whole_file(const char *path)
{
    size_t n;
    char *all = read_whole(path, &n);

    cr_assert(all, "%s is missing", path);
    return all;
}

/* Text in hexadecimal, "-" being empty. */
static size_t unhex(const char *hex, char *text)
{
    size_t n = *hex == '-' ? 0 : strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        unsigned v;

        sscanf(hex + 2 * i, "%2x", &v);
        text[i] = (char)v;
    }
    return text[n] = 0, n;
}

/* ---- tables ---- */

Test(texts, tables, IN_FOLDER)
{
    tp_csv_opts tabs = { .delimiter = '\t', .no_quotes = true, .header = TP_HEADER_NO },
                commas = { .header = TP_HEADER_YES };
    tp_table *t;

    CASE("between tabs");
    t = tp_data_table(put_text("t.tsv", "a \"b\t1\n\xC3\xA9,\t\n"), tabs);
    CHECK(tp_data_table_rows(t) == 2 && tp_data_table_columns(t) == 2);
    CHECK(!strcmp(tp_data_table_at(t, 0, 0), "a \"b") &&
          !strcmp(tp_data_table_at(t, 1, 0), "\xC3\xA9,") && !*tp_data_table_at(t, 1, 1));
    CHECK(!tp_data_table_at(t, 2, 0) && !tp_data_table_at(t, 0, 2) &&
          !tp_data_table_at(t, -1, 0) && !tp_data_table_at(t, 0, -1));
    tp_data_table_free(t);
    CASE("between commas");
    t = tp_data_table(put_text("t.csv", "label,text\nx,\"a, b\"\n"), commas);
    CHECK(tp_data_table_rows(t) == 1 && !strcmp(tp_data_table_at(t, 0, 1), "a, b"));
    tp_data_table_free(t);
    CASE("refused");
    CHECK_REFUSED(tp_data_table(put_text("t", "a\tb\nc\n"), tabs), TP_ERR_FORMAT,
                  "line 2 has 1 fields: 2 are wanted");
    CHECK_REFUSED(tp_data_table(put_text("t", ""), tabs), TP_ERR_FORMAT,
                  "there are no rows in it");
    CHECK_REFUSED(tp_data_table(in_folder("none"), tabs), TP_ERR_IO,
                  "none can't be read");
    CHECK_REFUSED(tp_data_table(NULL, tabs), TP_ERR_ARG, "missing");
    CHECK(!tp_data_table_rows(NULL) && !tp_data_table_columns(NULL) &&
          !tp_data_table_at(NULL, 0, 0));
    tp_data_table_free(NULL);
}

/* Rows below the header that is found, of a table of a first line and `n` times two others. */
static int64_t rows_below(const char *first, int n, const char *a, const char *b)
{
    char text[8192];
    size_t at = (size_t)sprintf(text, "%s\n", first);

    for (int i = 0; i < n; i++)
        at += (size_t)sprintf(text + at, "%s%d\n%s%d\n", a, i, b, -i);
    tp_table *t = tp_data_table(put_text("h.tsv", text), (tp_csv_opts){ .delimiter = '\t' });
    int64_t rows = tp_data_table_rows(t);

    tp_data_table_free(t);
    return rows;
}

Test(texts, headers_of_tables, IN_FOLDER)
{
    CASE("a name above categories");
    CHECK(rows_below("label\ttext", 10, "good\ta", "bad\tb") == 20);
    CHECK(rows_below("text\tlabel\tnumber", 10, "a\tgood\t", "b\tbad\t") == 20);
    CASE("a category above them");
    CHECK(rows_below("bad\ttext", 10, "good\ta", "bad\tb") == 21);
    CASE("few rows tell nothing");
    CHECK(rows_below("label\ttext", 9, "good\ta", "bad\tb") == 19);
    CASE("texts that all differ have no name");
    CHECK(rows_below("text", 20, "a", "c") == 41);
    CASE("a name above numbers");
    CHECK(rows_below("text\tscore", 20, "a\t", "c\t") == 40);
    CASE("a number is no name");
    CHECK(rows_below("text\t1", 20, "a\t", "c\t") == 41 && rows_below("7\ttext", 20, "good\ta", "bad\tb") == 41);
    CASE("one row, and one option that is wrong");
    CHECK(rows_below("label\ttext", 0, "", "") == 1);
    CHECK_REFUSED(tp_data_table(put_text("t", "a\n"), (tp_csv_opts){ .header = (tp_header)7 }), TP_ERR_ARG, "tp_data_table: header 7: a tp_header is wanted");
    CHECK_REFUSED(tp_data_table(put_text("t", "a\n"), (tp_csv_opts){ .skip = -1 }), TP_ERR_ARG, "tp_data_table: skip -1");
    CHECK_REFUSED(tp_data_table(put_text("t", "a\n"), (tp_csv_opts){ .header = TP_HEADER_YES }), TP_ERR_FORMAT, "tp_data_table: ");
}

/* ---- byte pairs ---- */

enum { MOST_LINES = 200 };

static int cut_lines(char *all, const char **line)
{
    int n = 0;

    for (char *rest = all, *s; (s = strsep(&rest, "\n")) && *s;)
        line[n++] = s;
    return n;
}

/* The first lines of a file that another should be. */
static void check_beginning(const char *path, const char *want, int lines)
{
    char *got = whole_file(path), *all = whole_file(want), *end = all;

    for (int i = 0; i < lines && (end = strchr(end, '\n')); i++)
        end++;
    if (end) *end = 0;
    CHECK(!strcmp(got, all));
    free(got), free(all);
}

Test(texts, byte_pairs_are_learned, IN_FOLDER)
{
    const char *line[MOST_LINES];
    char *all = whole_file(TEXTS "/learned.txt"), back[512];
    int n = cut_lines(all, line);
    tp_tokenizer *t, *u;

    CASE("until no pair occurs twice");
    t = tp_data_bpe_learn(line, n, 400);
    CHECK(n == 80 && tp_data_tokens(t) == 256 + 95 && tp_data_bpe_save(t, in_folder("")));
    check_beginning(in_folder("vocab.bpe"), TEXTS "/learned.bpe", 1000);
    CASE("read back");
    u = tp_data_gpt2(in_folder(""));
    CHECK(tp_data_tokens(u) == tp_data_tokens(t));
    for (int i = 0; i < n; i++) {
        TP_SCOPE;
        tp_tensor *a = tp_data_encode(t, line[i], strlen(line[i])),
                  *b = tp_data_encode(u, line[i], strlen(line[i]));

        CHECK(tp_count(a) == tp_count(b) && tp_count(a) < 40 &&
              tp_allclose(tp_cast(a, TP_F64), tp_cast(b, TP_F64), 0, 0));
        CHECK(tp_data_decode(t, a, back, sizeof back) == strlen(line[i]) &&
              !strcmp(back, line[i]));
    }
    tp_data_tokenizer_free(t), tp_data_tokenizer_free(u);
    CASE("as many as are asked for, and special ones behind");
    t = tp_data_bpe_learn(line, n, 300);
    CHECK(tp_data_tokens(t) == 300 && tp_rows_marked(t, 8).padding == 300 &&
          tp_data_bpe_save(t, in_folder("")));
    check_beginning(in_folder("vocab.bpe"), TEXTS "/learned.bpe", 45);
    u = tp_data_gpt2(in_folder(""));
    CHECK(tp_data_tokens(u) == 303 && tp_rows_marked(u, 8).end == 302 &&
          tp_data_tokens(u) == 303);
    tp_data_tokenizer_free(t), tp_data_tokenizer_free(u), free(all);
    CASE("of nothing");
    t = tp_data_bpe_learn(NULL, 0, 256);
    CHECK(tp_data_tokens(t) == 256 && tp_count(tp_data_encode(t, "\xC3\xA9", 2)) == 2 &&
          tp_data_token_id(t, "!") == 0);
    tp_data_tokenizer_free(t);
}

Test(texts, byte_pairs_refused, IN_FOLDER)
{
    const char *text[] = { "ok", "a\xFF", NULL };
    tp_tokenizer *t = tp_data_chars("ab", 2, NULL), *b = tp_data_bpe_learn(text, 1, 300);

    CHECK_REFUSED(tp_data_bpe_learn(text, 2, 300), TP_ERR_FORMAT,
                  "byte 1 of text 1 is no UTF-8");
    CHECK_REFUSED(tp_data_bpe_learn(text + 2, 1, 300), TP_ERR_ARG, "text 0 is missing");
    CHECK_REFUSED(tp_data_bpe_learn(NULL, 3, 300), TP_ERR_ARG, "missing texts");
    CHECK_REFUSED(tp_data_bpe_learn(text, 1, 255), TP_ERR_ARG,
                  "255 tokens: 256 at least");
    CHECK_REFUSED(tp_data_bpe_learn(text, 1, INT64_MAX), TP_ERR_ARG, "tokens");
    CHECK_REFUSED(tp_data_bpe_save(t, in_folder("")), TP_ERR_ARG, "none of byte pairs");
    CHECK_REFUSED(tp_data_bpe_save(b, in_folder("no")), TP_ERR_IO,
                  "encoder.json can't be written");
    tp_data_tokenizer_free(t), tp_data_tokenizer_free(b);
}

/* ---- pieces of words ---- */

static void check_pieces(const tp_tokenizer *t, const char *path)
{
    char *all = whole_file(path), *rest = all, *line, text[1024];
    int lines = 0;

    while ((line = strsep(&rest, "\n")) && *line) {
        TP_SCOPE;
        size_t n = unhex(strsep(&line, " "), text);
        tp_tensor *ids = tp_data_encode(t, text, n);
        int64_t count = 0;

        CASE("%.80s, line %d: \"%.40s\"", path, ++lines, text);
        for (char *id; line && (id = strsep(&line, " ")); count++)
            CHECK_NEAR(check_at(ids, count < tp_count(ids) ? count : 0), atof(id), 0);
        CHECK(ids && tp_count(ids) == count);
    }
    CHECK(lines > 100);
    free(all);
}

Test(texts, pieces_are_berts, IN_FOLDER)
{
    tp_tokenizer *lower = tp_data_wordpiece(TEXTS "/vocab.txt", true),
                 *cased = tp_data_wordpiece(TEXTS "/vocab.txt", false);
    char back[64];

    check_pieces(lower, TEXTS "/lower.txt"), check_pieces(cased, TEXTS "/cased.txt");
    CASE("tokens and text");
    CHECK(tp_data_tokens(lower) == 62 && tp_data_token_id(lower, "##ing") == 12 &&
          tp_data_token_id(lower, "ing") == -1);
    CHECK(tp_data_decode(lower, tp_data_encode(lower, "Running", 7), back, sizeof back) ==
              7 &&
          !strcmp(back, "running"));
    CASE("special tokens");
    tp_rows_opts o = tp_rows_marked(lower, 8);
    CHECK(o.padding == 0 && o.begin == 2 && o.end == 3 && tp_data_tokens(lower) == 62);
    CHECK(tp_count(tp_data_encode(lower, "[CLS]a[SEP]", 11)) == 3);
    CASE("refused");
    CHECK_REFUSED(tp_data_encode(lower, "a\xFF", 2), TP_ERR_FORMAT,
                  "byte 1 of the text is no UTF-8");
    CHECK_REFUSED(tp_data_wordpiece(put_text("v", "a\nb\n"), true), TP_ERR_FORMAT,
                  "there is no [UNK] among its 2 tokens");
    CHECK_REFUSED(tp_data_wordpiece(put_text("v", "a\n\n[UNK]\n"), true), TP_ERR_FORMAT,
                  "line 2 is empty");
    CHECK_REFUSED(tp_data_wordpiece(put_text("v", "a\n[UNK]\na\n"), true), TP_ERR_FORMAT,
                  "line 3: \"a\" was there before");
    CHECK_REFUSED(tp_data_wordpiece(in_folder("none"), true), TP_ERR_IO,
                  "none can't be read");
    CHECK_REFUSED(tp_data_wordpiece(NULL, true), TP_ERR_ARG, "missing");
    tp_data_tokenizer_free(lower), tp_data_tokenizer_free(cased);
    CASE("line ends of another system");
    cased = tp_data_wordpiece(put_text("v", "[UNK]\r\na\r\n##b"), false);
    CHECK(tp_data_tokens(cased) == 3 && tp_count(tp_data_encode(cased, "ab", 2)) == 2);
    tp_data_tokenizer_free(cased);
}

Test(texts, bert_itself, IN_FOLDER)
{
    char path[1024];
    tp_tokenizer *t;

    if (!getenv("TAPER_TEST_DATA"))
        cr_skip_test("TAPER_TEST_DATA names no folder with BERT's vocabulary");
    snprintf(path, sizeof path, "%s/bert-wordpiece/vocab.txt", getenv("TAPER_TEST_DATA"));
    t = tp_data_wordpiece(path, true);
    CHECK(tp_data_tokens(t) == 30522);
    check_pieces(t, TEXTS "/own.txt");
    tp_data_tokenizer_free(t);
}

/* ---- rows ---- */

Test(texts, rows, IN_FOLDER)
{
    const char *text[] = { "ab", "", "abcabc", "a<s>b" };
    tp_tokenizer *t = tp_data_chars("abc<s>", 6, NULL);
    TP_SCOPE;
    tp_rows_opts o = tp_rows_marked(t, 5), plain = tp_rows_defaults(),
                 wrong = { .most = 5 };
    int64_t P = o.padding, B = o.begin, E = o.end, cut = 0;
    int64_t a = tp_data_token_id(t, "a"), b = a + 1, c = a + 2;
    int64_t want[] = { B, a, b, E, P, B, E, P, P, P, B, a, b, c, E, B, a, B, b, E };
    tp_tensor *y, *lengths, *short_ones;
    char back[16];

    CASE("rows");
    o.cut = &cut;
    CHECK((y = tp_data_rows(t, text, 4, o, &lengths)) && tp_dim(y, 0) == 4 &&
          tp_dim(y, 1) == 5 && cut == 1);
    for (int i = 0; i < 20; i++)
        CHECK_NEAR(check_at(y, i), (double)want[i], 0);
    CHECK(check_at(lengths, 0) == 4 && check_at(lengths, 1) == 2 &&
          check_at(lengths, 2) == 5 && check_at(lengths, 3) == 5);
    CHECK(tp_data_row(t, y, 0, o, back, sizeof back) == 2 && !strcmp(back, "ab"));
    CHECK(tp_data_row(t, y, 1, o, back, sizeof back) == 0 && !*back &&
          tp_data_row(t, y, 2, o, back, 3) == 3 && !strcmp(back, "ab"));
    CASE("trimmed");
    short_ones = tp_data_trim(tp_slice(y, 0, 0, 2), tp_slice(lengths, 0, 0, 2));
    CHECK(tp_dim(short_ones, 1) == 4 && check_at(short_ones, 3) == (double)E &&
          check_at(short_ones, 4) == (double)B);
    CHECK(tp_dim(tp_data_trim(tp_slice(y, 0, 0, 0), tp_slice(lengths, 0, 0, 0)), 1) == 0);
    CASE("nothing around");
    plain.most = 4;
    CHECK((y = tp_data_rows(t, text, 2, plain, NULL)) && check_at(y, 0) == (double)a &&
          check_at(y, 4) == 0);
    CHECK(tp_count(tp_data_rows(t, NULL, 0, plain, NULL)) == 0);
    CASE("refused");
    CHECK_REFUSED(tp_data_rows(t, text, 2, wrong, NULL), TP_ERR_ARG,
                  "start from tp_rows_defaults()");
    CHECK_REFUSED(tp_data_rows(NULL, text, 2, plain, NULL), TP_ERR_ARG,
                  "missing tokenizer or texts");
    CHECK_REFUSED(tp_data_rows(t, NULL, 2, plain, NULL), TP_ERR_ARG,
                  "missing tokenizer or texts");
    CHECK_REFUSED(tp_data_rows(t, (const char *[]){ NULL }, 1, plain, NULL), TP_ERR_ARG,
                  "a text is missing");
    CHECK_REFUSED(tp_data_rows(t, (const char *[]){ "z" }, 1, plain, NULL), TP_ERR_ARG,
                  "is not in the vocabulary");
    o.most = 2;
    CHECK_REFUSED(tp_data_rows(t, text, 2, o, NULL), TP_ERR_ARG, "rows of 2 symbols");
    plain.begin = 99;
    CHECK_REFUSED(tp_data_rows(t, text, 2, plain, NULL), TP_ERR_ARG,
                  "symbol 99: there are");
    CHECK_REFUSED(tp_data_row(t, y, 9, o, back, sizeof back), TP_ERR_ARG,
                  "row 9 of i64 (2, 4)");
    CHECK_REFUSED(tp_data_row(NULL, NULL, 0, o, NULL, 0), TP_ERR_ARG,
                  "missing tokenizer");
    CHECK_REFUSED(tp_data_trim(y, lengths), TP_ERR_SHAPE,
                  "rows i64 (2, 4) and lengths i64 (4)");
    CHECK_REFUSED(tp_data_trim(NULL, lengths), TP_ERR_ARG, "missing");
    CHECK_REFUSED(tp_rows_marked(NULL, 4).begin >= 0, TP_ERR_ARG, "missing tokenizer");
    tp_data_tokenizer_free(t);
}

/* ---- an order by length ---- */

static tp_tensor *some_lengths(int64_t n)
{
    return tp_cast(check_numbers(TP_SHAPE(n), TP_F64, 1, 50, tp_device_open("cpu")),
                   TP_I64);
}

/* One pass: how often each sample comes, and the widest batch. */
static double pass(tp_loader *l, int64_t n, int *seen, int64_t *first)
{
    double widest = 0;
    tp_batch b;

    memset(seen, 0, sizeof *seen * (size_t)n), *first = -1;
    while (tp_data_next(l, &b)) {
        double low = INFINITY, high = 0;

        for (int64_t i = 0; i < b.size; i++) {
            int64_t at = (int64_t)check_at(b.x, i);

            seen[at]++, low = fmin(low, check_at(b.y, i)),
                        high = fmax(high, check_at(b.y, i));
            if (*first < 0) *first = at;
        }
        widest = fmax(widest, high - low);
    }
    return widest;
}

Test(texts, batches_of_a_length, .timeout = 60)
{
    int64_t sizes[] = { 0, 1, 7, 8, 100, 1000 };
    tp_device *dev = tp_device_open("cpu");
    int seen[1000];

    for (int k = 2; k < TP_LEN(sizes); k++) {
        TP_SCOPE;
        int64_t n = sizes[k], first[2];
        tp_tensor *lengths = some_lengths(n),
                  *number = tp_arange(0, (double)n, 1, TP_I64, dev);
        tp_loader *l = tp_data_rows_loader(
            TP_LIST(number, lengths), lengths, 0, n,
            (tp_loader_opts){ .batch = 8, .shuffle = true, .seed = 3 });
        double widest;

        CASE("%lld samples", (long long)n);
        CHECK(tp_data_batches(l) == (n + 7) / 8);
        for (int p = 0; p < 2; p++) {
            widest = pass(l, n, seen, &first[p]);
            for (int64_t i = 0; i < n; i++)
                CHECK(seen[i] == 1);
            CHECK(n < 1000 || widest < 12); /* of 49, sorted 256 at a time */
        }
        CHECK(n < 100 || first[0] != first[1]);
        tp_data_free(l);
    }
    CASE("a part, and two lengths of each");
    TP_SCOPE;
    tp_tensor *two = tp_reshape(some_lengths(40), TP_SHAPE(20, 2)),
              *number = tp_arange(0, 20, 1, TP_I64, dev);
    int64_t first;
    tp_loader *l = tp_data_rows_loader(TP_LIST(number, tp_sum(two, TP_AXES(1))), two, 5,
                                       17, (tp_loader_opts){ .batch = 12 });
    CHECK(tp_data_count(tp_data_of(l)) == 12);
    pass(l, 20, seen, &first);
    for (int i = 0; i < 20; i++)
        CHECK(seen[i] == (i >= 5 && i < 17));
    tp_data_free(l);
    CASE("from the shortest to the longest, each pass");
    l = tp_data_rows_loader(TP_LIST(number, tp_sum(two, TP_AXES(1))), two, 5, 17,
                            (tp_loader_opts){ .batch = 5, .seed = 3 });
    for (int p = 0; p < 2; p++) {
        double last = 0;

        for (tp_batch b; tp_data_next(l, &b);)
            for (int64_t i = 0; i < b.size; i++) {
                CHECK(check_at(b.y, i) >= last);
                last = check_at(b.y, i);
            }
    }
    tp_data_free(l);
    CASE("refused");
    CHECK_REFUSED(tp_data_by_length(tp_ones(TP_SHAPE(3), TP_F32, dev), 2), TP_ERR_ARG,
                  "lengths are f32 (3)");
    CHECK_REFUSED(tp_data_by_length(number, 0), TP_ERR_ARG, "batches of 0");
    CHECK_REFUSED(tp_data_by_length(NULL, 1), TP_ERR_ARG, "missing");
    CHECK_REFUSED(tp_data_rows_loader(TP_LIST(number), two, 5, 30, (tp_loader_opts){ 0 }),
                  TP_ERR_ARG, "30");
    CHECK_REFUSED(tp_data_rows_loader(TP_LIST(number), tp_ones(TP_SHAPE(3), TP_I64, dev),
                                      0, 3, (tp_loader_opts){ 0 }),
                  TP_ERR_SHAPE, "20 samples and 3 lengths");
    CHECK_REFUSED(tp_data_rows_loader(TP_LIST(number), NULL, 0, 3, (tp_loader_opts){ 0 }),
                  TP_ERR_ARG, "missing");
}

/* ---- BLEU of plain text ---- */

Test(texts, bleu_of_text)
{
    char *all = whole_file(TEXTS "/bleu.txt"), *rest = all, *line, own[512], ref[512];
    const char *refs[] = { ref, NULL };
    tp_metric *m = tp_metric_bleu((tp_bleu_opts){ 0 });
    int lines = 0;

    while ((line = strsep(&rest, "\n")) && *line) {
        double want = atof(strsep(&line, " "));

        unhex(strsep(&line, " "), own), unhex(line, ref);
        CASE("\"%.80s\"", own);
        tp_metric_reset(m), lines++;
        CHECK(tp_metric_bleu_text(m, own, refs, 1));
        CHECK_NEAR(tp_metric_value(m), want, 1e-12);
    }
    CHECK(lines == 7);
    CHECK_REFUSED(tp_metric_bleu_text(m, NULL, refs, 1), TP_ERR_ARG,
                  "a text and at least one reference");
    CHECK_REFUSED(tp_metric_bleu_text(m, own, refs, 0), TP_ERR_ARG,
                  "a text and at least one reference");
    CHECK_REFUSED(tp_metric_bleu_text(m, own, refs, 2), TP_ERR_ARG,
                  "reference 1 is missing");
    CHECK(!tp_metric_bleu_text(NULL, own, refs, 1));
    tp_metric_free(m), free(all);
}
