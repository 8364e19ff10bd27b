/*
 * taper.h - everything a program needs, in reading order.
 */
#ifndef TAPER_H
#define TAPER_H

#include "tensor/tensor.h"
#include "tensor/file.h"
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "autograd/capture.h"
#include "nn/nn.h"
#include "nn/layers.h"
#include "nn/attention.h"
#include "nn/transformer.h"
#include "nn/parametrize.h"
#include "nn/lora.h"
#include "models/models.h"
#include "optim/optim.h"
#include "data/data.h"
#include "data/datasets.h"
#include "data/sampling.h"
#include "data/augment.h"
#include "data/tokenizer.h"
#include "train/train.h"

#endif
