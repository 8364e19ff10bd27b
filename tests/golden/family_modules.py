"""Layers as torch.nn has them, with their state dict, for tests/test_modules.c.

    NAME.weight ...        the state dict of a ModuleDict, which a module of ours must load as it is
    io.NAME.x y dy dx      one run, and the gradient of sum(y dy)
    io.NAME.grad.PARAM     the gradient of each parameter
    io.NAME.after.BUFFER   buffers after the run, of layers that move some

All in f64, with numbers that f32 holds.  Layers whose name ends in "_eval" run in eval.
"""

import torch
import torch.nn as nn
from golden import Values, stored


class Residual(nn.Module):
    def __init__(self, body, shortcut=None):
        super().__init__()
        self.body = body
        if shortcut is not None:
            self.shortcut = shortcut

    def forward(self, x):
        return (self.shortcut(x) if hasattr(self, "shortcut") else x) + self.body(x)


class Hardsigmoid(nn.Module):  # torch's own slope is 1/6 rounded to f32
    def forward(self, x):
        return (x + 3).clamp(0, 6) / 6


def block():
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))


IMAGE = (2, 4, 6, 5)
LINE = (2, 4, 9)
ROWS = (3, 6)

LAYERS = {
    "relu6": (nn.ReLU6(), ROWS, 4),
    "gelu_tanh": (nn.GELU(approximate="tanh"), ROWS),
    "silu": (nn.SiLU(), ROWS),
    "mish": (nn.Mish(), ROWS),
    "selu": (nn.SELU(), ROWS),
    "log_sigmoid": (nn.LogSigmoid(), ROWS),
    "softsign": (nn.Softsign(), ROWS),
    "tanhshrink": (nn.Tanhshrink(), ROWS),
    "hardsigmoid": (Hardsigmoid(), ROWS, 4),
    "hardswish": (nn.Hardswish(), ROWS, 4),
    "leaky_relu": (nn.LeakyReLU(0.2), ROWS),
    "elu": (nn.ELU(0.7), ROWS),
    "celu": (nn.CELU(2), ROWS),
    "softplus": (nn.Softplus(2, 3), ROWS),
    "softshrink": (nn.Softshrink(0.3), ROWS),
    "hardshrink": (nn.Hardshrink(0.4), ROWS),
    "hardtanh": (nn.Hardtanh(-0.5, 0.8), ROWS),
    "threshold": (nn.Threshold(0.1, -2), ROWS),
    "prelu": (nn.PReLU(), ROWS),
    "prelu_channels": (nn.PReLU(4), IMAGE),
    "glu": (nn.GLU(1), IMAGE),
    "softmax": (nn.Softmax(1), LINE),
    "log_softmax": (nn.LogSoftmax(-1), LINE),
    "identity": (nn.Identity(), ROWS),
    "dropout_eval": (nn.Dropout(0.5), ROWS),
    "linear": (nn.Linear(6, 2), ROWS),
    "conv2d": (nn.Conv2d(4, 3, 3, stride=2, padding=1, bias=False), IMAGE),
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), LINE),
    "conv1d_bare": (nn.Conv1d(4, 2, 2, dilation=2, bias=False), LINE),
    "conv1d_circular": (nn.Conv1d(4, 3, 4, dilation=2, padding="same", padding_mode="circular"), LINE),
    "conv2d_reflect": (nn.Conv2d(4, 3, (3, 2), stride=(2, 1), padding=(1, 2), padding_mode="reflect"), IMAGE),
    "conv2d_replicate": (nn.Conv2d(4, 2, (2, 3), padding="same", padding_mode="replicate"), IMAGE),
    "conv_transpose2d_wide": (nn.ConvTranspose2d(4, 3, (2, 3), stride=(1, 2)), IMAGE),
    "conv_transpose2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), IMAGE),
    "conv_transpose2d_bare": (nn.ConvTranspose2d(4, 3, 2, bias=False), IMAGE),
    "conv_transpose1d": (nn.ConvTranspose1d(4, 3, 4, stride=2), LINE),
    "batch_norm": (nn.BatchNorm2d(4), IMAGE),
    "batch_norm_eval": (nn.BatchNorm1d(4), LINE),
    "batch_norm_bare": (nn.BatchNorm2d(4, affine=False), IMAGE),
    "batch_norm_untracked_eval": (nn.BatchNorm1d(4, eps=1e-3, track_running_stats=False), LINE),
    "layer_norm": (nn.LayerNorm((6, 5), eps=1e-3, bias=False), IMAGE),
    "layer_norm_bare": (nn.LayerNorm(6, elementwise_affine=False), ROWS),
    "rms_norm": (nn.RMSNorm(5), IMAGE),
    "rms_norm_bare": (nn.RMSNorm((6, 5), eps=1e-2, elementwise_affine=False), IMAGE),
    "group_norm": (nn.GroupNorm(2, 4), IMAGE),
    "group_norm_bare": (nn.GroupNorm(1, 4, eps=1e-2, affine=False), LINE),
    "instance_norm": (nn.InstanceNorm2d(4), IMAGE),
    "instance_norm_affine": (nn.InstanceNorm1d(4, eps=1e-3, affine=True), LINE),
    "instance_norm_tracked": (nn.InstanceNorm2d(4, momentum=0.3, track_running_stats=True), IMAGE),
    "instance_norm_eval": (nn.InstanceNorm2d(4, affine=True, track_running_stats=True), IMAGE),
    "max_pool1d": (nn.MaxPool1d(3, stride=2, padding=1), LINE),
    "avg_pool1d": (nn.AvgPool1d(3, stride=2, padding=1), LINE),
    "avg_pool2d": (nn.AvgPool2d(2), IMAGE),
    "adaptive_avg_pool2d": (nn.AdaptiveAvgPool2d((4, 3)), IMAGE),
    "adaptive_max_pool2d": (nn.AdaptiveMaxPool2d((2, 3)), IMAGE),
    "global_max_pool2d": (nn.AdaptiveMaxPool2d(1), IMAGE),
    "upsample": (nn.Upsample(scale_factor=2), IMAGE),
    "upsample_bilinear": (nn.Upsample(size=(7, 9), mode="bilinear", align_corners=True), IMAGE),
    "pixel_shuffle": (nn.PixelShuffle(2), IMAGE),
    "pixel_unshuffle": (nn.PixelUnshuffle(3), (1, 2, 6, 3)),
    "pad_constant": (nn.ConstantPad1d((2, 1), 0.5), LINE),
    "pad_reflect": (nn.ReflectionPad2d((1, 2, 3, 0)), IMAGE),
    "pad_replicate": (nn.ReplicationPad2d(2), IMAGE),
    "pad_circular": (nn.CircularPad2d((0, 1, 2, 3)), IMAGE),
    "flatten": (nn.Flatten(), LINE),
    "unflatten": (nn.Unflatten(1, (2, -1)), LINE),
    "residual": (Residual(block()), (4, 3)),
    "residual_shortcut": (Residual(nn.Linear(6, 2), nn.Linear(6, 2, bias=False)), ROWS),
}


def draw(name, m):
    """Every parameter and buffer anew, from the case's own numbers."""
    values = Values(name)
    for key, t in m.state_dict().items():
        if not t.is_floating_point():
            continue
        t.copy_(values.positive(*t.shape).float() if "var" in key else values.normal(*t.shape, scale=0.5))


def run(name, m, shape, scale=1):
    values = Values(f"{name}.x")
    x = values.normal(*shape, scale=scale).requires_grad_()
    m.train(not name.endswith("_eval"))
    before = {k: t.clone() for k, t in m.named_buffers()}
    y = m(x)
    dy = values.normal(*y.shape)
    params = list(m.named_parameters())
    grads = torch.autograd.grad([y], [x] + [p for _, p in params], [dy])
    io = {"x": x, "y": y, "dy": dy, "dx": grads[0]}
    io.update({f"grad.{k}": g for (k, _), g in zip(params, grads[1:])})
    io.update({f"after.{k}": t.clone() for k, t in m.named_buffers()})
    for k, t in m.named_buffers():
        t.copy_(before[k])
    return {f"io.{name}.{k}": stored(t) for k, t in io.items()}


def families():
    tensors = {}
    for name, (m, *rest) in LAYERS.items():
        m.double()
        with torch.no_grad():
            draw(name, m)
        tensors.update({f"{name}.{k}": stored(t) for k, t in m.state_dict().items()})
        tensors.update(run(name, m, *rest))
    return {"modules": tensors}
