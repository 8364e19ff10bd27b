#!/usr/bin/env python3
"""The workloads of tests/bench/models.c in PyTorch, each as fast as PyTorch can be made to run it.

    rival.py --name cnn [--threads 2] [--variants default,fused] [--seconds 0.4]

prepares every variant (eager, fused optimizer, channels-last, torch.compile), times them in
turns, keeps the fastest, and then answers each line `step N` on stdin, after N steps, with

    rival name=cnn variant=compile step_ms=8.412

the median of the N.  compare.sh drives it side by side with our own program.
"""

import argparse
import ctypes
import statistics
import sys
import time
import warnings

import torch
import torch.nn as nn
import torch.nn.functional as F

BATCHES = 50


class Mlp:
    """784-512-512-10, batch 64."""

    def __init__(self, **_):
        self.model = nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(inplace=True),
            nn.Linear(512, 512), nn.ReLU(inplace=True), nn.Linear(512, 10),
        )  # fmt: skip
        self.x = torch.rand(BATCHES, 64, 784)
        self.y = torch.randint(0, 10, (BATCHES, 64))

    def loss(self, i):
        return F.cross_entropy(self.model(self.x[i]), self.y[i])


class Cnn(Mlp):
    """Two 3x3 convolutions with max-pool, one hidden layer; 28x28, batch 64.

    relu and max-pool commute: with the pooling first relu has a quarter of the work.
    """

    def __init__(self, pool_first=False):
        after = [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        if pool_first:
            after.reverse()
        self.model = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), *after,
            nn.Conv2d(32, 64, 3, padding=1), *after,
            nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(inplace=True), nn.Linear(128, 10),
        )  # fmt: skip
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


class Vae:
    """784-400-20 (Kingma & Welling), batch 128; the likelihood from logits, which is faster."""

    def __init__(self, **_):
        self.model = VaeNet()
        self.x = torch.rand(BATCHES, 128, 784)

    def loss(self, i):
        logits, mu, logvar = self.model(self.x[i])
        bce = F.binary_cross_entropy_with_logits(logits, self.x[i], reduction="sum")
        return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


WORKLOADS = {"mlp": Mlp, "cnn": Cnn, "vae": Vae}


class Variant:
    """One way of running a workload: a model, an optimizer and a step of its own."""

    def __init__(self, workload, channels_last=False, pool_first=False, compiled=None, **adam):
        torch.manual_seed(0)
        self.work = workload(pool_first=pool_first)
        if channels_last:
            self.work.model.to(memory_format=torch.channels_last)
            self.work.x = torch.stack(
                [x.contiguous(memory_format=torch.channels_last) for x in self.work.x]
            )
        self.loss = self.work.loss
        if compiled:
            self.work.model = torch.compile(self.work.model, mode=compiled)
        self.optimizer = torch.optim.Adam(self.work.model.parameters(), lr=1e-3, **adam)
        self.count = 0

    def step(self):
        i = self.count % BATCHES
        self.count += 1
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(i)
        loss.backward()
        self.optimizer.step()
        return loss

    def times(self, steps):
        """Milliseconds of each of so many steps."""
        result = []
        for _ in range(steps):
            start = time.perf_counter()
            self.step()
            result.append(1e3 * (time.perf_counter() - start))
        return result


VARIANTS = {
    "default": {},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "compile": {"fused": True, "compiled": "default"},
    "compile_autotune": {"fused": True, "compiled": "max-autotune-no-cudagraphs"},
}
CNN_VARIANTS = {
    "channels_last": {"fused": True, "channels_last": True},
    "pool_first": {"fused": True, "channels_last": True, "pool_first": True},
    "compile_channels_last": {
        "fused": True, "compiled": "default", "channels_last": True, "pool_first": True
    },
}  # fmt: skip


def variants_of(name):
    return {**VARIANTS, **CNN_VARIANTS} if name == "cnn" else VARIANTS


def prepare(name, chosen):
    """The variants that work here; what fails (no compiler, say) is named and left out."""
    ready = {}
    for key, options in variants_of(name).items():
        if chosen and key not in chosen:
            continue
        try:
            ready[key] = Variant(WORKLOADS[name], **options)
            ready[key].times(3)
        except Exception as error:  # any failure of a variant means the same
            ready.pop(key, None)
            print(f"{name} {key}: {type(error).__name__}: {error}", file=sys.stderr)
    return ready


def fastest(ready, seconds, rounds=5):
    """Times the variants in turns; gives the key of the smallest median."""
    medians = {key: [] for key in ready}
    for _ in range(rounds):
        for key, variant in ready.items():
            steps = max(3, int(seconds * 1e3 / statistics.median(variant.times(3))))
            medians[key].append(statistics.median(variant.times(steps)))
    best = {key: min(values) for key, values in medians.items()}
    for key, value in sorted(best.items(), key=lambda item: item[1]):
        print(f"variant={key} step_ms={value:.3f}", file=sys.stderr)
    return min(best, key=best.get)


def keep_memory():
    """Keeps glibc from returning large blocks to the system each step, as PyTorch's tuning
    guide advises (there by another allocator)."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_threshold, 2**30)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--name", choices=WORKLOADS, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--variants", default="", help="only these: default,fused,...")
    parser.add_argument("--seconds", type=float, default=0.4, help="for each trial of a variant")
    args = parser.parse_args()

    warnings.filterwarnings("ignore")
    keep_memory()
    torch.set_num_threads(args.threads)
    ready = prepare(args.name, [key for key in args.variants.split(",") if key])
    if not ready:
        sys.exit(f"rival.py: no variant of {args.name} runs here")
    key = fastest(ready, args.seconds)
    for line in sys.stdin:
        word, _, steps = line.strip().partition(" ")
        if word != "step" or not steps.isdigit():
            sys.exit(f"rival.py: expected 'step N', got {line!r}")
        median = statistics.median(ready[key].times(int(steps)))
        print(f"rival name={args.name} variant={key} step_ms={median:.4f}", flush=True)


if __name__ == "__main__":
    main()
