#!/usr/bin/env python3
"""Writes the golden files: what PyTorch computes, for the tests to compare with.

    make.py              writes tests/golden/*.safetensors
    make.py NAME ...     only those files
    make.py --check      computes them anew and compares with what lies there

Each family_*.py gives the files of its ops, described in golden.py, and trajectories.py
those of whole training runs and of second derivatives.
"""

import argparse
import importlib
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent


def families():
    files = {}
    for path in sorted(HERE.glob("family_*.py")):
        files.update(importlib.import_module(path.stem).families())
    files.update(importlib.import_module("trajectories").files())
    return files


# ---- files ----


def differs(name, ours, theirs):
    """Why a stored tensor isn't what was computed, or None.  Inputs must be equal; results
    may differ by what another processor or version of PyTorch rounds differently."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{theirs.dtype} {tuple(theirs.shape)}, now {ours.dtype} {tuple(ours.shape)}"
    bound = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 0.05}.get(ours.dtype, 0)
    if f".in." in name or name.endswith("opts"):
        bound = 0
    if torch.allclose(ours.double(), theirs.double(), rtol=bound, atol=bound, equal_nan=True):
        return None
    return f"values differ by {(ours.double() - theirs.double()).abs().max().item():.3g}"


def check(stem, tensors):
    """Prints what differs in one file; gives how much."""
    path = HERE / f"{stem}.safetensors"
    if not path.exists():
        print(f"{path.name}: missing")
        return 1
    stored_ones = load_file(path)
    wrong = [f"{name}: only in one of them" for name in stored_ones.keys() ^ tensors.keys()]
    for name in sorted(stored_ones.keys() & tensors.keys()):
        reason = differs(name, tensors[name], stored_ones[name])
        wrong += [f"{name}: {reason}"] if reason else []
    for line in wrong:
        print(f"{path.name}: {line}")
    return len(wrong)


def write(stem, tensors):
    path = HERE / f"{stem}.safetensors"
    version = torch.__version__.split("+")[0]
    save_file(dict(sorted(tensors.items())), path, metadata={"torch": version})
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size / 1000:.0f} KB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*", help="files to make; all of them by default")
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    files = families()
    if args.names:
        files = {stem: files[stem] for stem in args.names}
    if args.check:
        sys.exit(1 if sum(check(stem, tensors) for stem, tensors in files.items()) else 0)
    for stem, tensors in files.items():
        write(stem, tensors)


if __name__ == "__main__":
    main()
