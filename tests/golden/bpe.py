#!/usr/bin/env python3
"""Writes golden/bpe: a small vocabulary of byte pairs, and texts with their tokens as GPT-2's own
encoder gives them, for tests/test_data_tokenizer.c.  Needs the module regex.

    bpe.py [FOLDER]     FOLDER has GPT-2's encoder.json and vocab.bpe: gpt2.txt is written too

vocab.json and merges.txt are made of the pairs that are most frequent in a text below, then pairs
in an order that no training gives: one that is made of another before that other.  pairs.txt and
gpt2.txt have a text a line, in hexadecimal, then its tokens.
"""

import collections
import json
import pathlib
import random
import sys
import unicodedata

import regex

HERE = pathlib.Path(__file__).parent / "bpe"
CUT = regex.compile(r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""")
TEXT = """The lower the lowest, the newer the newest: it's wider than we'll know. They're 12 of 1234,
and I've said they'd go. Größe über Straße; les élèves naïfs; привет мир, привет; 日本語 日本; 3.14 + 2.71 = 5.85.
"""
ODD = [("zqx", "q"), ("zq", "x"), ("z", "q"), ("q", "z"), ("zq", "z"), ("zz", "z"), ("z", "z")]


def symbols():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    odd = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(odd)}}


SYMBOL = symbols()


def pairs_of(word):
    return list(zip(word, word[1:]))


def merged(word, pair):
    out, i = [], 0
    while i < len(word):
        if tuple(word[i:i + 2]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


def encode(text, vocab, rank):
    ids = []
    for piece in CUT.findall(text):
        word = [SYMBOL[b] for b in piece.encode()]
        while len(word) > 1:
            best = min(pairs_of(word), key=lambda p: rank.get(p, float("inf")))
            if best not in rank:
                break
            word = merged(word, best)
        ids += [vocab[s] for s in word]
    return ids


def train(n):
    words = [[SYMBOL[b] for b in w.encode()] for w in CUT.findall(TEXT)]
    merges = []
    while len(merges) < n:
        count = collections.Counter(p for w in words for p in pairs_of(w))
        best = max(sorted(count), key=count.get)
        merges.append(best)
        words = [merged(w, best) for w in words]
    return merges


def texts():
    draw = random.Random(1)
    known = [c for c in map(chr, range(1, 0x30000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
    some = ["", " ", "  ", "\n\n", " a", "  a", "   \n  b ", "it's IT'S 'twas they'll 'll'", "abc123def 4 5  6", "zqzq", "zzzzz zzzz",
            "zqxq zqx qzq", "tab\tand\u00a0nbsp\u3000wide \u2028x", "x\r\ny \r\n", "½ ² ٣ Ⅷ 四", "naïve Ünïcödé", "🙂🙂 ok!", "a" * 70,
            "¡hola! -- ... ''' \"q\"", "\u0301combining", TEXT]
    for _ in range(40):
        some.append("".join(draw.choice([draw.choice("zqx lowerst'\n\t 1290"), draw.choice(known)]) for _ in range(draw.randrange(1, 40))))
    for _ in range(40):
        some.append("".join(draw.choice("zqzqx zz") for _ in range(draw.randrange(1, 30))))
    return some


def write_pairs(path, vocab, rank):
    lines = [f"{t.encode().hex() or '-'} {' '.join(map(str, encode(t, vocab, rank)))}".rstrip() for t in texts()]
    path.write_text("\n".join(lines) + "\n")


def main():
    HERE.mkdir(exist_ok=True)
    merges = train(60) + ODD
    keys = sorted(SYMBOL.values())
    for a, b in merges:
        keys += [a + b] if a + b not in keys else []
    keys.append("<|endoftext|>")
    vocab = {k: i for i, k in enumerate(keys)}
    (HERE / "vocab.json").write_text(json.dumps(vocab))
    (HERE / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    write_pairs(HERE / "pairs.txt", vocab, {p: i for i, p in enumerate(merges)})
    if len(sys.argv) > 1:
        folder = pathlib.Path(sys.argv[1])
        lines = (folder / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
        rank = {tuple(line.split()): i for i, line in enumerate(lines)}
        write_pairs(HERE / "gpt2.txt", json.loads((folder / "encoder.json").read_text()), rank)


main()
