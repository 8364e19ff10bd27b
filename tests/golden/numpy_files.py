#!/usr/bin/env python3
"""Writes golden/numpy: arrays as NumPy saves them, for tests/test_data_numpy.c.

Element i, in C order, of the array NAME is i * 3 - 5 (bool: its lowest bit; u8: modulo 256)."""

import pathlib

import numpy

HERE = pathlib.Path(__file__).parent / "numpy"


def numbers(shape, dtype):
    n = int(numpy.prod(shape))
    v = numpy.arange(n) * 3 - 5
    return ((v & 1).astype(bool) if dtype == "?" else v.astype(dtype)).reshape(shape)


def main():
    HERE.mkdir(exist_ok=True)
    arrays = {}
    for dtype in ["<f4", ">f4", "<f8", ">f8", "<f2", ">f2", "<i8", ">i8", "<i4", ">i4", "u1", "?"]:
        name = dtype.replace("<", "little_").replace(">", "big_").replace("?", "bool")
        arrays[name] = numbers((3, 4, 2), dtype)
    arrays["fortran"] = numpy.asfortranarray(numbers((3, 4, 2), ">f8"))
    arrays["scalar"] = numbers((), "f4")
    arrays["vector"] = numbers((5,), "i8")
    arrays["empty"] = numbers((0, 3), "f4")
    for name, v in arrays.items():
        numpy.save(HERE / f"{name}.npy", v)
    numpy.savez(HERE / "stored.npz", **arrays)
    numpy.savez_compressed(HERE / "deflated.npz", **arrays)
    numpy.save(HERE / "complex.npy", numpy.zeros(2, "c8"))
    numpy.save(HERE / "records.npy", numpy.zeros(2, [("a", "f4")]))


main()
