/*
 * test_slots_attention.c - CUDA's attention against the CPU's, and the gradients of both against their
 * formulas in wide numbers, within bounds that are derived here.
 */
#include "kernels/philox.h"
#include "tests/cudasim/cudasim.h"
#include "tests/cudasim/slots.h"

TestSuite(slots, .init = open_machines, .fini = close_machines);

typedef struct shape {
    int64_t N, heads, kv_heads, L, S, E, Ev;
} shape;

/* Of 1; of no multiples of anything; of heads in two and three parts; in 16 bits also what tensor cores
 * take: 64 wide and wider, more rows and keys than a block has, heads that share keys. */
static const shape shapes[] = { { 1, 1, 1, 1, 1, 1, 1 },      { 2, 3, 3, 9, 7, 5, 6 },
                                { 1, 2, 1, 11, 70, 70, 3 },   { 1, 1, 1, 3, 5, 3, 130 },
                                { 1, 1, 1, 3, 7, 5, 257 },    { 1, 2, 1, 3, 4, 300, 530 },
                                { 1, 4, 2, 33, 40, 8, 8 },    { 1, 1, 1, 1, 1, 8, 8 },
                                { 1, 2, 1, 70, 40, 64, 24 },  { 1, 6, 2, 67, 66, 24, 40 },
                                { 2, 1, 1, 19, 66, 72, 128 }, { 1, 2, 1, 65, 33, 128, 8 },
                                { 1, 3, 1, 5, 70, 128, 96 } };
enum { FOR_ALL = 7 /* the first shapes; the others are of 16 bits */, BY_CORES = 8 };

enum {
    CAUSAL = 1,
    BIAS = 2,
    ALLOWED = 4,
    PADDING = 8,
    DROPOUT = 16,
    BESIDE = 32, /* the heads of a row lie side by side */
    ODD = 64,    /* no row begins at a multiple of 16 bytes */
    WAYS = 6
};
static const int ways[WAYS] = { 0,
                                CAUSAL | BESIDE,
                                BIAS | PADDING,
                                ALLOWED | CAUSAL,
                                DROPOUT | BIAS | BESIDE,
                                ODD | CAUSAL | DROPOUT };

#define DROPPED 0.3
#define SCALE   0.6
static const double draw[2] = { 99, 3 }; /* key and offset */

/* ---- a problem ---- */

enum { Q, K, V, Y, DY, DQ, DK, DV, TENSORS };

typedef struct problem {
    shape k;
    int way;
    tp_dtype t;
    buffer x[TENSORS], lse, bias, allowed, padding, state;
    tp_attention_args g[SIDES];
} problem;

static int64_t *step_of(tp_attention_args *g, int i)
{
    int64_t *const steps[TENSORS] = {
        g->q, g->k, g->v, g->y, g->dy, g->dq, g->dk, g->dv
    };

    return steps[i];
}

/* heads, rows and width of tensor i */
static void extent(const shape *k, int i, int64_t n[3])
{
    bool of_keys = i == K || i == V || i == DK || i == DV;
    bool by_value = i == V || i == Y || i == DY || i == DV;

    n[0] = of_keys ? k->kv_heads : k->heads, n[1] = of_keys ? k->S : k->L;
    n[2] = by_value ? k->Ev : k->E;
}

static int64_t odd(const problem *p)
{
    return p->way & ODD ? 1 : 0;
}

/* Tensor i, without the number before it. */
static buffer inner(const problem *p, int i)
{
    buffer b = p->x[i];

    for (int s = 0; s < SIDES; s++)
        b.at[s] = offset(&p->x[i], s, odd(p));
    b.n -= odd(p);
    return b;
}

static void *at(const problem *p, int i)
{
    return inner(p, i).at[side];
}

static void make_args(problem *p, int s)
{
    const shape *k = &p->k;
    tp_attention_args *g = &p->g[s];

    *g = (tp_attention_args){ k->N,  k->heads,       k->kv_heads,
                              k->L,  k->S,           k->E,
                              k->Ev, .scale = SCALE, .causal = p->way & CAUSAL };
    for (int i = 0; i < TENSORS; i++) {
        int64_t n[3], *step = step_of(g, i);
        bool beside = p->way & BESIDE;

        extent(k, i, n);
        step[0] = n[0] * n[1] * n[2], step[1] = beside ? n[2] : n[1] * n[2];
        step[2] = beside ? n[0] * n[2] : n[2];
    }
    memcpy(g->bias_step, (int64_t[]){ k->heads * k->L * k->S, k->L * k->S, k->S, 1 },
           sizeof g->bias_step);
    memcpy(g->allowed_step, (int64_t[]){ 0, 0, k->S, 1 }, sizeof g->allowed_step);
    memcpy(g->padding_step, (int64_t[]){ k->S, 1 }, sizeof g->padding_step);
    if (p->way & BIAS) g->bias = p->bias.at[s];
    if (p->way & ALLOWED) g->allowed = p->allowed.at[s];
    if (p->way & PADDING) g->padding = p->padding.at[s];
    if (p->way & DROPOUT) g->p = DROPPED, g->state = p->state.at[s];
}

static problem make(shape k, int way, tp_dtype t)
{
    problem p = { .k = k, .way = way, .t = t };
    int64_t square = k.N * k.heads * k.L * k.S;

    for (int i = 0; i < TENSORS; i++) {
        bool given = i == Q || i == K || i == V || i == DY;
        int64_t n[3], count;

        extent(&k, i, n), count = k.N * n[0] * n[1] * n[2] + odd(&p);
        p.x[i] = given ? numbers(t, count, -1, 1) : blank(t, count);
    }
    p.lse = blank(sum_of(t), k.N * k.heads * k.L);
    p.bias = numbers(t, square, -1, 1), p.allowed = numbers(TP_BOOL, k.L * k.S, 0, 1);
    set(TP_BOOL, p.allowed.at[CPU], 0, 0),
        upload(&p.allowed); /* causal: row 0 is empty */
    p.padding = numbers(TP_BOOL, k.N * k.S, 0, 1), p.state = values(TP_I64, 2, draw);
    for (int s = 0; s < SIDES; s++)
        make_args(&p, s);
    CASE("attention of %d x %d rows to %d x %d keys, %d and %d wide, way %d, %s",
         (int)k.heads, (int)k.L, (int)k.kv_heads, (int)k.S, (int)k.E, (int)k.Ev, way,
         dtype_names[t]);
    return p;
}

/* Number e of a row of tensor i, as both sides have it. */
static double number_of(problem *p, int i, int64_t n, int64_t h, int64_t r, int64_t e)
{
    const int64_t *step = step_of(&p->g[CPU], i);

    return get(type_at(CPU, p->t), inner(p, i).at[CPU],
               n * step[0] + h * step[1] + r * step[2] + e);
}

static bool meet(const problem *p, int64_t n, int64_t l, int64_t s)
{
    return !(p->way & CAUSAL && s > l) &&
           !(p->way & ALLOWED && get(TP_BOOL, p->allowed.at[CPU], l * p->k.S + s) == 0) &&
           !(p->way & PADDING && get(TP_BOOL, p->padding.at[CPU], n * p->k.S + s) != 0);
}

static double kept(const problem *p, int64_t i)
{
    uint32_t bits[4];

    if (!(p->way & DROPOUT)) return 1;
    tp_philox((uint64_t)draw[0], (uint64_t)draw[1] + (uint64_t)i / 4, bits);
    return (bits[i % 4] >> 8) * 0x1p-24 >= DROPPED ? 1 / (1 - DROPPED) : 0;
}

/* ---- the gradients by their formulas, and how far from them a kernel may be ----
 *
 * With r the rounding of one sum or product of f32 (2^-23: tensor cores may cut off), or of f64:
 * a score is a sum of E products, so p is off by the share
 *     f = r ((E + 4) (scale sum |q k| + |bias| + |lse|) + 4)        e^x: two units in the last place
 * of itself, and so is ds, of m = p (z sum |dy v| + sum |dy y|), by those of its own sums: r (Ev + 4).
 * 16-bit kernels may then round p and ds, by the share u, or in f16's last binade by 2^-25; the sum of
 * n terms adds n + 2 roundings, and the result is rounded once:
 *     dq: scale sum (u |ds| + m (f + r (Ev + n + 6))) |k| + u |dq|,  n = S;   dk alike, with q, n = group L
 *     dv:       sum (u p z  + p z (f + r (n + 2))) |dy|   + u |dv|,  n = group L
 */
typedef long double wide;

typedef struct sums {
    wide *value, *off;
} sums;

static sums sums_of(const problem *p, int i)
{
    size_t n = (size_t)p->x[i].n;

    return (sums){ calloc(n, sizeof(wide)), calloc(n, sizeof(wide)) };
}

/* x and |x| of a sum of products. */
typedef struct dot {
    wide sum, size;
} dot;

static dot dot_of(problem *p, const int i[2], int64_t n, const int64_t at_h[2],
                  const int64_t r[2])
{
    int64_t size[3];
    dot d = { 0, 0 };

    extent(&p->k, i[0], size);
    for (int64_t e = 0; e < size[2]; e++) {
        wide x = (wide)number_of(p, i[0], n, at_h[0], r[0], e) *
                 number_of(p, i[1], n, at_h[1], r[1], e);

        d.sum += x, d.size += fabsl(x);
    }
    return d;
}

/* to += weight times the row of tensor i, off by `off` times it. */
static void add_row(problem *p, sums *to, int target, int64_t r, int i, int64_t other,
                    int64_t n, int64_t h_to, int64_t h, wide weight, wide off)
{
    const int64_t *step = step_of(&p->g[CPU], target);
    int64_t size[3];

    extent(&p->k, target, size);
    for (int64_t e = 0; e < size[2]; e++) {
        int64_t to_at = n * step[0] + h_to * step[1] + r * step[2] + e;
        wide x = number_of(p, i, n, h, other, e);

        to->value[to_at] += weight * x, to->off[to_at] += off * fabsl(x);
    }
}

/* What row l of head h and key s give to all three. */
static void add_pair(problem *p, sums to[3], int64_t n, int64_t h, int64_t l, int64_t s,
                     dot level)
{
    const shape *k = &p->k;
    int64_t group = k->heads / k->kv_heads, kv = h / group,
            row = (n * k->heads + h) * k->L + l;
    int64_t heads[2] = { h, kv }, rows[2] = { l, s };
    wide r = p->t == TP_F64 ? 0x1p-52L : 0x1p-23L, u = is_half(p->t) ? epsilon(p->t) : 0;
    wide least = p->t == TP_F16 ? 0x1p-25L : 0,
         lse = get(sum_of(p->t), p->lse.at[CPU], row);
    wide bias =
        p->way & BIAS ? get(type_at(CPU, p->t), p->bias.at[CPU], row * k->S + s) : 0;
    wide z = kept(p, row * k->S + s);
    dot score = dot_of(p, (int[]){ Q, K }, n, heads, rows);
    dot back = dot_of(p, (int[]){ DY, V }, n, heads, rows);
    wide weight = expl(SCALE * score.sum + bias - lse),
         ds = weight * (z * back.sum - level.sum);
    wide m = weight * (z * back.size + level.size);
    wide f = r * ((k->E + 4) * (SCALE * score.size + fabsl(bias) + fabsl(lse)) + 4);
    wide for_q = u * fabsl(ds) + least + m * (f + r * (k->Ev + k->S + 6));
    wide for_k = u * fabsl(ds) + least + m * (f + r * (k->Ev + group * k->L + 6));
    wide for_v = u * weight * z + least + weight * z * (f + r * (group * k->L + 2));

    add_row(p, &to[0], DQ, l, K, s, n, h, kv, SCALE * ds, SCALE * for_q);
    add_row(p, &to[1], DK, s, Q, l, n, kv, h, SCALE * ds, SCALE * for_k);
    add_row(p, &to[2], DV, s, DY, l, n, kv, h, weight * z, for_v);
}

static void formulas(problem *p, sums to[3])
{
    const shape *k = &p->k;

    for (int64_t row = 0; row < k->N * k->heads * k->L; row++) {
        int64_t n = row / k->L / k->heads, h = row / k->L % k->heads, l = row % k->L;
        dot level =
            dot_of(p, (int[]){ DY, Y }, n, (int64_t[]){ h, h }, (int64_t[]){ l, l });

        for (int64_t s = 0; s < k->S; s++)
            if (meet(p, n, l, s)) add_pair(p, to, n, h, l, s, level);
    }
}

/* Both sides' tensor i. */
static void check_gradient(problem *p, int i, sums *right)
{
    static const char *const names[TENSORS] = { [DQ] = "dq", [DK] = "dk", [DV] = "dv" };
    buffer b = inner(p, i);
    void *host = downloaded(&b);

    for (int s = 0; s < SIDES; s++) {
        const void *given = s == CPU ? b.at[CPU] : host;
        tp_dtype t = type_at(s, p->t);
        int64_t bad = -1;
        wide bound = 0;

        for (int64_t e = 0; e < b.n; e++) {
            wide off = right->off[e] + epsilon(t) * fabsl(right->value[e]) +
                       (t == TP_F16 ? 0x1p-25L : 0);

            if (!(fabsl(get(t, given, e) - right->value[e]) <= off)) bad = e, bound = off;
        }
        cr_expect(
            bad < 0, "%s: %s[%lld] on %s: %.9g, right is %.9Lg, %.3Lg off is allowed",
            case_name, names[i], (long long)bad, ctx[s].backend->name,
            get(t, given, bad < 0 ? 0 : bad), right->value[bad < 0 ? 0 : bad], bound);
    }
    free(host), free(right->value), free(right->off);
}

/* ---- tests ---- */

static void forward(problem *p)
{
    RUN(attention, p->t, &p->g[side], at(p, Q), at(p, K), at(p, V), at(p, Y), AT(p->lse));
}

/* From the same y and lse on both sides, the CPU's. */
static void backward(problem *p)
{
    buffer y = inner(p, Y);

    upload(&y), upload(&p->lse);
    RUN(attention_dx, p->t, &p->g[side], at(p, Q), at(p, K), at(p, V), at(p, Y),
        AT(p->lse), at(p, DY), at(p, DQ), at(p, DK), at(p, DV));
}

static void try_attention(shape k, int way, tp_dtype t)
{
    problem p = make(k, way, t);
    buffer y = inner(&p, Y);
    sums right[3];

    forward(&p);
    /* in 16 bits weights are rounded before they meet v, y on both sides: |v| <= 1, weights sum to 1, or
     * with drops to at most 1 / (1 - p); rounding in f32 is less than one more */
    if (is_half(t))
        check_some_of(&y, y.n, 4 / (way & DROPOUT ? 1 - DROPPED : 1), 1);
    else
        check_close(&y, 32);
    check_some_of(&p.lse, p.lse.n, 32, 1); /* its terms are of up to 1, and may cancel */
    backward(&p);
    for (int i = 0; i < 3; i++)
        right[i] = sums_of(&p, DQ + i);
    formulas(&p, right);
    for (int i = 0; i < 3; i++)
        check_gradient(&p, DQ + i, &right[i]);
    release_all();
}

Test(slots, attention)
{
    for (int i = 0; i < LEN(shapes) * WAYS * LEN(floats); i++) {
        int k = i / LEN(floats) / WAYS;
        tp_dtype t = floats[i % LEN(floats)];

        if (k < FOR_ALL || is_half(t))
            try_attention(shapes[k], ways[i / LEN(floats) % WAYS], t);
    }
}

/* A gradient that alone is wanted has the bits that it has among the others. */
static void try_one(shape k, tp_dtype t, int only)
{
    problem p = make(k, CAUSAL, t);
    buffer b = blank(t, p.x[only].n);
    void *among, *alone;

    forward(&p), backward(&p);
    RUN(attention_dx, t, &p.g[side], at(&p, Q), at(&p, K), at(&p, V), at(&p, Y),
        AT(p.lse), at(&p, DY), only == DQ ? AT(b) : NULL, only == DK ? AT(b) : NULL,
        only == DV ? AT(b) : NULL);
    among = downloaded(&p.x[only]), alone = downloaded(&b);
    cr_expect_arr_eq(among, alone, bytes_at(&b, CUDA), "%s: gradient %d alone", case_name,
                     only - DQ);
    free(among), free(alone), release_all();
}

/* Products of 16 bits are the tensor cores' where there are any for them: 7.5 has none for bf16. */
Test(slots, attention_by_tensor_cores)
{
    const char *file = getenv("TAPER_CUDA_LIBRARY");
    void *library = dlopen(file ? file : "libtaper_cuda.so", RTLD_NOW | RTLD_LOCAL);
    void (*get_stats)(cudasim_stats *) = NULL;
    bool old = strstr(ctx[CUDA].backend->describe(&ctx[CUDA]), "compute 7.5") != NULL;

    *(void **)&get_stats = dlsym(library, "cudasim_get_stats");
    if (!get_stats) cr_skip_test("a GPU doesn't tell");
    for (int i = 0; i < LEN(floats); i++) {
        tp_dtype t = floats[i];
        cudasim_stats from, to;

        CASE("tensor cores, %s", dtype_names[t]);
        get_stats(&from);
        try_attention(shapes[BY_CORES], 0, t);
        get_stats(&to);
        cr_expect_eq(to.flops > from.flops, is_half(t) && !(old && t == TP_BF16), "%s: %g operations", case_name, to.flops - from.flops);
    }
}

Test(slots, one_gradient_of_attention)
{
    static const int taken[] = {
        1, 5, 7, 12
    }; /* by no tensor core, in parts, by narrow heads, by wide ones */

    for (int i = 0; i < LEN(taken) * LEN(floats) * 3; i++)
        try_one(shapes[taken[i / 3 / LEN(floats)]], floats[i / 3 % LEN(floats)],
                DQ + i % 3);
}
