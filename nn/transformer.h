/*
 * transformer.h - blocks of the Transformer (Vaswani et al. 2017) and stacks of them, as
 * torch.nn.TransformerEncoderLayer, TransformerDecoderLayer, TransformerEncoder,
 * TransformerDecoder.
 *
 * x is (length, N, d_model), or (N, length, d_model) with batch_first, or (length, d_model).
 * Masks have the meanings of nn/attention.h.  Positions left out give no NaN, whatever is masked.
 */
#ifndef TP_NN_TRANSFORMER_H
#define TP_NN_TRANSFORMER_H

#include "nn/attention.h"

TP_API_BEGIN

typedef struct tp_transformer_opts {
    int64_t dim_feedforward;  /* 2048 */
    double dropout;           /* 0.1 */
    tp_activation activation; /* TP_RELU; or TP_GELU, as of tp_nn_linear_with */
    double layer_norm_eps;    /* 1e-5 */
    bool batch_first, norm_first, no_bias;
    bool filled;
} tp_transformer_opts;
tp_transformer_opts tp_transformer_defaults(void); /* PyTorch's */

/* norm_first (Xiong et al. 2020): x + f(norm(x)), else norm(x + f(x)), f being attention, then
 *     linear2(dropout(activation(linear1(x))))
 * and dropout at the end of each f.  Children self_attn, linear1, dropout, linear2, norm1, norm2,
 * dropout1, dropout2. */
tp_module *tp_nn_transformer_encoder_layer(int64_t d_model, int64_t nhead, tp_transformer_opts o);
/* With attention to a memory between the two: multihead_attn, norm3 and dropout3 besides. */
tp_module *tp_nn_transformer_decoder_layer(int64_t d_model, int64_t nhead, tp_transformer_opts o);
/* num_layers of them, layers.0 being `layer` and the others its clones, drawn each by itself if
 * `layer` isn't yet; norm at the end, or NULL.  Takes both. */
tp_module *tp_nn_transformer_encoder(tp_module *layer, int num_layers, tp_module *norm);
tp_module *tp_nn_transformer_decoder(tp_module *layer, int num_layers, tp_module *norm);

typedef struct tp_encoder_masks {
    tp_tensor *mask, *src_key_padding_mask; /* attn_mask and key_padding_mask */
    bool is_causal;
} tp_encoder_masks;
/* Of a layer or of a stack.  Inputs of tp_nn_apply: src, src_key_padding_mask, mask, and anything
 * at all where is_causal; all but the first may be absent. */
tp_tensor *tp_nn_transformer_encoder_forward(tp_module *m, tp_tensor *src, tp_encoder_masks masks);

typedef struct tp_decoder_masks {
    tp_tensor *tgt_mask, *tgt_key_padding_mask; /* of tgt attending to itself */
    tp_tensor *memory_mask, *memory_key_padding_mask;
    bool tgt_is_causal, memory_is_causal;
} tp_decoder_masks;
/* Of a layer or of a stack.  Inputs of tp_nn_apply: tgt, memory, then tgt_key_padding_mask,
 * tgt_mask, anything where tgt_is_causal, and the same of memory. */
tp_tensor *tp_nn_transformer_decoder_forward(tp_module *m, tp_tensor *tgt, tp_tensor *memory,
                                             tp_decoder_masks masks);

TP_API_END

#endif
