/*
 * parametrize.h - parameters that are computed from others before each forward.
 *
 * The parameter NAME of a layer gives way to parametrizations.NAME.original..., as of
 * torch.nn.utils.parametrizations: these are what walks, optimizers, files, clones, casts and
 * freezing see.  While the layer's forward runs, and then alone, NAME is there, a recorded result:
 * its gradient flows to the originals, and theirs can be differentiated again.
 *
 * Like an optimizer, a layer that computes a parameter belongs to one thread at a time.
 */
#ifndef TP_NN_PARAMETRIZE_H
#define TP_NN_PARAMETRIZE_H

#include "nn/nn.h"

TP_API_BEGIN

/* path is a parameter's: "weight", "features.0.weight".  Both give m, also after a failure.  Of a
 * module that is drawn already the numbers stay: its tensor becomes the original.  Optimizers
 * are best made afterwards. */

typedef struct tp_weight_norm_opts {
    int dim;    /* one length for each place along this axis; torch's is 0 */
    bool whole; /* one length for all, torch's dim = None */
} tp_weight_norm_opts;
/* w = g v / |v| (Salimans & Kingma 2016).  original0 is g, at first |v|, with v's rank; () when
 * whole; original1 is v. */
tp_module *tp_nn_weight_norm(tp_module *m, const char *path, tp_weight_norm_opts o);

typedef struct tp_spectral_norm_opts {
    int n_power_iterations; /* 0: 1 */
    double eps;             /* 0: 1e-12; the least length that is divided by */
    int dim; /* the axis that is the matrix's rows; 0: 0, and 1 of transposed convolutions; negative
              * ones count from the end */
} tp_spectral_norm_opts;
/* w / sigma, sigma = u' W v the largest singular value of w as a matrix (Miyato et al. 2018),
 * original being w.  The buffers 0._u (rows) and 0._v (columns) start with 15 power iterations and
 * move by n_power_iterations in each forward in training; none in the second run of a checkpoint,
 * which must be over before the next forward.  A w of one axis is divided by its length, without
 * buffers. */
tp_module *tp_nn_spectral_norm(tp_module *m, const char *path, tp_spectral_norm_opts o);

/* What the parameter at path would be in a forward now, with its history.  Moves no
 * buffer; lent. */
tp_tensor *tp_nn_computed(tp_module *m, const char *path);
/* The parameter at path becomes what was computed, a plain one again. */
bool tp_nn_remove_parametrizations(tp_module *m, const char *path);

TP_API_END

#endif
