"""group_norm: opts groups; instance_norm: none; rms_norm: opts how many last axes; fopts eps (below 0:
the default); operands x [w [b]]."""

import torch.nn.functional as F
from golden import Golden


def norms():
    g = Golden()
    shapes = [((2, 8), 2), ((2, 6, 4), 3), ((2, 4, 2, 2), 1), ((1, 4, 5, 3), 2), ((1, 4, 2, 1, 3), 4)]
    for affine in (1, 0):
        for shape, groups in shapes:

            def make(v):
                C = shape[1]
                return [v.normal(*shape)] + ([v.normal(C), v.normal(C)] if affine else [])

            g.case("group_norm", lambda x, *w: F.group_norm(x, groups, *w, eps=1e-5), make, [groups], [1e-5])
            if len(shape) == 2:
                continue

            def instance(x, *w):
                return F.instance_norm(x, weight=w[0] if w else None, bias=w[1] if w else None, eps=1e-3)

            g.case("instance_norm", instance, make, [0], [1e-3])
        for shape, n, eps in (((3, 5), 1, 1e-6), ((2, 3, 4), 2, 1e-5), ((2, 19), 1, 0), ((1, 4, 2, 3), 1, 1e-5)):
            last = shape[-n:]
            g.case(
                "rms_norm",
                lambda x, *w: F.rms_norm(x, last, *w, eps=eps),
                lambda v: [v.normal(*shape)] + ([v.normal(*last)] if affine else []),
                [n],
                [eps],
            )
    return g


def families():
    return {"norm_layers": norms().tensors}
