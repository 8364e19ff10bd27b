/*
 * lstm.c - a recurrent language model: embedding, LSTM (Hochreiter & Schmidhuber 1997), linear layer
 * (Graves 2013, "Generating sequences with recurrent neural networks").
 */
#include "models/models.h"

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_lstm_model_opts *o = tp_nn_opts(self);
    tp_tensor *h = in.n > 1 ? in.t[1] : NULL, *c = in.n > 2 ? in.t[2] : NULL, *y;
    tp_tensor *x = tp_nn_call(self, "drop", tp_nn_call(self, "encoder", in.t[0]));
    tp_lstm_out r = tp_nn_lstm_forward(tp_nn_get(self, "rnn"), x, h, c);

    y = tp_nn_call(self, "drop", r.y);
    if (o->tied) y = tp_add(tp_linear(y, tp_nn_tensor(self, "encoder.weight"), NULL), tp_nn_tensor(self, "decoder_bias"));
    else y = tp_nn_call(self, "decoder", y);
    if (tp_nn_gives(out, y) < 0 || room < 3) return tp_ok() ? 1 : -1;
    out[1] = r.h, out[2] = r.c;
    return 3;
}

tp_module *tp_model_lstm(tp_lstm_model_opts o)
{
    int64_t width = o.width ? o.width : 256;
    tp_lstm_opts rnn = { .layers = o.layers ? o.layers : 2, .dropout = o.dropout, .batch_first = true };
    tp_module *m = tp_nn_layer("lstm model", forward, &o, sizeof o);

    tp_nn_add(m, "encoder", tp_nn_embedding(o.vocabulary, width));
    tp_nn_add(m, "drop", tp_nn_dropout(o.dropout));
    tp_nn_add(m, "rnn", tp_nn_lstm(width, width, rnn));
    if (o.tied) tp_nn_param(m, "decoder_bias", TP_SHAPE(o.vocabulary), tp_init_constant(0));
    else tp_nn_add(m, "decoder", tp_nn_linear(width, o.vocabulary));
    return tp_nn_made(m);
}
