#!/usr/bin/env python3
"""Writes golden/texts, what plain Python makes of some texts, for tests/test_data_texts.c:

    learned.txt    texts, a line each; learned.bpe: the pairs that are learned from them (Sennrich et al.
                   2016), 400 tokens, the most frequent first, of equals the one of the lower numbers
    vocab.txt      a small vocabulary as BERT's
    lower.txt, cased.txt    a text, in hexadecimal, then its tokens as BERT's tokenization.py gives them
    bleu.txt       BLEU of a sentence by mteval-v13a's rules, the sentence and its reference

    texts.py [VOCAB]    BERT's own vocab.txt: own.txt is written too, as lower.txt
"""

import collections
import math
import pathlib
import random
import re
import sys
import unicodedata

HERE = pathlib.Path(__file__).parent / "texts"
CUT = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:_|[^\s\w])+|\s+(?!\S)|\s+")

# ---- pairs that are learned ----


def symbols():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    odd = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(odd)}}


def corpus():
    draw = random.Random(3)
    syllables = ["ba", "na", "lo", "ri", "the", "and", "ing", "un", "é", "ñ", "aa", "aaa"]
    words = ["".join(draw.choice(syllables) for _ in range(draw.randrange(1, 4))) for _ in range(60)]
    lines = [" ".join(draw.choice(words) for _ in range(12)) + draw.choice([".", "!", ", 12", "'s"]) for _ in range(80)]
    return lines


def learn(lines, tokens):
    symbol = symbols()
    number = {s: i for i, s in enumerate(symbol.values())}
    words = collections.Counter(piece for line in lines for piece in CUT.findall(line))
    words = {tuple(symbol[b] for b in w.encode()): n for w, n in words.items()}
    merges = []
    while len(number) < tokens:
        count = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                count[pair] += n
        count = {p: n for p, n in count.items() if n > 1}
        if not count:
            break
        best = min(count, key=lambda p: (-count[p], number[p[0]], number[p[1]]))
        merges.append(best)
        number.setdefault("".join(best), len(number))
        words = {merged(word, best): n for word, n in words.items()}
    return merges


def merged(word, pair):
    out, i = [], 0
    while i < len(word):
        both = word[i : i + 2] == pair
        out.append("".join(pair) if both else word[i])
        i += 2 if both else 1
    return tuple(out)


# ---- pieces of words, as google-research/bert's tokenization.py ----


def is_chinese(c):
    spans = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
             (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]  # fmt: skip
    return any(a <= ord(c) <= b for a, b in spans)


def is_white(c):
    return c in " \t\n\r" or unicodedata.category(c) == "Zs"


def is_control(c):
    return c not in "\t\n\r" and unicodedata.category(c) in ("Cc", "Cf")


def is_punctuation(c):
    n = ord(c)
    if 33 <= n <= 47 or 58 <= n <= 64 or 91 <= n <= 96 or 123 <= n <= 126:
        return True
    return unicodedata.category(c).startswith("P")


def split_on_punctuation(word):
    out, new = [], True
    for c in word:
        if is_punctuation(c):
            out.append([c])
            new = True
        else:
            if new:
                out.append([])
            new = False
            out[-1].append(c)
    return ["".join(x) for x in out]


def basic(text, lower):
    clean = "".join(" " if is_white(c) else c for c in text if ord(c) not in (0, 0xFFFD) and not is_control(c))
    spaced = "".join(f" {c} " if is_chinese(c) else c for c in clean)
    out = []
    for word in spaced.split():
        if lower:
            word = unicodedata.normalize("NFD", word.lower())
            word = "".join(c for c in word if unicodedata.category(c) != "Mn")
        out += split_on_punctuation(word)
    return " ".join(out).split()


def pieces(word, vocab):
    if len(word) > 200:
        return ["[UNK]"]
    out, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocab:
                break
        else:
            return ["[UNK]"]
        out.append(piece)
        start = end
    return out


def small_vocabulary():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "want", "##want", "##ed", "wa", "runn", "##ing",
             ",", "low", "lowest", "##est", "a", "##a", "ab", "##b", "b", "the", "quick", "fox", "##es", "ass", "##ss",
             "uber", "über", "Straße", "strasse", "σοφος", "ς", "##ς", "##σ", "σ", "ο", "##ο", "##φ", "日", "本", "京", "豈",
             "!", "?", "'", "-", ".", "##.", "¿", "1", "##2", "##3", "i", "##i", "ᄒ", "##ᅡ", "##ᆫ", "ᄀ", "The", "Un"]  # fmt: skip
    return words


def some_texts():
    draw = random.Random(5)
    known = [c for c in map(chr, range(1, 0x30000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
    texts = ["", " ", "UNwant\u00e9d,running", "unaffable", "The quick foxes", "ab aab baa abba", "lowest lowes LOWEST!?",
             "Über die Straße", "\u03a3\u039f\u03a6\u039f\u03a3 \u03a3 \u039f\u03a3\u0301 \u03a3\u039f. \u039f\u03a3.\u039f", "日本 and 東京, 京",
             "\u8c48 \uf900 \U0002f800", "한국 가", "a\u0000b \ufffd a\u200db\u00adb", "x" * 201 + " a", "a" * 200, "¿a? 'b' a-b.a 1.2",
             "\u0130\u0131 I \u1e9e \ufb01", "a\u2028b\u2029a\u00a0b\u3000a\u0085b", "123 12 1 23", "[CLS] [MASK]", "e\u0301\u0301 \u0301",
             "\u01c5 \u1f88 \u212b \u03d2\u0301"]  # fmt: skip
    letters = "abunwedth eslo'.,-ΣοςÉñ日"
    for _ in range(60):
        texts.append("".join(draw.choice(letters) for _ in range(draw.randrange(1, 25))))
    for _ in range(60):
        texts.append("".join(draw.choice([draw.choice(letters), draw.choice(known)]) for _ in range(draw.randrange(1, 25))))
    return texts


def write_pieces(path, words, texts, lower):
    vocab = {w: i for i, w in enumerate(words)}
    lines = []
    for text in texts:
        ids = [vocab[p] for word in basic(text, lower) for p in pieces(word, vocab)]
        lines.append(f"{text.encode().hex() or '-'} {' '.join(map(str, ids))}".rstrip())
    path.write_text("\n".join(lines) + "\n")


# ---- BLEU ----


def words_13a(line):
    line = line.replace("-\n", "").replace("\n", " ")
    for name, c in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        line = line.replace(name, c)
    line = f" {line} "
    line = re.sub(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", r" \1 ", line)
    line = re.sub(r"([^0-9])([\.,])", r"\1 \2 ", line)
    line = re.sub(r"([\.,])([^0-9])", r" \1 \2", line)
    line = re.sub(r"([0-9])(-)", r"\1 \2 ", line)
    return line.split()


def bleu(candidate, reference):
    c, r = words_13a(candidate), words_13a(reference)
    logs = 0
    for n in range(1, 5):
        own = collections.Counter(tuple(c[i : i + n]) for i in range(len(c) - n + 1))
        ref = collections.Counter(tuple(r[i : i + n]) for i in range(len(r) - n + 1))
        hits = sum(min(k, ref[g]) for g, k in own.items())
        if not hits:
            return 0.0
        logs += math.log(hits / sum(own.values())) / 4
    return math.exp(logs + min(0, 1 - len(r) / len(c)))


def sentences():
    return [
        ("The cat sat on the mat, at 3.14 o'clock.", "The cat sat on the mat at 3,14 o'clock..."),
        ("He said: \"No, (really) no!\" and left; 10-20 people", "He said: \"No, (really) no\" and left; 10 - 20 people/men"),
        ("¿Qué dice la palabra de Jehová, Dios de Israel?", "Qué dice la palabra de Jehová, el Dios de Israel."),
        ("a-b c.d e,f 1.5 2,5 .5 5. 5,a a,5 ..", "a-b c.d e,f 1.5 2,5 .5 5. 5, a a, 5 . ."),
        ("tom &amp; jerry &quot;ran&quot; for &lt;b&gt;", "tom & jerry \"ran\" for <b> it"),
        ("one two-\nthree four\nfive six", "one twothree four five six seven"),
        ("& &x; {a} [b] ~c` d^e_f", "& &x; {a} [b] ~c` d^e_f"),
    ]


def main():
    HERE.mkdir(exist_ok=True)
    lines = corpus()
    (HERE / "learned.txt").write_text("\n".join(lines) + "\n")
    merges = learn(lines, 400)
    (HERE / "learned.bpe").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    words = small_vocabulary()
    (HERE / "vocab.txt").write_text("\n".join(words) + "\n")
    write_pieces(HERE / "lower.txt", words, some_texts(), True)
    write_pieces(HERE / "cased.txt", words, some_texts(), False)
    lines = [f"{bleu(c, r)!r} {c.encode().hex()} {r.encode().hex()}" for c, r in sentences()]
    (HERE / "bleu.txt").write_text("\n".join(lines) + "\n")
    if len(sys.argv) > 1:
        own = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").split("\n")[:-1]
        write_pieces(HERE / "own.txt", own, some_texts(), True)


main()
