#!/usr/bin/env python3
"""emoji.py FONT FOLDER - the pictures of a colour font (CBDT) as FOLDER/name_of_it.png, 32x32 on white.

One for each character with a picture and a name in Unicode: no skin tones, flags of letters or other
sequences, nor the bare digits that begin keycaps."""

import io
import pathlib
import sys
import unicodedata

from fontTools.ttLib import TTFont
from PIL import Image

SIZE = 32


def name_of(code):
    """red_apple of 0x1F34E; None of what is left out."""
    part = 0x1F3FB <= code <= 0x1F3FF or 0x1F1E6 <= code <= 0x1F1FF or 0xE0000 <= code or code < 0xA9
    name = unicodedata.name(chr(code), None)
    return None if part or not name else name.lower().replace(" ", "_").replace("/", "_")


def small(png):
    """The whole picture, its proportions kept, in the middle of a white square."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    square = Image.new("RGBA", (max(picture.size),) * 2, "white")
    left, top = ((square.width - n) // 2 for n in picture.size)
    square.alpha_composite(picture, (left, top))
    return square.convert("RGB").resize((SIZE, SIZE), Image.LANCZOS)


def main(path, folder):
    font = TTFont(path)
    pictures = font["CBDT"].strikeData[0]
    folder.mkdir(parents=True)
    written = 0
    for code, glyph in sorted(font.getBestCmap().items()):
        name = name_of(code)
        if name and glyph in pictures:
            small(pictures[glyph].imageData).save(folder / f"{name}.png")
            written += 1
    if written < 1000:
        sys.exit(f"emoji.py: {path} has only {written} pictures with names")


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
