#!/usr/bin/env python3
"""What each kernel takes of a GPU, against a budget: no spills, no stack, no more registers and shared memory
than budgets.txt says, enough threads at once.

    budgets.py --arch sm_80 FILE.ptx ...                         prints each file's worst kernels
    budgets.py --arch sm_80 --write FILE.ptx ...                 raises what budgets.txt says to what is there
    nvcc -ptx -arch=compute_80 ... kernels/cuda/norm.cu          makes such a file

ptxas translates each file and tells the registers, shared memory and spills of each kernel.  From the
first two follows how many of a multiprocessor's threads can be there at once: its occupancy.  A line of
budgets.txt is of a kernel in all its dtypes, on every target; registers are given in steps of 8.  Exits
with 1 where a kernel is over budget.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys

# Of a multiprocessor: threads, shared memory in KiB, blocks (CUDA C++ Programming Guide, "Technical
# Specifications per Compute Capability"); 65536 registers are everywhere, given to warps by 256.
LIMITS = {
    "sm_75": (1024, 64, 16), "sm_80": (2048, 164, 32), "sm_86": (1536, 100, 16), "sm_89": (1536, 100, 24),
    "sm_90": (2048, 228, 32), "sm_100": (2048, 228, 32), "sm_120": (1536, 100, 24),
}
REGISTERS = 65536
THREADS = 256  # of a block, as TP_THREADS; others below

# Threads of a block, and the least occupancy, where they aren't the usual ones; the first pattern that a
# kernel's name holds.
BUDGETS = [
    ("attend_mma", 128, 0.10),  # a tile of sums in registers: products want them more than threads
    ("slopes_mma", 128, 0.10),
]
# An A100 moves 2 MB in a microsecond, and a load takes about 0.6 of one: so its 108 multiprocessors need
# 11 KB each on the way, which a third of 2048 threads have at 16 bytes each.
LEAST = 0.33
STACK_ALLOWED = ("circular",)  # sine and cosine of huge numbers need an array


def budget(name):
    for part, threads, least in BUDGETS:
        if part in name:
            return threads, least
    return THREADS, LEAST


def occupancy(arch, registers, shared, threads):
    most, kib, blocks = LIMITS[arch]
    per_warp = -(-registers * 32 // 256) * 256
    fit = REGISTERS // per_warp // (threads // 32) if registers else blocks
    fit = min(fit, blocks, most // threads)
    if shared:
        fit = min(fit, kib * 1024 // (shared + 1024))  # the system takes 1 KiB of each block
    return fit * threads / most


def kernels_of(path, arch, ptxas):
    """(name, registers, shared bytes, stack bytes, spilled bytes) of each kernel of a file."""
    run = subprocess.run([ptxas, "-v", "-arch=" + arch, path, "-o", os.devnull], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"budgets: {path}: {run.stderr.strip()}")
    name, stack, spilled = None, 0, 0
    for line in run.stderr.splitlines():
        if found := re.search(r"Compiling entry function '(\w+)'", line):
            name = found[1]
        elif found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)", line):
            stack, spilled = int(found[1]), int(found[2]) + int(found[3])
        elif name and (found := re.search(r"Used (\d+) registers", line)):
            shared = re.search(r"(\d+) bytes smem", line)
            yield name, int(found[1]), int(shared[1]) if shared else 0, stack, spilled
            name = None


def readable(names):
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return out.stdout.splitlines()


def template_of(name):
    """add_one of add_one(double*, double const*), tp_update_chunk of void tp_update_chunk<float, ...>(...)."""
    return re.match(r"(?:void )?([\w:]+)", name.replace("(anonymous namespace)::", ""))[1]


def budgets_of(path):
    """{(file, kernel): (registers, shared bytes)}"""
    rows = (line.split() for line in open(path) if not line.startswith("#"))
    return {(stem, kernel): (int(registers), int(shared)) for stem, kernel, registers, shared in rows}


def write(path, taken):
    with open(path, "w") as f:
        f.write("# file, kernel, registers, bytes of shared memory: the most that it takes; see budgets.py\n")
        for (stem, kernel), (registers, shared) in sorted(taken.items()):
            f.write(f"{stem} {kernel} {registers} {shared}\n")


class Kernel:
    def __init__(self, arch, stem, name, registers, shared, stack, spilled):
        self.name, self.key = name, (stem, template_of(name))
        self.registers, self.shared, self.stack, self.spilled = registers, shared, stack, spilled
        threads, self.least = budget(name)
        self.share = occupancy(arch, registers, shared, threads)

    def wrong(self, most):
        """What is over budget, in words."""
        registers, shared = most.get(self.key, (0, 0))
        if self.spilled or (self.stack and self.key[0] not in STACK_ALLOWED):
            yield f"{self.stack} bytes of stack, {self.spilled} spilled"
        if self.registers > registers or self.shared > shared:
            yield f"{self.registers} registers and {self.shared} bytes shared, where {registers} and {shared} are allowed"
        if self.share < self.least:
            yield (f"{self.registers} registers, {self.shared} bytes shared: {self.share:.0%} of the threads, "
                   f"{self.least:.0%} wanted")


def look(path, arch, ptxas):
    stem, found = os.path.splitext(os.path.basename(path))[0], list(kernels_of(path, arch, ptxas))
    names = readable([k[0] for k in found])
    return [Kernel(arch, stem, name, *k[1:]) for name, k in zip(names, found)]


def lines_of(kernels, most):
    worst = min(kernels, key=lambda k: k.share)
    yield (f"{worst.key[0]:18} {len(kernels):4} kernels, at worst {worst.registers:3} registers, {worst.shared:5} bytes "
           f"shared, {worst.share:4.0%} of the threads: {worst.name[:60]}")
    for k in kernels:
        yield from (f"  OVER BUDGET {k.name}: {what}" for what in k.wrong(most))


def raised(most, kernels):
    for k in kernels:
        registers, shared = most.get(k.key, (0, 0))
        most[k.key] = max(registers, -(-k.registers // 8) * 8), max(shared, k.shared)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", required=True, choices=LIMITS)
    parser.add_argument("--ptxas", default="ptxas")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("ptx", nargs="+")
    args = parser.parse_args()
    table = os.path.join(os.path.dirname(os.path.abspath(__file__)), "budgets.txt")
    most, over = budgets_of(table) if os.path.exists(table) else {}, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for kernels in pool.map(lambda path: look(path, args.arch, args.ptxas), args.ptx):
            if args.write:
                raised(most, kernels)
            lines = list(lines_of(kernels, most))
            over += len(lines) - 1
            print("\n".join(lines), flush=True)
    if args.write:
        write(table, most)
    print(f"{args.arch}: {over} over budget" if over else f"{args.arch}: all within budget")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
