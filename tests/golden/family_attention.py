"""scaled_dot_product_attention: opts causal, mask (0 none, 1 bool, 2 added, 3
added and differentiated), key padding; fopts
scale (0: the default); operands q k v, then the mask, then the padding (both of i64 for bool)."""

import torch
import torch.nn.functional as F
from golden import Golden


def attend(causal, kind, padded, scale, q, k, v, *masks):
    L, S = q.shape[2], k.shape[2]
    mask = torch.zeros(L, S, dtype=q.dtype)
    masks = list(masks)
    if causal:
        mask = mask.masked_fill(torch.ones(L, S, dtype=torch.bool).tril().logical_not(), -torch.inf)
    if kind == 1:
        mask = torch.where(masks.pop(0).bool(), mask, -torch.inf)
    if kind >= 2:
        mask = mask + masks.pop(0)
    if padded:
        mask = torch.where(masks.pop(0).bool()[:, None, None, :], -torch.inf, mask)
    return F.scaled_dot_product_attention(q, k, v, mask, scale=scale or None, enable_gqa=True)


def attention():
    g = Golden()
    cases = [  # (N, heads, kv heads, L, S, E, Ev), causal, mask, padding, scale
        ((2, 2, 2, 3, 5, 4, 4), 0, None, 0, 0),
        ((1, 4, 2, 5, 5, 8, 3), 1, None, 0, 0.5),
        ((2, 2, 1, 3, 4, 5, 2), 0, (1, 2, 3, 4), 0, 0),
        ((2, 2, 2, 4, 9, 3, 8), 1, (9,), 1, 0),
        ((2, 1, 1, 3, 4, 2, 2), 0, None, 1, 0),
        ((1, 1, 1, 70, 70, 2, 2), 1, None, 0, 0),
        ((1, 1, 1, 3, 135, 2, 2), 0, None, 0, 0),
    ]
    for (N, H, HK, L, S, E, Ev), causal, mask, padded, scale in cases:
        for kind in (0,) if mask is None else (1, 2, 3):

            def make(v):
                x = [v.normal(N, H, L, E), v.normal(N, HK, S, E), v.normal(N, HK, S, Ev)]
                if kind == 1:
                    x.append((v.integers(4, *mask) > 0).long())
                if kind >= 2:
                    x.append(v.normal(*mask))
                if padded:
                    x.append((v.integers(4, N, S) == 0).long())
                return x

            f = lambda *x: attend(causal, kind, padded, scale, *x)  # noqa: E731
            g.case("attention", f, make, [causal, kind, padded], [scale], (3,) if kind == 2 else ())
    return g


def families():
    return {"attention": attention().tensors}
