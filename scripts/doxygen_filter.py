#!/usr/bin/env python3
"""Turns a public header's comments into those that Doxygen reads; docs/Doxyfile calls it.

    doxygen_filter.py FILE

In our headers the first comment speaks of the file, one behind a declaration of that one, and one
above declarations of the first and of all up to the next blank line or struct that have none behind
them, as scripts/ops_doc.py has it.  A struct without a comment is told by the function that takes or
gives it, a field by its name; what is said of several fields in a line is said of each.
"""

import re
import sys

SECTION = re.compile(r"---- .* ----")
STRUCT = re.compile(r"typedef (?:struct|enum|union) (\w+) \{")
DECLARATION = re.compile(r"(?:typedef|#define|[a-z_0-9 ]+\*?tp_\w+\()")
FIELDS = re.compile(r"\s+((?:const |unsigned |struct )*\w+) ([^()]+);\s*")
ESCAPED = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "#": r"\#", "@": r"\@", "\\": r"\\", "%": r"\%"}


def words(comment):
    lines = (re.sub(r"^\s*(/\*|\*(?!/)) ?", "", line) for line in comment.split("\n"))
    text = "\n".join(line.replace("*/", "").rstrip() for line in lines).strip()
    return text.translate(str.maketrans(ESCAPED))


def user_of(name, text):
    """What a struct is for: the first function that takes it, or gives it."""
    for m in re.finditer(r"^((?:\w+ )+)\*?(tp_\w+)\(([^;{]*)", text, re.MULTILINE):
        if re.search(rf"\b{name}\b", m.group(3)):
            return f"Taken by {m.group(2)}()."
        if m.group(1).strip() == name:
            return f"What {m.group(2)}() gives."
    return ""


def split(lines):
    """Of the header's lines: (comment before, code, comment behind), one at least of them."""
    lines = iter(lines)
    for line in lines:
        code, mark, rest = line.partition("/*")
        while mark and "*/" not in rest:
            rest += "\n" + next(lines)
        comment, _, after = rest.partition("*/")
        if mark and not code.strip():
            yield comment, after, ""
        else:
            yield "", code, comment if mark else ""


def declared(code, above, behind, text):
    """The code of a declaration with what is to be read about it."""
    struct = STRUCT.match(code)
    if struct and not above:
        above = user_of(struct.group(1), text[text.index(code) :]).translate(str.maketrans(ESCAPED))
    before = f"/** {above} */ " if above else ""
    return f"{before}{code}" + (f"/**< {words(behind)} */" if behind else "")


def field(code, note):
    """A line of a struct or an enum; what is said of `double a, b;` is said of both."""
    several = FIELDS.fullmatch(code)
    if several:
        kind, names = several.group(1), re.split(r",\s*", several.group(2))
        told = [note or re.sub(r".*[* ]|\[.*", "", n) for n in names]
        return " ".join(f"{kind} {n}; /**< {t} */" for n, t in zip(names, told))
    pointer = re.search(r"\(\*(\w+)\)", code)
    note = note or (pointer.group(1) if pointer else "")
    return code + (f" /**< {note} */" if note else "")


def filtered(text):
    above, first, inside, told, used = "", True, False, "", False
    for comment, code, behind in split(text.split("\n")):
        if comment and first:
            yield f"/** @file\n{words(comment)} */"
            first = False
        elif comment and inside:
            told = words(comment)
            yield code
        elif comment:
            above, used = "" if SECTION.search(comment) else words(comment), False
            yield code
        elif inside and not code.startswith("}"):
            yield field(code, words(behind) or told)
            told = "" if code.strip() else told
        elif DECLARATION.match(code):
            above = "" if used and STRUCT.match(code) else above
            yield declared(code, "" if used and behind else above, behind, text)
            inside, used = STRUCT.match(code) and code.rstrip().endswith("{"), True
        else:
            above = above if code.strip() else ""
            inside = False
            yield code + (f"/**< {words(behind)} */" if behind else "")


if __name__ == "__main__":
    print("\n".join(filtered(open(sys.argv[1]).read())))
