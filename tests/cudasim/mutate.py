#!/usr/bin/env python3
"""Would the tests notice?  Breaks kernels in small ways, one at a time, and runs the simulator's tests.

    mutate.py BUILD [--each N] [--seed S] [--jobs J] [FILE ...]     FILE: of kernels/cuda, all by default

BUILD is a build with TP_CUDASIM.  Of each file N mutants, drawn by the seed: a barrier left out, a
comparison that is off by one, a sign, a condition turned around, a sum that starts anew.  A mutant is
caught when a test fails, or doesn't end; one that doesn't compile is no mutant.  One of a header is tried
in some short files that include it, first those that speak of the function it is in, then in all.  An index
outside a local array ends the process, as it does in the sanitized build.  equivalent.txt holds those that compute
the same, each with the reason.  Exits with 1 when less than 98 % are caught.
"""

import argparse
import concurrent.futures
import json
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KERNELS = os.path.join(ROOT, "kernels", "cuda")
WANTED = 0.98
MOST_USERS = 4  # of a header
BOUNDS = ["-w", "-fsanitize=bounds", "-fsanitize-undefined-trap-on-error"]
PATIENCE = 300  # seconds that a test may take: the slowest takes a fifth of it

# What looks at a file: programs of tests/cudasim, then of tests, until one fails; NAME@none: without cuDNN.
TESTS = {
    "attention|mma": ["slots_attention"],
    "bits|compare|curve|elementwise|map|math|number|rectifier|arithmetic|circular": [
        "slots_map", "slots", "gradients", "operands", "bytes"],
    "pack|rows": ["slots_packs", "slots", "slots_lanes", "slots_maps", "bytes_rows"],
    "conv": ["slots_maps@none", "conv@none", "conv"],
    "channel_norm|pool|resample|taps|norm": [
        "slots_maps", "slots", "slots_packs", "norms", "resample", "conv", "bytes_rows"],
    "clip|update": ["slots_update", "clip", "optim", "average", "scaler", "bytes"],
    "ctc|recurrent|rotary": ["slots_sequence", "recurrent", "ctc", "rotary"],
    "index|random|lanes|scan|sort|softmax": [
        "slots_index", "slots_lanes", "slots_packs", "slots", "softmax", "index", "bytes_rows"],
    "": ["slots", "slots_packs", "slots_map", "slots_maps", "loss", "folds", "contracts", "bytes", "bytes_rows"],
}

# What is looked for, and what it becomes.
CHANGES = [
    (r"__sync(threads|warp)\(\);", ";"),
    (r"(?<=[\w\)\]]) < (?=[\w\(])", " <= "),
    (r"(?<=[\w\)\]]) <= (?=[\w\(])", " < "),
    (r"(?<=[\w\)\]]) > (?=[\w\(])", " >= "),
    (r"(?<=[\w\)\]]) >= (?=[\w\(])", " > "),
    (r" == ", " != "),
    (r" != ", " == "),
    (r"(?<=[\w\)\]]) \+ (?=[\w\(])", " - "),
    (r"(?<=[\w\)\]]) - (?=[\w\(])", " + "),
    (r"(?<=[\w\)\]]) \* (?=[\w\(])", " + "),
    (r"(?<=[\w\)\]]) / (?=[\w\(])", " * "),
    (r"(?<=[\w\)\]]) % (?=[\w\(])", " / "),
    (r" \+= ", " = "),
    (r" && ", " || "),
    (r" \|\| ", " && "),
    (r"\bif \((?!constexpr)(.+)\)(?= )", r"if (!(\1))"),
    (r"\b1\b", "2"),
    (r"\b0\b", "1"),
]
SKIP = re.compile(r"^\s*(/?\*|#|//|template|static_assert|enum|typedef|extern)|TP_LAUNCH|tp_scratch|__launch_bounds__")


def here(lines):
    """Of each line: is it compiled for the simulator?  What nvcc alone sees, ptx/ tests."""
    conditions = []  # that are open: whether the simulator's, or None where they speak of something else
    for line in lines:
        if found := re.match(r"#if(n?)(?:def)? (.*)", line):
            conditions.append(not found[1] if found[2] == "TP_CUDASIM" else None)
        elif line.startswith("#endif"):
            conditions.pop()
        elif line.startswith("#el") and conditions[-1] is not None:
            conditions[-1] = not conditions[-1]
        yield False not in conditions


def mutants_of(path):
    """(line number, new line, what changed) of a file."""
    comment, lines = False, open(path).read().split("\n")
    for number, (line, compiled) in enumerate(zip(lines, here(lines))):
        starts, comment = comment, ("/*" in line or comment) and "*/" not in line
        if starts or comment or not compiled or SKIP.search(line):
            continue
        code = re.sub(r"/\*.*?\*/", lambda m: " " * len(m[0]), line)
        for pattern, to in CHANGES:
            for found in re.finditer(pattern, code):
                new = line[:found.start()] + found.expand(to) + line[found.end():]
                yield number, new, f"{line.strip()}  ->  {new.strip()}"


def tests_of(name):
    return next(programs for stems, programs in TESTS.items() if re.search(stems, name))


class Build:
    def __init__(self, folder):
        self.folder = folder
        self.commands = {os.path.basename(e["file"]): e for e in json.load(open(os.path.join(folder, "compile_commands.json")))
                         if "taper_cuda_sim_kernels" in e["command"]}
        self.at = os.path.join(folder, "tests", "cudasim")
        self.link = open(os.path.join(self.at, "CMakeFiles", "taper_cuda_sim.dir", "link.txt")).read().strip()

    def users(self, name, number):
        """Lists of .cu files that show a line of a file: itself, or, of a header, short ones that use it, and all."""
        if name.endswith(".cu"):
            return [[name]]
        seen = sorted((cu for cu in self.commands if name in included(cu)), key=lambda cu: len(text_of(cu)))
        word = re.compile(rf"\b{function_at(name, number)}\b")
        say = [cu for cu in seen if any(word.search(text_of(f)) for f in {cu} | included(cu) - {name})]
        return [list(dict.fromkeys(say[:MOST_USERS - 1] + seen))[:MOST_USERS], seen]

    def library(self, work, name, users):
        """Compiles with the mutant in front of the tree; None where it is no program."""
        objects = self.link
        for cu in users:
            entry, to = self.commands[cu], os.path.join(work, cu + ".o")
            words = shlex.split(entry["command"])
            old = words[words.index("-o") + 1]
            words[words.index("-o") + 1] = to
            words[words.index("-c") + 1] = os.path.join(work, "kernels", "cuda", cu) if cu == name else entry["file"]
            run = subprocess.run(words[:1] + BOUNDS + ["-I" + work] + words[1:], cwd=entry["directory"], capture_output=True)
            if run.returncode:
                return None
            objects = objects.replace(old, to)
        lib = os.path.join(work, "mutant.so")
        words = shlex.split(objects)
        words[words.index("-o") + 1] = lib
        subprocess.run(words, cwd=self.at, check=True, capture_output=True)
        return lib

    def program(self, test):
        test = test.split("@")[0]
        for folder in ("tests/cudasim", "tests"):
            path = os.path.join(self.folder, folder, "test_" + test)
            if os.path.exists(path):
                return path
        sys.exit(f"mutate: {self.folder} has no test_{test}: build it first")


def text_of(name):
    return open(os.path.join(KERNELS, name)).read()


def function_at(name, number):
    """The function, struct or macro that a line is in: the last that begins before it."""
    found = ""
    for line in text_of(name).split("\n")[:number + 1]:
        if begins := re.match(r"(?:#define (\w+)|[a-z_].*?\bstruct (\w+) \{|struct (\w+) \{|[a-z_].*?\b(\w+)\()", line):
            found = next(g for g in begins.groups() if g)
    return found


def included(cu, seen=None):
    seen = set() if seen is None else seen
    for name in re.findall(r'#include "kernels/cuda/(\w+\.cuh)"', text_of(cu)):
        if name not in seen:
            seen.add(name)
            included(name, seen)
    return seen


def caught_by(build, lib, tests):
    """The test that fails; None: all pass."""
    for test in tests:
        env = dict(os.environ, TAPER_CUDA_LIBRARY=lib, OMP_NUM_THREADS="1")
        if "@" in test:
            env["CUDASIM_DNN"] = test.partition("@")[2]
        try:
            run = subprocess.run([build.program(test), "-j1"], env=env, capture_output=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return test + ", which doesn't end"
        if run.returncode:
            return test
    return None


def check_unbroken(build):
    every = sorted({test for tests in TESTS.values() for test in tests})
    if fails := caught_by(build, os.path.join(build.folder, "libtaper_cuda_sim.so"), every):
        sys.exit(f"mutate: {fails} fails without a mutant")


def judge(build, name, mutant):
    number, new, what = mutant
    lines, users = text_of(name).split("\n"), build.users(name, number)
    lines[number] = new
    with tempfile.TemporaryDirectory() as work:
        folder = os.path.join(work, "kernels", "cuda")
        os.makedirs(folder)
        open(os.path.join(folder, name), "w").write("\n".join(lines))
        by = None
        for cus in users:
            lib = build.library(work, name, cus)
            tests = dict.fromkeys(test for cu in cus for test in tests_of(cu))
            if not lib or (by := caught_by(build, lib, tests)):
                break
        return name, number + 1, what, lib and (by or "nobody")


def equivalents():
    """{(file, change): reason}: three lines each in equivalent.txt."""
    path = os.path.join(HERE, "equivalent.txt")
    rows = [line.rstrip("\n") for line in open(path) if line.strip()] if os.path.exists(path) else []
    return {(rows[i], rows[i + 1].strip()): rows[i + 2].strip() for i in range(0, len(rows) - 2, 3)}


def chosen(args):
    for name in args.files or sorted(f for f in os.listdir(KERNELS) if f.endswith((".cu", ".cuh"))):
        found = list(mutants_of(os.path.join(KERNELS, name)))
        random.Random(f"{args.seed} {name}").shuffle(found)
        yield from ((name, mutant) for mutant in found[:args.each])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("files", nargs="*")
    args = parser.parse_intermixed_args()
    build, same = Build(os.path.abspath(args.build)), equivalents()
    check_unbroken(build)
    count = {"caught": 0, "missed": 0, "equivalent": 0, "no program": 0}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, line, what, by in pool.map(lambda m: judge(build, *m), chosen(args)):
            kind = ("no program" if not by else "caught" if by != "nobody" else
                    "equivalent" if (name, what) in same else "missed")
            count[kind] += 1
            if kind != "no program":
                print(f"{name}:{line}: {what}\n    {kind}{' by ' + by if kind == 'caught' else ''}", flush=True)
    real = count["caught"] + count["missed"]
    print(f"{count['caught']} of {real} caught, {count['caught'] / max(real, 1):.1%}; besides {count['equivalent']} "
          f"equivalent, {count['no program']} that don't compile")
    return 0 if count["caught"] >= WANTED * real else 1


if __name__ == "__main__":
    sys.exit(main())
