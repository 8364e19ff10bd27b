#!/bin/sh
# texts.sh - texts to train language models on, from Debian's packages, in ~/.cache/taper:
#
#     kjv.txt        the King James Version, a verse a line: for examples/gpt and examples/lstm
#     parts.tsv      the part of the Bible that a verse is from, a tab, the verse: for examples/classify
#     kjv-rv.tsv     a verse, a tab, the same one in the Reina-Valera of 1909: for examples/translate
#
# --data of these programs takes any other text.
set -eu

cd "$(dirname "$0")/.."
sh scripts/deps.sh texts
folder=${TAPER_CACHE:-$HOME/.cache/taper}
mkdir -p "$folder"

# keep NAME: NAME.part is whole when it has more than 31000 lines
keep()
{
    [ "$(wc -l <"$folder/$1.part")" -gt 31000 ] || {
        echo "texts.sh: less than 31000 verses for $1" >&2
        exit 1
    }
    mv "$folder/$1.part" "$folder/$1"
    echo "$folder/$1"
}

# verses MODULE: "book chapter:verse", a tab, the text, of a module of SWORD; headings, notes' numbers and paragraph
# marks are left out
verses()
{
    mod2imp "$1" -s | awk '
        function put() {
            gsub(/<[^>]*>|¶/, " ", text)
            gsub(/[ \t\r]+/, " ", text)
            gsub(/^ | $/, "", text)
            if (key ~ / [1-9][0-9]*:[1-9][0-9]*$/ && text != "") print key "\t" text
            text = ""
        }
        /^\$\$\$/ { put(); key = substr($0, 4); next }
        { text = text " " $0 }
        END { put() }'
}

bible -f Gen1:1-Rev22:21 >"$folder/verses.part"
sed 's/^[^ ]* //' "$folder/verses.part" >"$folder/kjv.txt.part"
keep kjv.txt

awk '{
    book = $1
    sub(/[0-9]+:[0-9]+$/, "", book)
    if (book != last) number++
    last = book
    part = number <= 5 ? "law" : number <= 17 ? "history" : number <= 22 ? "wisdom" : number <= 39 ? "prophets" : number <= 43 ? "gospels" : "apostles"
    sub(/^[^ ]* /, "")
    print part "\t" $0
}' "$folder/verses.part" >"$folder/parts.tsv.part"
keep parts.tsv
rm "$folder/verses.part"

verses engKJV2006eb >"$folder/en.part"
verses spaRV1909eb >"$folder/es.part"
awk -F '\t' 'NR == FNR { other[$1] = $2; next } $1 in other { print $2 "\t" other[$1] }' "$folder/es.part" "$folder/en.part" >"$folder/kjv-rv.tsv.part"
rm "$folder/en.part" "$folder/es.part"
keep kjv-rv.tsv
