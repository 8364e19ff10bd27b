/*
 * sort.c - the order of each row, stable.
 *
 * An element becomes an unsigned number that orders as it does: NaN above all, -0 as 0; all
 * bits turned round when the largest comes first.  Short rows are sorted by insertion, long
 * ones by their bytes, the least first (radix sort); both keep equals in their order.
 */
#include "kernels/cpu/generic.h"

enum { SHORT = 48, BYTE = 256, GRAIN = 4096 };

#if TP_IS(f64) || TP_IS(i64)
typedef uint64_t K;
#elif TP_IS(f32) || TP_IS(i32)
typedef uint32_t K;
#elif TP_IS(bf16) || TP_IS(f16)
typedef uint16_t K;
#else
typedef uint8_t K;
#endif

#define TOP ((K)((K)1 << (8 * sizeof(K) - 1)))

static K key_of(T v)
{
    K bits;

    memcpy(&bits, &v, sizeof bits);
#if TP_IS_FLOAT
    {
        A a = LOAD(v);

        if (a != a) return (K)~(K)0;
        if (a == 0) return TOP;
    }
    return (K)(bits & TOP ? ~bits : bits | TOP);
#elif TP_IS(i64) || TP_IS(i32)
    return bits ^ TOP;
#else
    return bits;
#endif
}

/* Two rows of keys and of places: sorting goes to and fro. */
typedef struct pair {
    K *key[2];
    int64_t *place[2];
} pair;

static void insertion(int64_t n, K *key, int64_t *place)
{
    for (int64_t i = 1; i < n; i++) {
        K k = key[i];
        int64_t p = place[i], at = i;

        for (; at > 0 && key[at - 1] > k; at--)
            key[at] = key[at - 1], place[at] = place[at - 1];
        key[at] = k, place[at] = p;
    }
}

/* Orders by one byte, from side a to the other. */
static void by_byte(int64_t n, const pair *p, int a, int shift, int64_t *start)
{
    int64_t at = 0;

    for (int v = 0; v < BYTE; v++) {
        int64_t count = start[v];

        start[v] = at, at += count;
    }
    for (int64_t i = 0; i < n; i++) {
        K k = p->key[a][i];
        int64_t to = start[k >> shift & 0xff]++;

        p->key[!a][to] = k, p->place[!a][to] = p->place[a][i];
    }
}

/* Gives the side on which the result lies. */
static int radix(int64_t n, const pair *p)
{
    int64_t count[sizeof(K)][BYTE] = { { 0 } };
    int a = 0;

    for (int64_t i = 0; i < n; i++)
        for (int b = 0; b < (int)sizeof(K); b++)
            count[b][p->key[0][i] >> 8 * b & 0xff]++;
    for (int b = 0; b < (int)sizeof(K); b++) {
        if (count[b][p->key[a][0] >> 8 * b & 0xff] == n) continue; /* all alike */
        by_byte(n, p, a, 8 * b, count[b]), a = !a;
    }
    return a;
}

typedef struct job {
    int64_t cols;
    K turned; /* all bits set when the largest comes first */
    const T *x;
    int64_t *place;
    unsigned char *scratch;
    size_t bytes; /* of one worker */
} job;

static void body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    int64_t n = j->cols, *places = (int64_t *)(void *)(j->scratch + (size_t)worker * j->bytes);
    K *keys = (K *)(void *)(places + 2 * n);
    pair p = { { keys, keys + n }, { places, places + n } };

    for (int64_t r = from; r < to; r++) {
        int side = 0;

        for (int64_t i = 0; i < n; i++)
            keys[i] = key_of(j->x[r * n + i]) ^ j->turned, places[i] = i;
        if (n <= SHORT)
            insertion(n, keys, places);
        else
            side = radix(n, &p);
        memcpy(j->place + r * n, p.place[side], (size_t)n * sizeof *j->place);
    }
}

int KERNEL(sort)(tp_ctx *c, int64_t rows, int64_t cols, bool descending, const void *x,
                 int64_t *place)
{
    job j = { .cols = cols, .turned = descending ? (K)~(K)0 : 0, .x = x, .place = place };
    int64_t grain = 1 + GRAIN / (cols + 1);

    if (rows * cols == 0) return 0;
    j.bytes = ((size_t)cols * 2 * (sizeof(K) + sizeof(int64_t)) + 63) & ~(size_t)63;
    j.scratch = tp_scratch(c, (size_t)tp__workers(c, rows, grain) * j.bytes);
    if (!j.scratch) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, rows, grain, body, &j);
    return 0;
}
