#!/bin/sh
# test_diffusion_programs.sh DIFFUSION CNN MAKE_IDX - the program as a user meets it, small.
set -u
diffusion=$1 cnn=$2 make_idx=$3
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

# refused NAME STATUS TEXT COMMAND...: the text on stderr, and the status
refused()
{
    name=$1 status=$2 text=$3
    shift 3
    timeout 60 "$@" >stdout 2>stderr
    got=$?
    [ $got -eq "$status" ] && grep -q -- "$text" stderr || fail "$name: status $got: $(cat stderr)"
}

# resumed FLAGS...: ended by Ctrl-C and gone on with, a run leaves the same bits as in one go
resumed()
{
    ok whole "$diffusion" "$@" --out whole
    cp stdout whole.out
    "$diffusion" "$@" --out cut >cut.out 2>cut.err &
    pid=$!
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        sleep 0.1
        [ -f cut/log.csv ] && [ "$(wc -l <cut/log.csv)" -gt 4 ] && break
    done
    kill -INT $pid 2>/dev/null # a fast machine may be done
    wait $pid
    status=$?
    [ $status -eq 130 ] || [ $status -eq 0 ] || fail "Ctrl-C gives $status: $(cat cut.err)"
    grep -q "^result" cut.out || grep -q -- "--resume cut/state.safetensors" cut.err || fail "$(cat cut.err)"
    ok resumed "$diffusion" "$@" --out cut --resume cut/state.safetensors
    cmp -s whole/diffusion.safetensors cut/diffusion.safetensors || fail "resumed, other bits"
    cmp -s stdout whole.out || fail "$(cat stdout whole.out)"
}

drawn()
{
    for picture in samples strip; do
        [ "$(head -c 4 "$1/$picture.png" | tail -c 3)" = PNG ] || fail "no $1/$picture.png"
    done
}

# ---- by class ----
mkdir data && "$make_idx" data 300 120 || fail "make_idx"
small="--device cpu --data data --base 8 --batch 8"
resumed $small --steps 150
ok "draws" "$diffusion" --device cpu --out whole --sample 2 --ddim_steps 10 --guidance 2 --eta 0.5
drawn whole
cp whole/samples.png once.png
ok "draws again" "$diffusion" --device cpu --out whole --sample 2 --ddim_steps 10 --guidance 2 --eta 0.5
cmp -s whole/samples.png once.png || fail "other pictures by the same seed"
ok "one class" "$diffusion" --device cpu --out whole --sample 3 --class 2 --ddim_steps 10
refused "a class that isn't there" 1 "there is no class 10: the last is 9" "$diffusion" --device cpu --out whole --sample 1 --class 10
ok "cnn" "$cnn" --device cpu --data data --steps 3 --batch 16 --out c
ok "judged" "$diffusion" --device cpu --data data --out whole --sample 5 --ddim_steps 10 --cnn c/cnn.safetensors
grep -q "^result model=diffusion frechet=[0-9.]* recognised=[0-9.]* least=[0-9.]* most=[0-9.]* real_frechet=[0-9.]* real_recognised=[0-9.]* cnn_accuracy=[0-9.]*$" stdout ||
    fail "judged: $(cat stdout)"
refused "another model's file" 1 "holds a cnn, not a diffusion" sh -c "mkdir o && cp c/cnn.safetensors o/diffusion.safetensors && exec '$diffusion' --device cpu --out o --sample 1"
refused "a judge of another kind" 1 "holds a diffusion, not a cnn" "$diffusion" --device cpu --data data --out whole --sample 1 --ddim_steps 10 --cnn whole/diffusion.safetensors
refused "no checkpoint" 1 "nothing" "$diffusion" --device cpu --out nothing --sample 1
refused "too many steps" 2 "a whole number from 10 to 1000" "$diffusion" --out whole --sample 1 --ddim_steps 1001

# ---- by text ----
mkdir pictures
i=0
for name in red_square blue_square red_circle blue_circle; do
    i=$((i + 1))
    { printf 'P5 8 8 255\n' && awk -v i=$i 'BEGIN { for (k = 0; k < 64; k++) printf "%c", 32 + k * i % 90 }'; } >pictures/$name.pgm
done
resumed --text --device cpu --data pictures --base 8 --batch 4 --steps 150
ok "draws by text" "$diffusion" --device cpu --out whole --sample 3 --prompt "red circle" --ddim_steps 10
drawn whole
refused "an unknown word" 1 '"green" is not in the vocabulary of 4 words' "$diffusion" --device cpu --out whole --sample 1 --prompt "green circle"
refused "a long text" 1 "more than 2 words" "$diffusion" --device cpu --out whole --sample 1 --prompt "red red red"
refused "no text" 1 "draws by texts: --prompt" "$diffusion" --device cpu --out whole --sample 1
refused "other words" 1 "is of another model" sh -c "sed 's/\"square\": 3/\"square\": 3, \"tree\": 4/' whole/words.json >w && cp w whole/words.json && exec '$diffusion' --device cpu --out whole --sample 1 --prompt 'red circle'"
mkdir empty
refused "an empty folder" 1 "there is no picture in it" "$diffusion" --text --device cpu --data empty --steps 2 --out e
refused "no folder" 1 "missing" "$diffusion" --text --device cpu --data missing --steps 2 --out e
printf 'P5 4 4 255\nabcdefghijklmnop' >pictures/small.pgm
refused "several sizes" 1 "say to what size" "$diffusion" --text --device cpu --data pictures --steps 2 --out e
ok "of one size" "$diffusion" --text --device cpu --data pictures --size 8 --base 8 --batch 2 --steps 2 --out e
refused "a size that can't be halved" 1 "pictures of size 6 can't be halved 2 times" "$diffusion" --text --device cpu --data pictures --size 6 --steps 2 --out e
ok "--help" "$diffusion" --help
grep -q -- "--guidance X" stdout || fail "--help: $(cat stdout)"
exit $bad
