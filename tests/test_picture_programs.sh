#!/bin/sh
# test_picture_programs.sh GAN VAE VQVAE CNN MAKE_IDX - programs that make pictures, as a user meets them, small.
set -u
gan=$1 vae=$2 vqvae=$3 cnn=$4 make_idx=$5
. "$(dirname "$0")/programs.sh"

mkdir data empty && "$make_idx" data 300 120 || fail "make_idx"
small="--device cpu --data data --batch 20"

# ---- gan ----
resumed gan generator.safetensors "$gan" $small --width 4 --epochs 8
resumed "gan by labels" generator.safetensors "$gan" $small --width 4 --steps 120 --conditional
ok wgan "$gan" $small --width 2 --epochs 2 --wgan --plot --out w
number steps
picture w/samples.png w/curve.png
grep -q "^step,discriminator,generator" w/log.csv || fail "gan: $(head -n 1 w/log.csv)"
rm w/samples.png
ok "gan draws" "$gan" --device cpu --out w --sample 7
picture w/samples.png
cp w/samples.png once.png
ok "gan draws again" "$gan" --device cpu --out w --sample 7
cmp -s once.png w/samples.png || fail "gan: other pictures by the same seed"
refused "a class of none" 1 "label 2, and the generator has no classes" "$gan" --out w --sample 7 --class 2
ok "gan by labels" "$gan" $small --width 2 --steps 2 --conditional --critic 2 --out c
ok "gan draws a class" "$gan" --device cpu --out c --sample 5 --class 9
refused "a class that isn't there" 1 "label 10, and -1 to 9" "$gan" --out c --sample 5 --class 10
refused "no generator" 1 "nothing" "$gan" --out nothing --sample 2
refused "an empty folder" 1 "empty" "$gan" --data empty --out e
refused "an empty folder of pictures" 1 "empty" "$gan" --data empty --out e --pictures
refused "a rate that is too large" 1 "the loss of the discriminator in step" "$gan" $small --width 2 --wgan --lr 1e8 --epochs 20 --out e
refused "a number of pictures" 2 "a whole number from 0 to 2000" "$gan" --sample -3
refused "another run's state" 2 "was begun with --width 2" "$gan" $small --width 3 --epochs 2 --out c2 --resume c/state.safetensors
ok "--help" "$gan" --help
grep -q -- "--wgan" stdout || fail "--help: $(cat stdout)"

# pictures of several sizes: those that the program drew
mkdir -p folder/a folder/b
cp w/samples.png folder/a/1.png && cp w/curve.png folder/a/2.png && cp once.png folder/b/3.png
cp w/curve.png folder/b/4.png
ok "gan of pictures" "$gan" --device cpu --data folder --pictures --conditional --batch 2 --width 2 --steps 3 --out p
ok "gan draws in colour" "$gan" --device cpu --out p --sample 3 --class 1
mkdir flat && cp folder/a/*.png flat
ok "gan of a flat folder" "$gan" --device cpu --data flat --pictures --batch 2 --width 2 --steps 3 --out p

# ---- vae ----
resumed "vae --conditional" vae.safetensors "$vae" $small --conditional --epochs 150 --hidden 16 --latent 3
for kind in --conv "--conv --conditional"; do
    resumed "vae $kind" vae.safetensors "$vae" $small $kind --epochs 4 --hidden 16 --latent 3
done
ok vae "$vae" $small --conv --conditional --epochs 1 --hidden 16 --latent 3 --out v --plot
picture v/samples.png v/reconstructions.png v/walk.png v/strange.png
refused "no vae" 1 "nothing" "$vae" --data data --out nothing --sample
mkdir g && cp w/generator.safetensors g/vae.safetensors
refused "a generator's file" 1 "holds a generator, not a vae" "$vae" $small --out g --sample
cp v/vae.safetensors g/generator.safetensors
refused "an autoencoder's file" 1 "holds a vae, not a generator" "$gan" --device cpu --out g --sample 2

# ---- vqvae ----
resumed vqvae vqvae.safetensors "$vqvae" $small --epochs 2 --codes 8
ok vqvae "$vqvae" $small --epochs 1 --codes 8 --out q
number test_loss perplexity
picture q/reconstructions.png
refused "no prior yet" 1 "prior.safetensors" "$vqvae" $small --out q --sample
ok "vqvae's prior" "$vqvae" $small --epochs 1 --out q --prior
number test_loss
ok "vqvae draws" "$vqvae" $small --out q --sample
picture q/samples.png
cp -r q other
ok "another codebook" "$vqvae" $small --epochs 1 --codes 8 --seed 2 --out other
refused "a prior of another codebook" 1 "prior.safetensors is of another codebook" "$vqvae" $small --out other --sample

# ---- one folder, two runs; and a run that is cut short in a folder with weights ----
cp v/vae.safetensors before
rm v/log.csv
"$vae" $small --conv --conditional --epochs 1000 --hidden 16 --latent 3 --out v >/dev/null 2>cut.err &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -f v/log.csv ]; do sleep 0.01; done
refused "two runs into one folder" 1 "another run writes its log into v" "$vae" $small --conv --conditional --hidden 16 --latent 3 --out v
kill -INT $pid
wait $pid
[ $? -eq 130 ] && cmp -s v/vae.safetensors before || fail "cut short: $(cat cut.err)"

# ---- judged ----
ok cnn "$cnn" --device cpu --data data --epochs 2 --out n
refused "too few pictures to judge by" 1 "twice as many" "$gan" --device cpu --data data --out c --sample 2 --cnn n/cnn.safetensors
refused "no classifier" 1 "missing.safetensors" "$gan" --device cpu --data data --out c --sample 2 --cnn missing.safetensors
"$make_idx" data 20 4000 || fail "make_idx"
ok "gan judged" "$gan" --device cpu --data data --out c --sample 2 --cnn n/cnn.safetensors
number recognised real_frechet
ok "vae judged" "$vae" --device cpu --data data --out v --sample --cnn n/cnn.safetensors
number frechet recognised
ok "vqvae judged" "$vqvae" --device cpu --data data --out q --sample --cnn n/cnn.safetensors
number frechet
exit $bad
