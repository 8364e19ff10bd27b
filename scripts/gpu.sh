#!/bin/sh
# gpu.sh [REPORT] - the tests, the bench and a short training of each model on this machine's GPU, beside
# PyTorch where it is installed, as one file to send: gpu-report.txt.
#
# TAPER_GPU (cuda; cpu tries this script), TAPER_BUILD (build-gpu), TAPER_PYTHON (that of scripts/torch-venv.sh, or python3)
# TAPER_GPU_STEPS (200)   of each training
#
# Its status is that of the tests.
set -u

case ${1:-} in
-h | --help)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit
    ;;
esac
report=$(realpath -m -- "${1:-gpu-report.txt}")
cd "$(dirname "$0")/.." || exit 1
device=${TAPER_GPU:-cuda} build=${TAPER_BUILD:-build-gpu} steps=${TAPER_GPU_STEPS:-200}
python=${TAPER_PYTHON:-${TAPER_TORCH_VENV:-$HOME/.cache/taper/torch}/bin/python}
[ -x "$python" ] || python=$(command -v python3)
has_torch=
"$python" -c 'import torch, numpy' 2>/dev/null && has_torch=yes
folder=$(mktemp -d "${TMPDIR:-/tmp}/taper-gpu-XXXXXX")
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
: >"$report" || exit 1

# say WORDS...: on the terminal and in the report
say()
{
    printf '%s\n' "$*" | tee -a "$report"
}

# took COMMAND...: its seconds, and its status
took()
{
    from=$(date +%s)
    "$@"
    status=$?
    seconds=$(($(date +%s) - from))
    return $status
}

# ---- the machine ----
say "# Taper on a GPU: $(git describe --always --dirty 2>/dev/null), $(date -u +%F)"
say "$(uname -srm); $(nproc) x $(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo)"
command -v nvidia-smi >/dev/null &&
    say "$(nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap,clocks.max.sm --format=csv,noheader 2>&1)"
command -v nvcc >/dev/null && say "$(nvcc --version | tail -n 1)"
[ -n "$has_torch" ] || say "no PyTorch to compare with (TAPER_PYTHON names an interpreter that has it)"

# ---- the library ----
sh scripts/deps.sh build test data >"$folder/log" 2>&1 || say "packages weren't installed, perhaps they are there: $(tail -n 1 "$folder/log")"
took sh -c "cmake -S . -B '$build' -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=ON -DTP_CUDASIM=OFF && cmake --build '$build' -j$(nproc)" \
    >"$folder/log" 2>&1 || { say "it doesn't build:" && tail -n 30 "$folder/log" | tee -a "$report"; exit 1; }
say "built in $seconds s"
plugin=$(realpath "$build")/libtaper_cuda.so
[ "$device" = cpu ] || export TAPER_CUDA_LIBRARY="$plugin"
for data in texts series; do
    sh scripts/$data.sh >"$folder/log" 2>&1 || say "scripts/$data.sh: $(tail -n 1 "$folder/log")"
done
if ! "$build/examples/embedding_in_a_program" "$device" >"$folder/log" 2>&1; then
    say "$(tail -n 1 "$folder/log")"
    exit 1
fi

# ---- the tests, with the GPU as a second device ----
say "" && say "## Tests"
[ "$device" = cpu ] || export TAPER_TEST_CUDA=1
took ctest --test-dir "$build" -LE "slow|sim" --output-on-failure >"$folder/tests" 2>&1
failures=$?
say "$(grep 'tests passed' "$folder/tests") in $seconds s"
grep -E '^\[----\]|Failed|FAIL' "$folder/tests" | head -n 200 >>"$report"

# ---- every kernel beside the CPU's: tests of the simulator, here on the GPU ----
kernels=$(for f in tests/cudasim/test_slots*.c tests/cudasim/test_contracts.c tests/cudasim/test_steps.c; do basename "$f" .c; done)
[ "$device" = cpu ] && kernels=
# shellcheck disable=SC2086
[ -z "$kernels" ] || { cmake -B "$build" -DTP_CUDASIM=ON && cmake --build "$build" -j"$(nproc)" --target $kernels; } \
    >"$folder/log" 2>&1 || { say "tests of kernels don't build: $(tail -n 1 "$folder/log")" && kernels=; }
for program in $kernels; do
    took "$build/tests/cudasim/$program" >"$folder/tests" 2>&1 || failures=1
    say "$program: $(grep -o 'Tested:.*' "$folder/tests" || tail -n 1 "$folder/tests") in $seconds s"
    grep -E '^\[----\]|FAIL' "$folder/tests" | head -n 50 >>"$report"
done

# ---- the bench: milliseconds of a step ----
say "" && say "## Steps"
for model in mlp cnn vae lstm gpt gpt384 dcgan ddpm resnet18; do
    say "$("$build/tests/bench/models" --device "$device" $model 2>&1 | tail -n 1)"
    [ -z "$has_torch" ] || say "$(echo "step 50" |
        "$python" tests/bench/rival.py --device "$device" --name $model 2>"$folder/log" || tail -n 1 "$folder/log")"
done

# ---- a training of each model: here, then on the CPU ----
say "" && say "## Trainings of $steps steps"
# trains NAME PROGRAM FLAGS...: its result line and seconds on both devices
trains()
{
    name=$1 program=$2
    shift 2
    for where in "$device" cpu; do
        took timeout 900 "$build/examples/$program" --device "$where" --steps "$steps" --out "$folder/$name" "$@" \
            >"$folder/out" 2>"$folder/log"
        case $? in
        0) say "$name on $where, $seconds s: $(tail -n 1 "$folder/out")" ;;
        *) say "$name on $where: status $status: $(tail -n 1 "$folder/log")" ;;
        esac
    done
}
trains cnn cnn
trains resnet resnet
trains vae vae
trains vae-conv vae --conv
trains gan gan
trains wgan gan --wgan
trains diffusion diffusion
trains vqvae vqvae
trains regression regression
trains custom_op custom_op
for program in cnn resnet; do
    trains "$program-bf16" "$program" --amp bf16
    [ "$device" = cpu ] || trains "$program-f16" "$program" --amp f16
done
for program in lstm gpt translate classify; do
    trains "$program" "$program"
    trains "$program-bf16" "$program" --amp bf16
    [ "$device" = cpu ] || trains "$program-f16" "$program" --amp f16
done
trains forecast forecast
say "" && say "the report is $report"
exit "$failures"
