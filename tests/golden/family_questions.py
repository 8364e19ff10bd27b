"""Questions, answered here as numbers 0 and 1 of the operands' dtype, integers' bits, and what a mask or
an index picks: eq ... isfinite   no options;   bits: opts which;   argmax argmin flip: opts axis.
"""

import math

import torch
from golden import Golden

SPECIAL = torch.tensor([math.inf, -math.inf, math.nan, 0.0, -0.0, 1.0]).double()
BITS = (torch.bitwise_and, torch.bitwise_or, torch.bitwise_xor, torch.bitwise_left_shift, torch.bitwise_right_shift)


def whole(v, *shape):
    """Small whole numbers as floats: many are equal, and bf16 holds them."""
    return v.integers(5, *shape).double() - 2


def as_number(f):
    return lambda *xs: f(*xs).to(xs[0].dtype)


def questions():
    g = Golden()
    for name in ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor"):
        f = as_number(getattr(torch, name))
        for a, b in (((3, 4), (3, 4)), ((2, 1, 4), (3, 1)), ((2, 0), (2, 1)), ((), (5,))):
            g.case(name, f, lambda v: [whole(v, *a), whole(v, *b)], constant=(0, 1))
        g.case(name, f, lambda v: [SPECIAL[:, None], SPECIAL], constant=(0, 1))
    for name in ("logical_not", "isnan", "isinf", "isfinite"):
        for make in (lambda v: [whole(v, 3, 4)], lambda v: [SPECIAL], lambda v: [whole(v, 0, 2)]):
            g.case(name, as_number(getattr(torch, name)), make, constant=(0,))
    for which, f in enumerate(BITS):
        g.case("bits", f, lambda v: [v.integers(1000, 4, 5) - 500, v.integers(9, 5)], [which])
    g.case("bits", torch.bitwise_not, lambda v: [v.integers(1000, 4, 5) - 500], [len(BITS)])
    for name in ("argmax", "argmin"):
        for axis in (0, 1, -1):
            g.case(name, lambda x: getattr(torch, name)(x, axis), lambda v: [whole(v, 3, 5, 4)], [axis], constant=(0,))
    for axis in (0, 1, 2):
        g.case("flip", lambda x: x.flip(axis), lambda v: [v.normal(2, 5, 3)], [axis])
    for mask in ((3, 4), (1, 4), (3, 1), (4,)):
        f = lambda x, m: x.masked_fill(m.bool(), -1.5)  # noqa: E731
        g.case("masked_fill", f, lambda v: [v.normal(3, 4), v.integers(2, *mask)])
    return g


def families():
    return {"questions": questions().tensors}
