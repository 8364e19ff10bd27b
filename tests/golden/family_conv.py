"""conv1d: opts stride pad dilation groups same; conv_transpose1d: stride pad dilation groups output_pad;
conv_transpose2d: those of conv2d, then output_pad (h w); conv2d_same: dilation (h w)."""

import warnings

import torch.nn.functional as F
from golden import Golden

warnings.filterwarnings("ignore", "Using padding=.same.")


def operands(x, w, bias):
    return lambda v: [v.normal(*x), v.normal(*w, scale=0.5)] + ([v.normal(bias)] if bias else [])


def conv_more():
    g = Golden()
    for x, w, bias, s, p, d, n in (
        ((2, 3, 9), (4, 3, 3), 4, 1, 0, 1, 1),
        ((1, 4, 11), (6, 2, 3), 6, 2, 2, 2, 2),
        ((2, 3, 7), (3, 1, 4), 0, 1, 1, 1, 3),
    ):
        f = lambda *a: F.conv1d(*a, stride=s, padding=p, dilation=d, groups=n)  # noqa: E731
        g.case("conv1d", f, operands(x, w, bias), [s, p, d, n, 0])
    for k, d in ((3, 1), (4, 1), (2, 3)):
        f = lambda *a: F.conv1d(*a, padding="same", dilation=d)  # noqa: E731
        g.case("conv1d", f, operands((2, 3, 8), (4, 3, k), 4), [1, 0, d, 1, 1])
    for k, d in (((3, 3), (1, 2)), ((2, 4), (1, 1)), ((3, 2), (2, 3))):
        f = lambda *a: F.conv2d(*a, padding="same", dilation=d)  # noqa: E731
        g.case("conv2d_same", f, operands((1, 2, 5, 6), (3, 2, *k), 3), [*d])
    for x, w, bias, s, p, d, n, more in (
        ((2, 3, 5), (3, 4, 3), 4, 1, 0, 1, 1, 0),
        ((1, 4, 6), (4, 3, 4), 6, 3, 1, 1, 2, 2),
        ((1, 2, 5), (2, 3, 3), 0, 1, 2, 3, 1, 2),
    ):
        f = lambda *a: F.conv_transpose1d(  # noqa: E731
            *a, stride=s, padding=p, output_padding=more, groups=n, dilation=d
        )
        g.case("conv_transpose1d", f, operands(x, w, bias), [s, p, d, n, more])
    for x, w, bias, s, p, d, n, more in (
        ((2, 3, 4, 3), (3, 4, 3, 3), 4, (1, 1), (0, 0), (1, 1), 1, (0, 0)),
        ((1, 4, 3, 4), (4, 2, 3, 2), 4, (2, 2), (1, 0), (1, 1), 2, (1, 0)),
        ((1, 2, 3, 3), (2, 3, 4, 4), 3, (2, 2), (1, 1), (1, 1), 1, (0, 0)),
        ((1, 3, 3, 2), (3, 1, 3, 3), 0, (2, 1), (1, 2), (2, 3), 3, (1, 2)),
        ((1, 9, 3, 2), (9, 5, 3, 3), 5, (2, 2), (1, 1), (1, 1), 1, (1, 1)),
        ((3, 4, 1, 1), (4, 3, 2, 3), 3, (2, 1), (0, 0), (1, 1), 1, (0, 0)),
    ):
        f = lambda *a: F.conv_transpose2d(  # noqa: E731
            *a, stride=s, padding=p, output_padding=more, groups=n, dilation=d
        )
        g.case("conv_transpose2d", f, operands(x, w, bias), [*s, *p, *d, n, more[0] * 16 + more[1]])
    return g


def families():
    return {"conv_more": conv_more().tensors}
