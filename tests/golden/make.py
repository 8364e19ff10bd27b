#!/usr/bin/env python3
"""Writes the golden files: what PyTorch computes, for tests/test_golden.c to compare with.

    make.py            writes tests/golden/*.safetensors
    make.py --check    computes them anew and compares with what lies there

Names inside a file are OP.CASE.ROLE.INDEX, cases and indices from 0:

    add.0.in.0         an operand of f; floats are f64, their values exact in f32 too
    add.0.out.0        what f gives
    add.0.dout.0       the gradient handed to that output (absent: not differentiated)
    add.0.grad.0       the gradient of operand 0 (absent: it has none)
    add.0.out32.0      out and grad as PyTorch computes them in f32 (stored as f32)
    add.0.grad32.0
    conv2d.0.opts      integer options (i64) and real ones (f64), in the order below
    affine.0.fopts

    op               opts                                      fopts        operands
    promote          -                                                     out.0 (8, 8): dtype codes
    affine                                                     a b          x
    sum mean         keepdim, axes ... (none: all)                          x
    linear           activation, bias                                       x w (O, I) [bias]
    reshape permute  the shape; the axes                                    x
    transpose        two axes                                               x
    slice            axis start stop step                                   x
    concat split     axis; axis, sizes ...                                  x ...
    conv2d           stride_h stride_w pad_h pad_w
                     dilation_h dilation_w groups                           x w [bias]
    max_pool2d       kernel, stride, pad, dilation (each h w)               x
    batch_norm       training                                  eps momentum x w b mean var
                     (out.1, out.2: mean and var afterwards; a train case after the first
                     begins with those of the case before, rounded to f32)
    layer_norm       how many last axes, affine                eps          x [w b]
    embedding        padding_idx (-1: none)                                 index w
    lstm             layers, bidirectional, batch_first                     x h0 c0, then w_ih w_hh
                     b_ih b_hh of each layer and direction; out: y h c
    cross_entropy    reduction, ignore_index                                logits labels
    bce_with_logits  reduction                                              logits targets
    cast             dtype code                                             x
    linear_bf16      activation, bias   operands, out and grad in bf16; ref.0, gradref.0 in f64

    dtype codes      f32 f64 bf16 f16 i64 i32 u8 bool = 0 ... 7
    activations      none relu gelu gelu_tanh tanh sigmoid = 0 ... 5
    reductions       mean sum none = 0 1 2

train_*.safetensors hold trajectories and second.safetensors second derivatives; their names
are described in trajectories.py.  Inputs come from NumPy's frozen generator, seeded by the
name of the case, so that a new case changes no other.
"""

import argparse
import pathlib
import sys
import zlib

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
DTYPES = [
    torch.float32, torch.float64, torch.bfloat16, torch.float16,
    torch.int64, torch.int32, torch.uint8, torch.bool,
]  # fmt: skip
ACTIVATIONS = [
    lambda x: x,
    torch.relu,
    F.gelu,
    lambda x: F.gelu(x, approximate="tanh"),
    torch.tanh,
    torch.sigmoid,
]
REDUCTIONS = ["mean", "sum", "none"]


class Values:
    """Random operands of one case: f64, rounded so that f32 holds the same numbers."""

    def __init__(self, name):
        self.random = numpy.random.RandomState(zlib.crc32(name.encode()))

    def normal(self, *shape, scale=1.0):
        x = self.random.standard_normal(shape) * scale
        return torch.from_numpy(numpy.asarray(x, dtype=numpy.float32)).double()

    def positive(self, *shape):
        return self.normal(*shape).abs() + 0.125

    def integers(self, high, *shape):
        x = self.random.randint(0, high, shape)
        return torch.from_numpy(numpy.asarray(x, dtype=numpy.int64))


def tuple_of(y):
    return y if isinstance(y, (tuple, list)) else (y,)


def stored(x):
    return x.detach().clone().contiguous()


class Golden:
    """The tensors of one file."""

    def __init__(self):
        self.tensors = {}
        self.counts = {}

    def next(self, op):
        """The name of the next case of op, and its random values."""
        n = self.counts.get(op, 0)
        self.counts[op] = n + 1
        return f"{op}.{n}", Values(f"{op}.{n}")

    def put(self, case, role, tensors):
        for i, x in enumerate(tensors):
            if x is not None:
                self.tensors[f"{case}.{role}.{i}"] = stored(x)

    def options(self, case, opts, fopts):
        if opts is not None:
            self.tensors[f"{case}.opts"] = torch.tensor(opts, dtype=torch.int64)
        if fopts is not None:
            self.tensors[f"{case}.fopts"] = torch.tensor(fopts, dtype=torch.float64)

    def run(self, f, operands, douts, constant, dtype):
        """Outputs and gradients of f computed in dtype."""
        xs = [x.to(dtype) if x.is_floating_point() else x for x in operands]
        leaves = [
            x.clone().requires_grad_() if x.is_floating_point() and i not in constant else x
            for i, x in enumerate(xs)
        ]
        outs = tuple_of(f(*leaves))
        pairs = [(y, d.to(dtype)) for y, d in zip(outs, douts) if y.requires_grad]
        wanted = [x for x in leaves if x.requires_grad]
        grads = iter(torch.autograd.grad([y for y, _ in pairs], wanted, [d for _, d in pairs]))
        return outs, [next(grads) if x.requires_grad else None for x in leaves]

    def case(self, op, f, make, opts=None, fopts=None, constant=()):
        """One case: make(values) gives the operands; those in `constant` get no gradient."""
        case, values = self.next(op)
        operands = make(values)
        with torch.no_grad():
            shapes = [y.shape for y in tuple_of(f(*operands))]
        douts = [values.normal(*shape) for shape in shapes]
        outs, grads = self.run(f, operands, douts, constant, torch.float64)
        outs32, grads32 = self.run(f, operands, douts, constant, torch.float32)
        self.options(case, opts, fopts)
        self.put(case, "in", operands)
        self.put(case, "out", outs)
        self.put(case, "dout", [d if y.requires_grad else None for y, d in zip(outs, douts)])
        self.put(case, "grad", grads)
        self.put(case, "out32", outs32)
        self.put(case, "grad32", grads32)


# ---- the families ----


def promotion():
    g = Golden()
    table = [[DTYPES.index(torch.promote_types(a, b)) for b in DTYPES] for a in DTYPES]
    g.tensors["promote.0.out.0"] = torch.tensor(table, dtype=torch.int64)
    return g


def elementwise():
    g = Golden()
    shapes = [
        ((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (5,)), ((2, 0), (2, 1)),
    ]  # fmt: skip
    for op in (torch.add, torch.sub, torch.mul, torch.div):
        for a, b in shapes:
            g.case(op.__name__, op, lambda v: [v.normal(*a), v.positive(*b)])
    for a, b in ((2.5, -0.75), (-1.0, 0.0)):
        g.case("affine", lambda x: a * x + b, lambda v: [v.normal(3, 5)], fopts=[a, b])
    everywhere = {
        "relu": torch.relu, "gelu": ACTIVATIONS[2], "gelu_tanh": ACTIVATIONS[3],
        "tanh": torch.tanh, "sigmoid": torch.sigmoid, "square": torch.square,
    }  # fmt: skip
    extremes = torch.tensor([0.0, -0.0, 1e-6, -1e-6, 5, -5, 12, -12, 40, -40, 200, -200])
    extremes = extremes.float().double()
    for op, f in everywhere.items():
        g.case(op, f, lambda v: [v.normal(4, 7, scale=2)])
        g.case(op, f, lambda v: [extremes])
    g.case("exp", torch.exp, lambda v: [v.normal(4, 7, scale=3)])
    g.case("exp", torch.exp, lambda v: [torch.tensor([0.0, -80, 80, 1e-7]).float().double()])
    for op in (torch.log, torch.sqrt):
        g.case(op.__name__, op, lambda v: [v.positive(4, 7)])
        g.case(op.__name__, op, lambda v: [torch.tensor([1.0, 1e-30, 1e30]).float().double()])
    return g


def reduce():
    g = Golden()
    for op in (torch.sum, torch.mean):
        for axes in ((), (0,), (3,), (1, 2), (0, 2, 3), (0, 1, 2, 3)):
            for keep in (0, 1):
                every = axes or (0, 1, 2, 3)
                g.case(
                    op.__name__,
                    lambda x: op(x, dim=every, keepdim=bool(keep)),
                    lambda v: [v.normal(2, 3, 4, 5)],
                    opts=[keep, *axes],
                )
    return g


def matmul():
    g = Golden()
    shapes = [
        ((3, 4), (4, 5)), ((1, 7), (7, 1)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)),
        ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 6)), ((33, 17), (17, 40)),
    ]  # fmt: skip
    for a, b in shapes:
        g.case("matmul", torch.matmul, lambda v: [v.normal(*a), v.normal(*b)])
    for a, b in (((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5))):
        g.case("matmul_vector", torch.matmul, lambda v: [v.normal(*a), v.normal(*b)])
    for x in ((5, 6), (2, 3, 6)):
        for activation, act in enumerate(ACTIVATIONS):
            for bias in (0, 1):
                g.case(
                    "linear",
                    lambda *o: act(F.linear(*o)),
                    lambda v: [v.normal(*x), v.normal(4, 6), v.normal(4)][: 2 + bias],
                    opts=[activation, bias],
                )
    return g


def view():
    g = Golden()
    for shape in ((6, 4), (24,), (2, 1, 12)):
        g.case("reshape", lambda x: x.reshape(shape), lambda v: [v.normal(2, 3, 4)], opts=shape)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        g.case("transpose", lambda x: x.transpose(a, b), lambda v: [v.normal(2, 3, 4)], opts=[a, b])
    for axes in ((2, 0, 1), (0, 2, 1)):
        g.case("permute", lambda x: x.permute(axes), lambda v: [v.normal(2, 3, 4)], opts=axes)
    for axis, start, stop, step in ((0, 1, 3, 1), (1, 0, 5, 2), (2, 3, 4, 1), (1, 2, 2, 1)):
        g.case(
            "slice",
            lambda x: x[(slice(None),) * axis + (slice(start, stop, step),)],
            lambda v: [v.normal(4, 5, 4)],
            opts=[axis, start, stop, step],
        )
    for axis in (0, 1, 2):
        sizes = (1, 3, 2)
        g.case(
            "concat",
            lambda *xs: torch.cat(xs, axis),
            lambda v: [v.normal(*(n if i == axis else 2 for i in range(3))) for n in sizes],
            opts=[axis],
        )
        g.case(
            "split",
            lambda x: torch.split(x, sizes, axis),
            lambda v: [v.normal(*(6 if i == axis else 2 for i in range(3)))],
            opts=[axis, *sizes],
        )
    return g


def conv():
    g = Golden()
    # x, (O, kernel), stride, padding, dilation, groups, bias
    cases = [
        ((2, 3, 6, 7), (4, 3, 3), (1, 1), (0, 0), (1, 1), 1, 1),
        ((2, 3, 6, 7), (4, 3, 3), (1, 1), (1, 1), (1, 1), 1, 1),
        ((2, 1, 8, 8), (5, 3, 3), (1, 1), (1, 1), (1, 1), 1, 0),
        ((1, 4, 9, 8), (6, 3, 3), (2, 2), (1, 1), (1, 1), 1, 1),
        ((2, 3, 9, 9), (4, 2, 3), (2, 1), (0, 2), (1, 1), 1, 1),
        ((1, 2, 9, 10), (3, 3, 3), (1, 1), (2, 2), (2, 2), 1, 1),
        ((1, 2, 11, 9), (3, 3, 2), (2, 3), (1, 0), (3, 2), 1, 0),
        ((2, 4, 6, 6), (6, 3, 3), (1, 1), (1, 1), (1, 1), 2, 1),
        ((2, 6, 7, 5), (6, 3, 3), (1, 1), (1, 1), (1, 1), 6, 1),
        ((1, 4, 7, 7), (8, 3, 3), (2, 2), (1, 1), (1, 1), 4, 0),
        ((2, 5, 4, 3), (7, 1, 1), (1, 1), (0, 0), (1, 1), 1, 1),
        ((2, 4, 5, 5), (6, 1, 1), (2, 2), (0, 0), (1, 1), 2, 0),
        ((1, 3, 5, 5), (4, 5, 5), (1, 1), (0, 0), (1, 1), 1, 1),
        ((1, 2, 4, 4), (2, 5, 5), (1, 1), (2, 2), (1, 1), 1, 1),
        ((1, 8, 5, 5), (17, 3, 3), (1, 1), (1, 1), (1, 1), 1, 1),
    ]
    for x, (out, *kernel), stride, pad, dilation, groups, bias in cases:
        weight = (out, x[1] // groups, *kernel)
        g.case(
            "conv2d",
            lambda *o: F.conv2d(
                *o, stride=stride, padding=pad, dilation=dilation, groups=groups
            ),
            lambda v: [v.normal(*x), v.normal(*weight, scale=0.5), v.normal(out)][: 2 + bias],
            opts=[*stride, *pad, *dilation, groups],
        )
    return g


def pool():
    g = Golden()
    cases = [
        ((2, 3, 6, 6), (2, 2), (2, 2), (0, 0), (1, 1)),
        ((2, 2, 7, 6), (3, 3), (2, 2), (1, 1), (1, 1)),
        ((1, 3, 7, 8), (3, 2), (1, 2), (1, 0), (1, 1)),
        ((1, 2, 9, 9), (2, 3), (1, 1), (0, 1), (2, 2)),
        ((1, 1, 5, 5), (2, 2), (2, 2), (0, 0), (1, 1)),
        ((2, 4, 4, 4), (4, 4), (4, 4), (0, 0), (1, 1)),
    ]
    for x, kernel, stride, pad, dilation in cases:
        g.case(
            "max_pool2d",
            lambda x: F.max_pool2d(x, kernel, stride, pad, dilation),
            lambda v: [v.normal(*x)],
            opts=[*kernel, *stride, *pad, *dilation],
        )
    ties = torch.tensor([[1.0, 1, 2, 0], [1, 1, 2, 2], [-1, -1, 0, 0], [-1, -1, 0, 0]])
    g.case(
        "max_pool2d",
        lambda x: F.max_pool2d(x, 2),
        lambda v: [ties.double().reshape(1, 1, 4, 4)],
        opts=[2, 2, 2, 2, 0, 0, 1, 1],
    )
    for x in ((2, 3, 4, 5), (1, 4, 1, 1)):
        g.case("global_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, 1), lambda v: [v.normal(*x)])
    return g


def batch_norm_step(training, eps, momentum):
    def step(x, w, b, mean, var):
        mean, var = mean.clone(), var.clone()
        y = F.batch_norm(x, mean, var, w, b, training, momentum, eps)
        return y, mean, var

    return step


def norm():
    g = Golden()
    for x in ((6, 3), (3, 4, 5, 2)):
        channels, running = x[1], None
        for training in (1, 1, 0):  # the second step and eval go on with what the first left
            eps, momentum = 1e-5, 0.1

            def operands(v):
                start = running or [v.normal(channels), v.positive(channels)]
                return [v.normal(*x, scale=2) + 0.5, v.normal(channels), v.normal(channels), *start]

            f = batch_norm_step(bool(training), eps, momentum)
            g.case("batch_norm", f, operands, [training], [eps, momentum], constant=(3, 4))
            case = f"batch_norm.{g.counts['batch_norm'] - 1}"
            running = [g.tensors[f"{case}.out.{i}"] for i in (1, 2)]
            running = [r.float().double() for r in running]
    for x, last, affine in (((4, 8), 1, 1), ((2, 3, 10), 1, 1), ((2, 3, 5), 2, 1), ((4, 7), 1, 0)):
        shape = x[len(x) - last :]
        g.case(
            "layer_norm",
            lambda x, w=None, b=None: F.layer_norm(x, shape, w, b, 1e-5),
            lambda v: [v.normal(*x, scale=3) + 1, v.normal(*shape), v.normal(*shape)][
                : 1 + 2 * affine
            ],
            [last, affine],
            [1e-5],
        )
    return g


def embedding():
    g = Golden()
    for index, padding in (((7,), -1), ((3, 5), -1), ((3, 5), 2), ((2, 2, 2), 0)):
        g.case(
            "embedding",
            lambda i, w: F.embedding(i, w, padding if padding >= 0 else None),
            lambda v: [v.integers(6, *index), v.normal(6, 4)],
            [padding],
        )
    return g


def lstm_operands(v, T, N, I, H, layers, directions, batch_first):
    x = v.normal(N, T, I) if batch_first else v.normal(T, N, I)
    state = [v.normal(layers * directions, N, H) for _ in range(2)]
    weights = []
    for layer in range(layers):
        for _ in range(directions):
            width = I if layer == 0 else H * directions
            weights += [v.normal(4 * H, width, scale=0.4), v.normal(4 * H, H, scale=0.4)]
            weights += [v.normal(4 * H, scale=0.2), v.normal(4 * H, scale=0.2)]
    return [x, *state, *weights]


def recurrent():
    g = Golden()
    sizes = (
        (5, 3, 4, 6, 1, 1, 0), (4, 2, 3, 5, 2, 1, 0), (4, 2, 3, 5, 2, 2, 0), (3, 2, 4, 3, 1, 2, 1),
    )  # fmt: skip
    for T, N, I, H, layers, directions, batch_first in sizes:

        def f(x, h, c, *weights):
            return torch.lstm(
                x, (h, c), weights, True, layers, 0.0, True, directions == 2, bool(batch_first)
            )

        g.case(
            "lstm",
            f,
            lambda v: lstm_operands(v, T, N, I, H, layers, directions, batch_first),
            [layers, directions - 1, batch_first],
        )
    return g


def labels(v, rows, classes, ignored):
    y = v.integers(classes, *rows)
    y.view(-1)[: ignored if ignored < y.numel() else y.numel()] = -100
    return y


def loss():
    g = Golden()
    for reduction, name in enumerate(REDUCTIONS):
        for rows, ignored in (((5,), 0), ((6,), 2), ((4,), 4)):
            g.case(
                "cross_entropy",
                lambda x, y: F.cross_entropy(x, y, ignore_index=-100, reduction=name),
                lambda v: [v.normal(*rows, 7, scale=3), labels(v, rows, 7, ignored)],
                [reduction, -100],
            )
        g.case(
            "bce_with_logits",
            lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction=name),
            lambda v: [v.normal(4, 5, scale=4), v.normal(4, 5).sigmoid().float().double()],
            [reduction],
        )
    g.case(
        "cross_entropy",
        lambda x, y: F.cross_entropy(x, y),
        lambda v: [v.normal(3, 4) * 1000, labels(v, (3,), 4, 0)],
        [0, -100],
    )
    extreme = torch.tensor([0.0, 100, -100, 1e4, -1e4, 30]).double()
    g.case(
        "bce_with_logits",
        lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"),
        lambda v: [extreme, torch.tensor([0.0, 1, 0, 0, 1, 0.5]).double()],
        [2],
    )
    return g


def cast():
    g = Golden()
    exact = [0.0, -0.0, 1.0, -2.5, 255.0, 3.99, 65504.0, 65519.0, 65520.0, 1e-8, 6e-8, 6e-5, 1e39]
    halfway = [1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-9, 1 + 2**-8 + 2**-20, 1 + 2**-11, 1 + 3 * 2**-11]
    special = [float("inf"), float("-inf"), float("nan"), 3.3895e38, 3.4e38, 1e-40, -7e-46]
    floats = torch.tensor(exact + halfway + special, dtype=torch.float64)
    small = torch.tensor([0.0, 1.0, -1.0, 0.5, -0.5, 2.999, -2.999, 100.0], dtype=torch.float64)
    integers = torch.tensor([0, 1, -1, 7, 127, 2**24 + 1, -(2**24) - 3], dtype=torch.int64)
    sources = [(floats.float(), DTYPES[:4]), (floats, DTYPES[:2]), (small.float(), DTYPES[4:6])]
    sources += [(small, DTYPES[4:6] + DTYPES[7:]), (small.abs(), [torch.uint8])]
    sources += [(integers, DTYPES[:4] + DTYPES[5:6] + DTYPES[7:])]
    sources += [(x, [torch.float32, torch.float64]) for x in (floats.bfloat16(), floats.half())]
    sources += [(torch.tensor([True, False]), DTYPES[:7])]
    for x, targets in sources:
        for dtype in targets:
            case, _ = g.next("cast")
            g.options(case, [DTYPES.index(dtype)], None)
            g.put(case, "in", [x])
            g.put(case, "out", [x.to(dtype)])
    for activation, act in enumerate(ACTIVATIONS):
        for bias in (0, 1):
            linear_bf16(g, activation, act, bias)
    return g


def linear_bf16(g, activation, act, bias):
    def f(*operands):
        return act(F.linear(*operands))

    case, v = g.next("linear_bf16")
    operands = [v.normal(5, 16), v.normal(8, 16), v.normal(8)][: 2 + bias]
    operands = [x.bfloat16().double() for x in operands]
    dout = v.normal(5, 8).bfloat16().double()
    outs, grads = g.run(f, operands, [dout], (), torch.bfloat16)
    ref, gradref = g.run(f, operands, [dout], (), torch.float64)
    g.options(case, [activation, bias], None)
    g.put(case, "in", [x.bfloat16() for x in operands])
    g.put(case, "dout", [dout.bfloat16()])
    g.put(case, "out", outs)
    g.put(case, "grad", grads)
    g.put(case, "ref", ref)
    g.put(case, "gradref", gradref)


def families():
    import trajectories

    made = [
        promotion, elementwise, reduce, matmul, view, conv, pool, norm, embedding, recurrent, loss,
        cast,
    ]  # fmt: skip
    files = {f.__name__: f().tensors for f in made}
    files.update(trajectories.files())
    return files


# ---- files ----


def differs(name, ours, theirs):
    """Why a stored tensor isn't what was computed, or None.  Inputs must be equal; results
    may differ by what another processor or version of PyTorch rounds differently."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{theirs.dtype} {tuple(theirs.shape)}, now {ours.dtype} {tuple(ours.shape)}"
    bound = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 0.05}.get(ours.dtype, 0)
    if f".in." in name or name.endswith("opts"):
        bound = 0
    if torch.allclose(ours.double(), theirs.double(), rtol=bound, atol=bound, equal_nan=True):
        return None
    return f"values differ by {(ours.double() - theirs.double()).abs().max().item():.3g}"


def check(stem, tensors):
    """Prints what differs in one file; gives how much."""
    path = HERE / f"{stem}.safetensors"
    if not path.exists():
        print(f"{path.name}: missing")
        return 1
    stored_ones = load_file(path)
    wrong = [f"{name}: only in one of them" for name in stored_ones.keys() ^ tensors.keys()]
    for name in sorted(stored_ones.keys() & tensors.keys()):
        reason = differs(name, tensors[name], stored_ones[name])
        wrong += [f"{name}: {reason}"] if reason else []
    for line in wrong:
        print(f"{path.name}: {line}")
    return len(wrong)


def write(stem, tensors):
    path = HERE / f"{stem}.safetensors"
    version = torch.__version__.split("+")[0]
    save_file(dict(sorted(tensors.items())), path, metadata={"torch": version})
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size / 1000:.0f} KB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    files = families()
    if args.check:
        sys.exit(1 if sum(check(stem, tensors) for stem, tensors in files.items()) else 0)
    for stem, tensors in files.items():
        write(stem, tensors)


if __name__ == "__main__":
    main()
