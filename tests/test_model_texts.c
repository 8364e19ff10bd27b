/*
 * test_model_texts.c - models of texts and series beyond their numbers: padding that changes
 * nothing, a beam search against all sequences there are, files, forecasts that move with their
 * series.
 */
#include "tests/files.h"
#include "tests/oom.h"

static tp_tensor *whole(int64_t below, tp_shape s, tp_device *dev)
{
    return tp_cast(check_numbers(s, TP_F64, 0, (double)below, dev), TP_I64);
}

static double largest(tp_tensor *a)
{
    return tp_count(a) ? tp_item(tp_amax(tp_abs(tp_cast(a, TP_F64)), TP_ALL)) : 0;
}

static tp_tensor *run(tp_module *m, tp_list in)
{
    tp_tensor *y = NULL;

    CHECK(tp_nn_predict_all(m, in, &y, 1) == 1);
    return y;
}

static tp_module *bert(tp_device *dev)
{
    tp_module *m = tp_model_bert((tp_bert_opts){ .vocabulary = 9,
                                                 .context = 12,
                                                 .classes = 3,
                                                 .layers = 2,
                                                 .heads = 2,
                                                 .width = 8 });

    CHECK(tp_nn_init_as(tp_nn_params(m, "*"), tp_init_normal(0, 0.5)) > 0);
    return tp_nn_init(m, dev);
}

enum { PADDING = 0, BEGIN = 1, END = 2 };

static tp_module *translate(int64_t vocabulary, bool first, tp_device *dev)
{
    return tp_nn_init(tp_model_translate((tp_translate_opts){ .vocabulary = vocabulary,
                                                              .context = 12,
                                                              .layers = 2,
                                                              .heads = 2,
                                                              .width = 8,
                                                              .dropout = 0.3,
                                                              .padding = PADDING,
                                                              .norm_first = first,
                                                              .learned = first }),
                      dev);
}

/* Is b a, up to a few roundings? */
static bool near(tp_tensor *a, tp_tensor *b)
{
    return largest(a) > 0.01 &&
           largest(tp_sub(a, b)) <= 8 * 0x1p-23 * sqrt(12 * 8) * largest(a);
}

/* ---- padding ---- */

ON_EACH_DEVICE(texts, padding_changes_no_row)
{
    TP_SCOPE;
    tp_module *m = bert(dev), *t = translate(9, false, dev);
    tp_tensor *x = tp_shift(whole(6, TP_SHAPE(3, 5), dev), 3),
              *target = tp_shift(whole(6, TP_SHAPE(3, 4), dev), 3);
    tp_tensor *mask = tp_ones(TP_SHAPE(3, 5), TP_I64, dev),
              *behind = tp_zeros(TP_SHAPE(3, 4), TP_I64, dev);
    tp_tensor *longer = tp_concat(TP_LIST(x, behind), 1),
              *masks = tp_concat(TP_LIST(mask, behind), 1), *y;

    CASE("bert on %s", tp_device_name(dev));
    y = run(m, TP_LIST(x));
    CHECK(near(y, run(m, TP_LIST(longer, masks))) &&
          near(y, run(m, TP_LIST(longer, tp_cast(masks, TP_BOOL)))));
    CHECK(near(y, run(m, TP_LIST(tp_concat(TP_LIST(x, tp_shift(behind, 7)), 1),
                                 tp_cast(masks, TP_F32)))));
    CHECK(!near(y, run(m, TP_LIST(longer))));
    CHECK(near(tp_slice(y, 0, 1, 2), run(m, TP_LIST(tp_slice(x, 0, 1, 2)))));
    CASE("types on %s", tp_device_name(dev));
    CHECK(near(y, run(m, TP_LIST(x, mask, tp_zeros(TP_SHAPE(3, 5), TP_I64, dev)))) &&
          !near(y, run(m, TP_LIST(x, mask, mask))));
    CASE("translate on %s", tp_device_name(dev));
    y = run(t, TP_LIST(x, target));
    CHECK(near(y, run(t, TP_LIST(longer, target))));
    CHECK(near(
        y, tp_slice(run(t, TP_LIST(x, tp_concat(TP_LIST(target, behind), 1))), 1, 0, 4)));
    CHECK(
        !near(y, run(t, TP_LIST(tp_concat(TP_LIST(x, tp_shift(behind, 7)), 1), target))));
    tp_nn_free(m), tp_nn_free(t);
}

/* ---- beam search ---- */

/* log p of what follows a target, by the whole model */
static void follow(tp_module *m, tp_tensor *source, const int64_t *target, int64_t n,
                   double *logp, int64_t vocabulary)
{
    TP_SCOPE;
    tp_device *dev = tp_device_of(source);
    tp_tensor *y = run(m, TP_LIST(source, tp_to(tp_from(target, TP_SHAPE(1, n), TP_I64,
                                                        tp_device_open("cpu")),
                                                dev)));

    y = tp_cast(tp_log_softmax(tp_slice(y, 1, n - 1, n), -1), TP_F64);
    CHECK(tp_read(y, logp, sizeof *logp * (size_t)vocabulary));
}

enum { FEW = 5, SHORT = 4 }; /* symbols; begin, two of them or less, end */

/* The best of all targets of a source. */
static double best_of_all(tp_module *m, tp_tensor *source, int64_t *target, int64_t n,
                          double sum, double alpha)
{
    double logp[FEW], best = -INFINITY;

    follow(m, source, target, n, logp, FEW);
    for (int64_t v = END; v < FEW; v++) {
        double score = sum + logp[v];

        if (v == END)
            score /= pow((5 + (double)n) / 6, alpha);
        else if (n + 2 > SHORT)
            continue;
        else
            target[n] = v, score = best_of_all(m, source, target, n + 1, score, alpha);
        best = fmax(best, score);
    }
    return best;
}

/* What a target that was found is worth, by the whole model. */
static double worth(tp_module *m, tp_tensor *source, tp_tensor *found, int64_t row,
                    int64_t vocabulary, double alpha, int64_t most)
{
    int64_t id[16], T = tp_dim(found, 1), n = 1;
    double sum = 0, logp[16];

    for (int64_t i = 0; i < T; i++)
        id[i] = (int64_t)check_at(found, row * T + i);
    CHECK(id[0] == BEGIN);
    for (; n < T; n++) {
        if (id[n] == END && n + 1 < T) CHECK(id[n + 1] == PADDING);
        follow(m, source, id, n, logp, vocabulary);
        sum += logp[id[n]];
        if (id[n] == END) break;
    }
    CHECK(n < T || n == most);
    return sum / pow((5 + (double)n) / 6, alpha);
}

ON_EACH_DEVICE(texts, a_wide_beam_finds_the_best_of_all)
{
    for (int i = 0; i < 4; i++) {
        TP_SCOPE;
        double alpha = i % 2 ? 0.8 : 0;
        tp_module *m = (tp_seed((uint64_t)i + 1), translate(FEW, i > 1, dev));
        tp_tensor *source = tp_shift(whole(3, TP_SHAPE(3, 4), dev), 2), *y;
        tp_beam_opts o = { .begin = BEGIN,
                           .end = END,
                           .most = SHORT,
                           .beams = 32,
                           .length_penalty = alpha };

        CASE("model %d on %s", i, tp_device_name(dev));
        CHECK((y = tp_model_beam(m, source, o)) && tp_dim(y, 0) == 3 &&
              tp_nn_training(m));
        for (int64_t r = 0; r < 3; r++) {
            int64_t target[8] = { BEGIN };
            tp_tensor *one = tp_slice(source, 0, r, r + 1);
            double best = best_of_all(m, one, target, 1, 0, alpha);

            CHECK_NEAR(worth(m, one, y, r, FEW, alpha, SHORT), best, 1e-5 * fabs(best));
        }
        tp_nn_free(m);
    }
}

/* One beam takes the likeliest symbol each time; rows of a batch don't see each other; more
 * beams are no worse. */
ON_EACH_DEVICE(texts, beams_side_by_side)
{
    for (int i = 0; i < 2; i++) {
        TP_SCOPE;
        tp_module *m = translate(9, i, dev);
        tp_tensor *source = tp_shift(whole(6, TP_SHAPE(4, 6), dev), 3), *y, *wide;
        tp_beam_opts o = { .begin = BEGIN, .end = END, .most = 10 };
        double logp[9], sum[2] = { 0 };

        CASE("norms %s on %s", i ? "first" : "behind", tp_device_name(dev));
        y = tp_model_beam(m, source, o);
        o.beams = 5, wide = tp_model_beam(m, source, o);
        for (int64_t r = 0; y && wide && r < 4; r++) {
            tp_tensor *one = tp_slice(source, 0, r, r + 1),
                      *alone = tp_model_beam(m, one, o);
            int64_t id[16], T = tp_dim(y, 1);

            for (int64_t k = 0; k < tp_dim(alone, 1); k++)
                CHECK(check_at(alone, k) == check_at(wide, r * tp_dim(wide, 1) + k));
            for (int64_t k = 0; k < T; k++)
                id[k] = (int64_t)check_at(y, r * T + k);
            for (int64_t n = 1; n < 9 && id[n - 1] != END; n++) {
                int64_t top = END;

                follow(m, one, id, n, logp, 9);
                for (int64_t v = END; v < 9; v++)
                    top = logp[v] > logp[top] ? v : top;
                CHECK(id[n] == top);
            }
            sum[0] += worth(m, one, y, r, 9, 0, 10),
                sum[1] += worth(m, one, wide, r, 9, 0, 10);
        }
        CHECK(sum[1] >= sum[0] - 1e-4);
        tp_nn_free(m);
    }
}

/* A text that is filled up gives what it gives alone. */
ON_EACH_DEVICE(texts, beams_of_padded_texts)
{
    TP_SCOPE;
    tp_module *m = translate(9, false, dev);
    tp_tensor *both = tp_shift(whole(6, TP_SHAPE(2, 6), dev), 3), *one, *y, *alone;
    tp_tensor *kept = tp_lt(tp_arange(0, 12, 1, TP_I64, dev), tp_full(TP_SCALAR, 4, TP_I64, dev));
    tp_beam_opts o = { .begin = BEGIN, .end = END, .most = 10, .beams = 3 };

    kept = tp_logical_or(kept, tp_ge(tp_arange(0, 12, 1, TP_I64, dev), tp_full(TP_SCALAR, 6, TP_I64, dev)));
    one = tp_contiguous(tp_slice(tp_slice(both, 0, 0, 1), 1, 0, 4));
    both = tp_mul(both, tp_cast(tp_reshape(kept, TP_SHAPE(2, 6)), TP_I64)); /* PADDING is 0 */
    y = tp_model_beam(m, both, o), alone = tp_model_beam(m, one, o);
    CHECK(y && alone && tp_dim(y, 1) >= tp_dim(alone, 1));
    for (int64_t k = 0; k < tp_dim(alone, 1); k++)
        CHECK(check_at(alone, k) == check_at(y, k));
    CHECK_REFUSED(tp_model_beam(m, one, (tp_beam_opts){ 0 }), TP_ERR_ARG, "must be three symbols");
    tp_nn_free(m);
}

ON_EACH_DEVICE(texts, beams_refused)
{
    TP_SCOPE;
    tp_module *m = translate(9, false, dev), *g = bert(dev), *bare = tp_model_translate((tp_translate_opts){ .vocabulary = 9, .context = 12, .layers = 1, .heads = 2, .width = 8 });
    tp_tensor *x = whole(6, TP_SHAPE(2, 4), dev),
              *none = tp_zeros(TP_SHAPE(0, 4), TP_I64, dev);
    tp_beam_opts o = { .begin = BEGIN, .end = END }, wrong = o;

    CHECK(tp_dim(tp_model_beam(m, none, o), 0) == 0);
    CHECK_REFUSED(tp_model_beam(g, x, o), TP_ERR_ARG, "a model of tp_model_translate is wanted, not bert");
    CHECK_REFUSED(tp_model_beam(bare, x, o), TP_ERR_ARG, "call tp_nn_init first");
    tp_nn_free(bare);
    CHECK_REFUSED(tp_model_beam(NULL, x, o), TP_ERR_ARG, "not nothing");
    CHECK_REFUSED(tp_model_beam(m, NULL, o), TP_ERR_SHAPE, "source must be (N, S)");
    CHECK_REFUSED(tp_model_beam(m, tp_ones(TP_SHAPE(2, 13), TP_I64, dev), o),
                  TP_ERR_SHAPE, "13 symbols are more than its context of 12");
    wrong.beams = 65;
    CHECK_REFUSED(tp_model_beam(m, x, wrong), TP_ERR_ARG, "beams 65, and 1 to 64");
    wrong = o, wrong.most = 13;
    CHECK_REFUSED(tp_model_beam(m, x, wrong), TP_ERR_ARG, "most 13, and 2 to 12");
    wrong = o, wrong.end = 9;
    CHECK_REFUSED(tp_model_beam(m, x, wrong), TP_ERR_ARG, "end 9, and 0 to 8");
    wrong = o, wrong.length_penalty = NAN;
    CHECK_REFUSED(tp_model_beam(m, x, wrong), TP_ERR_ARG, "length_penalty nan");
    TP_NO_GRAD;
    CHECK(tp_fill_(tp_nn_tensor(m, "embedding.weight"), NAN));
    CHECK_REFUSED(tp_model_beam(m, x, o), TP_ERR_NONFINITE, "NaN");
    tp_nn_free(m), tp_nn_free(g);
}

/* ---- files ---- */

static void round_trip(tp_module *m, tp_list in, tp_device *dev)
{
    TP_SCOPE;
    const char *kind = tp_nn_kind(m);
    tp_module *back;

    CASE("%s on %s", kind, tp_device_name(dev));
    CHECK(tp_model_save(m, in_folder("m")) &&
          (back = tp_model_load(in_folder("m"), kind, dev)));
    CHECK(largest(tp_sub(run(m, in), run(back, in))) == 0);
    tp_nn_free(back), tp_nn_free(m);
}

ON_EACH_DEVICE(texts, files_tell_their_model)
{
    TP_SCOPE;
    tp_tensor *x = whole(9, TP_SHAPE(2, 5), dev),
              *s = check_numbers(TP_SHAPE(2, 6, 2), TP_F32, -1, 1, dev);
    tp_bert_opts b = { .vocabulary = 9,
                       .context = 7,
                       .classes = 2,
                       .layers = 1,
                       .heads = 1,
                       .width = 4,
                       .hidden = 5,
                       .types = 3 };
    tp_forecast_opts f = {
        .columns = 2, .steps_in = 6, .ahead = 3, .segment = 3, .width = 6, .dropout = 0.1
    };
    tp_module *m;

    make_test_folder();
    round_trip(tp_nn_init(tp_model_bert(b), dev), TP_LIST(x), dev);
    round_trip(translate(9, false, dev), TP_LIST(x, x), dev);
    round_trip(translate(9, true, dev), TP_LIST(x, x), dev);
    m = tp_nn_init(tp_model_forecast(f), dev);
    CHECK(tp_copy_(tp_nn_tensor(m, "scale"),
                   tp_from((float[]){ 2, 3 }, TP_SHAPE(2), TP_F32, dev)));
    round_trip(m, TP_LIST(s), dev);
    remove_test_folder();
}

/* ---- forecasts ---- */

/* A series moved by a number, or another column's scale, moves its forecast alike. */
ON_EACH_DEVICE(texts, forecasts_move_with_their_series)
{
    TP_SCOPE;
    tp_module *m = tp_nn_init(
        tp_model_forecast((tp_forecast_opts){
            .columns = 2, .steps_in = 6, .ahead = 4, .segment = 2, .width = 8 }),
        dev);
    tp_tensor *x = check_numbers(TP_SHAPE(3, 6, 2), TP_F32, -1, 1, dev),
              *scale = tp_from((float[]){ 4, 0.5f }, TP_SHAPE(2), TP_F32, dev);
    tp_tensor *y = run(m, TP_LIST(x));

    CHECK(near(tp_shift(y, 2), run(m, TP_LIST(tp_shift(x, 2)))));
    CHECK(tp_copy_(tp_nn_tensor(m, "scale"), scale));
    CHECK(near(tp_mul(y, scale), run(m, TP_LIST(tp_mul(x, scale)))));
    tp_nn_free(m);
}

/* ---- out of memory ---- */

typedef struct tight {
    tp_module *m;
    tp_tensor *source;
    long live;
} tight;

static bool search(void *user)
{
    tight *t = user;
    TP_SCOPE;

    return tp_model_beam(t->m, t->source,
                         (tp_beam_opts){
                             .begin = BEGIN, .end = END, .most = 4, .beams = 2 }) != NULL;
}

static void after_search(void *user, bool done)
{
    tight *t = user;

    (void)done;
    tp_thread_end();
    CHECK(tp_nn_training(t->m) && tp__live() == t->live);
}

ON_EACH_DEVICE(texts, a_search_out_of_memory)
{
    tight t = { .m = translate(5, false, dev) };

    {
        TP_SCOPE;
        t.source = tp_keep(whole(5, TP_SHAPE(2, 3), dev));
    }
    CHECK(search(&t));
    tp_thread_end(), t.live = tp__live();
    at_every_allocation(search, after_search, &t);
    tp_nn_free(t.m), tp_free(t.source);
}
