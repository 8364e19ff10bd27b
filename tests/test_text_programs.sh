#!/bin/sh
# test_text_programs.sh FORECAST TRANSLATE CLASSIFY - programs for texts and series as a user meets them, small.
set -u
forecast=$1 translate=$2 classify=$3
. "$(dirname "$0")/programs.sh"

# ---- forecast ----
awk 'BEGIN {
    print "date,up,wave"
    for (i = 0; i < 400; i++) printf "day %d,%d.%d,%.3f\n", i, i / 10, i % 10, sin(i / 3)
}' >series.csv
small="--device cpu --data series.csv --steps_in 24 --ahead 8 --segment 4 --season 8 --width 8"
resumed forecast forecast.safetensors "$forecast" $small --epochs 240
ok forecast "$forecast" $small --epochs 2 --out f --plot
number mse mae naive_mse season_mse
picture f/forecast_0.png f/forecast_1.png f/curve.png
ok "what is next" "$forecast" --device cpu --data series.csv --out f --sample
[ "$(wc -l <stdout)" -eq 9 ] && [ "$(head -n 1 stdout)" = "up,wave" ] || fail "what is next: $(cat stdout)"
ok "one column" "$forecast" $small --epochs 1 --columns wave --out w
refused "another number of columns" 1 "forecasts the columns up,wave; the table has up" "$forecast" --device cpu --data series.csv --columns up --out f --sample
refused "no data" 1 "none/.cache/taper/series.csv can't be read: scripts/series.sh makes it" env HOME="$dir/none" "$forecast" --device cpu --out f
refused "no data named that is there" 1 "none.csv can't be read: No such file" "$forecast" --device cpu --data none.csv --out f
mkdir -p home/.cache/taper
cp series.csv home/.cache/taper
ok "the data that scripts/series.sh makes" env HOME="$dir/home" "$forecast" $small --data home/.cache/taper/series.csv --epochs 1 --out g
cp stdout named.out
ok "the data that scripts/series.sh makes" env HOME="$dir/home" "$forecast" ${small#--device cpu --data series.csv} --device cpu --epochs 1 --out g
cmp -s stdout named.out || fail "the data that scripts/series.sh makes: $(cat stdout named.out)"
tr , ';' <series.csv >semicolons.csv
tr , '\t' <series.csv >tabs.csv
ok "semicolons" "$forecast" $small --data semicolons.csv --delimiter ';' --epochs 1 --out g
cmp -s stdout named.out || fail "semicolons: $(cat stdout)"
ok "tabs" "$forecast" $small --data tabs.csv --delimiter '\t' --epochs 1 --out g
cmp -s stdout named.out || fail "tabs: $(cat stdout)"
ok "a pipe without dates" sh -c "cut -d, -f2,3 series.csv | '$forecast' $small --data /dev/stdin --epochs 1 --out g"
cmp -s stdout named.out || fail "a pipe without dates: $(cat stdout)"
refused "another delimiter" 1 'column 0 (date;up;wave): "day 0;0.0;0.000" is no number' "$forecast" $small --data semicolons.csv --out f
refused "a long delimiter" 1 '--delimiter "ab": one character, or \\t, is wanted' "$forecast" $small --delimiter ab --out f
refused "no delimiter" 1 '--delimiter "": one character' "$forecast" $small --delimiter "" --out f
sed '9s/,[^,]*$/,1,5/; s/,/;/; s/,/;/' series.csv >commas.csv
refused "a decimal comma" 1 'line 9, column 2 (wave): "1,5" is no number: decimals come after a point' "$forecast" $small --data commas.csv --delimiter ';' --out f
sed '9s/[^,]*$/inf/' series.csv >infinite.csv
refused "an infinity" 1 'infinite.csv: line 9, column 2 (wave): "inf" is infinite' "$forecast" $small --data infinite.csv --out f
cut -d, -f2,3 series.csv | sed '9s/^[^,]*/lost/' >stray.csv
refused "a text in the first column" 1 'line 9, column 0 (up): "lost" is no number' "$forecast" $small --data stray.csv --out f
refused "no such column" 1 "there is no column \"sea\": there are 3" "$forecast" $small --columns sea --out f
ok "dates through a pipe" sh -c "cat series.csv | '$forecast' $small --data /dev/stdin --epochs 1 --out g"
sed '1s/up/"a, ""b"""/' series.csv >quotes.csv
ok "names with commas" "$forecast" $small --data quotes.csv --epochs 1 --out g
ok "names with commas, next" "$forecast" --device cpu --data quotes.csv --out g --sample
[ "$(head -n 1 stdout)" = '"a, ""b""",wave' ] || fail "names with commas: $(head -n 1 stdout)"
grep -q nan stdout && fail "what is next: $(cat stdout)"
printf 'x,\377\n1,2\n3,4\n' >latin.csv
refused "a name that is no UTF-8" 1 "no UTF-8" "$forecast" --device cpu --data latin.csv --steps_in 24 --ahead 8 --segment 4 --season 8 --out f
refused "no column" 1 "x names no column" "$forecast" $small --columns "" --out f
refused "a column of text" 1 'column 0 (date): "day 0" is no number' "$forecast" $small --columns date --out f
refused "more rows than there are" 1 "400 rows are there: 500 to train (at least 32) and twice 200 (8) are wanted" "$forecast" $small --train 500 --validation 200 --out f
refused "few rows to train" 1 "400 rows are there: 31 to train (at least 32) and twice 80 (8) are wanted" "$forecast" $small --train 31 --out f
refused "few rows to validate" 1 "386 to train (at least 32) and twice 7 (8) are wanted" "$forecast" $small --validation 7 --out f
refused "a long season" 1 "--season 50 is more than --steps_in 24" "$forecast" --device cpu --data series.csv --steps_in 24 --ahead 8 --segment 4 --season 50 --out f
refused "a segment that doesn't divide" 1 "segment 5 doesn't divide both steps_in 24 and ahead 8" "$forecast" --device cpu --data series.csv --steps_in 24 --ahead 8 --segment 5 --season 8 --out f
head -n 20 series.csv >short.csv
refused "a short table" 1 "19 rows are there: 13 to train (at least 32) and twice 3 (8) are wanted" "$forecast" --device cpu --data short.csv --steps_in 24 --ahead 8 --segment 4 --season 8 --out f
: >empty
refused "an empty file" 1 "there are no rows" "$forecast" --device cpu --data empty --out f
ok --help "$forecast" --help
grep -q -- "--steps_in N" stdout || fail "--help: $(cat stdout)"

# ---- translate ----
awk 'BEGIN {
    split("one two three four five six", a); split("uno dos tres cuatro cinco seis", b)
    for (i = 0; i < 600; i++) {
        x = y = ""
        for (k = 0; k <= i % 4; k++) { n = 1 + (i * 7 + k * k * 5) % 6; x = x " " a[n]; y = y " " b[n] }
        print substr(x, 2) ".\t" substr(y, 2) "."
    }
}' >pairs.tsv
small="--device cpu --data pairs.tsv --tokens 300 --layers 1 --heads 2 --width 16 --context 24 --held 60 --batch 16"
resumed translate translate.safetensors "$translate" $small --steps 800 --beams 2
ok translate "$translate" $small --steps 900 --lr 1e-2 --out t --plot
number bleu validation_loss
grep -q "  ours  " stdout || fail "translate: no samples: $(cat stdout)"
[ "$(sed -n 's/^result .*bleu=\([0-9]*\).*/\1/p' stdout)" -gt 50 ] || fail "translate: $(cat stdout)"
ok "a line" "$translate" --device cpu --out t --text "$(sed -n '2s/\t.*//p' pairs.tsv)"
[ "$(cat stdout)" = "$(sed -n '2s/.*\t//p' pairs.tsv)" ] || fail "a line: $(cat stdout)"
ok "greedily" "$translate" --device cpu --out t --text "two." --beams 1
printf 'alone\n' >alone.tsv
refused "one column" 1 "1 columns" "$translate" --device cpu --data alone.tsv --out e
printf 'a\tb\nc\n' >row.tsv
refused "a row without a tab" 1 "line 2 has 1 fields" "$translate" --device cpu --data row.tsv --out e
refused "few rows" 1 "600 pairs: with --held 600 none is left" "$translate" --device cpu --data pairs.tsv --held 600 --out e
refused "an empty file" 1 "there are no rows" "$translate" --device cpu --data empty --out e
refused "no file" 1 "missing.tsv" "$translate" --device cpu --data missing.tsv --out e
ok "cut texts" "$translate" $small --context 8 --steps 2 --out e
grep -q "[1-9][0-9]* of their texts cut" stderr || fail "cut texts: $(cat stderr)"
refused "no checkpoint" 1 "nothing" "$translate" --device cpu --out nothing --text a

# ---- classify ----
awk 'BEGIN { for (i = 0; i < 300; i++) print (i % 3 == 0 ? "pets\tthe cat and dog" : i % 3 == 1 ? "food\tbread with wine" : "food\tan old apple") " number " i }' >kinds.tsv
small="--device cpu --data kinds.tsv --tokens 300 --layers 1 --width 16 --context 40 --batch 16"
resumed classify classify.safetensors "$classify" $small --steps 2000
ok classify "$classify" $small --steps 200 --lr 3e-3 --out c --plot
number test_accuracy f1 commonest
grep -q "^pets  *[0-9][0-9]*  *[0-9][0-9]*$" stdout || fail "classify: $(cat stdout)"
ok "a long line" "$classify" --device cpu --out c --text "$(yes cat | head -n 100 | tr '\n' ' ')"
grep -q "longer than the 40 tokens" stderr || fail "a long line: $(cat stderr)"
ok "a line" "$classify" --device cpu --out c --text "the cat and dog number 7"
grep -q "^pets 0\.[5-9]" stdout || fail "a line: $(cat stdout)"
printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\ncat\nwine\nnumber\n' >vocab.txt
ok "pieces of words" "$classify" $small --vocab vocab.txt --steps 4 --out v
ok "pieces of words, a line" "$classify" --device cpu --out v --text "The CAT"
printf 'label,text\nx,"a, b"\ny,c\nx,d\n' >kinds.csv
ok "commas" "$classify" --device cpu --data kinds.csv --held 2 --tokens 300 --layers 1 --width 16 --steps 1 --out k
{ printf 'label\ttext\n' && cat kinds.tsv; } >named.tsv
{ head -n 9 kinds.tsv && printf 'pets\tcaf\351\n'; } >latin.tsv
refused "a text that is no UTF-8" 1 "latin.tsv: line 10, column 1 is no UTF-8" "$classify" $small --data latin.tsv --steps 1 --out k
ok "a first row of names" "$classify" $small --data named.tsv --steps 1 --out k
grep -q "300 texts.* 2 classes" stderr || fail "a first row of names: $(cat stderr)"
refused "one class" 1 "1 classes: there is nothing to learn" sh -c "cut -f2 kinds.tsv | sed 's/^/same\t/' >same.tsv; exec '$classify' --device cpu --data same.tsv --out e"
refused "one column" 1 "there is no" "$classify" --device cpu --data alone.tsv --out e
refused "an empty file" 1 "there are no rows" "$classify" --device cpu --data empty --out e
cp t/translate.safetensors c/classify.safetensors
refused "another model's file" 1 "holds a translate, not a bert" "$classify" --device cpu --out c --text a
exit $bad
