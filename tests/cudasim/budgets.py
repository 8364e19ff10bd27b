#!/usr/bin/env python3
"""What each kernel takes of a GPU, against a budget: no spills, no stack, enough threads at once.

    budgets.py --arch sm_80 FILE.ptx ...                         prints each file's worst kernels
    nvcc -ptx -arch=compute_80 ... kernels/cuda/norm.cu          makes such a file

ptxas translates each file and tells the registers, shared memory and spills of each kernel.  From the
first two follows how many of a multiprocessor's threads can be there at once: its occupancy.  Exits
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
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True)
    return out.stdout.splitlines() if out.returncode == 0 else names


def check(path, arch, ptxas):
    """The lines of a file's worst kernels, and of those over budget."""
    stem, rows, wrong = os.path.splitext(os.path.basename(path))[0], [], []
    for name, registers, shared, stack, spilled in kernels_of(path, arch, ptxas):
        threads, least = budget(name)
        share = occupancy(arch, registers, shared, threads)
        rows.append((share, name, registers, shared))
        if spilled or (stack and stem not in STACK_ALLOWED):
            wrong.append((name, f"{stack} bytes of stack, {spilled} spilled"))
        if share < least:
            wrong.append((name, f"{registers} registers, {shared} bytes shared: {share:.0%} of the threads, "
                                f"{least:.0%} wanted"))
    share, name, registers, shared = min(rows)
    names = readable([name] + [w[0] for w in wrong])
    lines = [f"{stem:18} {len(rows):4} kernels, at worst {registers:3} registers, {shared:5} bytes shared, "
             f"{share:4.0%} of the threads: {names[0][:60]}"]
    lines += [f"  OVER BUDGET {n}: {w[1]}" for n, w in zip(names[1:], wrong)]
    return lines, len(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", required=True, choices=LIMITS)
    parser.add_argument("--ptxas", default="ptxas")
    parser.add_argument("ptx", nargs="+")
    args = parser.parse_args()
    over = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for lines, wrong in pool.map(lambda path: check(path, args.arch, args.ptxas), args.ptx):
            print("\n".join(lines), flush=True)
            over += wrong
    print(f"{args.arch}: {over} over budget" if over else f"{args.arch}: all within budget")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
