#!/bin/sh
# test_program.sh CNN MAKE_IDX - an example program as a user meets it: what it says when
# something is wrong, Ctrl-C and --resume.
set -u
cnn=$1 make_idx=$2
. "$(dirname "$0")/programs.sh"
trap 'umount "$dir/small" 2>/dev/null; rm -rf "$dir"' EXIT

# refused_in_a_line NAME STATUS TEXT ARGUMENTS...: ends with STATUS and one line on stderr that has TEXT
refused_in_a_line()
{
    name=$1 want=$2 text=$3
    shift 3
    timeout 60 "$cnn" "$@" >stdout 2>stderr
    got=$?
    [ $got -eq "$want" ] || fail "$name: status $got, not $want"
    [ "$(wc -l <stderr)" -eq 1 ] || fail "$name: $(wc -l <stderr) lines: $(cat stderr)"
    grep -qe "$text" stderr || fail "$name: \"$text\" is not in: $(cat stderr)"
    grep -q '^cnn: ' stderr || fail "$name: doesn't begin with the program: $(cat stderr)"
    [ ! -s stdout ] || fail "$name: prints $(cat stdout)"
}

mkdir data none cut few odd
"$make_idx" data 400 100 || exit 1
"$make_idx" few 40 20 || exit 1
quick="--device cpu --data data --batch 16 --steps 3 --threads 1"

# ---- what is wrong is said in one line ----
refused_in_a_line "unknown flag" 2 "--nonsense isn't a flag" --nonsense
refused_in_a_line "short flag" 2 "-x isn't a flag" -x
refused_in_a_line "no value" 2 "--epochs lacks its value" --epochs
refused_in_a_line "no number" 2 "--epochs three" --epochs three
refused_in_a_line "too many" 2 "from 1 to 16777216 is wanted" --batch 99999999
refused_in_a_line "zero" 2 "--batch 0" --batch 0
refused_in_a_line "word" 2 'what is "word"' word
refused_in_a_line "amp" 2 "off, bf16 or f16" --amp f8
refused_in_a_line "device" 1 'no device is named "tpu"' $quick --device tpu
refused_in_a_line "device number" 1 'no device is named "cuda:x"' $quick --device cuda:x
refused_in_a_line "no folder" 1 "there is no nowhere/train-images" $quick --data nowhere
refused_in_a_line "empty folder" 1 "there is no none/train-images" $quick --data none
refused_in_a_line "file as out" 1 "stdout" $quick --out stdout
refused_in_a_line "out below a file" 1 "Not a directory" $quick --out stdout/x
refused_in_a_line "out in /proc" 1 "/proc/x can't be written to" $quick --out /proc/x
gzip -c data/train-images-idx3-ubyte >whole.gz
cp data/* cut && rm cut/train-images-idx3-ubyte
for n in 1 5 100 20000; do
    head -c $n whole.gz >cut/train-images-idx3-ubyte.gz
    refused_in_a_line "gzip cut at $n" 1 "cut/train-images-idx3-ubyte.gz: " $quick --data cut
done
head -c -1 whole.gz >cut/train-images-idx3-ubyte.gz
refused_in_a_line "gzip without its last byte" 1 "it is cut short" $quick --data cut
cp data/* odd && cp few/train-labels-idx1-ubyte odd/
refused_in_a_line "counts" 1 "400 images and odd/train-labels-idx1-ubyte 40 labels" $quick --data odd
cp data/train-images-idx3-ubyte odd/train-labels-idx1-ubyte
refused_in_a_line "images as labels" 1 "holds no labels" $quick --data odd
cp data/* odd && printf '\0\0\010\001\0\0\001\220' >odd/train-labels-idx1-ubyte
i=0
while [ $i -lt 400 ]; do printf '\143' && i=$((i + 1)); done >>odd/train-labels-idx1-ubyte
refused_in_a_line "labels of 99" 1 "99" $quick --data odd
if timeout 60 "$cnn" $quick --device cuda --out gpu >/dev/null 2>&1; then
    echo "a GPU is here: that it is missing can't be tried"
else
    refused_in_a_line "no GPU" 1 "cuda isn't there: " $quick --device cuda
fi

# ---- help ----
"$cnn" --help >stdout 2>stderr || fail "--help: status $?"
[ -s stdout ] && [ ! -s stderr ] && grep -q -- --resume stdout || fail "--help says too little"
"$cnn" -h | cmp - stdout || fail "-h is not --help"

# ---- standard output that can't be written ----
"$cnn" --help >/dev/full 2>stderr
[ $? -eq 1 ] && grep -q '^cnn: .*standard output can.t be written: No space left' stderr || fail "--help to a full disk: $(cat stderr)"
"$cnn" $quick --out full1 >/dev/full 2>stderr
[ $? -eq 1 ] && grep -q '^cnn: .*standard output can.t be written: No space left' stderr || fail "a result to a full disk: $(cat stderr)"
"$cnn" $quick --out pipe 2>&1 >result | true # whoever reads the progress goes away
grep -q '^result model=cnn' result || fail "a closed stderr ends the run"

# ---- a place that can't hold the checkpoint, found before the training ----
mkdir -p place/state.safetensors
refused_in_a_line "a folder as checkpoint" 1 "state.safetensors can't be written: Is a directory" $quick --out place
[ ! -s place/log.csv ] || fail "trained without a place to save to"
mkdir small
if mount -t tmpfs -o size=256k none small 2>/dev/null; then
    refused_in_a_line "a full disk" 1 "No space left on device" $quick --out small
    [ "$(ls small)" = log.csv ] && [ ! -s small/log.csv ] || fail "a full disk leaves: $(ls -l small)"
    umount small
else
    echo "skipped: a full disk (no tmpfs may be mounted here)"
fi

# ---- a whole run, and one interrupted ----
steps=120
run="--device cpu --data data --batch 16 --threads 1 --steps $steps --seed 3"
timeout 300 "$cnn" $run --out whole >whole.out 2>whole.err || fail "a whole run: $(cat whole.err)"
[ "$(wc -l <whole.out)" -eq 1 ] && grep -Eq '^result model=cnn test_accuracy=[01]\.[0-9]{4} epochs=[0-9]+ seconds=[0-9.]+ images_per_second=[0-9]+$' whole.out ||
    fail "the result line is: $(cat whole.out)"
for f in log.csv curve.png predictions.png cnn.safetensors state.safetensors; do
    [ -s whole/$f ] || fail "there is no $f"
done
[ "$(wc -l <whole/log.csv)" -eq $((steps + 1)) ] || fail "log.csv has $(wc -l <whole/log.csv) lines"
[ -z "$(find whole -name '*.part' -o -name '*.*.*')" ] || fail "something is left: $(ls whole)"

# interrupt SECONDS SIGNAL ARGUMENTS...: the step at which it stopped, or nothing
interrupt()
{
    pause=$1 signal=$2
    shift 2
    "$cnn" "$@" >part.out 2>part.err &
    pid=$!
    sleep "$pause"
    kill -"$signal" $pid 2>/dev/null
    wait $pid
    got=$?
    [ $got -eq 0 ] || [ $got -eq 130 ] || fail "interrupted: status $got and $(cat part.err)"
    grep -q 'stopped at step' part.err && { [ $got -eq 130 ] || fail "stopped with status $got"
        tail -n 1 part.err | grep -q 'stopped at step' || fail "the last line is $(tail -n 1 part.err)"; }
    sed -n 's/.*stopped at step \([0-9]*\); go on with --resume piece\/state.safetensors$/\1/p' part.err
}

at=
for pause in 0.3 0.15 0.5 0.08 0.8 1.5 3 6; do # until one hits the middle
    rm -rf piece
    at=$(interrupt $pause INT $run --out piece)
    [ -n "$at" ] && [ "$at" -gt 0 ] && [ "$at" -lt $steps ] && break
done
if [ -n "$at" ] && [ "$at" -lt $steps ]; then
    [ ! -s part.out ] || fail "interrupted, and yet a result: $(cat part.out)"
    timeout 300 "$cnn" $run --out piece --resume piece/state.safetensors >part.out 2>part.err || fail "resumed: $(cat part.err)"
    for f in cnn.safetensors state.safetensors log.csv predictions.png; do
        cmp whole/$f piece/$f || fail "stopped at step $at and resumed: another $f"
    done
    [ "$(cut -d' ' -f1-4 whole.out)" = "$(cut -d' ' -f1-4 part.out)" ] || fail "resumed: $(cat part.out)"
else
    fail "never stopped in the middle: \"$at\""
fi

# nothing left to do, and less than is done
timeout 300 "$cnn" $run --out whole2 --resume whole/state.safetensors >whole2.out 2>part.err || fail "a finished run: $(cat part.err)"
[ "$(cat whole2.out)" = "$(cut -d' ' -f1-4 whole.out)" ] || fail "a finished run: $(cat whole2.out)"
timeout 300 "$cnn" ${run%--steps*} --seed 3 --steps 5 --out whole2 --resume whole/state.safetensors >whole2.out 2>part.err || fail "fewer steps: $(cat part.err)"
grep -q "$steps/5" part.err && fail "fewer steps than done: $(cat part.err)"

# killed without warning: the checkpoint of the last pass is whole, and log.csv starts again there
cp -r whole killed && rm killed/cnn.safetensors
timeout 300 "$cnn" ${run%--steps*} --seed 3 --steps 25 --out killed >/dev/null 2>part.err || fail "25 steps: $(cat part.err)"
printf '26,1.5\n27,9' >>killed/log.csv
timeout 300 "$cnn" ${run%--steps*} --seed 3 --steps 30 --out killed --resume killed/state.safetensors >/dev/null 2>part.err ||
    fail "30 steps: $(cat part.err)"
[ "$(cut -d, -f1 killed/log.csv | tr '\n' ' ')" = "step $(seq -s' ' 1 30) " ] || fail "log.csv: $(cut -d, -f1 killed/log.csv)"

# ---- a loss that isn't finite ends it; the last checkpoint stays ----
timeout 60 "$cnn" $run --lr 1e8 --out wild >stdout 2>stderr
[ $? -eq 1 ] && grep -q "NaN\|finite" stderr || fail "a wild rate: $(tail -n 1 stderr)"
[ ! -f wild/cnn.safetensors ] || fail "a wild rate leaves weights"

# ---- checkpoints that aren't ----
head -c 5000 whole/state.safetensors >cut.safetensors
refused_in_a_line "no checkpoint" 1 "nothing can't be read: No such file" $run --resume nothing
refused_in_a_line "cut checkpoint" 1 "cut.safetensors is not a safetensors file" $run --resume cut.safetensors
refused_in_a_line "weights as checkpoint" 1 "that file holds weights" $run --resume whole/cnn.safetensors
refused_in_a_line "folder as checkpoint" 1 "Is a directory" $run --resume whole
refused_in_a_line "text as checkpoint" 1 "not a safetensors file" $run --resume whole.out
timeout 300 "$cnn" ${run%--steps*} --seed 3 --steps 20 --out batch >/dev/null 2>part.err
refused_in_a_line "other batch size" 2 "was begun with --batch 16" $run --batch 200 --resume batch/state.safetensors

refused_in_a_line "other data" 1 "400 samples there and 40 here" $run --data few --resume batch/state.safetensors

[ $bad -eq 0 ] && echo "all as it should be"
exit $bad
