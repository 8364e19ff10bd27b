#!/usr/bin/env python3
"""Writes docs/ops.md from the public headers, and proves that everything in it is tested.

    ops_doc.py            writes docs/ops.md
    ops_doc.py --check    fails when docs/ops.md is stale, or when an op or a layer is missing in the
                          tests: each must be called there, and each op with a gradient from a file
                          that checks gradients against finite differences

A section of a header is a comment `/* ---- title: dtypes; derivatives ---- */`; the words "Once.",
"No gradient.", "Any dtype." or "Integers too." in a function's own comment say where it differs.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPS = ["autograd/ops_math.h", "autograd/ops_shape.h", "autograd/ops_layer.h", "autograd/ops_loss.h"]
LAYERS = [
    "nn/layers.h", "nn/attention.h", "nn/transformer.h", "nn/parametrize.h", "nn/lora.h", "nn/nn.h", "nn/init.h",
    "models/models.h", "models/diffusion.h",
]
TITLES = {
    "autograd/ops_math.h": "Mathematics",
    "autograd/ops_shape.h": "Shapes and indices",
    "autograd/ops_layer.h": "What layers are made of",
    "autograd/ops_loss.h": "Losses",
    "nn/attention.h": "Multi-head attention",
    "nn/transformer.h": "The Transformer",
    "nn/parametrize.h": "Weight norm and spectral norm",
    "nn/lora.h": "Adapters of low rank",
    "nn/layers.h": "Layers",
    "nn/nn.h": "Modules",
    "nn/init.h": "Initial values",
    "models/models.h": "Models", "models/diffusion.h": "Diffusion",
}
DTYPES = (  # words of a comment; those with a full stop stand for nothing else
    ("Any dtype.", "all"), ("Of any dtype:", "all"), ("Integers too.", "floats, integers"),
    ("ntegers and bool too", "floats, integers, bool"), ("Bool too.", "floats, integers, bool"),
    ("Floats.", "floats"), ("Not f16.", "all but f16"), ("Gives i64.", "i64"),
)  # fmt: skip
SECTION = re.compile(r"/\* ---- (.*?) ---- \*/")
FUNCTION = re.compile(r"^(?:[a-z_0-9]+ \*?|struct [a-z_]+ )(tp_[a-z0-9_]+)\(")


class Section:
    def __init__(self, title):
        parts = re.fullmatch(r"(.*): (.+); (twice|once|no gradient)", title)
        self.title = parts.group(1) if parts else title
        self.dtypes = parts.group(2) if parts else ""
        self.derivatives = parts.group(3) if parts else ""
        self.rows = []


class Row:
    """A function; a comment before several of them, without a blank line, speaks of all, but not of those with a
    comment of their own where the first has none."""

    def __init__(self, name, call, group, first, own, section):
        self.name, self.call = name, call
        self.dtypes, self.derivatives = section.dtypes, section.derivatives
        self.text = f"{own} {group}".strip() if own else group
        for word, value in (("Once.", "once"), ("No gradient.", "no gradient")):
            if word in group + own:
                self.derivatives = value
        for word, value in DTYPES:
            if word in group + own:
                self.dtypes = value
        for word in ("Once.", "No gradient.", *(w for w, _ in DTYPES if w.endswith("."))):
            self.text = self.text.replace(word, "").strip()


def comment_text(lines):
    text = " ".join(re.sub(r"^\s*/?\*+/?|\*/\s*$", "", line).strip() for line in lines)
    return re.sub(r"\s+", " ", text).strip()


def call_of(declaration):
    """tp_add(a, b) of the whole prototype."""
    flat = re.sub(r"\s+", " ", declaration)
    inside = re.sub(r"\(\*(\w+)\)\([^()]*\)", r" \1", flat[flat.index("(") + 1 : flat.rindex(")")])
    names = [re.sub(r".*[ *]", "", p.strip()) for p in inside.split(",")]
    return f"{FUNCTION.match(flat).group(1)}({', '.join(n for n in names if n != 'void')})"


def rows_of(path):
    """The sections of one header."""
    sections, before, first = [Section("")], [], True
    lines = iter((ROOT / path).read_text().split("\n"))
    for line in lines:
        mark = SECTION.match(line)
        if mark:
            sections.append(Section(mark.group(1)))
            before = []
        elif line.startswith("/*"):
            before, first = [line], True
            while "*/" not in before[-1]:
                before.append(next(lines))
        elif FUNCTION.match(line):
            declaration, _, after = line.partition(";")
            while ";" not in line:
                line = next(lines)
                declaration, after = declaration + " " + line.partition(";")[0], line.partition(";")[2]
            trailing = [after.strip()] if after.strip().startswith("/*") else []
            while trailing and "*/" not in trailing[-1]:
                trailing.append(next(lines))
            name = FUNCTION.match(declaration).group(1)
            if name.endswith("_defaults"):
                continue
            declaration = re.sub(r"__attribute__.*", "", declaration)
            if first:
                bare = not trailing  # the comment before is its only one
            group = [] if trailing and bare else before
            texts = comment_text(group), first, comment_text(trailing)
            sections[-1].rows.append(Row(name, call_of(declaration), *texts, sections[-1]))
            first = False
        elif not line.strip():
            before = []
    return [s for s in sections if s.rows]


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def is_layer(row):
    return row.name.startswith("tp_nn_")


def document():
    out = [
        "# Ops and layers",
        "",
        "Made by `scripts/ops_doc.py` from the public headers, where errors, ownership and options are",
        "told. Dtypes: floats are f32, f64 and bf16, on a GPU f16 too; all are these, f16, i64, i32, u8 and bool. The last",
        "column says how often a result can be differentiated. Every row is tested: `scripts/ops_doc.py --check`.",
    ]
    for path in OPS:
        out += ["", f"## {TITLES[path]}"]
        for s in rows_of(path):
            out += ["", f"### {s.title[:1].upper()}{s.title[1:]}", ""]
            out += ["| op | what it gives | dtypes | derivatives |", "|---|---|---|---|"]
            out += [f"| `{r.call}` | {cell(r.text)} | {r.dtypes} | {r.derivatives} |" for r in s.rows]
    for path in LAYERS:
        out += ["", f"## {TITLES[path]}"]
        for s in rows_of(path):
            out += ["", f"### {s.title[:1].upper()}{s.title[1:]}"] if s.title else []
            out += ["", "| function | what it does |", "|---|---|"]
            out += [f"| `{r.call}` | {cell(r.text)} |" for r in s.rows]
    return "\n".join(out) + "\n"


def functions(test):
    """What a test with GRADIENTS differentiates: its F(...) and functions of tensors, without comments."""
    code = re.sub(r"/\*.*?\*/", "", test, flags=re.S)
    short = re.findall(r"^(?:#define \w+\(.*?\) )?F\w*\(.*?\)$", code, flags=re.M | re.S)
    long = re.findall(r"^static tp_tensor \*\w+\([^)]*\)\s*\{.*?^\}", code, flags=re.M | re.S)
    return "\n".join(short + long + re.findall(r"^static tp_tensor \*\w+\(.*\}$", code, flags=re.M))


def untested():
    tests = {p: p.read_text() for p in (ROOT / "tests").glob("*.c")}
    tests.update({p: p.read_text() for p in (ROOT / "tests").glob("*.h")})

    def called(name, text):
        op = name.removeprefix("tp_")
        direct = rf"\btp_{op}\b|\b(?:UNARY|BINARY|AXIS)\w*\({op}\b|\bR(?:_WIDE)?\({op}\)"
        return re.search(direct, text) is not None

    checks = [functions(t) for t in tests.values() if "GRADIENTS(" in t and "#define GRADIENTS" not in t]
    for path in OPS + LAYERS:
        for s in rows_of(path):
            for r in s.rows:
                if not any(called(r.name, t) for t in tests.values()):
                    yield f"{r.name} ({path}) is in no test"
                elif r.derivatives in ("once", "twice") and not any(called(r.name, t) for t in checks):
                    yield f"{r.name} ({path}) has a gradient that no test checks by finite differences"


def main():
    target = ROOT / "docs" / "ops.md"
    if "--check" not in sys.argv:
        target.write_text(document())
        return 0
    wrong = list(untested())
    if not target.exists() or target.read_text() != document():
        wrong.append("docs/ops.md is stale: run scripts/ops_doc.py")
    for line in wrong:
        print(line)
    count = sum(len(s.rows) for path in OPS + LAYERS for s in rows_of(path))
    print(f"{count} rows, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
