/*
 * forecast.c - SegRNN (Lin et al. 2023, "SegRNN: Segment recurrent neural network for long-term
 * time series forecasting"): each column by itself, in segments of w places.
 *
 *     (x - last place of the window) / scale -> segments -> relu(valueEmbedding) -> GRU -> h
 *     segment j ahead = predict(GRU(pos_emb[j], channel_emb[column]; from h)) scale + last place
 *
 * All segments ahead are one step of the GRU from the same h, side by side.
 */
#include "models/fits.h"

/* What the GRU is told of each segment ahead of each column: (N columns m, 1, width). */
static tp_tensor *places(tp_module *m, int64_t N, int64_t columns, int64_t ahead,
                         int64_t width)
{
    tp_shape half = TP_SHAPE(columns, ahead, width / 2);
    tp_tensor *place = tp_expand(tp_unsqueeze(tp_nn_tensor(m, "pos_emb"), 0), half);
    tp_tensor *column = tp_expand(tp_unsqueeze(tp_nn_tensor(m, "channel_emb"), 1), half);
    tp_tensor *code = tp_unsqueeze(tp_concat(TP_LIST(place, column), 2), 0);

    return tp_reshape(tp_expand(code, TP_SHAPE(N, columns, ahead, width)),
                      TP_SHAPE(N * columns * ahead, 1, width));
}

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_forecast_opts *o = tp_nn_opts(self);
    int64_t S = o->steps_in, C = o->columns, w = o->segment, ahead = o->ahead / w, N;
    tp_module *rnn = tp_nn_get(self, "rnn");
    tp_tensor *scale, *x, *last, *h, *y;

    (void)room;
    if (!given(self, in, 1, 1) ||
        !shaped(self, in.t[0], "x", TP_SHAPE(0, S, C), "(N, steps_in, columns)"))
        return -1;
    N = tp_dim(in.t[0], 0);
    last = tp_slice(in.t[0], 1, S - 1, S),
    scale = tp_cast(tp_nn_tensor(self, "scale"), tp_dtype_of(last));
    x = tp_transpose(tp_div(tp_sub(in.t[0], last), scale), 1, 2); /* (N, C, S) */
    x = tp_nn_call(self, "valueEmbedding", tp_reshape(x, TP_SHAPE(N * C, S / w, w)));
    h = tp_nn_recurrent_forward(rnn, x, NULL, NULL).h; /* (1, N C, width) */
    h = tp_repeat_interleave(h, ahead, 1);
    h = tp_nn_recurrent_forward(rnn, places(self, N, C, ahead, o->width), NULL, h).h;
    y = tp_reshape(tp_nn_call(self, "predict", h), TP_SHAPE(N, C, o->ahead));
    return tp_nn_gives(out, tp_add(tp_mul(tp_transpose(y, 1, 2), scale), last));
}

static bool filled(tp_forecast_opts *o)
{
    static const char where[] = "tp_model_forecast";

    o->segment = o->segment ? o->segment : 12, o->width = o->width ? o->width : 128;
    if (!in_range(where, "columns", o->columns, 1, MOST_WIDTH) ||
        !in_range(where, "steps_in", o->steps_in, 1, MOST_WIDTH) ||
        !in_range(where, "ahead", o->ahead, 1, MOST_WIDTH) ||
        !in_range(where, "segment", o->segment, 1, MOST_WIDTH) ||
        !in_range(where, "width", o->width, 1, MOST_WIDTH) || !is_rate(where, o->dropout))
        return false;
    if (o->width % 2)
        return tp_fail(TP_ERR_ARG, "%s: width %lld is odd", where, (long long)o->width);
    if (o->steps_in % o->segment == 0 && o->ahead % o->segment == 0) return true;
    return tp_fail(
        TP_ERR_ARG, "%s: segment %lld doesn't divide both steps_in %lld and ahead %lld",
        where, (long long)o->segment, (long long)o->steps_in, (long long)o->ahead);
}

tp_module *tp_model_forecast(tp_forecast_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("forecast", forward, &o, sizeof o) : NULL;
    tp_linear_layer_opts relu = { .activation = TP_RELU };
    tp_init normal = tp_init_normal(0, 1);

    if (!m) return NULL;
    tp_nn_add(m, "valueEmbedding",
              tp_nn_sequential(
                  (tp_module *[]){ tp_nn_linear_with(o.segment, o.width, relu) }, 1));
    tp_nn_add(m, "rnn",
              tp_nn_gru(o.width, o.width, (tp_lstm_opts){ .batch_first = true }));
    tp_nn_param(m, "pos_emb", TP_SHAPE(o.ahead / o.segment, o.width / 2), normal);
    tp_nn_param(m, "channel_emb", TP_SHAPE(o.columns, o.width / 2), normal);
    tp_nn_buffer(m, "scale", TP_SHAPE(o.columns), TP_F32, 1);
    tp_nn_add(m, "predict",
              tp_nn_sequential((tp_module *[]){ tp_nn_dropout(o.dropout),
                                                tp_nn_linear(o.width, o.segment) },
                               2));
    return tp_nn_made(m);
}
