"""Pooling and resizing.

    avg_pool2d max_pool2d_ceil      kernel, stride, pad (h w each), ceil_mode, exclude_pad, divisor
    avg_pool1d max_pool1d           kernel, stride, pad, ceil_mode
    adaptive_avg_pool2d adaptive_max_pool2d                         h w
    interpolate                     mode (nearest bilinear), h w, align_corners; fopts scale (h w)
    pixel_shuffle pixel_unshuffle   r
"""

import torch.nn.functional as F
from golden import Golden


def pool2d():
    g = Golden()
    cases = [  # x, kernel, stride, pad, ceil, exclude, divisor
        ((2, 3, 4, 4), (2, 2), (2, 2), (0, 0), 0, 0, 0),
        ((1, 2, 5, 6), (3, 2), (2, 1), (1, 1), 0, 0, 0),
        ((1, 2, 5, 6), (3, 2), (2, 1), (1, 1), 0, 1, 0),
        ((1, 2, 5, 6), (3, 3), (2, 2), (1, 0), 1, 0, 0),
        ((1, 2, 6, 5), (2, 3), (3, 2), (1, 1), 1, 1, 0),
        ((1, 1, 5, 5), (3, 3), (2, 2), (1, 1), 1, 0, 5),
    ]
    for x, k, s, p, ceil, exclude, divisor in cases:
        opts = [*k, *s, *p, ceil, exclude * 16 + divisor]
        f = lambda x: F.avg_pool2d(x, k, s, p, bool(ceil), not exclude, divisor or None)  # noqa: E731
        g.case("avg_pool2d", f, lambda v: [v.normal(*x)], opts)
        if ceil:
            f = lambda x: F.max_pool2d(x, k, s, p, ceil_mode=True)  # noqa: E731
            g.case("max_pool2d_ceil", f, lambda v: [v.normal(*x)], opts)
    for k, s, p, ceil in ((2, 2, 0, 0), (3, 2, 1, 1), (3, 1, 1, 0)):
        f = lambda x: F.avg_pool1d(x, k, s, p, bool(ceil))  # noqa: E731
        g.case("avg_pool1d", f, lambda v: [v.normal(2, 3, 6)], [k, s, p, ceil])
        f = lambda x: F.max_pool1d(x, k, s, p, ceil_mode=bool(ceil))  # noqa: E731
        g.case("max_pool1d", f, lambda v: [v.normal(2, 3, 6)], [k, s, p, ceil])
    for x, h, w in (((2, 3, 4, 6), 2, 3), ((1, 2, 5, 7), 3, 2), ((1, 2, 3, 2), 5, 4), ((1, 2, 4, 5), 1, 1)):
        for op in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
            g.case(op.__name__, lambda x: op(x, (h, w)), lambda v: [v.normal(*x)], [h, w])
    return g


def resize():
    g = Golden()
    sizes = [((1, 2, 3, 4), 6, 8), ((1, 2, 5, 4), 3, 7), ((2, 1, 4, 4), 4, 4), ((1, 1, 3, 2), 1, 5), ((1, 1, 1, 1), 3, 2)]
    for x, h, w in sizes:
        for mode, corners in ((0, 0), (1, 0), (1, 1)):
            how = {"mode": "bilinear", "align_corners": bool(corners)} if mode else {"mode": "nearest"}
            f = lambda x: F.interpolate(x, (h, w), **how)  # noqa: E731
            g.case("interpolate", f, lambda v: [v.normal(*x)], [mode, h, w, corners], [0, 0])
    for sh, sw in ((2, 2), (1.5, 2.5), (0.6, 0.5)):
        for mode, corners in ((0, 0), (1, 0), (1, 1)):
            how = {"mode": "bilinear", "align_corners": bool(corners)} if mode else {"mode": "nearest"}
            f = lambda x: F.interpolate(x, scale_factor=(sh, sw), **how)  # noqa: E731
            g.case("interpolate", f, lambda v: [v.normal(1, 2, 5, 4)], [mode, 0, 0, corners], [sh, sw])
    for r in (1, 2, 3):
        g.case("pixel_shuffle", lambda x: F.pixel_shuffle(x, r), lambda v: [v.normal(2, 2 * r * r, 2, 3)], [r])
        g.case("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, r), lambda v: [v.normal(2, 2, 2 * r, r)], [r])
    return g


def families():
    return {f.__name__: f().tensors for f in (pool2d, resize)}
