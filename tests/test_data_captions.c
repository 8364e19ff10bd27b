/*
 * test_data_captions.c - tokens of words, several texts at once, and pictures with what the names of
 * their files say.
 */
#include "tests/data.h"

/* ---- words ---- */

static void check_words(const tp_tokenizer *t, const char *text, const int64_t *want, int64_t count, const char *back)
{
    TP_SCOPE;
    tp_tensor *ids = tp_data_encode(t, text, strlen(text));
    char got[64];

    CHECK(ids && tp_count(ids) == count);
    for (int64_t i = 0; ids && i < count; i++)
        CHECK_NEAR(check_at(ids, i), (double)want[i], 0);
    CHECK(tp_data_decode(t, ids, got, sizeof got) == strlen(back) && !strcmp(got, back));
    CHECK(tp_data_decode(t, ids, got, 3) == strlen(back) && !strncmp(got, back, 2));
}

Test(words, encoded_and_decoded, IN_FOLDER)
{
    static const char text[] = "red apple\tblue\n\nred  caf\xC3\xA9 ";
    tp_tokenizer *t = tp_data_words(text, strlen(text), NULL), *u = tp_data_words(text, strlen(text), "<unk>"), *v;

    CASE("in the order of their bytes");
    CHECK(t && tp_data_tokens(t) == 4 && tp_data_token_id(t, "apple") == 0 && tp_data_token_id(t, "red") == 3);
    check_words(t, "  red\r\nred apple caf\xC3\xA9", (int64_t[]){ 3, 3, 0, 2 }, 4, "red red apple caf\xC3\xA9");
    check_words(t, " \t", NULL, 0, "");
    CASE("unknown");
    CHECK_REFUSED(tp_data_encode(t, "red blorb", 9), TP_ERR_ARG, "\"blorb\" is not in the vocabulary of 4 words");
    CHECK_REFUSED(tp_data_encode(t, "Red", 3), TP_ERR_ARG, "\"Red\" is not in the vocabulary");
    check_words(u, "red blorb", (int64_t[]){ 3, 4 }, 2, "red <unk>");
    CASE("saved and loaded");
    CHECK(tp_data_special(u, "<end>") && tp_data_tokenizer_save(u, in_folder("w.json")) && (v = tp_data_tokenizer_load(in_folder("w.json"))));
    check_words(v, "apple<end>blorb", (int64_t[]){ 0, 5, 4 }, 3, "apple <end> <unk>");
    CHECK_REFUSED(tp_data_tokenizer_load(put_text("x.json", "{\"vocab\": {\"red\": 0}, \"unknown\": null, \"special\": []}")),
                  TP_ERR_FORMAT, "token \"red\" is no single character");
    CASE("refused");
    CHECK_REFUSED(tp_data_words(" \n", 2, NULL), TP_ERR_ARG, "there is no word in the text");
    CHECK_REFUSED(tp_data_words("", 0, NULL), TP_ERR_ARG, "there is no word in the text");
    CHECK_REFUSED(tp_data_words("a \xFF", 3, NULL), TP_ERR_FORMAT, "byte 2 of the text is no UTF-8, or 0");
    CHECK_REFUSED(tp_data_words("a b", 3, "b"), TP_ERR_ARG, "\"b\" can't be the unknown token");
    CHECK_REFUSED(tp_data_words(NULL, 3, NULL), TP_ERR_ARG, "missing text");
    tp_data_tokenizer_free(t), tp_data_tokenizer_free(u), tp_data_tokenizer_free(v);
}

/* ---- pictures and their names ---- */

static void make_pictures(void)
{
    make_test_folder();
    mkdir(in_folder("p"), 0777), mkdir(in_folder("p/deep"), 0777), mkdir(in_folder("q"), 0777), mkdir(in_folder("q/fruit"), 0777);
    put_text("p/red_apple.pgm", "P5 2 2 255\nabcd"), put_text("p/apple.with_dots.PGM", "P5 2 2 255\nefgh");
    put_text("p/blue_heart.pgm", "P5 2 2 255\nijkl"), put_text("q/fruit/red_apple.pgm", "P5 2 2 255\nabcd");
}

#define WITH_PICTURES .init = make_pictures, .fini = remove_test_folder, .timeout = 120

static tp_dataset *grey(const char *dir)
{
    return tp_data_images(in_folder(dir), (tp_images_opts){ .channels = 1 });
}

Test(captions, of_names, WITH_PICTURES)
{
    TP_SCOPE;
    tp_dataset *d = grey("p"), *part;
    tp_tokenizer *t = tp_data_caption_words(d);
    char text[32], small[4];

    CASE("what names say");
    CHECK(tp_data_caption(d, 2, text, sizeof text) == 9 && !strcmp(text, "red apple"));
    CHECK(tp_data_caption(d, 0, text, sizeof text) == 15 && !strcmp(text, "apple.with dots"));
    CHECK(tp_data_caption(d, 2, small, sizeof small) == 9 && !strcmp(small, "red") && tp_data_caption(d, 2, NULL, 0) == 9);
    CHECK(tp_data_tokens(t) == 6 && tp_data_token_id(t, "apple.with") == 1);
    CASE("as a field");
    d = tp_data_captions(d, t), tp_data_tokenizer_free(t);
    CHECK(d && tp_data_fields(d) == 2 && tp_data_shape(d, 1).n[0] == 2 && tp_data_dtype(d, 1) == TP_I64);
    CHECK(sample_at(d, 2, 1, 0) == 5 && sample_at(d, 2, 1, 1) == 0 && sample_at(d, 1, 1, 0) == 2 && sample_at(d, 1, 1, 1) == 4);
    CHECK_NEAR(sample_at(d, 2, 0, 0), 'a' / 255., 1e-7);
    CHECK(strstr(tp_data_image_path(d, 1), "blue_heart.pgm"));
    part = tp_data_range(tp_data_retain(d), 1, 2);
    CHECK(tp_data_caption(part, 0, text, sizeof text) == 10 && !strcmp(text, "blue heart"));
    tp_data_set_free(part);
    check_passes(d, (tp_loader_opts){ .batch = 2, .shuffle = true, .workers = 2 }, NULL, true);
    CASE("padding, behind a label");
    d = tp_data_image_folder(in_folder("q"), (tp_images_opts){ .channels = 1 });
    t = tp_data_words("red apple tree", 14, NULL);
    d = tp_data_captions(d, t);
    CHECK(tp_data_fields(d) == 3 && tp_data_classes(d) == 1 && sample_at(d, 0, 2, 0) == 1);
    tp_data_set_free(d), tp_data_tokenizer_free(t);
}

Test(captions, refused, WITH_PICTURES)
{
    tp_tensor *x = tp_zeros(TP_SHAPE(2, 3), TP_F32, tp_device_open("cpu"));
    tp_dataset *rows = tp_data_tensors(TP_LIST(x)), *d = grey("p");
    tp_tokenizer *t = tp_data_words("red apple", 9, NULL);
    char text[8] = "x";

    CHECK_REFUSED(tp_data_caption(rows, 0, text, sizeof text), TP_ERR_ARG, "sample 0 is no picture of a folder");
    CHECK_REFUSED(tp_data_caption(d, 3, NULL, 0), TP_ERR_ARG, "sample 3 is no picture of a folder");
    CHECK_REFUSED(tp_data_caption_words(rows), TP_ERR_ARG, "sample 0 is no picture of a folder");
    CHECK_REFUSED(tp_data_captions(rows, t), TP_ERR_ARG, "sample 0 is no picture of a folder");
    CHECK_REFUSED(tp_data_captions(d, t), TP_ERR_ARG, "\"apple.with\" is not in the vocabulary of 2 words");
    CHECK_REFUSED(tp_data_captions(grey("p"), NULL), TP_ERR_ARG, "missing data set or tokenizer");
    CHECK_REFUSED(tp_data_captions(NULL, t), TP_ERR_ARG, "missing data set or tokenizer");
    CHECK_REFUSED(tp_data_caption_words(NULL), TP_ERR_ARG, "missing data set");
    tp_data_tokenizer_free(t);
}

static bool use_captions(void)
{
    tp_dataset *d = grey("p");
    tp_tokenizer *t = tp_data_caption_words(d);
    TP_SCOPE;
    bool ok;

    d = tp_data_captions(d, t), ok = d && tp_ok();
    tp_data_tokenizer_free(t), tp_data_set_free(d);
    return ok;
}

static bool use_words(void)
{
    tp_tokenizer *t = tp_data_words("a b", 3, "<u>"), *u = NULL;
    TP_SCOPE;
    bool ok = t && tp_data_tokenizer_save(t, in_folder("c.json")) && (u = tp_data_tokenizer_load(in_folder("c.json"))) &&
              tp_data_encode(u, "b z", 3);

    tp_data_tokenizer_free(t), tp_data_tokenizer_free(u);
    return ok;
}

Test(captions, out_of_memory, WITH_PICTURES)
{
    CASE("captions");
    check_memory(use_captions);
    CASE("words");
    check_memory(use_words);
}
