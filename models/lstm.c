/*
 * lstm.c - a recurrent language model: embedding, LSTM (Hochreiter & Schmidhuber 1997), linear
 * layer (Graves 2013, "Generating sequences with recurrent neural networks").
 *
 * Inside, time comes first, as the LSTM wants it: tokens and logits are what is turned around.
 */
#include "models/fits.h"

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_lstm_model_opts *o = tp_nn_opts(self);
    tp_tensor *x, *y;
    tp_lstm_out r;

    if (!given(self, in, 1, 3) || !shaped(self, in.t[0], "tokens", TP_SHAPE(0, 0), "(N, T)"))
        return -1;
    if (in.n == 2) {
        tp_fail(TP_ERR_ARG, "lstm model: tokens, or tokens, h and c are wanted, not 2 inputs");
        return -1;
    }
    x = tp_nn_call(self, "drop", tp_nn_call(self, "encoder", tp_transpose(in.t[0], 0, 1)));
    r = tp_nn_lstm_forward(tp_nn_get(self, "rnn"), x, in.n == 3 ? in.t[1] : NULL,
                           in.n == 3 ? in.t[2] : NULL);
    y = tp_nn_call(self, "drop", r.y);
    if (o->tied)
        y = tp_linear(y, tp_nn_tensor(self, "encoder.weight"), tp_nn_tensor(self, "decoder.bias"));
    else
        y = tp_nn_call(self, "decoder", y);
    if (tp_nn_gives(out, tp_transpose(y, 0, 1)) < 0 || room < 3) return tp_ok() ? 1 : -1;
    out[1] = r.h, out[2] = r.c;
    return 3;
}

static bool filled(tp_lstm_model_opts *o)
{
    static const char where[] = "tp_model_lstm";

    o->width = o->width ? o->width : 256, o->layers = o->layers ? o->layers : 2;
    return in_range(where, "vocabulary", o->vocabulary, 1, MOST_SIZE) &&
           in_range(where, "width", o->width, 1, MOST_WIDTH) &&
           in_range(where, "layers", o->layers, 1, 32) && is_rate(where, o->dropout);
}

/* The bias alone, and a table that as a decoder's weight gives small logits. */
static void tie(tp_module *m, int64_t vocabulary)
{
    tp_module *decoder = tp_nn_add(m, "decoder", tp_nn_container("decoder"));

    tp_nn_param(decoder, "bias", TP_SHAPE(vocabulary), tp_init_constant(0));
    tp_nn_init_as(tp_nn_params(m, "encoder.weight"), tp_init_uniform(-0.1, 0.1));
}

tp_module *tp_model_lstm(tp_lstm_model_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("lstm model", forward, &o, sizeof o) : NULL;
    tp_lstm_opts rnn = { .layers = o.layers, .dropout = o.dropout };

    if (!m) return NULL;
    tp_nn_add(m, "encoder", tp_nn_embedding(o.vocabulary, o.width));
    tp_nn_add(m, "drop", tp_nn_dropout(o.dropout));
    tp_nn_add(m, "rnn", tp_nn_lstm(o.width, o.width, rnn));
    if (o.tied)
        tie(m, o.vocabulary);
    else
        tp_nn_add(m, "decoder", tp_nn_linear(o.width, o.vocabulary));
    return tp_nn_made(m);
}
