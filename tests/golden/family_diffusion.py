"""Diffusion (models/diffusion.c) in PyTorch, for tests/test_diffusion.c and tests/test_model_golden.c.

Written from the papers and on its own: alphas by their betas, DDPM by the mean and variance of its
posterior, DDIM with the noise that the clipped picture leaves, texts one by one and without padding.

    diffusion            alphas.SCHEDULE.STEPS      a_t, f64
                         noised.ROLE                x t noise, and out v
                         labels.init.NAME, texts.init.NAME: the parameters of two models
                         CASE.noise                 (1 + steps, N, channels, size, size)
                         CASE.condition             labels, or tokens
                         CASE.out                   what comes of it, f64
    model_diffusion      diffusion_labels, diffusion_text: as in family_models.py, the inputs being
                         pictures, times, noise and the condition
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch_models as tm
from family_models import ADAMW, BATCHES, case, draw
from golden import Values


def linear(steps):
    return torch.linspace(1e-4 * 1000 / steps, 0.02 * 1000 / steps, steps, dtype=torch.float64).clamp(max=0.999)


def cosine(steps):
    def bar(t):
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - bar((i + 1) / steps) / bar(i / steps), 0.999) for i in range(steps)]
    return torch.tensor(betas, dtype=torch.float64)


def alphas(betas):
    return torch.cumprod(1 - betas, 0)


def noised(bar, x, t, noise):
    a = bar[t].view(-1, 1, 1, 1).to(x.dtype)
    return a.sqrt() * x + (1 - a).sqrt() * noise


def velocity(bar, x, t, noise):
    a = bar[t].view(-1, 1, 1, 1).to(x.dtype)
    return a.sqrt() * noise - (1 - a).sqrt() * x


# ---- the model ----


class TextEncoder(nn.Module):
    def __init__(self, vocabulary, context, width, layers, heads):
        super().__init__()
        self.vocabulary, self.width = vocabulary, width
        self.token, self.position = nn.Embedding(vocabulary + 1, width), nn.Embedding(context, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(width)
        self.encoder = nn.TransformerEncoder(layer, layers, norm, enable_nested_tensor=False)

    def one(self, tokens):
        real = tokens != self.vocabulary
        if not real.any():
            return torch.zeros(self.width, dtype=self.token.weight.dtype)
        x = self.token.weight[tokens[real]] + self.position.weight[: len(tokens)][real]
        return self.encoder(x[None])[0].mean(0)

    def forward(self, tokens):
        return torch.stack([self.one(row) for row in tokens])


class Diffusion(nn.Module):
    def __init__(self, unet, text=None):
        super().__init__()
        self.unet = unet
        if text is not None:
            self.text = text

    def told(self, condition):
        return self.text(condition) if hasattr(self, "text") else condition

    def forward(self, x, t, condition):
        return self.unet(x, t, self.told(condition))


def labelled():
    return Diffusion(tm.UNet(1, 8, [2], 1, [0], classes=3))


def worded():
    return Diffusion(tm.UNet(2, 8, [2, 2], 1, [1], context=8), TextEncoder(5, 4, 8, 2, 2))


TOKENS = [[0, 3, 5, 5], [4, 1, 2, 0], [5, 5, 5, 5]]


# ---- one loss ----


def loss_of(bar, target):
    def loss(m, part, x, t, noise, condition):
        goal = velocity(bar, x, t, noise) if target == "v" else noise
        return F.mse_loss(m(noised(bar, x, t, noise), t, condition), goal)

    return loss


def training():
    def labels(v):
        shape = BATCHES, 3, 1, 4, 4
        return v.normal(*shape, scale=0.5), v.integers(100, BATCHES, 3), v.normal(*shape), v.integers(4, BATCHES, 3)

    def texts(v):
        shape, tokens = (BATCHES, 3, 2, 4, 4), torch.tensor([TOKENS] * BATCHES)
        return v.normal(*shape, scale=0.5), v.integers(50, BATCHES, 3), v.normal(*shape), tokens

    epsilon, v = loss_of(alphas(linear(100)), "epsilon"), loss_of(alphas(cosine(50)), "v")
    yield case(labelled(), "diffusion_labels", epsilon, labels, ADAMW)
    yield case(worded(), "diffusion_text", v, texts, ADAMW)


# ---- from noise to pictures ----


def guided(m, x, t, told, nothing, guidance):
    t = torch.full((len(x),), t)
    c = m.unet(x, t, told)
    return c if guidance == 1 else m.unet(x, t, nothing) + guidance * (c - m.unet(x, t, nothing))


def picture(bar, target, x, t, y, clip):
    a = bar[t]
    x0 = a.sqrt() * x - (1 - a).sqrt() * y if target == "v" else (x - (1 - a).sqrt() * y) / a.sqrt()
    return x0.clamp(-1, 1) if clip else x0


def ddim(m, bar, target, noise, told, nothing, steps, eta, guidance, clip):
    times = [int(len(bar) * (steps - i) / steps) - 1 for i in range(steps)]
    x = noise[0]
    for i, t in enumerate(times):
        a, b = bar[t], bar[times[i + 1]] if i + 1 < steps else torch.tensor(1.0, dtype=torch.float64)
        x0 = picture(bar, target, x, t, guided(m, x, t, told, nothing, guidance), clip)
        e = (x - a.sqrt() * x0) / (1 - a).sqrt()
        sigma = eta * ((1 - b) / (1 - a)).sqrt() * (1 - a / b).sqrt()
        x = b.sqrt() * x0 + (1 - b - sigma**2).clamp(min=0).sqrt() * e + sigma * noise[i + 1]
    return x


def ancestral(m, betas, target, noise, told, nothing, guidance):
    """Ho et al. 2020, algorithm 2, with the posterior's variance."""
    bar, x = alphas(betas), noise[0]
    for i, t in enumerate(reversed(range(len(betas)))):
        before = bar[t - 1] if t else torch.tensor(1.0, dtype=torch.float64)
        x0 = picture(bar, target, x, t, guided(m, x, t, told, nothing, guidance), True)
        mean = betas[t] * before.sqrt() / (1 - bar[t]) * x0
        mean = mean + (1 - before) * (1 - betas[t]).sqrt() / (1 - bar[t]) * x
        variance = betas[t] * (1 - before) / (1 - bar[t])
        x = mean + variance.sqrt() * noise[i + 1] if t else mean
    return x


def trajectory(name, model, condition, nothing, steps, run):
    channels = model.unet.conv_in.in_channels
    noise = Values(name).normal(1 + steps, len(condition), channels, 4, 4)
    with torch.no_grad():
        out = run(model, noise, model.told(condition), nothing)
    return {f"{name}.noise": noise, f"{name}.condition": condition, f"{name}.out": out}


def weights(name, model):
    return {f"{name}.init.{k}": p.detach().float() for k, p in model.named_parameters()}


def sampling():
    labels, none = torch.tensor([2, 0]), torch.tensor([3, 3])
    tokens, empty = torch.tensor(TOKENS), torch.zeros(3, 8, dtype=torch.float64)
    eps, v = alphas(linear(40)), alphas(cosine(40))
    by_label = draw(labelled(), Values("labels"))
    by_text = draw(worded(), Values("texts"))
    runs = {
        "ddim": (by_label, labels, none, 6, lambda *a: ddim(a[0], eps, "epsilon", *a[1:], 6, 0, 1, True)),
        "guided": (by_label, labels, none, 7, lambda *a: ddim(a[0], v, "v", *a[1:], 7, 0, 2.5, True)),
        "noisy": (by_text, tokens, empty, 6, lambda *a: ddim(a[0], v, "v", *a[1:], 6, 1, 3, False)),
        "ancestral": (by_label, labels, none, 40, lambda *a: ancestral(a[0], linear(40), "epsilon", *a[1:], 1.5)),
    }  # fmt: skip
    out = {**weights("labels", by_label), **weights("texts", by_text)}
    return out | {k: t for name, run in runs.items() for k, t in trajectory(name, *run).items()}


def tables():
    out = {f"alphas.{f.__name__}.{n}": alphas(f(n)) for f in (linear, cosine) for n in (1, 7, 50, 1000)}
    values, bar = Values("noised"), alphas(cosine(1000))
    x, t, noise = values.normal(6, 1, 4, 4), torch.tensor([0, 1, 250, 500, 998, 999]), values.normal(6, 1, 4, 4)
    out.update({"noised.x": x, "noised.t": t, "noised.noise": noise})
    out.update({"noised.out": noised(bar, x, t, noise), "noised.v": velocity(bar, x, t, noise)})
    return out


def families():
    return {
        "diffusion": {k: t.clone().contiguous() for k, t in {**tables(), **sampling()}.items()},
        "model_diffusion": {k: t for one in training() for k, t in one.items()},
    }
