#!/usr/bin/env python3
"""Writes data/unicode.h: the ranges of letters, numbers and white space that a pre-tokenizer asks
for, from Python's unicodedata.

    scripts/unicode_tables.py >data/unicode.h
"""

import sys
import unicodedata

# The property White_Space, which unicodedata doesn't have; unchanged since Unicode 6.3.
SPACES = [*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]


def ranges(codes):
    out = []
    for c in codes:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def table(name, codes):
    rows = [f"{{ {a:#x}, {b:#x} }}" for a, b in ranges(codes)]
    lines = [""]
    for row in rows:
        if len(lines[-1]) + len(row) + 2 > 90:
            lines.append("")
        lines[-1] += row + ", "
    body = "\n".join("    " + line.rstrip() for line in lines)
    print(f"static const uint32_t {name}[][2] = {{\n{body}\n}};\n")


def main():
    of = {k: [c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c))[0] == k] for k in "LN"}
    print(f"""/*
 * unicode.h - categories of Unicode {unicodedata.unidata_version}, as ranges from first to last;
 * written by scripts/unicode_tables.py.
 */
#ifndef TP_DATA_UNICODE_H
#define TP_DATA_UNICODE_H

#include <stdint.h>
""")
    table("unicode_letters", of["L"])
    table("unicode_numbers", of["N"])
    table("unicode_spaces", SPACES)
    print("#endif")


main()
