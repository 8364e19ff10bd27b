/*
 * test_data_images.c - CIFAR, single pictures and folders of them: what comes, and what is refused.
 */
#include "tests/data.h"

#include <sys/stat.h>
#include <zlib.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb_image_write.h>
#pragma GCC diagnostic pop

/* ---- CIFAR ---- */

enum { RECORD = 3073 };

static unsigned char byte_of(int record, int k)
{
    return (unsigned char)(record * 31 + k * 7);
}

static void put_records(const char *name, int labels, int first, int n, int top)
{
    size_t bytes = (size_t)n * (size_t)(3072 + labels);
    unsigned char *b = malloc(bytes), *at = b;

    for (int i = first; i < first + n; i++) {
        if (labels == 2) *at++ = (unsigned char)(i % 20);
        *at++ = (unsigned char)(i % top);
        for (int k = 0; k < 3072; k++)
            *at++ = byte_of(i, k);
    }
    write_whole(in_folder(name), b, bytes);
    free(b);
}

static void make_cifar(void)
{
    make_test_folder();
    put_records("data_batch_1.bin", 1, 0, 3, 10), put_records("data_batch_2.bin", 1, 3, 2, 10);
    put_records("data_batch_4.bin", 1, 5, 2, 10); /* behind a gap: not taken */
    put_records("test_batch.bin", 1, 9, 1, 10);
    put_records("train.bin", 2, 7, 3, 100), put_records("test.bin", 2, 99, 1, 100);
}

Test(cifar, both, .init = make_cifar, .fini = remove_test_folder, .timeout = 120)
{
    tp_dataset *d = tp_data_cifar10(folder, "train");

    CASE("ten");
    CHECK(d && tp_data_count(d) == 5 && tp_data_classes(d) == 10 && tp_data_fields(d) == 2 && !tp_data_class(d, 0));
    CHECK(tp_data_shape(d, 0).rank == 3 && tp_data_shape(d, 0).n[0] == 3 && tp_data_shape(d, 0).n[2] == 32);
    for (int k = 0; k < 3072; k += 101)
        CHECK_NEAR(sample_at(d, 4, 0, k), (double)((float)byte_of(4, k) * (1 / 255.0f)), 0);
    CHECK_NEAR(sample_at(d, 4, 1, 0), 4, 0);
    CHECK_NEAR(check_at(tp_data_labels(d), 3), 3, 0);
    tp_data_set_free(d);
    CASE("names");
    put_text("batches.meta.txt", "airplane\r\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
    d = tp_data_cifar10(folder, "test");
    CHECK(d && tp_data_count(d) == 1 && !strcmp(tp_data_class(d, 0), "airplane") && !strcmp(tp_data_class(d, 9), "truck"));
    CHECK_NEAR(sample_at(d, 0, 1, 0), 9, 0);
    tp_data_set_free(d);
    CASE("hundred");
    d = tp_data_cifar100(folder, "train");
    CHECK(d && tp_data_count(d) == 3 && tp_data_classes(d) == 100 && tp_data_fields(d) == 3);
    CHECK_NEAR(sample_at(d, 2, 1, 0), 9, 0);
    CHECK_NEAR(sample_at(d, 2, 2, 0), 9, 0);
    CHECK_NEAR(sample_at(d, 1, 0, 3071), (double)((float)byte_of(8, 3071) * (1 / 255.0f)), 0);
    tp_data_set_free(d);
    d = tp_data_cifar100(folder, "test");
    CHECK_NEAR(sample_at(d, 0, 1, 0), 99, 0);
    CHECK_NEAR(sample_at(d, 0, 2, 0), 19, 0);
    tp_data_set_free(d);
}

Test(cifar, refuses, .init = make_cifar, .fini = remove_test_folder, .timeout = 120)
{
    unsigned char b[RECORD] = { 10 };

    CASE("sizes");
    for (int n = 0; n < RECORD; n += n < 3 || n > 3070 ? 1 : 511) {
        write_whole(in_folder("test_batch.bin"), b, (size_t)n);
        CHECK_REFUSED(tp_data_cifar10(folder, "test"), TP_ERR_FORMAT, "bytes: records of 3073 are wanted");
    }
    write_whole(in_folder("test.bin"), b, RECORD);
    CHECK_REFUSED(tp_data_cifar100(folder, "test"), TP_ERR_FORMAT, "records of 3074");
    CASE("labels");
    write_whole(in_folder("test_batch.bin"), b, RECORD);
    CHECK_REFUSED(tp_data_cifar10(folder, "test"), TP_ERR_FORMAT, "test_batch.bin: record 0 has the label 10: there are 10");
    put_records("test.bin", 2, 100, 1, 101);
    CHECK_REFUSED(tp_data_cifar100(folder, "test"), TP_ERR_FORMAT, "record 0 has the label 100");
    put_records("test.bin", 2, 5, 1, 100);
    b[0] = 20, b[1] = 5;
    write_whole(in_folder("test.bin"), b, RECORD), truncate(in_folder("test.bin"), RECORD + 1);
    CHECK_REFUSED(tp_data_cifar100(folder, "test"), TP_ERR_FORMAT, "record 0 has the coarse label 20");
    CASE("places");
    unlink(in_folder("data_batch_1.bin"));
    CHECK_REFUSED(tp_data_cifar10(folder, "train"), TP_ERR_IO, "data_batch_1.bin can't be read: No such file");
    CHECK_REFUSED(tp_data_cifar10(folder, "valid"), TP_ERR_ARG, "train or test");
    CHECK_REFUSED(tp_data_cifar10(folder, NULL), TP_ERR_ARG, "train or test");
    CHECK_REFUSED(tp_data_cifar100(NULL, "test"), TP_ERR_ARG, "missing folder");
    CASE("names");
    put_text("fine_label_names.txt", "apple\nbee\n");
    CHECK_REFUSED(tp_data_cifar100(folder, "train"), TP_ERR_FORMAT, "fine_label_names.txt: 2 names: 100 are wanted");
}

/* ---- pictures by hand ---- */

static unsigned char made[1 << 16];
static size_t made_n;

static void put_big(uint32_t v)
{
    for (int k = 3; k >= 0; k--)
        made[made_n++] = (unsigned char)(v >> 8 * k);
}

static void put_chunk(const char *type, const void *bytes, size_t n)
{
    size_t from = made_n + 4;

    put_big((uint32_t)n);
    memcpy(made + made_n, type, 4), memcpy(made + made_n + 4, bytes, n), made_n += 4 + n;
    put_big((uint32_t)crc32(crc32(0, NULL, 0), made + from, (unsigned)(made_n - from)));
}

/* Of an animation: its next picture of w by h, in chunks that other readers pass over. */
static void put_frame(unsigned char number, unsigned char w, unsigned char h, const void *packed, size_t n)
{
    unsigned char control[26] = { 0, 0, 0, number, 0, 0, 0, w, 0, 0, 0, h }, data[4096] = { 0, 0, 0, (unsigned char)(number + 1) };

    put_chunk("fcTL", control, sizeof control);
    memcpy(data + 4, packed, n), put_chunk("fdAT", data, 4 + n);
}

static bool animated; /* put_png: with a second picture, which is black */

/* A PNG whose rows, each after its filter byte 0, are `rows`. */
static const char *put_png(const char *name, uint32_t w, uint32_t h, int depth, int color, const void *palette, size_t palette_n,
                           const void *rows, size_t n)
{
    unsigned char head[13] = { w >> 24, (w >> 16) & 255, (w >> 8) & 255, w & 255, h >> 24, (h >> 16) & 255, (h >> 8) & 255, h & 255,
                               (unsigned char)depth, (unsigned char)color, 0, 0, 0 };
    static const unsigned char two_frames[8] = { 0, 0, 0, 2 }, black[64];
    unsigned char packed[4096], other[256];
    uLongf packed_n = sizeof packed, other_n = sizeof other;

    memcpy(made, "\x89PNG\r\n\x1a\n", 8), made_n = 8;
    put_chunk("IHDR", head, 13);
    if (animated) put_chunk("acTL", two_frames, 8);
    if (palette) put_chunk("PLTE", palette, palette_n);
    cr_assert(compress(packed, &packed_n, rows, n) == Z_OK);
    put_chunk("IDAT", packed, packed_n);
    cr_assert(compress(other, &other_n, black, n < sizeof black ? n : sizeof black) == Z_OK);
    if (animated) put_frame(0, (unsigned char)w, (unsigned char)h, other, other_n);
    put_chunk("IEND", "", 0);
    write_whole(in_folder(name), made, made_n);
    return in_folder(name);
}

/* 8 x 8 of the colour (60, 120, 180), by Pillow. */
static const unsigned char jpeg[] = {
    0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10, 0x4a, 0x46, 0x49, 0x46, 0x00, 0x01, 0x01, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00, 0x00,
    0xff, 0xdb, 0x00, 0x43, 0x00, 0x02, 0x01, 0x01, 0x01, 0x01, 0x01, 0x02, 0x01, 0x01, 0x01, 0x02, 0x02, 0x02, 0x02, 0x02,
    0x04, 0x03, 0x02, 0x02, 0x02, 0x02, 0x05, 0x04, 0x04, 0x03, 0x04, 0x06, 0x05, 0x06, 0x06, 0x06, 0x05, 0x06, 0x06, 0x06,
    0x07, 0x09, 0x08, 0x06, 0x07, 0x09, 0x07, 0x06, 0x06, 0x08, 0x0b, 0x08, 0x09, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x06, 0x08,
    0x0b, 0x0c, 0x0b, 0x0a, 0x0c, 0x09, 0x0a, 0x0a, 0x0a, 0xff, 0xdb, 0x00, 0x43, 0x01, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
    0x05, 0x03, 0x03, 0x05, 0x0a, 0x07, 0x06, 0x07, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a,
    0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a,
    0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0xff, 0xc0,
    0x00, 0x11, 0x08, 0x00, 0x08, 0x00, 0x08, 0x03, 0x01, 0x11, 0x00, 0x02, 0x11, 0x01, 0x03, 0x11, 0x01, 0xff, 0xc4, 0x00,
    0x14, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0xff,
    0xc4, 0x00, 0x14, 0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0xff, 0xc4, 0x00, 0x14, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x08, 0xff, 0xc4, 0x00, 0x14, 0x11, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xda, 0x00, 0x0c, 0x03, 0x01, 0x00, 0x02, 0x11, 0x03, 0x11, 0x00, 0x3f, 0x00, 0x33,
    0x28, 0x07, 0x37, 0xff, 0xd9,
};

static void check_picture(const char *path, int channels, int64_t c, int64_t h, int64_t w, const double *want, double tolerance)
{
    TP_SCOPE;
    tp_tensor *x = tp_data_image_load(path, channels, tp_device_open("cpu"));

    CHECK(x && tp_rank(x) == 3 && tp_dim(x, 0) == c && tp_dim(x, 1) == h && tp_dim(x, 2) == w);
    for (int64_t i = 0; x && i < c * h * w; i++)
        CHECK_NEAR(check_at(x, i), want[i], tolerance);
}

Test(pictures, kinds, IN_FOLDER)
{
    static const unsigned char rgb[] = { 255, 0, 0, 0, 255, 0, 0, 0, 255, 51, 102, 153 }; /* 2 x 2 */
    static const double planes[] = { 1, 0, 0, .2, 0, 1, 0, .4, 0, 0, 1, .6 }, grey[] = { .299, .587, .114, .299 * .2 + .587 * .4 + .114 * .6 };

    CASE("PNG");
    stbi_write_png(in_folder("a.png"), 2, 2, 3, rgb, 6);
    check_picture(in_folder("a.png"), 3, 3, 2, 2, planes, 1e-7);
    check_picture(in_folder("a.png"), 0, 3, 2, 2, planes, 1e-7);
    check_picture(in_folder("a.png"), 1, 1, 2, 2, grey, 1e-6);
    CASE("BMP, PPM");
    stbi_write_bmp(in_folder("a.bmp"), 2, 2, 3, rgb);
    check_picture(in_folder("a.bmp"), 3, 3, 2, 2, planes, 1e-7);
    memcpy(made, "P6\n# note\n2 2 255\n", 18), memcpy(made + 18, rgb, 12);
    write_whole(in_folder("a.ppm"), made, 30);
    check_picture(in_folder("a.ppm"), 0, 3, 2, 2, planes, 1e-7);
    write_whole(in_folder("a.pgm"), "P5 2 1 255\n\0\377", 13);
    check_picture(in_folder("a.pgm"), 0, 1, 1, 2, (double[]){ 0, 1 }, 0);
    check_picture(in_folder("a.pgm"), 3, 3, 1, 2, (double[]){ 0, 1, 0, 1, 0, 1 }, 0);
    CASE("JPEG, one colour");
    double want[3 * 64];
    for (int i = 0; i < 3 * 64; i++)
        want[i] = (60 + 60 * (i / 64)) / 255.0;
    write_whole(in_folder("a.jpg"), jpeg, sizeof jpeg);
    check_picture(in_folder("a.jpg"), 3, 3, 8, 8, want, 2 / 255.0);
    CASE("grey and alpha, colours and alpha: alpha is left out");
    static const unsigned char alpha[] = { 51, 0, 255, 128 }, rgba[] = { 255, 0, 0, 0, 51, 102, 153, 9 };
    stbi_write_png(in_folder("ga.png"), 2, 1, 2, alpha, 4);
    check_picture(in_folder("ga.png"), 0, 1, 1, 2, (double[]){ .2, 1 }, 1e-7);
    stbi_write_png(in_folder("rgba.png"), 2, 1, 4, rgba, 8);
    check_picture(in_folder("rgba.png"), 3, 3, 1, 2, (double[]){ 1, .2, 0, .4, 0, .6 }, 1e-7);
    CASE("16 bits");
    static const unsigned char wide[] = { 0, 0x12, 0x34, 0xff, 0xff };
    check_picture(put_png("w.png", 2, 1, 16, 0, NULL, 0, wide, 5), 0, 1, 1, 2, (double[]){ 0x1234 / 65535.0, 1 }, 1e-7);
    CASE("animated: the first picture");
    animated = true;
    check_picture(put_png("w.png", 2, 1, 16, 0, NULL, 0, wide, 5), 0, 1, 1, 2, (double[]){ 0x1234 / 65535.0, 1 }, 1e-7);
    animated = false;
    CASE("a palette, 1 bit a pixel");
    static const unsigned char two[] = { 255, 0, 51, 0, 102, 255 }, bits[] = { 0, 0xA0 };
    check_picture(put_png("p.png", 3, 1, 1, 3, two, 6, bits, 2), 3, 3, 1, 3, (double[]){ 0, 1, 0, .4, 0, .4, 1, .2, 1 }, 1e-7);
    check_picture(put_png("b.png", 3, 1, 1, 0, NULL, 0, bits, 2), 0, 1, 1, 3, (double[]){ 1, 0, 1 }, 1e-7);
}

Test(pictures, refuse, IN_FOLDER)
{
    static const unsigned char rgb[12] = { 200, 100, 50, 3 };
    static const char *const names[] = { "a.png", "a.jpg", "a.bmp", "a.ppm" };
    tp_device *cpu = tp_device_open("cpu");

    stbi_write_png(in_folder("a.png"), 2, 2, 3, rgb, 6), write_whole(in_folder("a.jpg"), jpeg, sizeof jpeg);
    stbi_write_bmp(in_folder("a.bmp"), 2, 2, 3, rgb);
    memcpy(made, "P6 2 2 255\n", 11), memcpy(made + 11, rgb, 12), write_whole(in_folder("a.ppm"), made, 23);
    for (int i = 0; i < TP_LEN(names); i++) {
        size_t n;
        char *b = read_whole(in_folder(names[i]), &n);

        for (size_t cut = 0; cut < n; cut++) {
            CASE("%s cut at %zu of %zu", names[i], cut, n);
            write_whole(in_folder("cut"), b, cut);
            CHECK_REFUSED(tp_data_image_load(in_folder("cut"), 3, cpu), TP_ERR_FORMAT, "cut: it ");
        }
        free(b);
    }
    CASE("PNG with a bit flipped");
    size_t n;
    char *b = read_whole(in_folder("a.png"), &n);
    for (size_t at = 0; at < n; at++) {
        b[at] ^= 4;
        write_whole(in_folder("bad"), b, n);
        CHECK_REFUSED(tp_data_image_load(in_folder("bad"), 3, cpu), TP_ERR_FORMAT, "bad: ");
        b[at] ^= 4;
    }
    free(b);
    CASE("JPEG with more Huffman codes than there can be, in a table of its own and behind fill bytes");
    static const unsigned char codes[] = { 0xFF, 0xC4, 0, 19, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };
    for (int fill = 0; fill < 2; fill++) {
        memcpy(made, jpeg, 2), made[2] = 0xFF, memcpy(made + 2 + fill, codes, sizeof codes);
        memcpy(made + 2 + fill + sizeof codes, jpeg + 2, sizeof jpeg - 2);
        write_whole(in_folder("bad"), made, sizeof jpeg + sizeof codes + (size_t)fill);
        CHECK_REFUSED(tp_data_image_load(in_folder("bad"), 3, cpu), TP_ERR_FORMAT, "bad: it is cut short or damaged");
    }
    CASE("the same in a comment does no harm");
    memcpy(made, jpeg, 2), memcpy(made + 2, "\xFF\xFE\0\x17", 4), memcpy(made + 6, codes, sizeof codes), memcpy(made + 6 + sizeof codes, jpeg + 2, sizeof jpeg - 2);
    write_whole(in_folder("good.jpg"), made, sizeof jpeg + sizeof codes + 4);
    CHECK(tp_data_image_load(in_folder("good.jpg"), 3, cpu) != NULL);
    CASE("a JPEG's header, looked at when a folder is opened");
    mkdir(in_folder("j"), 0777);
    write_whole(in_folder("j/a.jpg"), jpeg, sizeof jpeg);
    tp_dataset *d = tp_data_images(in_folder("j"), (tp_images_opts){ 0 });
    CHECK(d && tp_data_shape(d, 0).n[1] == 8 && tp_data_shape(d, 0).n[2] == 8);
    tp_data_set_free(d);
    write_whole(in_folder("j/a.jpg"), jpeg, 30);
    CHECK_REFUSED(tp_data_images(in_folder("j"), (tp_images_opts){ 0 }), TP_ERR_FORMAT, "a.jpg: it is damaged, of a kind");
    CASE("sizes that can't be meant");
    CHECK_REFUSED(tp_data_image_load(put_png("z.png", 15000, 15000, 8, 2, NULL, 0, rgb, 7), 3, cpu), TP_ERR_FORMAT, "15000 x 15000 pixels: at most");
    CHECK_REFUSED(tp_data_image_load(put_png("z.png", 70000, 1, 8, 2, NULL, 0, rgb, 7), 3, cpu), TP_ERR_FORMAT, "z.png: it is damaged, of a kind that isn't read, or too large");
    CHECK_REFUSED(tp_data_image_load(put_png("z.png", 0, 1, 8, 2, NULL, 0, rgb, 7), 3, cpu), TP_ERR_FORMAT, "z.png: it is damaged");
    CHECK_REFUSED(tp_data_image_load(put_png("z.png", 11000, 11000, 8, 2, NULL, 0, rgb, 7), 3, cpu), TP_ERR_FORMAT, "z.png: it can't be read");
    CHECK(tp_memory_stats(cpu).peak < (size_t)3 << 30);
    CASE("other files");
    CHECK_REFUSED(tp_data_image_load(put_text("t", "some text"), 3, cpu), TP_ERR_FORMAT, "t: it is no PNG, JPEG, BMP, PPM or PGM file");
    CHECK_REFUSED(tp_data_image_load(put_text("t", ""), 3, cpu), TP_ERR_FORMAT, "t: it is no PNG");
    CHECK_REFUSED(tp_data_image_load(put_text("t", "P6 1 1 100\nabc"), 3, cpu), TP_ERR_FORMAT, "t: it has no maximum of 255");
    CHECK_REFUSED(tp_data_image_load(put_text("t", "P5 -2 2 255\nabcd"), 1, cpu), TP_ERR_FORMAT, "t: its width, height and maximum are no numbers");
    CHECK_REFUSED(tp_data_image_load(put_text("t", "P6 99999999 99999999 255\nabc"), 3, cpu), TP_ERR_FORMAT, "t: its width or height is larger than any that is read");
    CHECK_REFUSED(tp_data_image_load(put_text("t", "P2 1 1 255\n3"), 1, cpu), TP_ERR_FORMAT, "t: a PPM or PGM file in ASCII isn't read");
    CHECK_REFUSED(tp_data_image_load(put_text("t", "P3 1 1 255\n3 3 3"), 3, cpu), TP_ERR_FORMAT, "t: a PPM or PGM file in ASCII isn't read");
    CHECK_REFUSED(tp_data_image_load(put_text("t", "GIF89a"), 3, cpu), TP_ERR_FORMAT, "no PNG");
    CASE("places");
    CHECK_REFUSED(tp_data_image_load(in_folder("nothing"), 3, cpu), TP_ERR_IO, "nothing can't be read: No such file");
    CHECK_REFUSED(tp_data_image_load(folder, 3, cpu), TP_ERR_IO, "Is a directory");
    CHECK_REFUSED(tp_data_image_load("/dev/zero", 3, cpu), TP_ERR_IO, "/dev/zero can't be read: it is neither a regular file nor a pipe");
    CHECK_REFUSED(tp_data_image_load(NULL, 3, cpu), TP_ERR_ARG, "missing path");
    CHECK_REFUSED(tp_data_image_load(in_folder("a.png"), 2, cpu), TP_ERR_ARG, "2 channels");
}

/* ---- folders ---- */

static void put_plain(const char *name, int w, int h, int value)
{
    unsigned char *b = malloc((size_t)(w * h));

    memset(b, value, (size_t)(w * h));
    cr_assert(stbi_write_png(in_folder(name), w, h, 1, b, w));
    free(b);
}

static void make_folders(void)
{
    static const char *const dirs[] = { "r", "r/b", "r/b/deep", "r/a", "r/.hidden" };

    make_test_folder();
    for (int i = 0; i < TP_LEN(dirs); i++)
        mkdir(in_folder(dirs[i]), 0777);
    put_plain("r/b/2.PNG", 8, 8, 51), put_plain("r/b/10.png", 8, 8, 102), put_plain("r/b/deep/1.png", 8, 8, 153);
    put_plain("r/a/x.png", 8, 8, 255), put_plain("r/.hidden/x.png", 8, 8, 0), put_plain("r/a/.x.png", 3, 3, 0);
    put_text("r/a/notes.txt", "notes"), put_text("r/loose.txt", "x");
}

Test(folders, classes, .init = make_folders, .fini = remove_test_folder, .timeout = 120)
{
    tp_dataset *d = tp_data_image_folder(in_folder("r"), (tp_images_opts){ 0 });
    static const double value[] = { 1, .4, .2, .6 };

    CASE("labels and order");
    CHECK(d && tp_data_count(d) == 4 && tp_data_classes(d) == 2 && !strcmp(tp_data_class(d, 0), "a") && !strcmp(tp_data_class(d, 1), "b"));
    CHECK(tp_data_shape(d, 0).n[0] == 3 && tp_data_shape(d, 0).n[1] == 8 && tp_data_shape(d, 0).n[2] == 8);
    for (int i = 0; i < 4; i++) {
        CHECK_NEAR(sample_at(d, i, 0, 100), value[i], 1e-7);
        CHECK_NEAR(sample_at(d, i, 1, 0), i > 0, 0);
        CHECK_NEAR(check_at(tp_data_labels(d), i), i > 0, 0);
    }
    CHECK(strstr(tp_data_image_path(d, 1), "r/b/10.png") && !tp_data_image_path(d, 4) && !tp_data_image_path(d, -1));
    tp_dataset *part = tp_data_subset(tp_data_retain(d), (int64_t[]){ 3 }, 1);
    CHECK(strstr(tp_data_image_path(part, 0), "r/b/deep/1.png") && !strcmp(tp_data_class(part, 1), "b"));
    tp_data_set_free(part);
    check_passes(d, (tp_loader_opts){ .batch = 3, .shuffle = true }, NULL, true);
    CASE("one folder, grey");
    d = tp_data_images(in_folder("r/b"), (tp_images_opts){ .channels = 1 });
    CHECK(d && tp_data_count(d) == 2 && tp_data_fields(d) == 1 && tp_data_shape(d, 0).n[0] == 1);
    CHECK_NEAR(sample_at(d, 1, 0, 0), .2, 1e-7);
    tp_data_set_free(d);
}

Test(folders, sizes, .init = make_folders, .fini = remove_test_folder, .timeout = 120)
{
    unsigned char ramp[6 * 4]; /* 6 wide, 4 high: columns 0 50 100 ... */
    tp_dataset *d;

    for (int i = 0; i < 24; i++)
        ramp[i] = (unsigned char)(i % 6 * 50);
    stbi_write_png(in_folder("r/a/wide.png"), 6, 4, 1, ramp, 6);
    CASE("pictures of several sizes");
    CHECK_REFUSED(tp_data_image_folder(in_folder("r"), (tp_images_opts){ 0 }), TP_ERR_SHAPE, "wide.png 6 x 4: say to what size");
    d = tp_data_image_folder(in_folder("r"), (tp_images_opts){ .channels = 1, .height = 4 });
    CHECK(d && tp_data_count(d) == 5 && tp_data_shape(d, 0).n[2] == 4);
    CASE("the middle"); /* 6 x 4 covers 4 x 4 as it is: columns 1 to 4 */
    for (int c = 0; c < 4; c++)
        CHECK_NEAR(sample_at(d, 0, 0, 4 + c), (50 + 50 * c) / 255.0, 1e-6);
    tp_data_set_free(d);
    CASE("stretched"); /* values by torch.nn.functional.interpolate(antialias=True) */
    static const double want[] = { 35.71428571, 125, 214.2857143 };
    d = tp_data_images(in_folder("r/a"), (tp_images_opts){ .channels = 1, .height = 2, .width = 3, .fit = TP_FIT_STRETCH });
    for (int c = 0; c < 3; c++)
        CHECK_NEAR(sample_at(d, 0, 0, c), want[c] / 255, 1e-6);
    tp_data_set_free(d);
}

Test(folders, refuse, .init = make_folders, .fini = remove_test_folder, .timeout = 120)
{
    tp_batch b;

    CASE("nothing in it");
    mkdir(in_folder("none"), 0777);
    CHECK_REFUSED(tp_data_image_folder(in_folder("none"), (tp_images_opts){ 0 }), TP_ERR_FORMAT, "none: there is no folder of a class in it");
    CHECK_REFUSED(tp_data_images(in_folder("none"), (tp_images_opts){ 0 }), TP_ERR_FORMAT, "none: there is no picture in it");
    mkdir(in_folder("none/c"), 0777);
    CHECK_REFUSED(tp_data_image_folder(in_folder("none"), (tp_images_opts){ 0 }), TP_ERR_FORMAT, "none/c: there is no picture in it");
    CHECK_REFUSED(tp_data_image_folder(in_folder("nowhere"), (tp_images_opts){ 0 }), TP_ERR_IO, "nowhere can't be read: No such file");
    CHECK_REFUSED(tp_data_image_folder(NULL, (tp_images_opts){ 0 }), TP_ERR_ARG, "missing folder");
    CASE("options");
    CHECK_REFUSED(tp_data_images(in_folder("r/b"), (tp_images_opts){ .channels = 4 }), TP_ERR_ARG, "4 channels");
    CHECK_REFUSED(tp_data_images(in_folder("r/b"), (tp_images_opts){ .height = -1 }), TP_ERR_ARG, "size -1 x -1");
    CHECK_REFUSED(tp_data_images(in_folder("r/b"), (tp_images_opts){ .width = 4 }), TP_ERR_ARG, "size 4 x 0");
    CHECK_REFUSED(tp_data_images(in_folder("r/b"), (tp_images_opts){ .height = 1 << 20 }), TP_ERR_ARG, "size 1048576");
    CASE("files");
    put_text("r/a/y.webp", "?");
    CHECK_REFUSED(tp_data_image_folder(in_folder("r"), (tp_images_opts){ 0 }), TP_ERR_FORMAT, "r/a/y.webp: PNG, JPEG");
    unlink(in_folder("r/a/y.webp")), put_text("r/a/y.jpg", "no picture");
    CHECK_REFUSED(tp_data_image_folder(in_folder("r"), (tp_images_opts){ 0 }), TP_ERR_FORMAT, "r/a/y.jpg: it is no PNG");
    unlink(in_folder("r/a/y.jpg"));
    CASE("links in a ring");
    symlink("..", in_folder("r/a/up"));
    CHECK_REFUSED(tp_data_image_folder(in_folder("r"), (tp_images_opts){ 0 }), TP_ERR_IO, "16 deep");
    unlink(in_folder("r/a/up")), symlink("nowhere", in_folder("r/a/lost.png"));
    CHECK_REFUSED(tp_data_image_folder(in_folder("r"), (tp_images_opts){ 0 }), TP_ERR_IO, "lost.png can't be read");
    unlink(in_folder("r/a/lost.png"));
    CASE("changed after it was opened");
    tp_dataset *d = tp_data_image_folder(in_folder("r"), (tp_images_opts){ .height = 5 });
    put_text("r/b/2.PNG", "gone");
    CHECK_REFUSED(tp_data_sample(d, 2, &b), TP_ERR_FORMAT, "r/b/2.PNG: it is no PNG");
    tp_loader *l = tp_data_loader(d, (tp_loader_opts){ .batch = 4, .workers = 2 });
    CHECK_REFUSED(tp_data_next(l, &b), TP_ERR_FORMAT, "r/b/2.PNG: it is no PNG");
    tp_data_free(l);
}

static bool open_folder(void)
{
    tp_dataset *d = tp_data_image_folder(in_folder("r"), (tp_images_opts){ .height = 5, .width = 6 });
    tp_batch b;
    TP_SCOPE;
    bool ok = d && tp_data_sample(d, 1, &b);

    tp_data_set_free(d);
    return ok;
}

static bool open_cifar(void)
{
    tp_dataset *d = tp_data_cifar100(folder, "train");

    tp_data_set_free(d);
    return d != NULL;
}

static bool open_picture(void)
{
    TP_SCOPE;
    return tp_data_image_load(in_folder("r/a/x.png"), 0, tp_device_open("cpu")) != NULL;
}

Test(folders, out_of_memory, .init = make_folders, .fini = remove_test_folder, .timeout = 120)
{
    CASE("a folder");
    check_memory(open_folder);
    CASE("a picture");
    check_memory(open_picture);
    CASE("CIFAR");
    put_records("train.bin", 2, 0, 2, 100);
    check_memory(open_cifar);
}
