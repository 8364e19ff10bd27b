#!/usr/bin/env python3
"""Turns a public header's comments into those that Doxygen reads; docs/Doxyfile calls it.

    doxygen_filter.py FILE

In our headers the first comment speaks of the file, one behind a declaration of that one, and one above
declarations of all up to the next blank line that have none behind them.  A struct without a comment is
told by the function that takes or gives it, a field by its name.
"""

import re
import sys

SECTION = re.compile(r"---- .* ----")
STRUCT = re.compile(r"typedef (?:struct|enum|union) (\w+) \{")
DECLARATION = re.compile(r"(?:typedef|#define|[a-z_0-9 ]+\*?tp_\w+\()")
ESCAPED = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "#": r"\#", "@": r"\@", "\\": r"\\", "%": r"\%"}


def words(comment):
    lines = (re.sub(r"^\s*(/\*|\*(?!/)) ?", "", line) for line in comment.split("\n"))
    text = "\n".join(line.replace("*/", "").rstrip() for line in lines).strip()
    return text.translate(str.maketrans(ESCAPED))


def user_of(name, text):
    """What a struct is for: the first function that takes it, or gives it."""
    for m in re.finditer(r"(tp_\w+) \*?(tp_\w+)\(([^;{]*?)\);", text):
        if re.search(rf"\b{name}\b", m.group(3)):
            return f"Taken by {m.group(2)}()."
        if m.group(1) == name:
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
    before = f"/** {above} */ " if above and (struct or not behind) else ""
    return f"{before}{code}" + (f"/**< {words(behind)} */" if behind else "")


def filtered(text):
    above, first, inside, told = "", True, False, False
    for comment, code, behind in split(text.split("\n")):
        if comment and first:
            yield f"/** @file\n{words(comment)} */"
            first = False
        elif comment and inside:
            yield f"/** {words(comment)} */{code}"
            told = True
        elif comment:
            above = "" if SECTION.search(comment) else words(comment)
            yield code
        elif inside and not code.startswith("}"):
            name = code.split(",")[0].split()[-1].strip(";*") if code.strip() else ""
            note = words(behind) or ("" if told or not code.rstrip().endswith(";") else name)
            yield code + (f" /**< {note} */" if note else "")
            told = told and not code.rstrip().endswith(";")
        elif DECLARATION.match(code):
            yield declared(code, above, behind, text)
            inside = code.rstrip().endswith("{")
        else:
            above = above if code.strip() else ""
            inside = False
            yield code + (f"/**< {words(behind)} */" if behind else "")


if __name__ == "__main__":
    print("\n".join(filtered(open(sys.argv[1]).read())))
