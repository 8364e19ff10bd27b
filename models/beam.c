/*
 * beam.c - beam search in a model of tp_model_translate, all sentences side by side.
 *
 * Each sentence that goes on has `beams` rows, the likeliest beginnings of a target.  A step
 * runs the decoder on their last symbols, with keys and values of those before; of all
 * continuations the likeliest go on, and those that end are compared by log p / ((5 + n) /
 * 6)^length_penalty (Wu et al. 2016).  A sentence is done when as many have ended as there are
 * beams, or none that goes on can become better.
 */
#include "models/fits.h"
#include "models/translate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BEAMS = 64, MOST_LAYERS = 64, MOST_TEXTS = 1 << 16 };

typedef struct candidate {
    double score;
    int64_t row, symbol;
} candidate;

typedef struct search {
    tp_module *m;
    tp_translate_opts o;
    tp_beam_opts b;
    tp_device *dev;
    tp_tensor *memory[2 * MOST_LAYERS], *past[2 * MOST_LAYERS],
        *left_out;       /* kept; k, v of each layer, a row each */
    int64_t N, alive, n; /* sentences, those that go on, symbols so far */
    int64_t *number,
        *parent; /* of each that goes on: which it is; of each row: the one that it goes on from */
    int64_t *text, *other; /* (alive beams, most), and where the next ones are made */
    double *score;         /* of each row */
    int64_t *best, *ended; /* (N, most); how many have ended, by sentence */
    double *best_score;
    float *logp; /* (alive beams, vocabulary) */
} search;

/* ---- a step of the decoder ---- */

/* Part `which` of in_proj: (rows, T, width) -> (rows, heads, T, width / heads) */
static tp_tensor *projected(tp_module *a, tp_tensor *x, int which, int64_t heads)
{
    tp_tensor *w = tp_nn_tensor(a, "in_proj_weight"),
              *b = tp_nn_tensor(a, "in_proj_bias");
    int64_t E = tp_dim(w, 1), from = which * E;

    x = tp_linear(x, tp_slice(w, 0, from, from + E), tp_slice(b, 0, from, from + E));
    return tp_transpose(
        tp_reshape(x, TP_SHAPE(tp_dim(x, 0), tp_dim(x, 1), heads, E / heads)), 1, 2);
}

static tp_tensor *attended(tp_module *a, tp_tensor *q, tp_tensor *k, tp_tensor *v,
                           tp_tensor *left_out)
{
    tp_tensor *y =
        tp_attention(q, k, v, (tp_attention_opts){ .key_padding_mask = left_out });

    y = tp_reshape(tp_transpose(y, 1, 2),
                   TP_SHAPE(tp_dim(q, 0), tp_dim(q, 2), tp_dim(q, 1) * tp_dim(q, 3)));
    return tp_nn_call(a, "out_proj", y);
}

static tp_tensor *before(const search *s, tp_module *layer, const char *norm,
                         tp_tensor *x)
{
    return s->o.norm_first ? tp_nn_call(layer, norm, x) : x;
}

static tp_tensor *behind(const search *s, tp_module *layer, const char *norm,
                         tp_tensor *x, tp_tensor *y)
{
    x = tp_add(x, y);
    return s->o.norm_first ? x : tp_nn_call(layer, norm, x);
}

static tp_tensor *run_layer(search *s, int i, tp_tensor *x)
{
    tp_module *layer = tp_nn_child(tp_nn_get(s->m, "decoder.layers"), i),
              *own = tp_nn_get(layer, "self_attn"),
              *cross = tp_nn_get(layer, "multihead_attn");
    tp_tensor **past = s->past + 2 * i, **memory = s->memory + 2 * i,
              *y = before(s, layer, "norm1", x), *k, *v;

    k = projected(own, y, 1, s->o.heads), v = projected(own, y, 2, s->o.heads);
    if (past[0])
        k = tp_concat(TP_LIST(past[0], k), 2), v = tp_concat(TP_LIST(past[1], v), 2);
    if (!tp_store(&past[0], k) || !tp_store(&past[1], v)) return NULL;
    x = behind(s, layer, "norm1", x,
               attended(own, projected(own, y, 0, s->o.heads), past[0], past[1], NULL));
    y = projected(cross, before(s, layer, "norm2", x), 0, s->o.heads);
    x = behind(s, layer, "norm2", x,
               attended(cross, y, memory[0], memory[1], s->left_out));
    y = tp_nn_call(layer, "linear2",
                   tp_nn_call(layer, "linear1", before(s, layer, "norm3", x)));
    return behind(s, layer, "norm3", x, y);
}

/* logp of what follows the last symbol of each row */
static bool run_step(search *s)
{
    int64_t rows = s->alive * s->b.beams;
    TP_SCOPE;
    tp_tensor *x =
        tp_from(s->text, TP_SHAPE(rows, s->b.most), TP_I64, tp_device_open("cpu"));

    x = embedded(s->m, tp_to(tp_slice(x, 1, s->n - 1, s->n), s->dev), s->n - 1);
    for (int i = 0; tp_ok() && i < s->o.layers; i++)
        x = run_layer(s, i, x);
    if (s->o.norm_first) x = tp_nn_call(s->m, "decoder.norm", x);
    x = tp_log_softmax(tp_linear(x, tp_nn_tensor(s->m, "embedding.weight"), NULL), -1);
    if (!tp_read(tp_cast(x, TP_F32), s->logp,
                 sizeof *s->logp * (size_t)(rows * s->o.vocabulary)))
        return false;
    for (int64_t r = 0; r < rows;
         r++) /* one NaN among the logits makes all of a row NaN */
        if (isnan(s->logp[r * s->o.vocabulary]))
            return tp_fail(TP_ERR_NONFINITE, "tp_model_beam: a logit is NaN");
    return true;
}

/* Rows `row` of all that the decoder looks at. */
static bool choose_rows(search *s, const int64_t *row, int64_t n, bool memory_too)
{
    TP_SCOPE;
    tp_tensor *index =
        tp_to(tp_from(row, TP_SHAPE(n), TP_I64, tp_device_open("cpu")), s->dev);
    bool ok = true;

    for (int i = 0; ok && i < 2 * s->o.layers; i++)
        ok = (!s->past[i] ||
              tp_store(&s->past[i], tp_index_select(s->past[i], 0, index))) &&
             (!memory_too ||
              tp_store(&s->memory[i], tp_index_select(s->memory[i], 0, index)));
    return ok && (!memory_too ||
                  tp_store(&s->left_out, tp_index_select(s->left_out, 0, index)));
}

/* ---- the likeliest continuations ---- */

/* Puts c among the n best, sorted; of equals the first stays before. */
static void offer(candidate *best, int n, candidate c)
{
    int at = n - 1;

    for (; at > 0 && best[at - 1].score < c.score; at--)
        best[at] = best[at - 1];
    best[at] = c;
}

/* The 2 beams best continuations of a sentence: of so many at least `beams` go on, or all that
 * there are. */
static void look(const search *s, int64_t sentence, candidate *best, int n)
{
    for (int i = 0; i < n; i++)
        best[i] = (candidate){ -INFINITY, sentence * s->b.beams, s->b.end };
    for (int64_t r = sentence * s->b.beams; r < (sentence + 1) * s->b.beams; r++) {
        const float *logp = s->logp + r * s->o.vocabulary;

        for (int64_t v = 0; v < s->o.vocabulary; v++)
            if (s->score[r] + (double)logp[v] > best[n - 1].score && v != s->o.padding &&
                v != s->b.begin)
                offer(best, n, (candidate){ s->score[r] + (double)logp[v], r, v });
    }
}

static double rated(const search *s, double score, int64_t symbols)
{
    return score / pow((5 + (double)symbols) / 6, s->b.length_penalty);
}

/* Row r, and `end` where there is room, as a target of its sentence. */
static void finish(search *s, int64_t sentence, int64_t r, double score)
{
    int64_t number = s->number[sentence], *to = s->best + number * s->b.most;
    double rating = rated(s, score, s->n); /* begin doesn't count, end does */

    s->ended[number]++;
    if (!(rating > s->best_score[number])) return;
    s->best_score[number] = rating;
    memcpy(to, s->text + r * s->b.most, sizeof *to * (size_t)s->n);
    for (int64_t i = s->n; i < s->b.most; i++)
        to[i] = i == s->n ? s->b.end : s->o.padding;
}

/* The rows of a sentence after this step; false: it is done. */
static bool advance(search *s, int64_t sentence, candidate *on)
{
    int64_t number = s->number[sentence], beams = s->b.beams, going = 0;
    candidate best[2 * MOST_BEAMS];

    look(s, sentence, best, (int)(2 * beams));
    for (int i = 0; i < 2 * beams && going < beams; i++) {
        if (best[i].symbol != s->b.end)
            on[going++] = best[i];
        else if (i < beams && best[i].score > -INFINITY)
            finish(s, sentence, best[i].row, best[i].score);
    }
    for (int64_t i = going; i < beams; i++)
        on[i] = (candidate){ -INFINITY, best[0].row, s->b.end };
    if (s->n + 1 >= s->b.most || !going) { /* no room for more than an end */
        if (!s->ended[number]) finish(s, sentence, best[0].row, best[0].score);
        return false;
    }
    return s->ended[number] < beams &&
           rated(s, on[0].score, s->b.most) > s->best_score[number];
}

/* All sentences by one symbol. */
static bool step(search *s)
{
    int64_t most = s->b.most, beams = s->b.beams, kept = 0, was = s->alive;
    candidate on[MOST_BEAMS];

    if (!run_step(s)) return false;
    for (int64_t i = 0; i < was; i++) {
        if (!advance(s, i, on)) continue;
        for (int64_t k = 0; k < beams; k++) {
            int64_t r = kept * beams + k;

            s->parent[r] = on[k].row;
            memcpy(s->other + r * most, s->text + on[k].row * most,
                   sizeof *s->text * (size_t)s->n);
            s->other[r * most + s->n] = on[k].symbol;
            s->score[r] = on[k].score; /* those of later sentences stand behind it */
        }
        s->number[kept++] = s->number[i];
    }
    int64_t *swap = s->text;
    s->text = s->other, s->other = swap, s->alive = kept, s->n++;
    return !kept || (beams == 1 && kept == was) ||
           choose_rows(s, s->parent, kept * beams, kept < was);
}

/* ---- the search ---- */

static bool take_memory(search *s, tp_tensor *source)
{
    TP_SCOPE;
    tp_tensor *left_out = tp_eq_scalar(source, (double)s->o.padding), *memory = NULL;
    tp_tensor *in[] = { embedded(s->m, source, 0), left_out };

    tp_nn_predict_all(tp_nn_get(s->m, "encoder"), (tp_list){ in, 2 }, &memory, 1);
    for (int i = 0; tp_ok() && i < s->o.layers; i++) {
        tp_module *cross = tp_nn_get(tp_nn_child(tp_nn_get(s->m, "decoder.layers"), i),
                                     "multihead_attn");

        for (int k = 0; k < 2; k++)
            if (!tp_store(
                    &s->memory[2 * i + k],
                    tp_repeat_interleave(projected(cross, memory, 1 + k, s->o.heads),
                                         s->b.beams, 0)))
                return false;
    }
    return tp_store(&s->left_out, tp_repeat_interleave(left_out, s->b.beams, 0));
}

static bool take_room(search *s)
{
    size_t rows = (size_t)(s->N * s->b.beams), most = (size_t)s->b.most;

    s->number = calloc((size_t)s->N + 1, sizeof *s->number),
    s->parent = calloc(rows + 1, sizeof *s->parent);
    s->text = calloc(rows * most + 1, sizeof *s->text),
    s->other = calloc(rows * most + 1, sizeof *s->other);
    s->score = calloc(rows + 1, sizeof *s->score),
    s->best_score = calloc((size_t)s->N + 1, sizeof *s->best_score);
    s->best = calloc((size_t)s->N * most + 1, sizeof *s->best),
    s->ended = calloc((size_t)s->N + 1, sizeof *s->ended);
    s->logp = calloc(rows * (size_t)s->o.vocabulary + 1, sizeof *s->logp);
    return (s->number && s->parent && s->text && s->other && s->score && s->best_score &&
            s->best && s->ended && s->logp) ||
           tp_fail(TP_ERR_MEMORY, "tp_model_beam");
}

static void begin(search *s)
{
    s->n = 1, s->alive = s->N;
    for (int64_t i = 0; i < s->N; i++)
        s->number[i] = i, s->best_score[i] = -INFINITY;
    for (int64_t r = 0; r < s->N * s->b.beams;
         r++) /* the first of each sentence alone, or all would be alike */
        s->text[r * s->b.most] = s->b.begin, s->score[r] = r % s->b.beams ? -INFINITY : 0;
}

static void leave(search *s)
{
    for (int i = 0; i < 2 * MOST_LAYERS; i++)
        tp_free(s->memory[i]), tp_free(s->past[i]);
    tp_free(s->left_out);
    free(s->number), free(s->parent), free(s->text), free(s->other), free(s->score),
        free(s->best_score);
    free(s->best), free(s->ended), free(s->logp);
}

static tp_tensor *found(const search *s)
{
    int64_t T = 1;

    for (int64_t i = 0; i < s->N * s->b.most; i++)
        if (s->best[i] != s->o.padding && i % s->b.most >= T) T = i % s->b.most + 1;
    return tp_contiguous(tp_slice(
        tp_from(s->best, TP_SHAPE(s->N, s->b.most), TP_I64, tp_device_open("cpu")), 1, 0,
        T));
}

static bool fits(search *s, tp_tensor *source)
{
    static const char where[] = "tp_model_beam";
    const tp_translate_opts *o = tp_nn_opts(s->m);
    tp_tensor *table;

    if (!is_model(where, s->m, "translate")) return false;
    table = tp_nn_tensor(s->m, "embedding.weight");
    if (!table) return tp_fail(TP_ERR_ARG, "%s: the model isn't there yet: call tp_nn_init first", where);
    s->o = *o, s->dev = tp_device_of(table), s->N = tp_dim(source, 0);
    s->b.beams = s->b.beams ? s->b.beams : 1,
    s->b.most = s->b.most ? s->b.most : o->context;
    if (tp_rank(source) != 2)
        return tp_fail(TP_ERR_SHAPE, "%s: source must be (N, S)", where);
    if (!(s->b.length_penalty >= 0 && s->b.length_penalty <= 10))
        return tp_fail(TP_ERR_ARG, "%s: length_penalty %g, and 0 to 10 is possible",
                       where, s->b.length_penalty);
    if (s->b.begin == s->b.end || s->b.begin == o->padding || s->b.end == o->padding)
        return tp_fail(TP_ERR_ARG, "%s: begin %lld, end %lld and padding %lld must be three symbols", where,
                       (long long)s->b.begin, (long long)s->b.end, (long long)o->padding);
    if (s->N > MOST_TEXTS)
        return tp_fail(TP_ERR_SHAPE, "%s: %lld texts, and %d are possible", where, (long long)s->N, MOST_TEXTS);
    return in_range(where, "beams", s->b.beams, 1, MOST_BEAMS) &&
           in_range(where, "most", s->b.most, 2, o->context) &&
           in_range(where, "begin", s->b.begin, 0, o->vocabulary - 1) &&
           in_range(where, "end", s->b.end, 0, o->vocabulary - 1) &&
           in_range(where, "layers", o->layers, 1, MOST_LAYERS);
}

tp_tensor *tp_model_beam(tp_module *m, tp_tensor *source, tp_beam_opts o)
{
    search s = { .m = m, .b = o };
    tp_tensor *y = NULL;
    bool ok;

    TP_NO_GRAD;
    TP_SCOPE;
    if (!fits(&s, source)) return NULL;
    if ((ok = take_room(&s))) begin(&s);
    ok = ok && take_memory(&s, tp_to(source, s.dev));
    while (ok && s.alive)
        ok = step(&s);
    if (ok) y = found(&s);
    leave(&s);
    return y ? tp_pass(y) : NULL;
}
