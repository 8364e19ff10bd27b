#!/bin/sh
# test_diffusion_programs.sh DIFFUSION CNN MAKE_IDX - the program as a user meets it, small.
set -u
diffusion=$1 cnn=$2 make_idx=$3
. "$(dirname "$0")/programs.sh"

drawn()
{
    picture "$1/samples.png" "$1/strip.png"
}

# ---- by class ----
mkdir data && "$make_idx" data 300 120 || fail "make_idx"
small="--device cpu --data data --base 8 --batch 8"
resumed diffusion diffusion.safetensors "$diffusion" $small --steps 150
ok "draws" "$diffusion" --device cpu --out whole --sample 2 --ddim_steps 10 --guidance 2 --eta 0.5
drawn whole
cp whole/samples.png once.png
ok "draws again" "$diffusion" --device cpu --out whole --sample 2 --ddim_steps 10 --guidance 2 --eta 0.5
cmp -s whole/samples.png once.png || fail "other pictures by the same seed"
ok "one class" "$diffusion" --device cpu --out whole --sample 3 --class 2 --ddim_steps 10
refused "a class that isn't there" 1 "there is no class 10: the last is 9" "$diffusion" --device cpu --out whole --sample 1 --class 10
ok "cnn" "$cnn" --device cpu --data data --steps 3 --batch 16 --out c
ok "judged" "$diffusion" --device cpu --data data --out whole --sample 5 --ddim_steps 10 --cnn c/cnn.safetensors
grep -q "^result model=diffusion frechet=[0-9.]* recognised=[0-9.]* least=[0-9.]* most=[0-9.]* real_frechet=[0-9.]* real_recognised=[0-9.]* cnn_accuracy=[0-9.]* compared=[0-9]*$" stdout ||
    fail "judged: $(cat stdout)"
ok "one class judged" "$diffusion" --device cpu --data data --out whole --sample 20 --class 2 --ddim_steps 10 --cnn c/cnn.safetensors
grep -q "^result .* compared=6$" stdout || fail "one class judged: $(cat stdout)" # half of the real ones of that class
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
resumed "diffusion by text" diffusion.safetensors "$diffusion" --text --device cpu --data pictures --base 8 --batch 4 --steps 600
ok "draws by text" "$diffusion" --device cpu --out whole --sample 3 --prompt "red circle" --ddim_steps 10
drawn whole
refused "an unknown word" 1 '"green" is not in the vocabulary of 4 words' "$diffusion" --device cpu --out whole --sample 1 --prompt "green circle"
refused "a long text" 1 "more than 2 words" "$diffusion" --device cpu --out whole --sample 1 --prompt "red red red"
refused "no text" 1 "draws by texts: --prompt" "$diffusion" --device cpu --out whole --sample 1
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
