"""Losses of numbers, distributions, pairs, triples, and of labels in their general form.

    l1_loss mse_loss bce             reduction
    bce_weighted                     reduction, weighted, pos_weighted   logits targets [weight] [pos_weight]
    huber_loss smooth_l1_loss        reduction; delta or beta
    kl_div                           reduction, batch_mean, log_target
    cosine_similarity                axis; eps
    hinge_embedding_loss             reduction; margin      operands x y
    cosine_embedding_loss            reduction; margin      a b y
    margin_ranking_loss              reduction; margin      a b y
    triplet_margin_loss              reduction, swap; margin p eps
    nll_loss                         reduction, ignore_index, weighted      log_probs labels [weight]
    cross_entropy_general            reduction, ignore_index, weighted; label_smoothing
                                     logits, labels or probabilities, [weight]
"""

import torch
import torch.nn.functional as F
from golden import REDUCTIONS, Golden


def signs(v, *shape):
    return torch.where(v.normal(*shape) > 0, 1, -1)


def losses():
    g = Golden()
    for reduction, name in enumerate(REDUCTIONS):
        for op in (F.l1_loss, F.mse_loss):
            f = lambda x, t: op(x, t, reduction=name)  # noqa: E731
            g.case(op.__name__, f, lambda v: [v.normal(3, 4), v.normal(3, 4)], [reduction])
        for k in (1.0, 0.5):
            f = lambda x, t: F.huber_loss(x, t, reduction=name, delta=k)  # noqa: E731
            g.case("huber_loss", f, lambda v: [v.normal(3, 4), v.normal(3, 4)], [reduction], [k])
        for k in (1.0, 0.25, 0.0):
            f = lambda x, t: F.smooth_l1_loss(x, t, reduction=name, beta=k)  # noqa: E731
            g.case("smooth_l1_loss", f, lambda v: [v.normal(3, 4), v.normal(3, 4)], [reduction], [k])
        f = lambda p, t: F.binary_cross_entropy(p, t, reduction=name)  # noqa: E731
        squash = lambda v: v.normal(3, 4).sigmoid().float().double()  # noqa: E731
        g.case("bce", f, lambda v: [squash(v), squash(v)], [reduction])
        for weighted, positive in ((1, 0), (0, 1), (1, 1)):

            def weighing(x, t, *w):
                return F.binary_cross_entropy_with_logits(
                    x, t, w[0] if weighted else None, None, None, name, w[-1] if positive else None
                )

            def logits(v):
                return (
                    [v.normal(3, 4, scale=8), squash(v)]
                    + [v.positive(3, 1)] * weighted
                    + [4 * v.positive(4)] * positive
                )

            o = [reduction, weighted, positive]
            g.case("bce_weighted", weighing, logits, o, constant=(2, 3))
        for log_target in (0, 1):
            f = lambda q, p: F.kl_div(q, p, reduction=name, log_target=bool(log_target))  # noqa: E731

            def operands(v):
                p = v.normal(3, 4).softmax(-1)
                p = p.log() if log_target else p
                return [v.normal(3, 4).log_softmax(-1).float().double(), p.float().double()]

            g.case("kl_div", f, operands, [reduction, 0, log_target])
        for margin in (1.0, 0.25):
            f = lambda x, y: F.hinge_embedding_loss(x, y, margin, reduction=name)  # noqa: E731
            g.case("hinge_embedding_loss", f, lambda v: [v.normal(3, 4), signs(v, 3, 4)], [reduction], [margin])
            f = lambda a, b, y: F.cosine_embedding_loss(a, b, y, margin - 0.5, reduction=name)  # noqa: E731
            rows = lambda v: [v.normal(5, 4), v.normal(5, 4), signs(v, 5)]  # noqa: E731
            g.case("cosine_embedding_loss", f, rows, [reduction], [margin - 0.5])
            f = lambda a, b, y: F.margin_ranking_loss(a, b, y, margin, reduction=name)  # noqa: E731
            g.case("margin_ranking_loss", f, lambda v: [v.normal(6), v.normal(6), signs(v, 6)], [reduction], [margin])
        for margin, p, swap in ((1.0, 2.0, 0), (0.5, 1.0, 0), (2.0, 2.0, 1)):
            f = lambda a, p_, n: F.triplet_margin_loss(  # noqa: E731
                a, p_, n, margin, p, 1e-6, bool(swap), reduction=name
            )
            g.case("triplet_margin_loss", f, lambda v: [v.normal(4, 5) for _ in range(3)], [reduction, swap], [margin, p, 1e-6])
    f = lambda q, p: F.kl_div(q, p, reduction="batchmean")  # noqa: E731
    g.case("kl_div", f, lambda v: [v.normal(3, 4).log_softmax(-1).float().double(), torch.eye(3, 4).double()], [1, 1, 0], constant=(1,))
    for axis, shape in ((1, (3, 4)), (0, (3, 4)), (-1, (2, 3, 5))):
        f = lambda a, b: F.cosine_similarity(a, b, axis, 1e-8)  # noqa: E731
        g.case("cosine_similarity", f, lambda v: [v.normal(*shape), v.normal(*shape)], [axis], [1e-8])
    return g


def labelled():
    g = Golden()
    rows, classes = 6, 5
    for reduction, name in enumerate(REDUCTIONS):
        for weighted in (0, 1):

            def operands(v, make):
                labels = v.integers(classes, rows)
                labels[2] = -100
                weight = [v.positive(classes)] if weighted else []
                return [make(v.normal(rows, classes, scale=2)), labels, *weight]

            f = lambda x, y, w=None: F.nll_loss(x, y, w, reduction=name)  # noqa: E731
            log = lambda x: x.log_softmax(-1).float().double()  # noqa: E731
            g.case("nll_loss", f, lambda v: operands(v, log), [reduction, -100, weighted], constant=(2,))
            for e in (0.0, 0.1):
                f = lambda x, y, w=None: F.cross_entropy(x, y, w, reduction=name, label_smoothing=e)  # noqa: E731
                g.case(
                    "cross_entropy_general", f, lambda v: operands(v, lambda x: x),
                    [reduction, -100, weighted], [e], constant=(2,),
                )  # fmt: skip

                def probable(v):
                    weight = [v.positive(classes)] if weighted else []
                    t = v.normal(rows, classes).softmax(-1).float().double()
                    return [v.normal(rows, classes), t, *weight]

                g.case("cross_entropy_general", f, probable, [reduction, -100, weighted], [e], constant=(2,))
        f = lambda x, y: F.cross_entropy(x, y, reduction=name)  # noqa: E731
        g.case(
            "cross_entropy_general", f, lambda v: [v.normal(2, 4, 3, 2), v.integers(4, 2, 3, 2)], [reduction, -100, 0], [0.0],
        )  # fmt: skip
    return g


def families():
    return {"losses": losses().tensors, "labelled": labelled().tensors}
