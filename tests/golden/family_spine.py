"""The ops of the spine."""

import torch
import torch.nn.functional as F
from golden import ACTIVATIONS, DTYPES, REDUCTIONS, Golden


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
    made = [
        promotion, elementwise, reduce, matmul, view, conv, pool, norm, embedding, recurrent, loss,
        cast,
    ]  # fmt: skip
    return {f.__name__: f().tensors for f in made}
