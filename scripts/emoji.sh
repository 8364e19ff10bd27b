#!/bin/sh
# emoji.sh - small pictures with names to train a text-conditional model on, from Debian's Noto Color Emoji:
# ~/.cache/taper/emoji/red_apple.png and so on.  --data of examples/diffusion takes any other folder.
set -eu

cd "$(dirname "$0")/.."
sh scripts/deps.sh emoji # for Debian's own python3
folder=${TAPER_CACHE:-$HOME/.cache/taper}
mkdir -p "$folder"
rm -rf "$folder/emoji.part"
/usr/bin/python3 scripts/emoji.py "${1:-/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf}" "$folder/emoji.part"
rm -rf "$folder/emoji"
mv "$folder/emoji.part" "$folder/emoji"
echo "$folder/emoji"
