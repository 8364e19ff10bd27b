"""ctc_loss of the log_softmax of logits: opts blank, reduction, zero_infinity; operands logits,
labels (N, S), input lengths, target lengths."""

import torch
import torch.nn.functional as F
from golden import REDUCTIONS, Golden


def ctc():
    g = Golden()
    T, N, C = 7, 3, 4
    for reduction, name in enumerate(REDUCTIONS):
        for blank, zero in ((0, 0), (3, 1), (1, 0)):
            words = torch.tensor([[0, 1, 2], [1, 1, 0], [2, 0, 0]])
            words = words + (words >= blank)  # labels around the blank
            times = torch.tensor([T, T - 1, 1 if zero else 4])
            lengths = torch.tensor([3, 2, 2 if zero else 0])
            g.case(
                "ctc_loss",
                lambda x, y, t, n: F.ctc_loss(x.log_softmax(-1), y, t, n, blank, name, bool(zero)),
                lambda v: [v.normal(T, N, C, scale=2), words, times, lengths],
                [blank, reduction, zero],
            )
    return g


def families():
    return {"ctc": ctc().tensors}
