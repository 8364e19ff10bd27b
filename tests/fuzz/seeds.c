/*
 * seeds.c - writes what the fuzzers begin with:  seeds FOLDER
 */
#include "taper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

static const char *folder;

static const char *in(const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(in(name), "wb");

    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) perror(in(name)), exit(1);
}

static bool seed_files(void)
{
    tp_device *cpu = tp_device_open("cpu");
    tp_module *net = tp_nn_init(tp_nn_linear(2, 1), cpu);
    tp_state *s = tp_state_new();
    int64_t n = 3;
    TP_SCOPE;
    tp_named all[] = { { "a.weight", tp_ones(TP_SHAPE(1, 2), TP_F32, cpu) }, { "b", tp_zeros(TP_SCALAR, TP_U8, cpu) } };
    bool ok;

    tp_state_module(s, "net", net), tp_state_i64(s, "n", &n);
    ok = tp_nn_save(net, in("file/module")) && tp_state_save(s, in("file/state")) &&
         tp_file_save(in("file/two"), all, 2, &(tp_meta){ "k", "v" }, 1) && tp_file_save(in("file/none"), NULL, 0, NULL, 0);
    tp_state_free(s), tp_nn_free(net);
    return ok;
}

static void seed_idx(void)
{
    static const unsigned char x[] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8 };
    static const unsigned char y[] = { 0, 0, 8, 1, 0, 0, 0, 2, 3, 9 };
    unsigned char all[512] = { sizeof y };
    z_stream z = { .next_in = (unsigned char *)x, .avail_in = sizeof x, .next_out = all + 1, .avail_out = 400 };

    memcpy(all + 1, x, sizeof x), memcpy(all + 1 + sizeof x, y, sizeof y);
    put("idx/plain", all, 1 + sizeof x + sizeof y);
    if (deflateInit2(&z, 9, Z_DEFLATED, 31, 8, 0) != Z_OK || deflate(&z, Z_FINISH) != Z_STREAM_END) exit(1);
    memcpy(all + 1 + z.total_out, y, sizeof y);
    put("idx/gzip", all, 1 + z.total_out + sizeof y);
    deflateEnd(&z);
}

static void seed_args(void)
{
    static const char *const lines[] = { "--epochs\n3\n--lr\n1e-3\n--batch\n64", "--device=cpu\n--amp=bf16\n--plot\n--out\no",
                                         "--seed\n1\n--threads\n2\n--steps\n9\n--data\nd\n--resume\nr", "--help", "-x\n--\nw" };
    char name[16];

    for (int i = 0; i < TP_LEN(lines); i++)
        snprintf(name, sizeof name, "args/%d", i), put(name, lines[i], strlen(lines[i]));
}

static void seed_csv(void)
{
    static const char *const tables[] = { "\0\2a,b,c\n1,2,3\n4,5,6\n", "\x0c\x02" "a,\"b\"\r\n\"x,\"\"y\"\"\",1e-3\r\n,NA\r\n",
                                          "\x23\x81u;v\n.5;w\n" };
    char name[16];

    for (int i = 0; i < TP_LEN(tables); i++)
        snprintf(name, sizeof name, "csv/%d", i), put(name, tables[i], 2 + strlen(tables[i] + 2));
}

/* An archive of one stored array, "a". */
static void seed_numpy(void)
{
    static const char array[] = "\x93NUMPY\1\0\x36\0{'descr': '<i4', 'fortran_order': True, 'shape': (1,), }\n\7\0\0";
    unsigned crc = (unsigned)crc32(crc32(0, NULL, 0), (const unsigned char *)array, sizeof array), n = sizeof array, end = 35 + n;
    unsigned char zip[512] = { 'P', 'K', 3, 4 }, *at = zip + end;

    put("numpy/npy", array, n);
    zip[18] = zip[22] = (unsigned char)n, zip[26] = 5;
    memcpy(zip + 14, &crc, 4), memcpy(zip + 30, "a.npy", 5), memcpy(zip + 35, array, n);
    memcpy(at, "PK\1\2", 4), memcpy(at + 16, &crc, 4), memcpy(at + 46, "a.npy", 5);
    at[20] = at[24] = (unsigned char)n, at[28] = 5, at += 51;
    memcpy(at, "PK\5\6", 4), at[8] = at[10] = 1, at[12] = 51, at[16] = (unsigned char)end;
    put("numpy/npz", zip, (size_t)(at + 22 - zip));
}

static void seed_others(void)
{
    static const char characters[] = "\x08\0{\"a\": 0, \"b\": 1}aa";
    static const char tokens[] = "\x0d\x04{\"a\": 0, \"b\": 1, \"ab\":2}a b\nabba it's";
    static const unsigned char png[] = { 0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0,
                                         0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, 'I', 'D', 'A', 'T', 0x78, 0x9c, 0x63, 0x60, 0, 0, 0, 2, 0, 1, 0x48,
                                         0xaf, 0xa4, 0x71, 0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82 };

    put("tokens/pairs", tokens, sizeof tokens - 1), put("tokens/characters", characters, sizeof characters - 1);
    put("cifar/ten", "\0\5", 2), put("cifar/hundred", "\3\5", 2);
    put("picture/png", png, sizeof png), put("picture/ppm", "P6 1 1 255\nabc", 14), put("picture/pgm", "P5 2 1 255\nab", 13);
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    folder = argv[1];
    mkdir(folder, 0777), mkdir(in("file"), 0777), mkdir(in("idx"), 0777), mkdir(in("args"), 0777);
    mkdir(in("csv"), 0777), mkdir(in("numpy"), 0777), mkdir(in("cifar"), 0777), mkdir(in("tokens"), 0777), mkdir(in("picture"), 0777);
    if (!seed_files()) return fprintf(stderr, "%s\n", tp_error()), 1;
    seed_idx(), seed_args(), seed_csv(), seed_numpy(), seed_others();
    return 0;
}
