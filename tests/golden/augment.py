#!/usr/bin/env python3
"""Writes augment.safetensors: pictures resized and turned by PyTorch, for tests/test_data_augment.c.

    resize.N.in  (C, H, W)    resize.N.out   torch.nn.functional.interpolate(antialias=True), bilinear
    affine.N.in  affine.N.out grid_sample, align_corners=False, zeros outside
    affine.N.opts             degrees scale shear_x shear_y bilinear

The matrix of an affine case is torchvision's _get_inverse_affine_matrix, written out below.
"""

import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

RESIZES = [((3, 7, 5), (4, 4)), ((1, 8, 8), (3, 5)), ((3, 4, 4), (9, 7)), ((1, 5, 9), (5, 2)), ((1, 1, 1), (3, 3)),
           ((1, 32, 32), (7, 2)), ((3, 6, 6), (6, 6))]
AFFINES = [(30, 1, 0, 0), (-45, 0.7, 0, 0), (10, 1.3, 20, -15), (88, 1, 0, 0), (0, 1, 0, 0), (200, 0.4, -30, 5)]


def inverse(angle, scale, shear_x, shear_y):
    rot, sx, sy = math.radians(angle), math.radians(shear_x), math.radians(shear_y)
    a = math.cos(rot - sy) / math.cos(sy)
    b = -math.cos(rot - sy) * math.tan(sx) / math.cos(sy) - math.sin(rot)
    c = math.sin(rot - sy) / math.cos(sy)
    d = -math.sin(rot - sy) * math.tan(sx) / math.cos(sy) + math.cos(rot)
    return [d / scale, -b / scale, 0.0, -c / scale, a / scale, 0.0]


def affine(x, angle, scale, shear_x, shear_y, mode):
    h, w = x.shape[1:]
    theta = torch.tensor(inverse(angle, scale, shear_x, shear_y), dtype=torch.float64).reshape(2, 3)
    rows = torch.arange(h, dtype=torch.float64) + 0.5 - h / 2
    columns = torch.arange(w, dtype=torch.float64) + 0.5 - w / 2
    base = torch.stack([columns.expand(h, w), rows[:, None].expand(h, w), torch.ones(h, w, dtype=torch.float64)], -1)
    grid = base @ theta.T / torch.tensor([w / 2, h / 2], dtype=torch.float64)
    return F.grid_sample(x[None], grid[None], mode=mode, padding_mode="zeros", align_corners=False)[0]


def main():
    torch.manual_seed(1)
    out = {}
    for i, (shape, size) in enumerate(RESIZES):
        x = torch.rand(shape)
        out[f"resize.{i}.in"] = x
        out[f"resize.{i}.out"] = F.interpolate(x[None].double(), size=size, mode="bilinear", antialias=True)[0]
    for i, case in enumerate([c + (b,) for c in AFFINES for b in (0, 1)]):
        x = torch.rand(3, 7, 10)
        out[f"affine.{i}.in"] = x
        out[f"affine.{i}.opts"] = torch.tensor(case, dtype=torch.float64)
        out[f"affine.{i}.out"] = affine(x.double(), *case[:4], "bilinear" if case[4] else "nearest")
    save_file({k: v.contiguous() for k, v in out.items()}, pathlib.Path(__file__).parent / "augment.safetensors",
              metadata={"torch": torch.__version__})


main()
