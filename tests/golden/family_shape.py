"""Axes and copies, padding, picking by index, bands, einsum.

    stack unbind squeeze unsqueeze   the axis                  repeat           a number an axis
    moveaxis                         from, to                  roll             axis, shift
    repeat_interleave                axis, times               pad              mode, pads ...
    gather scatter scatter_add       axis                      index_select     axis
    tril triu                        diagonal                  einsum           which of EQUATIONS
"""

import torch
import torch.nn.functional as F
from golden import Golden

MODES = ["constant", "reflect", "replicate", "circular"]
EQUATIONS = [  # tests/test_index.c has the same list
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("bij,bkj->bik", (2, 3, 4), (2, 5, 4)),
    ("bhld,bhmd->bhlm", (2, 2, 3, 4), (2, 2, 5, 4)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("i,j->ij", (3,), (4,)),
    ("i,i", (4,), (4,)),
    ("ij,ij->ij", (2, 3), (2, 3)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("bi,oij,bj->bo", (2, 3), (4, 3, 5), (2, 5)),
    ("abc,cd->abd", (2, 3, 4), (4, 5)),
    ("ba,ca", (2, 3), (4, 3)),
    ("ij,k->k", (2, 3), (4,)),
]  # fmt: skip


def arrange():
    g = Golden()
    for axis in (0, 1, -1):
        g.case("stack", lambda *x: torch.stack(x, axis), lambda v: [v.normal(2, 3)] * 2, [axis])
        g.case("unbind", lambda x: torch.unbind(x, axis), lambda v: [v.normal(2, 3, 2)], [axis])
        g.case("unsqueeze", lambda x: x.unsqueeze(axis), lambda v: [v.normal(2, 3)], [axis])
    for axis in (1, 0):
        g.case("squeeze", lambda x: x.squeeze(axis), lambda v: [v.normal(2, 1, 3)], [axis])
    for a, b in ((0, 2), (2, 0), (1, -1), (0, 0)):
        g.case("moveaxis", lambda x: x.moveaxis(a, b), lambda v: [v.normal(2, 3, 4)], [a, b])
    for times in ((2, 3), (1, 2), (2, 1, 2)):
        g.case("repeat", lambda x: x.repeat(times), lambda v: [v.normal(3, 2)], times)
    for axis, n in ((0, 2), (1, 3), (2, 1)):
        f = lambda x: x.repeat_interleave(n, axis)  # noqa: E731
        g.case("repeat_interleave", f, lambda v: [v.normal(2, 3, 2)], [axis, n])
    for axis, shift in ((0, 1), (1, -2), (2, 7), (0, 0)):
        g.case("roll", lambda x: x.roll(shift, axis), lambda v: [v.normal(3, 4, 3)], [axis, shift])
    for diagonal in (0, 1, -2, 9):
        for op in (torch.tril, torch.triu):
            f = lambda x: op(x, diagonal)  # noqa: E731
            g.case(op.__name__, f, lambda v: [v.normal(2, 4, 3)], [diagonal])
    return g


def pad():
    g = Golden()
    cases = [
        (0, (1, 2), (2, 3, 4)), (0, (1, 0, 2, 1), (2, 2, 3, 4)), (0, (-1, 2, 0, -1), (2, 2, 3, 4)),
        (0, (1, 1, 1, 1, 2, 0), (2, 3, 2, 2)), (1, (2, 3), (2, 3, 4)), (1, (1, 2, 2, 1), (2, 2, 3, 4)),
        (2, (3, 5), (2, 3, 4)), (2, (1, 1, 4, 0), (2, 2, 3, 4)), (3, (2, 4), (2, 3, 4)),
        (3, (1, 2, 2, 3), (2, 2, 3, 4)),
    ]  # fmt: skip
    for mode, pads, shape in cases:
        value = 0.5 if mode == 0 else 0
        g.case(
            "pad",
            lambda x: F.pad(x, pads, MODES[mode], value),
            lambda v: [v.normal(*shape)],
            [mode, *pads],
            [value],
        )
    return g


def index():
    g = Golden()
    for x, axis, at in (((3, 4), 0, (2, 4)), ((3, 4), 1, (3, 6)), ((2, 3, 4), 1, (2, 5, 3)), ((5,), 0, (7,))):
        g.case(
            "gather",
            lambda x, i: torch.gather(x, axis, i),
            lambda v: [v.normal(*x), v.integers(x[axis], *at)],
            [axis],
        )
        g.case(
            "scatter_add",
            lambda x, i, s: torch.scatter_add(x, axis, i, s),
            lambda v: [v.normal(*x), v.integers(x[axis], *at), v.normal(*at)],
            [axis],
        )
    for x, axis in (((3, 4), 0), ((2, 4, 3), 1)):  # each place once: which one stays is not defined

        def operands(v):
            order = v.random.permutation(x[axis]).tolist()
            shape = [1] * len(x)
            shape[axis] = len(order)
            at = torch.tensor(order).reshape(shape).expand(*x).contiguous()
            at = at.narrow(axis, 0, x[axis] - 1).contiguous()
            return [v.normal(*x), at, v.normal(*at.shape)]

        g.case("scatter", lambda x, i, s: torch.scatter(x, axis, i, s), operands, [axis])
    for x, axis, n in (((4, 3), 0, 6), ((4, 3), 1, 2), ((2, 5, 3), 1, 4), ((3, 2, 2, 2), 0, 5)):
        g.case(
            "index_select",
            lambda x, i: torch.index_select(x, axis, i),
            lambda v: [v.normal(*x), v.integers(x[axis], n)],
            [axis],
        )
    return g


def einsum():
    g = Golden()
    for i, (equation, *shapes) in enumerate(EQUATIONS):
        g.case(
            "einsum",
            lambda *x: torch.einsum(equation, *x),
            lambda v: [v.normal(*s) for s in shapes],
            [i],
        )
    g.case("outer", torch.outer, lambda v: [v.normal(3), v.normal(4)])
    g.case("dot", torch.dot, lambda v: [v.normal(5), v.normal(5)])
    return g


def families():
    return {f.__name__: f().tensors for f in (arrange, pad, index, einsum)}
