"""What ops give under torch.autocast("cpu", bfloat16).

    autocast.NAME.in.I     operands, f32 (floats) or i64
    autocast.NAME.dtypes   (3) i64: of the result when float operands are f32, bf16, and the first bf16
                           and the others f32; -1 where PyTorch refuses.  Codes as in golden.py
    autocast.NAME.out      the result for f32 operands, as f64
    autocast.NAME.grad.I   in the f32 operands, of the sum of its elements times 1/4 2/4 3/4 4/4 5/4 1/4 ...
"""

import torch
import torch.nn.functional as F
from golden import DTYPES, Values, stored

LABELS = torch.tensor([0, 2, 1])
SIGNS = torch.tensor([1, -1, 1])


def lstm(x, *w):
    h = torch.zeros(1, x.shape[1], 4, dtype=w[0].dtype)
    return torch._VF.lstm(x, (h, h), w, True, 1, 0.0, False, False, False)[0]


OPS = {
    "matmul": (torch.matmul, [(3, 4), (4, 5)]),
    "matvec": (torch.matmul, [(3, 4), (4,)]),
    "bmm": (torch.matmul, [(2, 3, 4), (2, 4, 5)]),
    "linear": (F.linear, [(3, 4), (5, 4), (5,)]),
    "conv2d": (F.conv2d, [(2, 3, 5, 5), (4, 3, 3, 3), (4,)]),
    "conv1d": (F.conv1d, [(2, 3, 5), (4, 3, 3), (4,)]),
    "conv_transpose2d": (F.conv_transpose2d, [(2, 3, 5, 5), (3, 4, 3, 3), (4,)]),
    "attention": (F.scaled_dot_product_attention, [(2, 2, 5, 4)] * 3),
    "einsum": (lambda a, b: torch.einsum("ij,jk->ik", a, b), [(3, 4), (4, 5)]),
    "lstm": (lstm, [(5, 2, 3), (16, 3), (16, 4), (16,), (16,)]),
    "outer": (torch.outer, [(3,), (4,)]),
    "softmax": (lambda x: x.softmax(1), [(3, 4)]),
    "log_softmax": (lambda x: x.log_softmax(1), [(3, 4)]),
    "exp": (torch.exp, [(3, 4)]),
    "pow": (lambda x: x.abs() ** 2.5, [(3, 4)]),
    "sum": (torch.sum, [(3, 4)]),
    "mean": (torch.mean, [(3, 4)]),
    "prod": (lambda x: x.prod(1), [(3, 4)]),
    "norm": (torch.linalg.vector_norm, [(3, 4)]),
    "var": (torch.var, [(3, 4)]),
    "cumsum": (lambda x: x.cumsum(1), [(3, 4)]),
    "logsumexp": (lambda x: x.logsumexp(1), [(3, 4)]),
    "gelu": (F.gelu, [(3, 4)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), [(3, 4), (4,), (4,)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [(2, 4, 3, 3), (4,), (4,)]),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [(6, 4), (4,), (4,)]),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), [(2, 4, 4, 4)]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), [(2, 4, 4, 4)]),
    "add": (torch.add, [(3, 4), (3, 4)]),
    "concat": (lambda a, b: torch.cat([a, b]), [(3, 4), (3, 4)]),
    "stack": (lambda a, b: torch.stack([a, b]), [(3, 4), (3, 4)]),
    "cosine_similarity": (F.cosine_similarity, [(3, 4), (3, 4)]),
    "mse_loss": (F.mse_loss, [(3, 4), (3, 4)]),
    "l1_loss": (F.l1_loss, [(3, 4), (3, 4)]),
    "smooth_l1_loss": (F.smooth_l1_loss, [(3, 4), (3, 4)]),
    "huber_loss": (F.huber_loss, [(3, 4), (3, 4)]),
    "cross_entropy": (lambda x: F.cross_entropy(x, LABELS), [(3, 4)]),
    "nll_loss": (lambda x: F.nll_loss(x, LABELS), [(3, 4)]),
    "bce_with_logits": (F.binary_cross_entropy_with_logits, [(3, 4), (3, 4)]),
    "kl_div": (lambda a, b: F.kl_div(a, b.exp(), reduction="sum"), [(3, 4), (3, 4)]),
    "cosine_embedding_loss": (lambda a, b: F.cosine_embedding_loss(a, b, SIGNS), [(3, 4), (3, 4)]),
    "hinge_embedding_loss": (lambda x: F.hinge_embedding_loss(x, SIGNS), [(3,)]),
    "margin_ranking_loss": (lambda a, b: F.margin_ranking_loss(a, b, SIGNS), [(3,), (3,)]),
    "triplet_margin_loss": (F.triplet_margin_loss, [(3, 4)] * 3),
}


def under(f, operands):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return f(*operands)


def code(f, operands):
    try:
        return DTYPES.index(under(f, operands).dtype)
    except RuntimeError:
        return -1


def families():
    tensors = {}
    for name, (f, shapes) in OPS.items():
        values = Values(f"autocast.{name}")
        x = [values.normal(*s).bfloat16().float().requires_grad_() for s in shapes]
        half = [v.bfloat16() for v in x]
        y = under(f, x)
        ramp = (torch.arange(y.numel()) % 5 + 1) / 4
        grads = torch.autograd.grad((y.float().flatten() * ramp).sum(), x)
        tensors[f"autocast.{name}.dtypes"] = torch.tensor([code(f, x), code(f, half), code(f, half[:1] + x[1:])])
        tensors[f"autocast.{name}.out"] = stored(y.double())
        for i, (v, g) in enumerate(zip(x, grads)):
            assert g.dtype == torch.float32
            tensors[f"autocast.{name}.in.{i}"] = stored(v)
            tensors[f"autocast.{name}.grad.{i}"] = stored(g)
    return {"autocast": tensors}
