/*
 * init.h - initial values of parameters, as torch.nn.init.
 *
 * They are drawn on the host in plain C from the thread's generator: the same seed gives the same
 * bits on every machine and device.  A parameter of shape (out, in, ...) has, with r the product of
 * the sizes behind its second axis,
 *   fan in = in r,  fan out = out r,
 * counted on its axes as they are, so that they change places for a transposed convolution.  A
 * shape for which a kind makes no sense is refused by what the values are given to: tp_nn_param,
 * tp_nn_init_as.
 */
#ifndef TP_NN_INIT_H
#define TP_NN_INIT_H

#include "tensor/tensor.h"

TP_API_BEGIN

/* How the numbers are drawn; the functions below choose it. */
typedef enum tp_init_kind {
    TP_INIT_CONSTANT,
    TP_INIT_UNIFORM,
    TP_INIT_NORMAL,
    TP_INIT_TRUNC_NORMAL,
    TP_INIT_XAVIER_UNIFORM,
    TP_INIT_XAVIER_NORMAL,
    TP_INIT_KAIMING_UNIFORM,
    TP_INIT_KAIMING_NORMAL,
    TP_INIT_ORTHOGONAL,
    TP_INIT_EYE,
    TP_INIT_DIRAC
} tp_init_kind;

/* Made by the functions below; { 0 } is zeros. */
typedef struct tp_init {
    tp_init_kind kind;
    double a, b, lo, hi;
} tp_init;

tp_init tp_init_constant(double v);               /* v everywhere */
tp_init tp_init_uniform(double a, double b);      /* in [a, b), a <= b */
tp_init tp_init_normal(double mean, double std);  /* std >= 0 */
/* Normal numbers outside [a, b] drawn again; std > 0, bounds may be infinite.  torch's are 0, 1,
 * -2, 2. */
tp_init tp_init_trunc_normal(double mean, double std, double a, double b);
/* Glorot & Bengio 2010: within gain sqrt(6 / (fan in + fan out)), or with the deviation
 * gain sqrt(2 / (fan in + fan out)).  torch's gain is 1. */
tp_init tp_init_xavier_uniform(double gain);
tp_init tp_init_xavier_normal(double gain);

/* What keeps its variance: the outputs, or the gradients. */
typedef enum tp_fan { TP_FAN_IN, TP_FAN_OUT } tp_fan;
typedef struct tp_kaiming_opts {
    double a;                 /* the negative slope of leaky_relu */
    tp_fan mode;
    const char *nonlinearity; /* as tp_init_gain's; NULL: "leaky_relu" */
} tp_kaiming_opts;
/* He et al. 2015: within gain sqrt(3 / fan), or with the deviation gain / sqrt(fan). */
tp_init tp_init_kaiming_uniform(tp_kaiming_opts o);
tp_init tp_init_kaiming_normal(tp_kaiming_opts o);
/* Saxe et al. 2014: gain times a matrix (out, all the rest) whose rows, or, where it has more rows
 * than columns, whose columns are orthonormal, uniform among all such (Mezzadri 2007). */
tp_init tp_init_orthogonal(double gain);
tp_init tp_init_eye(void); /* of two axes: 1 where row == column, else 0 */
/* Of a convolution's weight, 3 to 5 axes: channel i of each group of outputs begins as input i. */
tp_init tp_init_dirac(int groups);

/* The gain that a nonlinearity calls for, torch's calculate_gain: 1 after "linear", "conv1d",
 * "conv2d", "conv3d", "conv_transpose1d" to "conv_transpose3d" and "sigmoid", 5/3 after "tanh",
 * sqrt 2 after "relu", sqrt(2 / (1 + param^2)) after "leaky_relu" (torch's param is 0.01) and 3/4
 * after "selu".  NaN and an error for all others. */
double tp_init_gain(const char *nonlinearity, double param);

TP_API_END

#endif
