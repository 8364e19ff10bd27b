#!/usr/bin/env python3
"""The most tensor bytes that PyTorch holds in one training step, as models.c's tensor_mib.

    peak.py [mlp cnn vae]
    peak name=cnn tensor_mib=18.9

Parameters, the optimizer's state, and what a step allocates on top of them; not the data.
"""

import argparse
import json
import tempfile

import torch
from torch.profiler import ProfilerActivity, profile

from rival import WORKLOADS, Variant


def state_bytes(variant):
    tensors = list(variant.work.model.parameters())
    for state in variant.optimizer.state.values():
        tensors += [v for v in state.values() if torch.is_tensor(v)]
    return sum(t.numel() * t.element_size() for t in tensors)


def peak_of_step(variant):
    """The largest sum of allocations and releases, by the profiler's record of each."""
    variant.optimizer.zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as p:
        variant.step()
    with tempfile.NamedTemporaryFile(suffix=".json") as f:
        p.export_chrome_trace(f.name)
        events = json.load(open(f.name))["traceEvents"]
    changes = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]")
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(WORKLOADS))
    for name in parser.parse_args().names or WORKLOADS:
        variant = Variant(WORKLOADS[name], channels_last=name == "cnn", pool_first=name == "cnn")
        variant.times(3)
        total = state_bytes(variant) + peak_of_step(variant)
        print(f"peak name={name} tensor_mib={total / 2**20:.1f}")


if __name__ == "__main__":
    main()
