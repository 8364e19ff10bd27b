/*
 * make_idx.c - a small data set as MNIST's, to try programs on:  make_idx FOLDER TRAIN TEST
 *
 * A class is a bright square at its own place among noise, so that there is something to learn.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint32_t seed = 1;

static int noise(int below)
{
    seed = seed * 1664525u + 1013904223u;
    return (int)((seed >> 8) % (uint32_t)below);
}

static void put_size(FILE *f, int v)
{
    for (int i = 24; i >= 0; i -= 8)
        putc(v >> i & 255, f);
}

static FILE *begin(const char *folder, const char *split, const char *what, int rank, int n)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s-%s-idx%d-ubyte", folder, split, what, rank);
    if (!(f = fopen(path, "wb"))) perror(path), exit(1);
    put_size(f, 0x800 + rank), put_size(f, n);
    return f;
}

static void make(const char *folder, const char *split, int n)
{
    FILE *x = begin(folder, split, "images", 3, n), *y = begin(folder, split, "labels", 1, n);

    put_size(x, 28), put_size(x, 28);
    for (int i = 0; i < n; i++) {
        int label = noise(10), row = label / 4 * 8, col = label % 4 * 7;

        putc(label, y);
        for (int p = 0; p < 28 * 28; p++) {
            int inside = p / 28 >= row && p / 28 < row + 6 && p % 28 >= col && p % 28 < col + 6;

            putc(noise(120) + (inside ? noise(136) : 0), x);
        }
    }
    if (fclose(x) || fclose(y)) exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 4) return 2;
    make(argv[1], "train", atoi(argv[2])), make(argv[1], "t10k", atoi(argv[3]));
    return 0;
}
