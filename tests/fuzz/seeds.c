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

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    folder = argv[1];
    mkdir(folder, 0777), mkdir(in("file"), 0777), mkdir(in("idx"), 0777), mkdir(in("args"), 0777);
    if (!seed_files()) return fprintf(stderr, "%s\n", tp_error()), 1;
    seed_idx(), seed_args();
    return 0;
}
