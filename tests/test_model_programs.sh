#!/bin/sh
# test_model_programs.sh GPT LSTM VAE RESNET MAKE_IDX - the models' programs as a user meets them, small.
set -u
gpt=$1 lstm=$2 vae=$3 resnet=$4 make_idx=$5
dir=$(mktemp -d "${TMPDIR:-/tmp}/taper-test-XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP TERM
cd "$dir" || exit 1
bad=0

fail()
{
    echo "FAIL: $*"
    bad=1
}

# ok NAME COMMAND...: ends with 0
ok()
{
    name=$1
    shift
    timeout 300 "$@" >stdout 2>stderr || fail "$name: status $?: $(tail -n 3 stderr)"
}

# refused NAME STATUS TEXT COMMAND...: one line on stderr with the text, and the status
refused()
{
    name=$1 status=$2 text=$3
    shift 3
    timeout 60 "$@" >stdout 2>stderr
    got=$?
    [ $got -eq "$status" ] && grep -q -- "$text" stderr || fail "$name: status $got: $(cat stderr)"
}

# value KEY: of the result line
value()
{
    sed -n "s/^result .*$1=\([^ ]*\).*/\1/p" stdout
}

# number KEY: is it one?
number()
{
    case $(value "$1") in [0-9]*.[0-9]*) ;; *) fail "$1: $(cat stdout)" ;; esac
}

# resumed NAME COMMAND...: ended by Ctrl-C and gone on with, a run leaves the same bits as in one go
resumed()
{
    model=$1
    shift
    ok "$model" "$@" --out whole
    cp stdout whole.out
    "$@" --out cut >cut.out 2>cut.err &
    pid=$!
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        sleep 0.1
        [ -f cut/log.csv ] && [ "$(wc -l <cut/log.csv)" -gt 4 ] && break
    done
    kill -INT $pid 2>/dev/null # a fast machine may be done
    wait $pid
    status=$?
    [ $status -eq 130 ] || [ $status -eq 0 ] || fail "$model: Ctrl-C gives $status: $(cat cut.err)"
    grep -q "^result" cut.out || grep -q -- "--resume cut/state.safetensors" cut.err || fail "$model: $(cat cut.err)"
    ok "$model resumed" "$@" --out cut --resume cut/state.safetensors
    cmp -s whole/"$model".safetensors cut/"$model".safetensors || fail "$model: resumed, other bits"
    cmp -s stdout whole.out || fail "$model: $(cat stdout whole.out)"
    rm -rf whole cut
}

awk 'BEGIN { for (i = 0; i < 900; i++) printf "the %d cats and %d dogs of number %d.\n", i % 7, i % 5, i }' >text
small="--device cpu --data text --steps 900 --batch 8 --layers 1 --width 16 --every 100"

# ---- gpt ----
resumed gpt "$gpt" $small --heads 2 --context 16 --dropout 0.1
ok gpt "$gpt" $small --heads 2 --context 16 --out g --plot
number validation_loss
[ "$(head -c 4 g/curve.png | tail -c 3)" = PNG ] || fail "gpt: no curve"
ok "gpt writes" "$gpt" --device cpu --out g --sample 40 --prompt "the " --temperature 0.5 --top_k 5 --top_p 0.9 --repetition 1.1
cp stdout once
[ "$(wc -c <once)" -ge 45 ] || fail "gpt writes $(cat once)"
ok "gpt writes again" "$gpt" --device cpu --out g --sample 40 --prompt "the " --temperature 0.5 --top_k 5 --top_p 0.9 --repetition 1.1
cmp -s stdout once || fail "gpt: another text by the same seed"
refused "a symbol that isn't there" 1 "Z" "$gpt" --out g --sample 5 --prompt "Z"
refused "no checkpoint" 1 "nothing" "$gpt" --out nothing --sample 5
refused "an unknown flag" 2 "isn't a flag" "$gpt" --heat 2
refused "heads that don't divide" 1 "heads" "$gpt" $small --heads 3 --context 16 --out h
printf 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' >one
refused "one symbol" 1 "nothing to learn" "$gpt" --device cpu --data one --steps 2 --context 4 --out h
refused "a short text" 1 "window" "$gpt" --device cpu --data text --steps 2 --context 100000 --out h
refused "no text" 1 "missing.txt" "$gpt" --data missing.txt --out h
ok "--help" "$gpt" --help
grep -q -- "--temperature X" stdout || fail "--help: $(cat stdout)"

# ---- lstm ----
resumed lstm "$lstm" $small --window 16
ok lstm "$lstm" $small --window 16 --out l
number validation_loss
ok "lstm writes" "$lstm" --device cpu --out l --sample 30 --prompt "the"
[ "$(wc -c <stdout)" -ge 34 ] || fail "lstm writes $(cat stdout)"
cp l/lstm.safetensors g/lstm.safetensors
refused "another model's file" 1 "holds a gpt" sh -c "cp g/gpt.safetensors l/lstm.safetensors && exec '$lstm' --device cpu --out l --sample 5"
cp g/lstm.safetensors l/lstm.safetensors
printf '{"vocab": {"a": 0, "b": 1}, "unknown": null, "special": []}' >l/symbols.json
refused "other symbols" 1 "don't belong together" "$lstm" --device cpu --out l --sample 5 --prompt a

# ---- vae, resnet ----
mkdir data && "$make_idx" data 600 120 || fail "make_idx"
resumed vae "$vae" --device cpu --data data --epochs 40 --batch 50 --hidden 32 --latent 4
ok vae "$vae" --device cpu --data data --epochs 1 --hidden 32 --latent 4 --out v --plot
number test_loss
for picture in samples reconstructions walk strange; do
    [ "$(head -c 4 v/$picture.png | tail -c 3)" = PNG ] || fail "vae: no $picture.png"
done
rm v/samples.png
ok "vae draws" "$vae" --device cpu --data data --out v --sample
[ -f v/samples.png ] || fail "vae: nothing drawn"
refused "no vae" 1 "nothing" "$vae" --device cpu --data data --out nothing --sample
resumed resnet "$resnet" --device cpu --data data --steps 40 --batch 20
ok resnet "$resnet" --device cpu --data data --steps 4 --batch 20 --out r
number test_accuracy
mkdir empty
refused "an empty folder" 1 "empty" "$resnet" --device cpu --data empty --out r
exit $bad
