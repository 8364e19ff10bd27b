#!/usr/bin/env python3
"""The workloads of tests/bench/models.c in PyTorch, each as fast as PyTorch can be made to run it.

    rival.py --name cnn [--threads 2] [--variants default,fused] [--seconds 0.4] [--device cuda]

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
from workloads import BATCHES, WORKLOADS


def on_gpu():
    return torch.get_default_device().type == "cuda"


class Variant:
    """One way of running a workload: its models, an optimizer for each, and a step."""

    def __init__(self, workload, channels_last=False, compiled=None, **options):
        torch.manual_seed(0)
        self.work = workload()
        if channels_last:
            self.work.use(torch.channels_last)
        models = self.work.models
        if compiled:
            self.work.compile(compiled)
        self.parameters = [list(m.parameters()) for m in models]
        self.optimizers = [self.work.optimizer(p, **options) for p in self.parameters]
        self.count = 0

    def step(self):
        for loss, which in self.work.losses(self.count % BATCHES):
            self.optimizers[which].zero_grad(set_to_none=True)
            loss.backward()
            if self.work.clip:
                nn.utils.clip_grad_norm_(self.parameters[which], self.work.clip)
            self.optimizers[which].step()
        self.count += 1

    def times(self, steps):
        """Milliseconds of each of so many steps."""
        result = []
        group = 10 if on_gpu() else 1  # a GPU is waited for after some steps alone
        for _ in range(steps):
            start = time.perf_counter()
            for _ in range(group):
                self.step()
            if on_gpu():
                torch.cuda.synchronize()
            result.append(1e3 * (time.perf_counter() - start) / group)
        return result


VARIANTS = {
    "default": {},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "compile": {"fused": True, "compiled": "default"},
    "compile_autotune": {"fused": True, "compiled": "max-autotune-no-cudagraphs"},
}
PICTURE_VARIANTS = {
    "channels_last": {"fused": True, "channels_last": True},
    "compile_channels_last": {"fused": True, "compiled": "default", "channels_last": True},
}


def variants_of(name):
    return {**VARIANTS, **PICTURE_VARIANTS} if WORKLOADS[name].picture else VARIANTS


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
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    warnings.filterwarnings("ignore")
    keep_memory()
    torch.set_num_threads(args.threads)
    torch.set_default_device(args.device)
    torch.backends.cudnn.allow_tf32 = False  # as Taper's, and as torch's own products
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
