"""Attention and Transformer layers, weight and spectral norm, rotary embedding.

    multihead    opts: which of query, key, value are one tensor (0 all, 1 key and value, 2 none,
                 3 none and other widths), batch_first, bias, heads, mask (0 none, 1 bool, 2 float,
                 3 and 4 the same of each head), padding, causal, without a batch.  Operands: the
                 tensors, the mask, the padding (i64 for bool), then the parameters in the order of
                 the state dict
    encoder      opts: layers (0: one alone), batch_first, norm_first, bias, gelu, mask (bool),
    decoder      padding, a norm at the end.  Operands: src, or tgt and memory; mask, padding (of
                 decoder: mask and padding of tgt, then of memory); then the parameters
    weight_norm  opts: dim (-1: whole), convolution.  Operands: x bias original0 original1
    spectral     opts: power iterations, dim, convolution.  Operands: three x, bias, original, _u,
                 _v; two forwards in training, one in evaluation
    descent      ten steps with both, see spectral_training
    rotary       opts: halves, dims, offset, positions (0 none, 1 (T), 2 (N, T)); fopts: base

layer_names: a state dict, for loading.
"""

import torch
import torch.nn.functional as F
from golden import Golden
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations

E = 8
ORIGINAL = "parametrizations.weight.original"


def randomized(v, module):
    """Random values for the parameters of a module, in order."""
    out = []
    for name, p in module.named_parameters():
        if "norm" in name and name.endswith("weight"):
            out.append(1 + v.normal(*p.shape, scale=0.25).float().double())
        else:
            out.append(v.normal(*p.shape, scale=0.25))
    return [x.float().double() for x in out]


def called(module, params, *inputs, **options):
    named = {n: p for (n, _), p in zip(module.named_parameters(), params)}
    return functional_call(module.to(params[0].dtype), named, inputs, options)


def boolean(v, *shape):
    """True for about a third, never in the first column."""
    x = (v.integers(3, *shape) == 0).long()
    x[..., 0] = 0
    return x


def causal_mask(length, keys):
    return torch.ones(length, keys, dtype=torch.bool).triu(1)


# ---- multi-head attention ----


def multihead_case(g, kind, batch_first, bias, heads, mask, padded, causal, alone, L=3, S=4):
    N = 1 if alone else 2
    wide = {"kdim": 5, "vdim": 6} if kind == 3 else {}
    m = nn.MultiheadAttention(E, heads, bias=bias, batch_first=batch_first, **wide)
    S = L if kind == 0 else S

    def shaped(v, length, width):
        batch = (N, length, width) if batch_first else (length, N, width)
        return v.normal(*((length, width) if alone else batch))

    def make(v):
        x = [shaped(v, L, E)]
        if kind >= 1:
            x.append(shaped(v, S, wide.get("kdim", E)))
        if kind >= 2:
            x.append(shaped(v, S, wide.get("vdim", E)))
        if mask:
            s = (L, S) if mask < 3 else (N * heads, L, S)
            x.append(boolean(v, *s) if mask % 2 else v.normal(*s))
        if padded:
            x.append(boolean(v, S) if alone else boolean(v, N, S))
        return x + randomized(v, m)

    def f(*x):
        x = list(x)
        q = x.pop(0)
        k = x.pop(0) if kind >= 1 else q
        val = x.pop(0) if kind >= 2 else k
        added = None
        if mask:
            added = x.pop(0)
            added = added.bool() if mask % 2 else added
        if causal:
            hide = causal_mask(L, S)
            if added is None:
                added = hide
            elif mask % 2:
                added = added | hide
            else:
                added = added.masked_fill(hide, -torch.inf)
        pad = x.pop(0).bool() if padded else None
        if pad is not None and added is not None and added.dtype != torch.bool:
            pad = torch.zeros(pad.shape, dtype=q.dtype).masked_fill(pad, -torch.inf)
        return called(m, x, q, k, val, attn_mask=added, key_padding_mask=pad, need_weights=False)[0]

    g.case("multihead", f, make, [kind, batch_first, bias, heads, mask, padded, causal, alone])


def multihead():
    g = Golden()
    for case in [
        (0, 0, 1, 2, 0, 0, 0, 0),
        (0, 1, 1, 4, 0, 0, 1, 0),
        (0, 1, 0, 2, 1, 1, 0, 0),
        (0, 0, 1, 1, 2, 1, 1, 0),
        (1, 0, 1, 2, 0, 1, 0, 0),
        (1, 1, 1, 2, 3, 0, 1, 0),
        (2, 0, 1, 2, 4, 1, 0, 0),
        (2, 1, 0, 8, 0, 0, 0, 0),
        (3, 0, 1, 2, 0, 1, 1, 0),
        (3, 1, 0, 2, 2, 0, 0, 0),
        (0, 0, 1, 2, 3, 1, 1, 1),
        (2, 1, 1, 2, 2, 1, 0, 1),
    ]:
        multihead_case(g, *case)
    return g


# ---- blocks and stacks ----


def stack_of(side, layers, batch_first, norm_first, bias, gelu, end):
    kind = nn.TransformerDecoderLayer if side == "decoder" else nn.TransformerEncoderLayer
    stack = nn.TransformerDecoder if side == "decoder" else nn.TransformerEncoder
    layer = kind(E, 2, 12, 0.0, "gelu" if gelu else "relu", 1e-5, batch_first, norm_first, bias)
    options = {} if side == "decoder" else {"enable_nested_tensor": False}
    return stack(layer, layers, nn.LayerNorm(E) if end else None, **options) if layers else layer


def stack_case(g, side, layers, batch_first, norm_first, bias, gelu, masked, padded, end):
    N, L, S = 2, 3, 4
    m = stack_of(side, layers, batch_first, norm_first, bias, gelu, end)

    def shaped(v, length):
        return v.normal(*((N, length, E) if batch_first else (length, N, E)))

    def make(v):
        x = [shaped(v, L)] + ([shaped(v, S)] if side == "decoder" else [])
        for keys in (L, S) if side == "decoder" else (L,):
            x += [boolean(v, L, keys)] if masked else []
            x += [boolean(v, N, keys)] if padded else []
        return x + randomized(v, m)

    def f(*x):
        x = list(x)
        inputs = [x.pop(0) for _ in range(2 if side == "decoder" else 1)]
        options = {}
        for name in ("tgt", "memory") if side == "decoder" else ("src",):
            of_scores = name + "_mask" if side == "decoder" or not layers else "mask"
            options[of_scores] = x.pop(0).bool() if masked else None
            options[name + "_key_padding_mask"] = x.pop(0).bool() if padded else None
        return called(m, x, *inputs, **options)

    g.case(side, f, make, [layers, batch_first, norm_first, bias, gelu, masked, padded, end])


def transformer():
    g = Golden()
    for side in ("encoder", "decoder"):
        for case in [
            (0, 0, 0, 1, 0, 0, 0, 0),
            (0, 1, 1, 1, 1, 1, 0, 0),
            (0, 1, 0, 0, 0, 1, 1, 0),
            (2, 0, 1, 1, 0, 1, 1, 1),
            (2, 1, 0, 1, 1, 0, 1, 0),
        ]:
            stack_case(g, side, *case)
    return g


# ---- parametrizations ----


def parametrize():
    g = Golden()
    for dim, conv in ((0, 0), (1, 0), (-1, 1), (0, 1), (2, 1)):
        plain = nn.Conv2d(3, 4, 2) if conv else nn.Linear(5, 3)
        m = parametrizations.weight_norm(plain, dim=None if dim < 0 else dim)

        def make(v):
            x = v.normal(2, 3, 4, 4) if conv else v.normal(2, 5)
            names = ["bias", ORIGINAL + "0", ORIGINAL + "1"]
            state = m.state_dict()
            return [x] + [v.normal(*state[n].shape) for n in names]

        def f(x, *params):
            return called(m, params, x)

        assert [n for n, _ in m.named_parameters()][0] == "bias"
        g.case("weight_norm", f, make, [dim, conv])
    for times, dim, conv in ((1, 0, 0), (3, 1, 0), (1, 0, 1), (2, 1, 1)):
        plain = nn.Conv2d(3, 4, 2) if conv else nn.Linear(5, 3)
        m = parametrizations.spectral_norm(plain, n_power_iterations=times, dim=dim)
        names = ["bias", ORIGINAL, "parametrizations.weight.0._u", "parametrizations.weight.0._v"]

        def make(v):
            state = m.state_dict()
            x = [v.normal(2, 3, 4, 4) if conv else v.normal(2, 5) for _ in range(3)]
            values = [v.normal(*state[n].shape) for n in names]
            values[2:] = [F.normalize(t, dim=0).float().double() for t in values[2:]]
            return x + values

        def f(a, b, c, bias, original, u, v):
            named = dict(zip(names, (bias, original, u.detach().clone(), v.detach().clone())))
            m.to(a.dtype).train()
            ya = functional_call(m, named, (a,))
            yb = functional_call(m, named, (b,))
            m.eval()
            yc = functional_call(m, named, (c,))
            return ya, yb, yc, named[names[2]].clone(), named[names[3]].clone()

        g.case("spectral", f, make, [times, dim, conv], constant=(5, 6))
    spectral_training(g)
    return g


def spectral_training(g):
    """Ten steps of gradient descent.  in: x, target, the state; out: the losses, the state."""
    m = nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(5, 4)),
        nn.Tanh(),
        parametrizations.weight_norm(nn.Linear(4, 1)),
    ).double()
    case, v = g.next("descent")
    names = list(m.state_dict())
    state = {n: v.normal(*x.shape) for n, x in m.state_dict().items()}
    for n in names:
        if n.endswith("_u") or n.endswith("_v"):
            state[n] = F.normalize(state[n], dim=0)
    x, target, losses = v.normal(6, 5), v.normal(6, 1), []
    g.put(case, "in", [x, target, *state.values()])
    m.load_state_dict(state)
    optimizer = torch.optim.SGD(m.parameters(), 0.1)
    for _ in range(10):
        loss = F.mse_loss(m(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    g.put(case, "out", [torch.stack(losses), *m.state_dict().values()])


# ---- rotary ----


def turned(x, halves, dims, positions, base):
    """By complex numbers, pair by pair."""
    pairs = x[..., :dims]
    if halves:
        pairs = pairs.unflatten(-1, (2, dims // 2)).transpose(-1, -2)
    else:
        pairs = pairs.unflatten(-1, (dims // 2, 2))
    turning = torch.view_as_complex(pairs.contiguous())
    frequency = base ** (-2 * torch.arange(dims // 2, dtype=torch.float64) / dims)
    angle = positions[..., None].double() * frequency
    factor = torch.polar(torch.ones_like(angle), angle).to(turning.dtype)
    if factor.dim() == 3:
        factor = factor[:, None]
    pairs = torch.view_as_real(turning * factor)
    pairs = pairs.transpose(-1, -2) if halves else pairs
    return torch.cat([pairs.flatten(-2), x[..., dims:]], -1)


def rotary():
    g = Golden()
    for (N, H, T, D), halves, dims, offset, kind, base in [
        ((2, 3, 5, 4), 0, 0, 0, 0, 10000),
        ((2, 3, 5, 4), 1, 0, 0, 0, 10000),
        ((1, 2, 3, 8), 0, 4, 7, 0, 100),
        ((1, 2, 3, 7), 1, 6, 5000, 0, 500000),
        ((2, 1, 4, 6), 0, 0, 0, 1, 10000),
        ((2, 2, 4, 6), 1, 2, 3, 2, 10000),
        ((1, 1, 1, 2), 0, 0, 0, 0, 10000),
    ]:

        def make(v):
            p = [] if not kind else [v.integers(90, T) if kind == 1 else v.integers(90, N, T)]
            return [v.normal(N, H, T, D)] + p

        def f(x, p=None):
            p = torch.arange(T) if p is None else p
            return turned(x, halves, dims or D, p + offset, base)

        g.case("rotary", f, make, [halves, dims, offset, kind], [base])
    return g


# ---- names ----


def layer_names():
    torch.manual_seed(3)
    models = {
        "same": nn.MultiheadAttention(4, 2),
        "other": nn.MultiheadAttention(4, 2, kdim=3, vdim=5, bias=False),
        "encoder": stack_of("encoder", 2, True, True, True, True, True),
        "decoder": stack_of("decoder", 1, False, False, False, False, False),
        "lengths": parametrizations.weight_norm(nn.Linear(3, 2)),
        "length": parametrizations.weight_norm(nn.Linear(3, 2), dim=None),
        "spectral": parametrizations.spectral_norm(nn.Conv2d(3, 2, 2)),
    }
    states = ((k, m.state_dict()) for k, m in models.items())
    return {f"{k}.{n}": x.detach().clone() for k, state in states for n, x in state.items()}


def families():
    return {
        "multihead": multihead().tensors,
        "transformer": transformer().tensors,
        "parametrize": parametrize().tensors,
        "rotary": rotary().tensors,
        "layer_names": layer_names(),
    }
