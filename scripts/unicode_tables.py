#!/usr/bin/env python3
"""Writes data/unicode.h, the ranges of letters, numbers and white space that a pre-tokenizer asks for,
and data/unicode_fold.h, what a tokenizer that makes text small and takes its accents off asks for besides,
from Python's unicodedata.

    scripts/unicode_tables.py >data/unicode.h
    scripts/unicode_tables.py fold >data/unicode_fold.h
"""

import sys
import unicodedata

LINE = 90 if sys.argv[1:] != ["fold"] else 96  # columns

# The property White_Space, which unicodedata doesn't have; unchanged since Unicode 6.3.
SPACES = [*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]


def category(c):
    return unicodedata.category(chr(c))


def codes(test):
    return [c for c in range(sys.maxunicode + 1) if test(category(c))]


def ranges(codes):
    out = []
    for c in codes:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def table(name, width, entries):
    gap = "" if width == 5 else " "
    rows = ["{" + gap + ", ".join(f"{v:#x}" for v in e) + gap + "}" for e in entries]
    lines = [""]
    for row in rows:
        if len(lines[-1]) + len(row) + 2 > LINE:
            lines.append("")
        lines[-1] += row + ", "
    body = "\n".join("    " + line.rstrip() for line in lines)
    print(f"static const uint32_t {name}[][{width}] = {{\n{body}\n}};\n")


def folded(c):
    """The small letter, taken apart, without marks."""
    apart = unicodedata.normalize("NFD", chr(c).lower())
    return [ord(x) for x in apart if unicodedata.category(x) != "Mn"]


def runs(folds):
    """[first, last, step, to, 1 where it moves along] of codes that become one other."""
    out = []
    for c, to in folds:
        if out:
            first, last, step, start, moves = out[-1]
            now, move = (c - last, moves) if first == last else (step, moves)
            if first == last:
                move = int(to != start)
            if c - last == now and now <= 2 and to == start + move * (c - first):
                out[-1] = [first, c, now, start, move]
                continue
        out.append([c, c, 1, to, 0])
    return out


def header(name, what, guard):
    print(f"""/*
 * {name} - {what} of Unicode {unicodedata.unidata_version}, as ranges from first to last;
 * written by scripts/unicode_tables.py.
 */
#ifndef TP_DATA_{guard}_H
#define TP_DATA_{guard}_H

#include <stdint.h>
""")


def write_categories():
    header("unicode.h", "categories", "UNICODE")
    table("unicode_letters", 2, ranges(codes(lambda k: k[0] == "L")))
    table("unicode_numbers", 2, ranges(codes(lambda k: k[0] == "N")))
    table("unicode_spaces", 2, ranges(SPACES))


def write_folds():
    header("unicode_fold.h", "marks, controls, punctuation and small letters", "UNICODE_FOLD")
    table("unicode_marks", 2, ranges(codes(lambda k: k == "Mn")))
    table("unicode_controls", 2, ranges(codes(lambda k: k in ("Cc", "Cf"))))
    table("unicode_punctuation", 2, ranges(codes(lambda k: k[0] == "P")))
    other = [c for c in codes(lambda k: k not in ("Mn", "Cs")) if c > 127 and not 0xAC00 <= c < 0xAC00 + 11172]
    folds = [(c, folded(c)) for c in other]
    folds = [(c, to) for c, to in folds if to != [c]]
    to_one = runs([(c, to[0]) for c, to in folds if len(to) == 1])
    print("/* Not of ASCII, Korean syllables and marks: first, last, step, to, 1 where it moves along. */")
    table("unicode_folds", 5, [run for run in to_one if run[0] != run[1]])
    print("/* Those that are no range. */")
    table("unicode_folds_of_one", 2, [[run[0], run[3]] for run in to_one if run[0] == run[1]])
    print("/* To several codes, ended by 0. */")
    table("unicode_folds_to_many", 5, [[c, *to, *[0] * (4 - len(to))] for c, to in folds if len(to) != 1])


write_folds() if sys.argv[1:] == ["fold"] else write_categories()
print("#endif")
