#!/bin/sh
# texts.sh - a text to train language models on, from Debian's packages: ~/.cache/taper/kjv.txt, the King
# James Version, a verse a line.  --data of examples/gpt and examples/lstm takes any other text.
set -eu

cd "$(dirname "$0")/.."
sh scripts/deps.sh texts
folder=${TAPER_CACHE:-$HOME/.cache/taper}
mkdir -p "$folder"
bible -f Gen1:1-Rev22:21 | sed 's/^[^ ]* //' >"$folder/kjv.txt.part"
[ "$(wc -l <"$folder/kjv.txt.part")" -gt 31000 ] || {
    echo "texts.sh: bible-kjv gave less than 31000 verses" >&2
    exit 1
}
mv "$folder/kjv.txt.part" "$folder/kjv.txt"
echo "$folder/kjv.txt"
