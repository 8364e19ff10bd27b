"""The nine workloads of tests/bench/models.c in PyTorch, for rival.py.

A workload has `models` (whose parameters one optimizer each trains, made by `optimizer`), and
`losses(i)`, a generator that yields (loss, model) for each backward and update of step i.  `memory_format`
is that of pictures.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

BATCHES = 20


class Workload:
    picture = False  # channels-last is worth trying
    memory_format = torch.contiguous_format
    clip = None  # norm to which gradients are clipped

    def optimizer(self, parameters, **options):
        return torch.optim.Adam(parameters, lr=1e-3, **options)

    def use(self, memory_format):
        self.memory_format = memory_format
        for m in self.models:
            m.to(memory_format=memory_format)
        self.x = torch.stack([x.contiguous(memory_format=memory_format) for x in self.x])

    def compile(self, mode):
        self.models = [torch.compile(m, mode=mode) for m in self.models]

    def losses(self, i):
        yield F.cross_entropy(self.models[0](self.x[i]), self.y[i]), 0


class Mlp(Workload):
    """784-512-512-10, batch 64."""

    def __init__(self):
        self.models = [
            nn.Sequential(
                nn.Linear(784, 512), nn.ReLU(inplace=True),
                nn.Linear(512, 512), nn.ReLU(inplace=True), nn.Linear(512, 10),
            )
        ]  # fmt: skip
        self.x = torch.rand(BATCHES, 64, 784)
        self.y = torch.randint(0, 10, (BATCHES, 64))


class Cnn(Workload):
    """Two 3x3 convolutions with max-pool, one hidden layer; 28x28, batch 64.

    relu and max-pool commute: with the pooling first relu has a quarter of the work.
    """

    picture = True

    def __init__(self):
        self.models = [
            nn.Sequential(
                nn.Conv2d(1, 32, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(inplace=True),
                nn.Conv2d(32, 64, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(inplace=True),
                nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(inplace=True), nn.Linear(128, 10),
            )
        ]  # fmt: skip
        self.x = torch.rand(BATCHES, 64, 1, 28, 28)
        self.y = torch.randint(0, 10, (BATCHES, 64))


class VaeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21 = nn.Linear(400, 20)
        self.fc22 = nn.Linear(400, 20)
        self.fc3 = nn.Linear(20, 400)
        self.fc4 = nn.Linear(400, 784)

    def forward(self, x):
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.fc4(F.relu(self.fc3(z))), mu, logvar


class Vae(Workload):
    """784-400-20 (Kingma & Welling), batch 128; the likelihood from logits, which is faster."""

    def __init__(self):
        self.models = [VaeNet()]
        self.x = torch.rand(BATCHES, 128, 784)

    def losses(self, i):
        logits, mu, logvar = self.models[0](self.x[i])
        bce = F.binary_cross_entropy_with_logits(logits, self.x[i], reduction="sum")
        yield bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()), 0


class LstmNet(nn.Module):
    def __init__(self, width, vocabulary):
        super().__init__()
        self.encoder = nn.Embedding(vocabulary, width)
        self.rnn = nn.LSTM(width, width, 2, batch_first=True)
        self.decoder = nn.Linear(width, vocabulary)

    def forward(self, x):
        return self.decoder(self.rnn(self.encoder(x))[0])


class Lstm(Workload):
    """A character model of 2 layers of 256, 64 steps, batch 32, 96 symbols."""

    def __init__(self):
        self.models = [LstmNet(256, 96)]
        self.x = torch.randint(0, 96, (BATCHES, 32, 65))

    def losses(self, i):
        logits = self.models[0](self.x[i][:, :-1])
        yield F.cross_entropy(logits.reshape(-1, 96), self.x[i][:, 1:].reshape(-1)), 0


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = (
            z.view(n, t, self.heads, -1).transpose(1, 2) for z in self.c_attn(x).split(width, 2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(n, t, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.c_fc = nn.Linear(width, 4 * width, bias=False)
        self.c_proj = nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x))))


class GptNet(nn.Module):
    def __init__(self, layers, width, heads, context, vocabulary):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(context, width)
        self.h = nn.Sequential(*[Block(width, heads) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)

    def forward(self, x):
        h = self.wte(x) + self.wpe.weight[: x.shape[1]]
        return F.linear(self.ln_f(self.h(h)), self.wte.weight)


class Gpt(Workload):
    """4 layers, 128 wide, 4 heads, 64 tokens, batch 12, 96 symbols; AdamW, clipped to 1."""

    layers, width, heads, context, batch = 4, 128, 4, 64, 12
    clip = 1.0

    def __init__(self):
        self.models = [GptNet(self.layers, self.width, self.heads, self.context, 96)]
        self.x = torch.randint(0, 96, (BATCHES, self.batch, self.context + 1))

    def optimizer(self, parameters, **options):
        return torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, **options)

    def losses(self, i):
        logits = self.models[0](self.x[i][:, :-1])
        yield F.cross_entropy(logits.view(-1, 96), self.x[i][:, 1:].reshape(-1)), 0


class Gpt384(Gpt):
    """6 layers, 384 wide, 6 heads, 256 tokens, batch 8."""

    layers, width, heads, context, batch = 6, 384, 6, 256, 8


def generator(z, w):
    def up(i, o):
        return nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False)

    return nn.Sequential(
        nn.ConvTranspose2d(z, 4 * w, 4, 1, 0, bias=False), nn.BatchNorm2d(4 * w), nn.ReLU(True),
        up(4 * w, 2 * w), nn.BatchNorm2d(2 * w), nn.ReLU(True),
        up(2 * w, w), nn.BatchNorm2d(w), nn.ReLU(True), up(w, 1), nn.Tanh(),
    )  # fmt: skip


def discriminator(w):
    def down(i, o):
        return nn.Conv2d(i, o, 4, 2, 1, bias=False)

    return nn.Sequential(
        down(1, w), nn.LeakyReLU(0.2, True),
        down(w, 2 * w), nn.BatchNorm2d(2 * w), nn.LeakyReLU(0.2, True),
        down(2 * w, 4 * w), nn.BatchNorm2d(4 * w), nn.LeakyReLU(0.2, True),
        nn.Conv2d(4 * w, 1, 4, 1, 0, bias=False), nn.Flatten(0),
    )  # fmt: skip


class Dcgan(Workload):
    """Generator and discriminator for 32x32, 64 wide, z of 100, batch 64: both are trained."""

    picture = True

    def __init__(self):
        self.models = [discriminator(64), generator(100, 64)]
        self.x = torch.rand(BATCHES, 64, 1, 32, 32) * 2 - 1

    def optimizer(self, parameters, **options):
        return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999), **options)

    def losses(self, i):
        d, g = self.models
        one, zero = torch.ones(64), torch.zeros(64)
        fake = g(torch.randn(64, 100, 1, 1))
        real = F.binary_cross_entropy_with_logits(d(self.x[i]), one)
        yield real + F.binary_cross_entropy_with_logits(d(fake.detach()), zero), 0
        yield F.binary_cross_entropy_with_logits(d(fake), one), 1


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
        self.norm, self.qkv, self.proj_out = nn.GroupNorm(8, c), nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).permute(0, 2, 3, 1).reshape(n, 1, h * w, 3 * c)
        y = F.scaled_dot_product_attention(*qkv.chunk(3, -1))
        return x + self.proj_out(y.reshape(n, h, w, c).permute(0, 3, 1, 2))


class UNet(nn.Module):
    """Levels 32x32 (32 channels), 16x16 (64, attention), 8x8 (64); 2 blocks a level."""

    def __init__(self, base=32, mults=(1, 2, 2), blocks=2, attention=(1,)):
        super().__init__()
        time, widths = 4 * base, [base * m for m in mults]
        self.base, self.attention, self.levels = base, attention, len(mults)
        self.temb = nn.Sequential(nn.Linear(base, time), nn.SiLU(), nn.Linear(time, time))
        self.conv_in = nn.Conv2d(1, base, 3, padding=1)
        c, skips = base, [base]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, o in enumerate(widths):
            self.down.append(self.level(level, [c] + [o] * (blocks - 1), o, time))
            c, skips = o, skips + [o] * blocks
            if level < self.levels - 1:
                self.down[-1]["downsample"] = nn.Conv2d(c, c, 3, 2, 1)
                skips.append(c)
        self.block_1, self.attn_1, self.block_2 = ResBlock(c, c, time), MapAttention(c), ResBlock(c, c, time)
        for level, o in reversed(list(enumerate(widths))):
            wide = [(o if i else c) + skips.pop() for i in range(blocks + 1)]
            self.up.insert(0, self.level(level, wide, o, time))
            c = o
            if level > 0:
                self.up[0]["upsample"] = nn.Conv2d(c, c, 3, padding=1)
        self.norm_out, self.conv_out = nn.GroupNorm(8, c), nn.Conv2d(c, 1, 3, padding=1)

    def level(self, level, ins, out, time):
        parts = nn.ModuleDict({"block": nn.ModuleList([ResBlock(i, out, time) for i in ins])})
        if level in self.attention:
            parts["attn"] = nn.ModuleList([MapAttention(out) for _ in ins])
        return parts

    def block(self, parts, i, x, t):
        x = parts["block"][i](x, t)
        return parts["attn"][i](x) if "attn" in parts else x

    def forward(self, x, t):
        half = self.base // 2
        angle = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half) / half)
        t = F.silu(self.temb(torch.cat([angle.sin(), angle.cos()], 1)))
        x = self.conv_in(x)
        skips = [x]
        for parts in self.down:
            for i in range(len(parts["block"])):
                x = self.block(parts, i, x, t)
                skips.append(x)
            if "downsample" in parts:
                x = parts["downsample"](x)
                skips.append(x)
        x = self.block_2(self.attn_1(self.block_1(x, t)), t)
        for parts in reversed(self.up):
            for i in range(len(parts["block"])):
                x = self.block(parts, i, torch.cat([x, skips.pop()], 1), t)
            if "upsample" in parts:
                x = parts["upsample"](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(x)))


class Ddpm(Workload):
    """The U-Net above, 32x32x1, batch 32; predicts the noise; AdamW."""

    picture = True

    def __init__(self):
        self.models = [UNet()]
        self.kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
        self.x = torch.rand(BATCHES, 32, 1, 32, 32) * 2 - 1

    def optimizer(self, parameters, **options):
        return torch.optim.AdamW(parameters, lr=2e-4, **options)

    def losses(self, i):
        t = torch.randint(0, 1000, (32,))
        noise, kept = torch.randn_like(self.x[i]), self.kept[t][:, None, None, None]
        noisy = kept.sqrt() * self.x[i] + (1 - kept).sqrt() * noise
        yield F.mse_loss(self.models[0](noisy, t), noise), 0


class BasicBlock(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = nn.Identity()
        if stride != 1 or i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x), inplace=True)


class Resnet18(Workload):
    """ResNet-18 with a 3x3 stem, 3x32x32, batch 32; SGD with momentum and decay."""

    picture = True

    def __init__(self):
        blocks, i = [], 64
        for o, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            blocks += [BasicBlock(i, o, stride), BasicBlock(o, o, 1)]
            i = o
        self.models = [
            nn.Sequential(
                nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True), *blocks,
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10),
            )
        ]  # fmt: skip
        self.x = torch.randn(BATCHES, 32, 3, 32, 32)
        self.y = torch.randint(0, 10, (BATCHES, 32))

    def optimizer(self, parameters, **options):
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=5e-4, **options)


WORKLOADS = {
    "mlp": Mlp, "cnn": Cnn, "vae": Vae, "lstm": Lstm, "gpt": Gpt, "gpt384": Gpt384,
    "dcgan": Dcgan, "ddpm": Ddpm, "resnet18": Resnet18,
}  # fmt: skip
