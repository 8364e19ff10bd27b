"""Functions of elements, rectifiers, choices, folds over axes, scans and order.

    power softplus elu ...   fopts: the function's numbers
    amax prod var norm ...   opts: keepdim, axes ... (none: all); fopts: the correction, p
    cumsum sort topk ...     opts: axis (descending; k, axis, largest)
"""

import math

import torch
import torch.nn.functional as F
from golden import Golden

NUMBERS = {  # and what each takes besides x
    "leaky_relu": (F.leaky_relu, [[0.01], [-0.5]]),
    "elu": (F.elu, [[1.0], [0.3]]),
    "celu": (F.celu, [[1.0], [2.5]]),
    "softplus": (F.softplus, [[1.0, 20.0], [2.0, 3.0], [-0.5, 1.0]]),
    "softshrink": (F.softshrink, [[0.5], [0.0]]),
    "hardshrink": (F.hardshrink, [[0.5], [1.5]]),
    "hardtanh": (F.hardtanh, [[-1.0, 1.0], [-0.5, 2.0]]),
    "threshold": (F.threshold, [[0.25, -3.0]]),
}
EDGES = [0, -0.0, 0.5, -0.5, 1, -1, 3, -3, 6, 1e-6, -1e-6, 12, -12, 40, -40, 200, -200]
EDGES = torch.tensor(EDGES).float().double()
PAIRS = (((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (5,)), ((2, 0), (2, 1)))
SPECIAL = torch.tensor([math.inf, -math.inf, math.nan, 0.0, 1.0]).double()


def functions():
    g = Golden()
    for op in (torch.sin, torch.cos, torch.erf, torch.expm1):
        g.case(op.__name__, op, lambda v: [v.normal(4, 7, scale=3)])
        g.case(op.__name__, op, lambda v: [EDGES[:15]])
        g.case(op.__name__, op, lambda v: [SPECIAL])
    for op in (torch.sin, torch.cos):
        far = torch.tensor([1e5, -1e5, 123456.7, 1e6, 1e7, -3e8, 1e20, 3e38]).float().double()
        g.case(op.__name__, op, lambda v: [far])
    for op in (torch.rsqrt, torch.reciprocal):
        g.case(op.__name__, op, lambda v: [v.positive(4, 7)])
        g.case(op.__name__, op, lambda v: [SPECIAL[torch.tensor([0, 2, 4])]])
    g.case("log1p", torch.log1p, lambda v: [v.positive(4, 7) - 1])
    small = torch.tensor([0, 1e-9, -1e-9, 1e-4, 5, 1e10, math.inf, -0.999])
    g.case(
        "log1p",
        torch.log1p,
        lambda v: [small.float().double()],
    )
    for op in (torch.abs, torch.sign, torch.floor, torch.ceil, torch.round, torch.trunc):
        g.case(op.__name__, op, lambda v: [v.normal(4, 7, scale=3)])
        g.case(
            op.__name__,
            op,
            lambda v: [torch.cat([EDGES, SPECIAL, torch.tensor([1.5, 2.5, -1.5, -2.5])])],
        )
    for lo, hi in ((-1, 1), (-math.inf, 0.5), (0.25, math.inf), (1, -1)):
        g.case(
            "clamp",
            lambda x: x.clamp(*([lo] if hi == math.inf else [None if lo == -math.inf else lo, hi])),
            lambda v: [torch.cat([v.normal(9), torch.tensor([-1.0, 1, 0.5, 0.25, math.nan])])],
            fopts=[lo, hi],
        )
    for p in (2, 3, 1, 0, 0.5, -0.5, -1, -2, 1.7, -0.3, 4):
        g.case("pow_scalar", lambda x: torch.pow(x, p), lambda v: [v.positive(3, 5)], fopts=[p])
    for p in (2, 3, 1, 0, 4):
        g.case("pow_scalar", lambda x: torch.pow(x, p), lambda v: [v.normal(3, 5)], fopts=[p])
        g.case(
            "pow_scalar",
            lambda x: torch.pow(x, p),
            lambda v: [torch.zeros(2).double()],
            fopts=[p],
        )
    for a, b in PAIRS:
        g.case("pow", torch.pow, lambda v: [v.positive(*a), v.normal(*b)])
        for op in (torch.remainder, torch.fmod):
            g.case(op.__name__, op, lambda v: [v.normal(*a, scale=4), v.normal(*b) + 0.01])
    corner = [torch.tensor([0.0, 0, 0, 2, 1]).double(), torch.tensor([0.0, 1, 2, 0, -3]).double()]
    g.case("pow", torch.pow, lambda v: corner)
    return g


def rectifier():
    g = Golden()
    def hardsigmoid(x):  # torch's own slope is 1/6 rounded to f32
        return F.relu6(x + 3) / 6

    plain = {
        "silu": F.silu, "mish": F.mish, "log_sigmoid": F.logsigmoid, "softsign": F.softsign,
        "tanhshrink": F.tanhshrink, "hardswish": F.hardswish, "hardsigmoid": hardsigmoid,
        "selu": F.selu, "relu6": F.relu6,
    }  # fmt: skip
    for name, f in plain.items():
        g.case(name, f, lambda v: [v.normal(4, 7, scale=3)])
        g.case(name, f, lambda v: [EDGES])
        g.case(name, f, lambda v: [v.normal(2, 3, 2, 3)])
    for name, (f, choices) in NUMBERS.items():
        for numbers in choices:
            g.case(
                name,
                lambda x: f(x, *numbers),
                lambda v: [v.normal(4, 7, scale=3)],
                fopts=numbers,
            )
            g.case(name, lambda x: f(x, *numbers), lambda v: [EDGES], fopts=numbers)
    for x, n in (((4, 5), 5), ((2, 3, 4), 3), ((6,), 1), ((2, 3, 2, 2), 3), ((2, 3), 1)):
        g.case("prelu", F.prelu, lambda v: [v.normal(*x), v.normal(n)])
    for x, axis in (((4, 6), 1), ((4, 6), 0), ((2, 4, 3), -2)):
        g.case("glu", lambda x: F.glu(x, axis), lambda v: [v.normal(*x)], [axis])
    return g


def choose():
    g = Golden()
    for op in (torch.maximum, torch.minimum):
        for a, b in PAIRS:
            g.case(op.__name__, op, lambda v: [v.normal(*a), v.normal(*b)])
        a = torch.tensor([1, 2, 3, math.inf, -math.inf, 0]).double()
        pair = [a, torch.tensor([1, 3, 2, math.inf, 0, -0.0]).double()]
        g.case(op.__name__, op, lambda v: pair)
    shapes = (((3, 4),) * 3, ((3, 1), (4,), (2, 1, 1)), ((5,), (), (5,)), ((0,), (1,), (0,)))
    for c, a, b in shapes:
        g.case(
            "where",
            lambda c, x, y: torch.where(c > 0, x, y),
            lambda v: [v.integers(2, *c), v.normal(*a), v.normal(*b)],
        )
    return g


FOLDED = ((), (0,), (3,), (1, 2), (0, 2, 3), (2, 3), (1,))


def extremes():
    g = Golden()
    ops = {"amax": torch.amax, "amin": torch.amin, "logsumexp": torch.logsumexp}
    for axes in FOLDED:
        keep = len(axes) % 2
        for name, f in ops.items():
            every = axes or (0, 1, 2, 3)
            g.case(
                name,
                lambda x: f(x, every, bool(keep)),
                lambda v: [v.normal(2, 3, 2, 4)],
                [keep, *axes],
            )
    ties = torch.tensor([[1.0, 2, 2], [3, 3, 3], [0, 0, 0]]).double()
    for name in ("amax", "amin"):
        g.case(name, lambda x: ops[name](x, 1), lambda v: [ties], [0, 1])
        g.case(name, lambda x: ops[name](x, 0), lambda v: [SPECIAL], [0, 0])
    for x in ([3.0, 2, -10], [math.inf, 1], [-math.inf, 2], [-math.inf, -math.inf]):
        g.case(
            "logsumexp",
            lambda x: torch.logsumexp(x, 0),
            lambda v: [torch.tensor(x).double()],
            [0, 0],
        )
    return g


def variance():
    g = Golden()
    for name, f in {"var": torch.var, "std": torch.std}.items():
        for axes in FOLDED:
            keep, every = len(axes) % 2, axes or (0, 1, 2, 3)
            g.case(
                name,
                lambda x: f(x, every, correction=1 - keep, keepdim=bool(keep)),
                lambda v: [v.normal(2, 3, 2, 4)],
                [keep, *axes],
                [1 - keep],
            )
        g.case(name, lambda x: f(x, correction=1), lambda v: [torch.ones(3).double()], [0], [1])
        g.case(name, lambda x: f(x, correction=1), lambda v: [torch.ones(1).double()], [0], [1])
        g.case(name, lambda x: f(x, correction=0), lambda v: [8 + v.normal(50)], [0], [0])
    return g


def norms():
    g = Golden()
    powers = (0.5, 1, 2, 3, 2.5, math.inf, -math.inf, -1)
    for axes in FOLDED:
        every = axes or (0, 1, 2, 3)
        for p in powers if len(axes) == 2 else (1, 2):
            f = lambda x: torch.linalg.vector_norm(x, p, every)  # noqa: E731
            g.case("norm", f, lambda v: [v.normal(2, 3, 2, 4)], [0, *axes], [p])

        def prod(x):
            for a in sorted(every, reverse=True):
                x = x.prod(a)
            return x

        g.case("prod", prod, lambda v: [v.normal(2, 3, 2, 4)], [0, *axes])
    for x in ([0.0, 2, 3], [0.0, 0, 3], [2.0, -1, 4]):
        g.case("prod", torch.prod, lambda v: [torch.tensor(x).double()], [0])
    for p in powers:
        for x in ([0.0, 0], [0.0, 3, -3]):
            f = lambda x: torch.linalg.vector_norm(x, p)  # noqa: E731
            g.case("norm", f, lambda v: [torch.tensor(x).double()], [0], [p])
    return g


SHAPES = (((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 5, 3), 1), ((2, 3, 2, 2), 1))


def scan():
    g = Golden()
    ops = {f.__name__: f for f in (torch.cumsum, torch.cumprod, torch.cummax, torch.cummin)}
    for x, axis in SHAPES:
        for name, f in ops.items():
            g.case(name, lambda x: f(x, axis), lambda v: [v.normal(*x)], [axis])
    zeros = torch.tensor([[2.0, 0, 3, -1], [0, 1, 0, 2], [1, 2, 3, 0]]).double()
    for axis in (0, 1):
        g.case("cumprod", lambda x: x.cumprod(axis), lambda v: [zeros], [axis])
        g.case("prod_zeros", lambda x: x.prod(axis), lambda v: [zeros], [0, axis])
    for name in ("cummax", "cummin"):
        for x in ([1, 3, 3, math.nan, 4, math.nan, 1], [2, 2, 1, 3, 1]):
            g.case(name, lambda x: ops[name](x, 0), lambda v: [torch.tensor(x).double()], [0])
    return g


def order():
    g = Golden()
    ops = {"max_along": torch.max, "min_along": torch.min, "median": torch.median}
    for x, axis in SHAPES:
        for name, f in ops.items():
            g.case(name, lambda x: f(x, axis), lambda v: [v.normal(*x)], [axis])
        for down in (False, True):
            f = lambda x: torch.sort(x, dim=axis, descending=down, stable=True)  # noqa: E731
            g.case("sort", f, lambda v: [v.normal(*x)], [axis, down])
            f = lambda x: torch.topk(x, 2, axis, down)  # noqa: E731
            g.case("topk", f, lambda v: [v.normal(*x)], [2, axis, down])
    odd = torch.tensor([math.nan, 1, math.nan, -0.0, 0, math.inf, -math.inf, 2, 1]).double()
    for down in (False, True):
        f = lambda x: torch.sort(x, dim=-1, descending=down, stable=True)  # noqa: E731
        g.case("sort", f, lambda v: [odd], [-1, down])
        g.case("sort", f, lambda v: [torch.round(v.normal(2, 100))], [-1, down])
    for x in ([1, 3, 3, math.nan, 4, math.nan, 1], [2, 2, 1, 3, 1]):
        g.case("median", lambda x: torch.median(x, 0), lambda v: [torch.tensor(x).double()], [0])
    return g


def families():
    made = [functions, rectifier, choose, extremes, variance, norms, scan, order]
    return {f.__name__: f().tensors for f in made}
