/*
 * brgemm.h - the building block of products, convolutions and recurrences: one register
 * tile of a batch-reduce product (Georganas et al. 2020, "Harnessing Deep Learning via a
 * Single Building Block"),
 *
 *     Y[r,:] (+)= act(sum_i sum_k A_i[r,k] B_i[k,:] + bias)      r < rows
 *
 * Rows of A start anywhere and lie in memory as they are; numbers of A are broadcast, rows
 * of B are vectors.  Each element of Y is one chain of additions over i, then k, whatever
 * the tile's height, so a result doesn't depend on how the work is cut into tiles.
 */
#ifndef TP_KERNELS_CPU_BRGEMM_H
#define TP_KERNELS_CPU_BRGEMM_H

#include "kernels/cpu/generic.h"

/* Registers hold rows * vecs sums, vecs of B and a number of A.  Tiles of few rows and many
 * vectors load least per multiplication; narrow results take taller ones. */
#if defined(__AVX512F__)
#define BR_BYTES    64
#define BR_VECS     4
#define BR_HEIGHTS  14, 14, 9, 6
#define BR_MAX_ROWS 14
#elif defined(__AVX__)
#define BR_BYTES    32
#define BR_VECS     2
#define BR_HEIGHTS  10, 6
#define BR_MAX_ROWS 10
#else
#define BR_BYTES    16
#define BR_VECS     2
#define BR_HEIGHTS  10, 6
#define BR_MAX_ROWS 10
#endif

typedef A br_vec __attribute__((vector_size(BR_BYTES)));
typedef A br_vec_at __attribute__((vector_size(BR_BYTES), aligned(sizeof(A)), may_alias));

enum {
    BR_LANES = BR_BYTES / sizeof(A),
    BR_WIDTH = BR_VECS * BR_LANES /* the columns of a full tile */
};

#ifdef __clang__
#define BR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define BR_UNROLL _Pragma("GCC unroll 32")
#endif

/* What is summed. */
typedef struct br_tile {
    const A *a, *b;
    const int64_t *row; /* row r of A_i starts at a + at[i] + row[r] */
    const int64_t *at;
    int64_t a_step;        /* from one number of a row of A to the next */
    int64_t b_row, b_step; /* from one row of B_i to the next; from B_i to B_(i+1) */
    int64_t blocks, k;     /* how many i; how many k */
} br_tile;

/* Where it goes. */
typedef struct br_out {
    T *y, *preact; /* preact: what the activation is applied to, laid out as y; or NULL */
    const int64_t *row; /* row r of Y starts at y + row[r] */
    int64_t cols;       /* of the tile; the rest of its vectors is dropped */
    const T *bias;      /* (cols) or NULL */
    bool add;           /* y is part of the sum */
    tp_activation activation;
    A *sums;          /* not NULL: (+)= the bare sums instead, in whole vectors, */
    int64_t sums_row; /* a row so far from the next */
} br_out;

static inline int64_t br_round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

/* n cut into pieces of at most `most`, as even as can be: where piece i starts. */
static inline int64_t br_pieces(int64_t n, int64_t most)
{
    return (n + most - 1) / most;
}

static inline int64_t br_cut(int64_t n, int64_t pieces, int64_t i)
{
    return n / pieces * i + (i < n % pieces ? i : n % pieces);
}

/* How many vectors `cols` columns take, and how many rows a tile of that width may have. */
static inline int64_t br_vecs(int64_t cols)
{
    return (cols + BR_LANES - 1) / BR_LANES;
}

static inline int64_t br_height(int64_t cols)
{
    static const int8_t heights[BR_VECS] = { BR_HEIGHTS };

    return heights[br_vecs(cols) - 1];
}

/* Runs a tile of `rows` rows, at most br_height; B is br_vecs(cols) vectors wide. */
void KERNEL(br_run)(const br_tile *t, const br_out *o, int64_t rows);
#define br_run KERNEL(br_run)

/* The same in plain C: the oracle of the tests. */
void KERNEL(br_reference)(const br_tile *t, const br_out *o, int64_t rows);
#define br_reference KERNEL(br_reference)

#endif
