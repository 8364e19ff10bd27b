#!/bin/sh
# test_model_programs.sh GPT LSTM VAE RESNET MAKE_IDX - the models' programs as a user meets them, small.
set -u
gpt=$1 lstm=$2 vae=$3 resnet=$4 make_idx=$5
. "$(dirname "$0")/programs.sh"

awk 'BEGIN { for (i = 0; i < 900; i++) printf "the %d cats and %d dogs of number %d.\n", i % 7, i % 5, i }' >text
small="--device cpu --data text --steps 900 --batch 8 --layers 1 --width 16 --every 100"

# ---- gpt ----
resumed gpt gpt.safetensors "$gpt" $small --heads 2 --context 16 --dropout 0.1
ok gpt "$gpt" $small --heads 2 --context 16 --out g --plot
number validation_loss
picture g/curve.png
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
refused "texts that nobody made" 1 "kjv.txt isn't there: scripts/texts.sh makes it" env HOME="$dir/none" "$gpt" --device cpu --out h
refused "no text" 1 "missing.txt" "$gpt" --data missing.txt --out h
ok "--help" "$gpt" --help
grep -q -- "--temperature X" stdout || fail "--help: $(cat stdout)"

# ---- lstm ----
resumed lstm lstm.safetensors "$lstm" $small --window 16
ok lstm "$lstm" $small --window 16 --out l
number validation_loss
ok "lstm writes" "$lstm" --device cpu --out l --sample 30 --prompt "the"
[ "$(wc -c <stdout)" -ge 34 ] || fail "lstm writes $(cat stdout)"
refused "another model's file" 1 "holds a gpt" sh -c "cp g/gpt.safetensors l/lstm.safetensors && exec '$lstm' --device cpu --out l --sample 5"

# ---- vae, resnet ----
mkdir data && "$make_idx" data 600 120 || fail "make_idx"
resumed vae vae.safetensors "$vae" --device cpu --data data --epochs 40 --batch 50 --hidden 32 --latent 4
ok vae "$vae" --device cpu --data data --epochs 1 --hidden 32 --latent 4 --out v --plot
number test_loss
picture v/samples.png v/reconstructions.png v/walk.png v/strange.png
rm v/samples.png
ok "vae draws" "$vae" --device cpu --data data --out v --sample
[ -f v/samples.png ] || fail "vae: nothing drawn"
refused "no vae" 1 "nothing" "$vae" --device cpu --data data --out nothing --sample
resumed resnet resnet.safetensors "$resnet" --device cpu --data data --steps 40 --batch 20
ok resnet "$resnet" --device cpu --data data --steps 4 --batch 20 --out r
number test_accuracy
mkdir empty
{ printf 'P5 28 28 255\n' && head -c 784 /dev/zero | tr '\0' x; } >one.pgm
ok "one picture" "$resnet" --device cpu --out r --picture one.pgm
grep -Eq '^class [0-9] [01]\.[0-9]{3}$' stdout || fail "one picture: $(cat stdout)"
mkdir -p kinds/dark kinds/light
for i in 1 2 3 4 5; do
    { printf 'P5 8 8 255\n' && head -c 64 /dev/zero | tr '\0' "\\0$i"; } >kinds/dark/$i.pgm
    { printf 'P5 8 8 255\n' && head -c 64 /dev/zero | tr '\0' "\\37$i"; } >kinds/light/$i.pgm
done
ok "kinds of pictures" "$resnet" --device cpu --data kinds --size 8 --shift 0 --steps 30 --batch 4 --out kr
ok "one of them" "$resnet" --device cpu --out kr --picture kinds/light/3.pgm
{ printf 'P5 100 70 255\n' && head -c 7000 /dev/zero | tr '\0' '\010'; } >large.pgm
ok "a larger one" "$resnet" --device cpu --out kr --picture large.pgm
grep -q '^dark ' stdout || fail "a larger one: $(cat stdout)"
ok "one of them" "$resnet" --device cpu --out kr --picture kinds/light/3.pgm
grep -q '^light ' stdout || fail "one of them: $(cat stdout)"
mv kinds/dark kinds/other
refused "other classes" 1 "model.note.class.0 is another text there" "$resnet" --resume kr/state.safetensors --data kinds
rm -r kinds/other
refused "one class" 1 "one class alone" "$resnet" --device cpu --data kinds --size 8 --batch 2 --out kr
refused "a text with another end" 1 "text2: tp_data_chars: byte 3 of the text is no UTF-8" sh -c "printf 'caf\351' >text2 && exec '$gpt' --device cpu --data text2 --out h"
refused "an empty folder" 1 "empty" "$resnet" --device cpu --data empty --out r
exit $bad
