/*
 * lora.h - fine-tuning by products of thin matrices (Hu et al. 2021, "LoRA: Low-Rank Adaptation of
 * Large Language Models").
 *
 *     tp_nn_lora(net, "*.q_proj", (tp_lora_opts){ .rank = 8, .alpha = 16 });
 *     opt = tp_optim_adamw(tp_nn_params(net, "*.lora_[AB].weight"), tp_adamw(1e-4));
 *     ...
 *     tp_nn_save_with(net, "adapter.safetensors", (tp_save_opts){ .only = "*lora_[AB].weight" });
 *     tp_nn_load(net, "adapter.safetensors", (tp_load_opts){ .only = "*lora_[AB].weight" });
 *
 * .strip_prefix = "base_model.model." reads what PEFT has saved.
 */
#ifndef TP_NN_LORA_H
#define TP_NN_LORA_H

#include "nn/nn.h"

TP_API_BEGIN

typedef struct tp_lora_opts {
    int64_t rank;   /* 0: 8 */
    double alpha;   /* 0: 8; as in PEFT */
    double dropout; /* of what enters lora_A, in training */
} tp_lora_opts;
/* Each linear layer whose name matches becomes
 *     y = activation(x weight' + bias + alpha / rank dropout(x) A' B')
 * with the children lora_A.weight (rank, in), uniform within 1 / sqrt(in), and lora_B.weight (out,
 * rank), zeros: at first nothing has changed.  The layer stays where and what it is, its weight
 * and bias keep their names.  All parameters of m but those of adapters are frozen; tp_nn_freeze
 * lets others train again.  m may be drawn or not.  Gives how many layers there were; -1 where no
 * linear layer without an adapter matches. */
int tp_nn_lora(tp_module *m, const char *pattern, tp_lora_opts o);
/* weight += alpha / rank B A, or -=, in all adapters of m: as fast as without them, and trains
 * nothing.  Both give how many there were to do.  Going back rounds: keep the weights for exact
 * ones. */
int tp_nn_lora_merge(tp_module *m);
int tp_nn_lora_unmerge(tp_module *m);

TP_API_END

#endif
