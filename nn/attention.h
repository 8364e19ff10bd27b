/*
 * attention.h - multi-head attention as a layer (Vaswani et al. 2017).
 */
#ifndef TP_NN_ATTENTION_H
#define TP_NN_ATTENTION_H

#include "nn/nn.h"

TP_API_BEGIN

/* What attention may not look at; torch.nn.MultiheadAttention's meanings. */
typedef struct tp_attention_masks {
    tp_tensor *key_padding_mask; /* bool (N, S), or (S) without N: true where a key is left out */
    /* (L, S) or (N * num_heads, L, S): bool, true where a score is left out (the opposite of
     * tp_attention's mask), or a float, added to the scores */
    tp_tensor *attn_mask;
    bool is_causal; /* row i sees keys 0 .. i alone; needs no attn_mask, and adds to one */
} tp_attention_masks;

typedef struct tp_multihead_attention_opts {
    double dropout;     /* of the weights, in training */
    bool no_bias;       /* of all four projections */
    bool batch_first;   /* (N, L, E) for (L, N, E) */
    int64_t kdim, vdim; /* widths of key and value; 0: embed_dim */
} tp_multihead_attention_opts;
/* in_proj_weight (3 E, E), in_proj_bias (3 E), out_proj.weight (E, E), out_proj.bias (E), E being
 * embed_dim; where kdim or vdim differ q_proj_weight (E, E), k_proj_weight (E, kdim) and
 * v_proj_weight (E, vdim) for the first.  in_proj and the like are Xavier uniform (Glorot & Bengio
 * 2010), biases 0, out_proj.weight as a linear layer's.  num_heads divides embed_dim. */
tp_module *tp_nn_multihead_attention(int64_t embed_dim, int64_t num_heads,
                                     tp_multihead_attention_opts o);
/* query (L, N, E), key (S, N, kdim), value (S, N, vdim), or (N, L, E) ... with batch_first, or all
 * without N -> as query.  Scores are never stored, so there are no need_weights; a query whose
 * keys are all left out gives out_proj.bias and no NaN.  One product serves where query, key and
 * value are one tensor, two where key and value are.
 *
 * Inputs of tp_nn_apply: query, and, each of which may be absent, key and value (query),
 * key_padding_mask, attn_mask, and anything at all where is_causal.  As a one-to-one layer it
 * attends to x itself. */
tp_tensor *tp_nn_multihead_attention_forward(tp_module *m, tp_tensor *query, tp_tensor *key,
                                             tp_tensor *value, tp_attention_masks masks);

TP_API_END

#endif
