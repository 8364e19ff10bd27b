#!/usr/bin/env python3
"""Each op of tests/bench/op_cases.h against the same op of PyTorch, interleaved.

    ops.py [part of a family or an op ...] [--threads 2] [--rounds 7] [--below 0.8]

    linear         linear_relu    -64x784 512x784 512           forward  110 us  1.42   backward ...

The numbers with a point are ratios, PyTorch's time over ours (above 1: ours is faster), medians over
the rounds; then that of forward and backward together.  A round is some 20 ms of ours and of
theirs; a case whose probes (tests/bench/probe) fall below the machine's best is measured again, up
to three times, and then marked "unreliable".  --below counts and repeats at the end the cases below
that ratio.  Needs the virtual environment of scripts/torch-venv.sh.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ROUND_US = 20000
PAUSE_S = 0.02  # threads that wait for work spin for a while: not into the other side's turn


def recurrent(kind, x, w_ih, w_hh, b_ih, b_hh):
    zero = torch.zeros(1, x.shape[1], w_hh.shape[1])
    start = (zero, zero) if kind == "LSTM" else zero
    f = {"LSTM": torch.lstm, "GRU": torch.gru, "RNN": torch.rnn_tanh}[kind]
    return f(x, start, [w_ih, w_hh, b_ih, b_hh], True, 1, 0.0, True, False, False)[0]


OPS = {
    "linear": F.linear,
    "linear_relu": lambda x, w, b: F.relu(F.linear(x, w, b)),
    "linear_gelu": lambda x, w, b: F.gelu(F.linear(x, w, b)),
    "matmul": torch.matmul,
    "einsum": lambda a, b: torch.einsum("bij,bkj->bik", a, b),
    "conv": lambda x, w: F.conv2d(x, w, padding=1),
    "conv_1x1": F.conv2d,
    "conv_half": lambda x, w: F.conv2d(x, w, stride=2, padding=1),
    "conv_1x1_half": lambda x, w: F.conv2d(x, w, stride=2),
    "conv_transpose": lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1),
    "conv_transpose_first": F.conv_transpose2d,
    "max_pool": lambda x: F.max_pool2d(x, 2),
    "avg_pool": lambda x: F.avg_pool2d(x, 2),
    "global_avg": lambda x: F.adaptive_avg_pool2d(x, 1),
    "nearest": lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "batch_norm": lambda x, w, b, mean, var: F.batch_norm(x, mean, var, w, b, True),
    "layer_norm": lambda x, w, b: F.layer_norm(x, w.shape, w, b),
    "rms_norm": lambda x, w: F.rms_norm(x, w.shape, w, 1e-5),
    "group_norm": lambda x, w, b: F.group_norm(x, 8, w, b),
    "instance_norm": F.instance_norm,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "log": torch.log,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "add": torch.add,
    "mul": torch.mul,
    "div": torch.div,
    "scale": lambda x: x * 0.5,
    "square": torch.square,
    "lerp": torch.lerp,
    "where": torch.where,
    "greater": torch.gt,
    "clamp": lambda x: x.clamp(0.2, 0.8),
    "sum": torch.sum,
    "sum_rows": lambda x: x.sum(0),
    "mean_last": lambda x: x.mean(-1),
    "var": lambda x: x.var(-1),
    "amax": lambda x: x.amax(-1),
    "norm": torch.linalg.vector_norm,
    "logsumexp": lambda x: x.logsumexp(-1),
    "argmax": lambda x: x.argmax(-1),
    "cumsum": lambda x: x.cumsum(-1),
    "sort": lambda x: x.sort(dim=-1, stable=True)[0],
    "topk": lambda x: x.topk(5)[0],
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "attention": F.scaled_dot_product_attention,
    "attention_causal": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "embedding": F.embedding,
    "lstm": lambda *x: recurrent("LSTM", *x),
    "gru": lambda *x: recurrent("GRU", *x),
    "rnn": lambda *x: recurrent("RNN", *x),
    "dropout": lambda x: F.dropout(x, 0.1),
    "cross_entropy": F.cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "mse": F.mse_loss,
    "l1_loss": F.l1_loss,
    "huber": F.huber_loss,
    "swap_axes": lambda x: x.transpose(1, 2).contiguous(),
    "concat": lambda a, b: torch.cat([a, b], 1),
    "pad": lambda x: F.pad(x, (4, 4, 4, 4)),
    "flip": lambda x: x.flip(3),
    "roll": lambda x: x.roll(7, 1),
    "repeat": lambda x: x.repeat(4, 1),
    "to_bf16": lambda x: x.to(torch.bfloat16),
    "gather": lambda x, i: x.gather(1, i),
    "scatter_add": lambda x, i, source: x.scatter_add(1, i, source),
    "index_select": lambda x, i: x.index_select(0, i),
    "masked_fill": lambda x, mask: x.masked_fill(mask, 0),
    "one_hot": lambda i: F.one_hot(i, 96),
    "tril": torch.tril,
    "normal": torch.randn_like,
    "bernoulli": torch.bernoulli,
}


def tensor(word):
    """The input that a word of op_cases.h tells."""
    if word[0] == "i":
        below, _, sizes = word[1:].partition(":")
        return torch.randint(0, int(below), [int(n) for n in sizes.split("x")])
    sizes = [int(n) for n in word.lstrip("-cbh").split("x")]
    t = torch.rand(sizes)
    if "b" in word:
        return t < 0.5
    if "c" in word:
        t = t.contiguous(memory_format=torch.channels_last)
    if "h" in word:
        t = t.to(torch.bfloat16)
    return t.requires_grad_("-" not in word)


class Rival:
    """One case in PyTorch."""

    def __init__(self, op, inputs):
        self.f = OPS[op]
        self.x = [tensor(word) for word in inputs.split()]
        y = self.f(*self.x)
        self.dy = torch.rand_like(y) if y.requires_grad else None

    def once(self):
        for x in self.x:
            x.grad = None
        start = time.perf_counter()
        y = self.f(*self.x)
        between = time.perf_counter()
        if self.dy is not None:
            y.backward(self.dy)
        return 1e6 * (between - start), 1e6 * (time.perf_counter() - between)

    def medians(self, repeats):
        time.sleep(PAUSE_S)
        forward, backward = zip(*(self.once() for _ in range(repeats)))
        return statistics.median(forward), statistics.median(backward) if self.dy is not None else 0


class Ours:
    """The program tests/bench/ops, asked line by line."""

    def __init__(self, program, threads):
        self.process = subprocess.Popen(
            [program, "--serve", "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def medians(self, case, repeats):
        time.sleep(PAUSE_S)
        self.process.stdin.write(f"{case} {repeats}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("ops.py: tests/bench/ops ended")
        return tuple(float(v) for v in line.split())


class Machine:
    """The machine's own peak, to judge a round by."""

    def __init__(self, program):
        self.program, self.best = program, 0

    def well(self):
        line = subprocess.run([self.program, "1000000"], capture_output=True, text=True).stdout
        peak = float(line.split("gflops2=")[1].split()[0])
        self.best = max(self.best, peak)
        return peak > 0.8 * self.best


def repeats_for(medians):
    return max(3, min(2000, int(ROUND_US / (sum(medians) + 1))))


def ratio(theirs, ours):
    return theirs / ours if ours > 0 else 0


def measure(case, op, inputs, ours, rounds):
    """Medians of (forward, backward, both) ratios, and our medians in microseconds."""
    rival = Rival(op, inputs)
    n_ours = repeats_for(ours.medians(case, 3))
    n_theirs = repeats_for(rival.medians(3))
    ours.medians(case, n_ours), rival.medians(n_theirs)
    a, b = [], []
    for _ in range(rounds):
        a.append(ours.medians(case, n_ours))
        b.append(rival.medians(n_theirs))
    return (
        [statistics.median(ratio(y[k], x[k]) for x, y in zip(a, b)) for k in (0, 1)]
        + [statistics.median(ratio(sum(y), sum(x)) for x, y in zip(a, b))],
        [statistics.median(x[k] for x in a) for k in (0, 1)],
    )


def checked(case, op, inputs, ours, machine, rounds):
    for _ in range(3):
        before = machine.well()
        result = measure(case, op, inputs, ours, rounds)
        if before and machine.well():
            return result, ""
    return result, "  unreliable"


def line_of(family, op, inputs, result, mark):
    (forward, backward, both), (f_us, b_us) = result
    back = f"backward {b_us:9.1f} us {backward:6.2f}   " if b_us else " " * 31
    return f"{family:14s} {op:20s} {inputs:44s} forward {f_us:9.1f} us {forward:6.2f}   {back}both {both:6.2f}{mark}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help="only cases with this in their family or op")
    parser.add_argument("--build", default=str(ROOT / "build"), help="where the bench programs are")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--below", type=float, default=0.8)
    args = parser.parse_args()

    bench = pathlib.Path(args.build) / "tests" / "bench"
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    listed = subprocess.run([bench / "ops", "--list", *args.parts], capture_output=True, text=True)
    ours, machine, ratios, slow = Ours(bench / "ops", args.threads), Machine(bench / "probe"), [], []
    machine.well(), machine.well()
    for text in listed.stdout.splitlines():
        case, family, op, inputs = text.split("\t")
        result, mark = checked(int(case), op, inputs, ours, machine, args.rounds)
        line = line_of(family, op, inputs, result, mark)
        print(line, flush=True)
        ratios.append(result[0][2])
        if result[0][2] < args.below:
            slow.append(line)
    print(f"ops cases={len(ratios)} median_ratio={statistics.median(ratios):.2f} below_{args.below}={len(slow)}")
    print("\n".join(slow))


if __name__ == "__main__":
    main()
