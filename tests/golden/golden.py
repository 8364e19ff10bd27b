"""What the golden files are made of: names, random operands, and cases run in PyTorch.

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

Inputs come from NumPy's frozen generator, seeded by the name of the case, so that a new case
changes no other.
"""

import zlib

import numpy
import torch
import torch.nn.functional as F

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
        grads = iter(())
        if wanted:
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
