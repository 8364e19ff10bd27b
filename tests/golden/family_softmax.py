"""softmax and log_softmax: opts the axis."""

import torch
from golden import Golden


def softmax():
    g = Golden()
    shapes = [((2, 3), -1), ((2, 3), 0), ((3, 17), 1), ((2, 3, 4), 1), ((2, 5, 3, 2), 1), ((2, 5, 3, 2), 3)]
    for op in (torch.softmax, torch.log_softmax):
        for shape, axis in shapes + [((1, 520), 1), ((140, 2), 0), ((), 0)]:
            g.case(op.__name__, lambda x: op(x, axis), lambda v: [v.normal(*shape, scale=2)], [axis])
    return g


def families():
    return {"softmax": softmax().tensors}
