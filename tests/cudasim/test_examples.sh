#!/bin/sh
# test_examples.sh EXAMPLES MAKE_IDX NAME... - programs of examples/ on the simulated device: a few steps in f32, bf16 and
# f16 each, gone on with from their checkpoint.  TAPER_CUDA_LIBRARY names the device's library.
set -u
examples=$1 make_idx=$2
shift 2
. "$(dirname "$0")/../programs.sh"

# first FILE: the first loss of a log.csv
first()
{
    sed -n 2p "$1" | cut -d, -f2
}

# near NAME LOSS UNIT: is it the CPU's first loss, but for 64 roundings one after the other, more than the deepest model
# has?  Before the first update nothing else can differ: weights, masks and noise have the same bits.
near()
{
    awk -v a="$2" -v b="$(first cpu/log.csv)" -v u="$3" 'BEGIN {
        if (a !~ /^-?[0-9]/ || b !~ /^-?[0-9]/) exit 1
        d = a - b; s = b < 0 ? -b : b
        exit !((d < 0 ? -d : d) <= 64 * u * (s > 1 ? s : 1)) }' ||
        fail "$1: the first loss is $2, the CPU's is $(first cpu/log.csv)"
}

# finished NAME STEPS: a result without NaN, and a row for each step
finished()
{
    grep -q '^result model=' stdout && ! grep -Eq '=-?(nan|inf)' stdout || fail "$1: $(cat stdout)"
    [ "$(wc -l <run/log.csv)" -eq $(($2 + 1)) ] || fail "$1: $(wc -l <run/log.csv) lines of log.csv"
}

# trains NAME PROGRAM ARGUMENT...
trains()
{
    what=$1 program=$examples/$2
    shift 2
    rm -rf cpu && ok "$what on the CPU" "$program" "$@" --device cpu --steps 1 --out cpu
    for how in "off 1.2e-7" "bf16 3.9e-3" "f16 4.9e-4"; do # the largest rounding; f32's twice, as both devices round to it
        amp=${how% *}
        rm -rf run && ok "$what, amp $amp" "$program" "$@" --device cuda --amp "$amp" --steps 2 --out run
        finished "$what, amp $amp" 2
        near "$what, amp $amp" "$(first run/log.csv)" "${how#* }"
        ok "$what, amp $amp, resumed" "$program" --resume run/state.safetensors --steps 3
        finished "$what, amp $amp, resumed" 3
    done
}

mkdir data kinds kinds/dark kinds/light
"$make_idx" data 24 20 || fail "make_idx"
for i in 1 2 3 4 5; do
    { printf 'P5 8 8 255\n' && head -c 64 /dev/zero | tr '\0' "\\0$i"; } >kinds/dark/$i.pgm
    { printf 'P5 8 8 255\n' && head -c 64 /dev/zero | tr '\0' "\\37$i"; } >kinds/light/$i.pgm
done
awk 'BEGIN { for (i = 0; i < 90; i++) printf "the %d cats and %d dogs of number %d.\n", i % 7, i % 5, i }' >text
awk 'BEGIN { print "up,wave"; for (i = 0; i < 120; i++) printf "%d.%d,%.3f\n", i / 10, i % 10, sin(i / 3) }' >series.csv
awk 'BEGIN { for (i = 0; i < 40; i++) printf "one two %d.\tuno dos %d.\n", i % 7, i % 7 }' >pairs.tsv
awk 'BEGIN { for (i = 0; i < 40; i++) print (i % 2 ? "pets\tthe cat" : "food\tbread") " number " i }' >kinds.tsv
awk 'BEGIN { print "x,y,z"; for (i = 0; i < 99; i++) print i "," 2 * i "," i * i }' >three.csv

small="--layers 1 --width 16"
for example; do
    case $example in
    classify) trains classify classify --data kinds.tsv --tokens 280 $small --context 16 --batch 4 ;;
    cnn) trains cnn cnn --data data --batch 2 ;;
    custom_data) trains custom_data custom_data --batch 2 ;;
    custom_op) trains custom_op custom_op ;;
    diffusion)
        trains diffusion diffusion --data data --base 8 --batch 2
        trains "diffusion by text" diffusion --text --data kinds --size 8 --base 8 --batch 2
        ;;
    forecast) trains forecast forecast --data series.csv --steps_in 24 --ahead 8 --segment 4 --season 8 --width 8 --batch 8 ;;
    gan)
        trains gan gan --data data --batch 2 --width 2
        trains wgan gan --data data --batch 2 --width 2 --wgan --critic 2
        ;;
    gpt) trains gpt gpt --data text $small --heads 2 --context 16 --batch 4 --dropout 0.1 ;;
    lstm) trains lstm lstm --data text $small --window 8 --batch 4 ;;
    regression) trains regression regression --data three.csv:z --batch 8 ;;
    resnet) trains resnet resnet --data kinds --size 8 --shift 0 --batch 4 ;;
    translate) trains translate translate --data pairs.tsv --tokens 280 $small --heads 2 --context 12 --held 4 --batch 4 --beams 2 ;;
    vae)
        trains vae vae --data data --batch 4 --hidden 16 --latent 3
        trains "vae --conv" vae --data data --batch 4 --hidden 16 --latent 3 --conv
        ;;
    vqvae)
        trains vqvae vqvae --data data --batch 2 --codes 8
        ok "vqvae's prior" "$examples/vqvae" --data data --batch 2 --device cuda --prior --steps 1 --out run
        ;;
    *) fail "$example: this script doesn't know how it is run" ;;
    esac
done
exit $bad
