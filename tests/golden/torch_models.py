"""The reference models of models/models.h in PyTorch, with the same names of parameters."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Mlp(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
            self.add_module(f"fc{i + 1}", nn.Linear(a, b))

    def forward(self, x):
        *hidden, last = self.children()
        for layer in hidden:
            x = F.relu(layer(x))
        return last(x)


class Cnn(nn.Module):
    def __init__(self, channels, size, width, hidden, classes, norm=False):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=not norm)
        self.bn1 = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=not norm)
        self.bn2 = nn.BatchNorm2d(2 * width) if norm else nn.Identity()
        self.fc1 = nn.Linear(2 * width * (size // 4) ** 2, hidden)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


# ---- residual networks ----


class BasicBlock(nn.Module):
    def __init__(self, i, o, stride, pad_shortcut):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.more, self.stride = o - i, stride
        if (self.more or stride > 1) and not pad_shortcut:
            changed = nn.Conv2d(i, o, 1, stride, bias=False)
            self.downsample = nn.Sequential(changed, nn.BatchNorm2d(o))

    def shortcut(self, x):
        if hasattr(self, "downsample"):
            return self.downsample(x)
        half = self.more // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.more - half))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Resnet(nn.Module):
    def __init__(self, width, blocks, pad_shortcut=False, large=False, channels=3, classes=10):
        super().__init__()
        kernel, stride = (7, 2) if large else (3, 1)
        self.conv1 = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.large, self.stages, i = large, len(blocks), width
        for s, n in enumerate(blocks):
            o = width << s
            stage = [BasicBlock(i, o, 2 if s else 1, pad_shortcut)]
            stage += [BasicBlock(o, o, 1, pad_shortcut) for _ in range(n - 1)]
            self.add_module(f"layer{s + 1}", nn.Sequential(*stage))
            i = o
        self.fc = nn.Linear(i, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if self.large:
            x = F.max_pool2d(x, 3, 2, 1)
        for s in range(self.stages):
            x = self.get_submodule(f"layer{s + 1}")(x)
        return self.fc(x.mean((2, 3)))


# ---- language models ----


class Lstm(nn.Module):
    def __init__(self, vocabulary, width, layers, tied=False):
        super().__init__()
        self.encoder = nn.Embedding(vocabulary, width)
        self.rnn = nn.LSTM(width, width, layers, batch_first=True)
        self.decoder = nn.Linear(width, vocabulary)
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, x, state=None):
        y, state = self.rnn(self.encoder(x), state)
        return self.decoder(y), state


class Conv1d(nn.Module):
    """GPT-2's name for a linear layer with weight (in, out)."""

    def __init__(self, i, o, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(i, o))
        self.bias = nn.Parameter(torch.empty(o)) if bias else None

    def forward(self, x):
        y = x @ self.weight
        return y if self.bias is None else y + self.bias


def rotated(x):
    """Su et al. 2021: numbers 2i and 2i + 1 at position p turn by p 10000^(-2i / dims)."""
    t, dims = x.shape[-2:]
    rate = 10000.0 ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims)
    angle = torch.arange(t, dtype=torch.float64)[:, None] * rate
    turn = torch.polar(torch.ones_like(angle), angle)
    pairs = torch.view_as_complex(x.double().reshape(*x.shape[:-1], dims // 2, 2).contiguous())
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, width, heads, bias, rotary):
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.c_attn, self.c_proj = Conv1d(width, 3 * width, bias), Conv1d(width, width, bias)

    def forward(self, x):
        n, t, width = x.shape
        qkv = self.c_attn(x).split(width, 2)
        q, k, v = (z.view(n, t, self.heads, -1).transpose(1, 2) for z in qkv)
        if self.rotary:
            q, k = rotated(q), rotated(k)
        scores = (q @ k.transpose(-1, -2)) / math.sqrt(width // self.heads)
        hidden = torch.ones(t, t, dtype=torch.bool).triu(1)
        y = scores.masked_fill(hidden, -math.inf).softmax(-1) @ v
        return self.c_proj(y.transpose(1, 2).reshape(n, t, width))


class Feed(nn.Module):
    def __init__(self, width, bias, erf_gelu):
        super().__init__()
        self.approximate = "none" if erf_gelu else "tanh"
        self.c_fc, self.c_proj = Conv1d(width, 4 * width, bias), Conv1d(4 * width, width, bias)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate=self.approximate))


class GptBlock(nn.Module):
    def __init__(self, width, heads, bias, rotary, erf_gelu):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), Attention(width, heads, bias, rotary)
        self.ln_2, self.mlp = nn.LayerNorm(width), Feed(width, bias, erf_gelu)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    def __init__(self, vocabulary, context, layers, heads, width,
                 no_bias=False, untied=False, rotary=False, erf_gelu=False):  # fmt: skip
        super().__init__()
        t = self.transformer = nn.Module()
        t.wte = nn.Embedding(vocabulary, width)
        if not rotary:
            t.wpe = nn.Embedding(context, width)
        blocks = (GptBlock(width, heads, not no_bias, rotary, erf_gelu) for _ in range(layers))
        t.h = nn.ModuleList(blocks)
        t.ln_f = nn.LayerNorm(width)
        if untied:
            self.lm_head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        t = self.transformer
        x = t.wte(tokens)
        if hasattr(t, "wpe"):
            x = x + t.wpe.weight[: tokens.shape[1]]
        for block in t.h:
            x = block(x)
        head = self.lm_head if hasattr(self, "lm_head") else t.wte
        return F.linear(t.ln_f(x), head.weight)


# ---- generative models ----


class Vae(nn.Module):
    """The noise is an input."""

    def __init__(self, pixels, hidden, latent):
        super().__init__()
        self.fc1 = nn.Linear(pixels, hidden)
        self.fc21, self.fc22 = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.fc3, self.fc4 = nn.Linear(latent, hidden), nn.Linear(hidden, pixels)

    def forward(self, x, noise):
        h = F.relu(self.fc1(x))
        mean, logvar = self.fc21(h), self.fc22(h)
        z = mean + torch.exp(0.5 * logvar) * noise
        return self.fc4(F.relu(self.fc3(z))), mean, logvar


class Generator(nn.Module):
    def __init__(self, channels, latent, width, classes=0):
        super().__init__()

        def up(i, o):
            return nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False)

        w = width
        self.main = nn.Sequential(
            nn.ConvTranspose2d(latent + (16 if classes else 0), 4 * w, 4, 1, 0, bias=False),
            nn.BatchNorm2d(4 * w), nn.ReLU(),
            up(4 * w, 2 * w), nn.BatchNorm2d(2 * w), nn.ReLU(),
            up(2 * w, w), nn.BatchNorm2d(w), nn.ReLU(), up(w, channels), nn.Tanh(),
        )  # fmt: skip
        if classes:
            self.label = nn.Embedding(classes, 16)

    def forward(self, z, labels=None):
        if labels is not None:
            z = torch.cat([z, self.label(labels)], 1)
        return self.main(z[:, :, None, None])


class Discriminator(nn.Module):
    def __init__(self, channels, width, classes=0, critic=False):
        super().__init__()

        def down(i, o):
            return nn.Conv2d(i, o, 4, 2, 1, bias=False)

        def norm(n):
            return nn.Identity() if critic else nn.BatchNorm2d(n)

        w = width
        self.main = nn.Sequential(
            down(channels + (1 if classes else 0), w), nn.LeakyReLU(0.2),
            down(w, 2 * w), norm(2 * w), nn.LeakyReLU(0.2),
            down(2 * w, 4 * w), norm(4 * w), nn.LeakyReLU(0.2),
            nn.Conv2d(4 * w, 1, 4, 1, 0, bias=False),
        )  # fmt: skip
        if classes:
            self.label = nn.Embedding(classes, 1024)

    def forward(self, x, labels=None):
        if labels is not None:
            x = torch.cat([x, self.label(labels).view(-1, 1, 32, 32)], 1)
        return self.main(x).flatten()


# ---- the U-Net ----


class ResBlock(nn.Module):
    def __init__(self, i, o, time):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, i), nn.Conv2d(i, o, 3, padding=1)
        self.temb_proj = nn.Linear(time, o)
        self.norm2, self.conv2 = nn.GroupNorm(8, o), nn.Conv2d(o, o, 3, padding=1)
        self.nin_shortcut = nn.Identity() if i == o else nn.Conv2d(i, o, 1)

    def forward(self, x, t):
        h = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(t)[:, :, None, None]
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class MapAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(8, c)
        self.qkv, self.proj_out = nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)
        y = (q @ k.transpose(1, 2) / math.sqrt(c)).softmax(-1) @ v
        return x + self.proj_out(y.transpose(1, 2).reshape(n, c, h, w))


class UNet(nn.Module):
    def __init__(self, channels, base, mults, blocks, attention, classes=0, context=0):
        super().__init__()
        time, widths = 4 * base, [base * m for m in mults]
        self.base, self.attention, self.levels = base, attention, len(mults)
        self.temb = nn.ModuleList([nn.Linear(base, time), nn.Linear(time, time)])
        if classes:
            self.label_emb = nn.Embedding(classes + 1, time)
        if context:
            self.text_proj = nn.Linear(context, time)
        self.conv_in = nn.Conv2d(channels, base, 3, padding=1)
        c, skips = base, [base]
        self.down, self.mid, self.up = nn.ModuleList(), nn.Module(), nn.ModuleList()
        for level, o in enumerate(widths):
            self.down.append(self.level(level, [c] + [o] * (blocks - 1), o, time))
            c, skips = o, skips + [o] * blocks
            if level < self.levels - 1:
                self.down[-1].downsample = nn.Conv2d(c, c, 3, 2, 1)
                skips.append(c)
        self.mid.block_1, self.mid.block_2 = ResBlock(c, c, time), ResBlock(c, c, time)
        self.mid.attn_1 = MapAttention(c)
        for level, o in reversed(list(enumerate(widths))):
            wide = [(o if i else c) + skips.pop() for i in range(blocks + 1)]
            self.up.insert(0, self.level(level, wide, o, time))
            c = o
            if level > 0:
                self.up[0].upsample = nn.Conv2d(c, c, 3, padding=1)
        self.norm_out, self.conv_out = nn.GroupNorm(8, c), nn.Conv2d(c, channels, 3, padding=1)

    def level(self, level, ins, out, time):
        parts = nn.Module()
        parts.block = nn.ModuleList(ResBlock(i, out, time) for i in ins)
        if level in self.attention:
            parts.attn = nn.ModuleList(MapAttention(out) for _ in ins)
        return parts

    def embedded(self, t, condition, dtype):
        half = self.base // 2
        rate = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
        angle = t[:, None].double() * rate
        t = torch.cat([angle.sin(), angle.cos()], 1).to(dtype)
        t = self.temb[1](F.silu(self.temb[0](t)))
        if hasattr(self, "label_emb"):
            t = t + self.label_emb(condition)
        if hasattr(self, "text_proj"):
            t = t + self.text_proj(condition)
        return F.silu(t)

    def run(self, parts, i, x, t):
        x = parts.block[i](x, t)
        return parts.attn[i](x) if hasattr(parts, "attn") else x

    def forward(self, x, t, condition=None):
        t = self.embedded(t, condition, x.dtype)
        x = self.conv_in(x)
        skips = [x]
        for parts in self.down:
            for i in range(len(parts.block)):
                x = self.run(parts, i, x, t)
                skips.append(x)
            if hasattr(parts, "downsample"):
                x = parts.downsample(x)
                skips.append(x)
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x, t)), t)
        for parts in reversed(self.up):
            for i in range(len(parts.block)):
                x = self.run(parts, i, torch.cat([x, skips.pop()], 1), t)
            if hasattr(parts, "upsample"):
                x = parts.upsample(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(x)))
