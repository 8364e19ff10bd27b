/*
 * einsum.c - sums of products by letters: y[out] = sum over the letters not in out of a[..] b[..] ...
 *
 * Operands are taken from left to right.  A diagonal (a letter twice in one operand) is a view; a
 * letter that neither the rest nor the result needs is summed away; two operands are one batched
 * matrix product over the letters in both (batch), in the left, in the right, and summed.
 */
#include "autograd/op.h"

#include <ctype.h>
#include <string.h>

/* A tensor whose axes are named. */
typedef struct term {
    tp_tensor *t;
    int n;
    char letter[TP_MAX_AXES];
} term;

static bool has(const term *x, char c)
{
    return x->n && memchr(x->letter, c, (size_t)x->n);
}

static int64_t size_of(const term *x, char c)
{
    for (int i = 0; i < x->n; i++)
        if (x->letter[i] == c) return x->t->shape.n[i];
    return 1;
}

/* ---- reading ---- */

enum { MOST_OPERANDS = 16 };
typedef struct equation {
    term in[MOST_OPERANDS], out;
    int operands;
} equation;

static bool add_letter(const char *text, term *x, char c)
{
    TP_REQUIRE_IN("einsum", isalpha((unsigned char)c), TP_ERR_ARG, "\"%s\": '%c' is no letter", text, c);
    TP_REQUIRE_IN("einsum", x->n < TP_MAX_AXES, TP_ERR_ARG, "\"%s\": more than %d axes", text, TP_MAX_AXES);
    x->letter[x->n++] = c;
    return true;
}

/* Without an arrow the result has the letters that occur once, in the order of the alphabet. */
static bool implied(const char *text, equation *e)
{
    for (int c = 'A'; c <= 'z'; c++) {
        int count = 0;

        for (int k = 0; k < e->operands; k++)
            for (int i = 0; i < e->in[k].n; i++)
                count += e->in[k].letter[i] == c;
        if (count == 1 && !add_letter(text, &e->out, (char)c)) return false;
    }
    return true;
}

static bool read_equation(const char *text, equation *e)
{
    term *at = &e->in[0];
    bool arrow = false;

    e->operands = 1;
    for (const char *c = text; *c; c++) {
        if (*c == ' ') continue;
        if (*c == ',' && !arrow) {
            TP_REQUIRE_IN("einsum", e->operands < MOST_OPERANDS, TP_ERR_ARG, "\"%s\": more than %d operands", text,
                          MOST_OPERANDS);
            at = &e->in[e->operands++];
        } else if (c[0] == '-' && c[1] == '>' && !arrow) {
            arrow = true, at = &e->out, c++;
        } else if (!add_letter(text, at, *c)) {
            return false;
        }
    }
    return arrow || implied(text, e);
}

/* Does every letter stand for one size, and each of the result occur, once? */
static bool sizes_agree(const char *text, const equation *e)
{
    int64_t size[128] = { 0 };
    bool seen[128] = { false };

    for (int k = 0; k < e->operands; k++)
        for (int i = 0; i < e->in[k].n; i++) {
            int c = e->in[k].letter[i];
            int64_t n = e->in[k].t->shape.n[i];

            TP_REQUIRE_IN("einsum", !seen[c] || size[c] == n, TP_ERR_SHAPE, "\"%s\": %c is %lld, and %lld in %s", text, c,
                          (long long)size[c], (long long)n, tp__text(e->in[k].t));
            seen[c] = true, size[c] = n;
        }
    for (int i = 0; i < e->out.n; i++) {
        int c = e->out.letter[i];

        TP_REQUIRE_IN("einsum", seen[c], TP_ERR_ARG, "\"%s\": the result's %c is in no operand, or twice in the result", text, c);
        seen[c] = false;
    }
    return true;
}

/* ---- one operand ---- */

/* A letter twice becomes the diagonal: gathered along the second axis by the first one's index. */
static void take_diagonals(term *x)
{
    for (int i = 0; x->t && i < x->n; i++)
        for (int j = i + 1; x->t && j < x->n; j++) {
            tp_shape s = x->t->shape, row = { .rank = s.rank };

            if (x->letter[i] != x->letter[j]) continue;
            for (int a = 0; a < s.rank; a++)
                row.n[a] = 1;
            row.n[i] = s.n[i], s.n[j] = 1;
            x->t = tp_gather(x->t, j, tp_expand(tp_reshape(tp_arange(0, (double)s.n[i], 1, TP_I64, tp_device_of(x->t)), row), s));
            x->t = tp_squeeze(x->t, TP_AXES(j));
            memmove(x->letter + j, x->letter + j + 1, (size_t)(x->n - j - 1));
            x->n--, j--;
        }
}

/* x with its axes in the order of `letters`; those that it hasn't get size 1. */
static tp_tensor *ordered(const term *x, const char *letters, int n)
{
    tp_axes order = { 0 };
    tp_shape s = { .rank = n };

    for (int k = 0; k < n; k++) {
        const char *at = x->n ? memchr(x->letter, letters[k], (size_t)x->n) : NULL;

        s.n[k] = 1;
        if (at) order.axis[order.n++] = (int)(at - x->letter), s.n[k] = size_of(x, letters[k]);
    }
    return tp_reshape(tp_permute(x->t, order), s);
}

static bool needed(const equation *e, int from, char c)
{
    if (has(&e->out, c)) return true;
    for (int k = from; k < e->operands; k++)
        if (has(&e->in[k], c)) return true;
    return false;
}

/* Sums over the letters that nothing else needs: `other` or operands from `from` on. */
static void sum_away(const equation *e, term *x, const term *other, int from)
{
    tp_axes gone = { 0 };
    int left = 0;

    for (int i = 0; i < x->n; i++)
        if (needed(e, from, x->letter[i]) || (other && has(other, x->letter[i]))) x->letter[left++] = x->letter[i];
        else gone.axis[gone.n++] = i;
    x->n = left;
    if (gone.n) x->t = tp_sum(x->t, gone);
}

/* ---- two operands ---- */

typedef struct group {
    int n;
    char letter[TP_MAX_AXES];
    int64_t size;
} group;

static void put(group *g, char c, int64_t size)
{
    if (g->n == 0) g->size = 1;
    g->letter[g->n++] = c, g->size *= size;
}

/* x as (batch, rows, cols) */
static tp_tensor *as_matrices(const term *x, const group *batch, const group *rows, const group *cols)
{
    char letters[TP_MAX_AXES];
    int n = 0;

    memcpy(letters, batch->letter, (size_t)batch->n), n += batch->n;
    memcpy(letters + n, rows->letter, (size_t)rows->n), n += rows->n;
    memcpy(letters + n, cols->letter, (size_t)cols->n), n += cols->n;
    return tp_reshape(ordered(x, letters, n), TP_SHAPE(batch->size, rows->size, cols->size));
}

static term product(const equation *e, term *a, term *b, int next)
{
    group batch = { .size = 1 }, left = batch, right = batch, summed = batch;
    const group *const parts[] = { &batch, &left, &right };
    tp_shape s = { 0 };
    term y = { 0 };

    sum_away(e, a, b, next), sum_away(e, b, a, next);
    if (!a->t || !b->t) return y;
    for (int i = 0; i < a->n; i++) {
        char c = a->letter[i];
        group *to = !has(b, c) ? &left : needed(e, next, c) ? &batch : &summed;

        put(to, c, size_of(a, c));
    }
    for (int i = 0; i < b->n; i++)
        if (!has(a, b->letter[i])) put(&right, b->letter[i], size_of(b, b->letter[i]));
    if (batch.n + left.n + right.n > TP_MAX_AXES)
        return tp__fail(TP_ERR_ARG, "einsum", "a product with more than %d axes", TP_MAX_AXES), y;
    for (int g = 0; g < 3; g++)
        for (int i = 0; i < parts[g]->n; i++) {
            char c = parts[g]->letter[i];

            s.n[s.rank++] = has(a, c) ? size_of(a, c) : size_of(b, c), y.letter[y.n++] = c;
        }
    y.t = tp_reshape(tp_matmul(as_matrices(a, &batch, &left, &summed), as_matrices(b, &batch, &summed, &right)), s);
    return y;
}

tp_tensor *tp_einsum(const char *equation_text, tp_list xs)
{
    equation e = { 0 };
    term y;

    TP_SCOPE;
    if (!tp__check("einsum", xs, xs.n)) return NULL;
    TP_REQUIRE_IN("einsum", equation_text && xs.n > 0, TP_ERR_ARG, "an equation and at least one operand are wanted");
    if (!read_equation(equation_text, &e)) return NULL;
    TP_REQUIRE_IN("einsum", e.operands == xs.n, TP_ERR_ARG, "\"%s\" has %d operands, not %d", equation_text, e.operands,
                  xs.n);
    for (int k = 0; k < xs.n; k++) {
        TP_REQUIRE_IN("einsum", e.in[k].n == xs.t[k]->shape.rank, TP_ERR_SHAPE, "\"%s\": operand %d is %s", equation_text, k,
                      tp__text(xs.t[k]));
        e.in[k].t = xs.t[k];
    }
    if (!sizes_agree(equation_text, &e)) return NULL;
    for (int k = 0; k < xs.n; k++)
        take_diagonals(&e.in[k]);
    y = e.in[0];
    for (int k = 1; k < xs.n && y.t; k++)
        y = product(&e, &y, &e.in[k], k + 1);
    if (y.t) sum_away(&e, &y, NULL, xs.n);
    return y.t ? tp_pass(ordered(&y, e.out.letter, e.out.n)) : NULL;
}

/* ---- outer, dot ---- */

tp_tensor *tp_outer(tp_tensor *a, tp_tensor *b)
{
    TP_SCOPE;
    if (!tp__check("outer", TP_LIST(a, b), 2)) return NULL;
    TP_REQUIRE_IN("outer", a->shape.rank == 1 && b->shape.rank == 1, TP_ERR_SHAPE, "(n) and (m) are wanted, not %s and %s",
                  tp__text(a), tp__text(b));
    return tp_pass(tp_mul(tp_unsqueeze(a, 1), b));
}

tp_tensor *tp_dot(tp_tensor *a, tp_tensor *b)
{
    if (!tp__check("dot", TP_LIST(a, b), 2)) return NULL;
    TP_REQUIRE_IN("dot", a->shape.rank == 1 && tp__same(&a->shape, &b->shape), TP_ERR_SHAPE,
                  "two (n) are wanted, not %s and %s", tp__text(a), tp__text(b));
    return tp_matmul(a, b);
}
