#!/usr/bin/env bash
# compare.sh - our training steps against PyTorch's, interleaved in one run.
#
#     sh tests/bench/compare.sh [mlp|cnn|vae|lstm|gpt|gpt384|dcgan|ddpm|resnet18 ...]
#     compare model=mlp ours_ms=1.602 rival=fused rival_ms=3.561 ratio=2.223
#
# ratio is rival's time over ours, the median over the rounds (above 1: we are faster).  A round is
# about a second of ours and a second of theirs between two probes of the machine, and
# counts only if both probes show its full speed and nothing else used the processors.
# With too few good rounds it goes on; after three times as many it says `unreliable`.
#
# TAPER_BUILD (build), TAPER_PYTHON, TAPER_THREADS (2), TAPER_ROUNDS (9)
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh compare.sh, too
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
bench=${TAPER_BUILD:-$root/build}/tests/bench
python=${TAPER_PYTHON:-${TAPER_TORCH_VENV:-$HOME/.cache/taper/torch}/bin/python}
threads=${TAPER_THREADS:-2}
rounds=${TAPER_ROUNDS:-9}
needed=$(((rounds + 1) / 2)) # good ones
tmp=$(mktemp -d)
trap 'stop ours; stop rival; rm -rf "$tmp"' EXIT

declare -A pid=() input=() output=()

# start SIDE COMMAND...: a program that answers lines `step N`.
start() {
    local side=$1 in out
    shift
    mkfifo "$tmp/$side.in" "$tmp/$side.out"
    "$@" <"$tmp/$side.in" >"$tmp/$side.out" 2>>"$tmp/$side.log" &
    pid[$side]=$!
    exec {in}>"$tmp/$side.in" {out}<"$tmp/$side.out"
    input[$side]=$in output[$side]=$out
}

stop() {
    local in=${input[$1]:-} out=${output[$1]:-}
    [ -n "$in" ] || return 0
    exec {in}>&- {out}<&-
    kill "${pid[$1]}" 2>/dev/null # the other side inherited its input: no end of file
    wait "${pid[$1]}" 2>/dev/null
    unset "input[$1]" "output[$1]" "pid[$1]"
    rm -f "$tmp/$1.in" "$tmp/$1.out"
}

# field NAME LINE
field() {
    sed -n "s/.* $1=\([^ ]*\).*/\1/p" <<<" $2"
}

# step SIDE N: the answering line
step() {
    local line
    echo "step $2" >&"${input[$1]}"
    while read -r line <&"${output[$1]}"; do
        case $line in *step_ms=*)
            echo "$line"
            return 0
            ;;
        esac
    done
    echo "compare.sh: $1 ended:" >&2
    tail -n 3 "$tmp/$1.log" >&2
    return 1
}

# steps SIDE: how many make about a second
steps() {
    local line
    step "$1" 5 >/dev/null && line=$(step "$1" 5) || return 1
    awk -v ms="$(field step_ms "$line")" 'BEGIN { n = int(1000 / ms); print n < 5 ? 5 : n }'
}

# Ticks that all processes used so far, and ticks that our two used.
busy() {
    awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat
}

used() {
    sed 's/.*) //' "/proc/${pid[ours]}/stat" "/proc/${pid[rival]}/stat" |
        awk '{ n += $12 + $13 } END { print n }'
}

# round N_OURS N_RIVAL: one line of numbers for `judge`, the sides in turns the first
round() {
    local before after start busy0 used0 ours rival
    before=$("$bench/probe")
    start=$(date +%s%N) busy0=$(busy) used0=$(used)
    if ((RANDOM % 2)); then
        ours=$(step ours "$1") && rival=$(step rival "$2") || return 1
    else
        rival=$(step rival "$2") && ours=$(step ours "$1") || return 1
    fi
    local ticks=$(($(busy) - busy0 - $(used) + used0)) nano=$(($(date +%s%N) - start))
    after=$("$bench/probe")
    echo "$(field step_ms "$ours") $(field step_ms "$rival") $(field variant "$rival")" \
        "$(field gflops2 "$before") $(field gflops2 "$after")" \
        "$(field pingpong_ns "$before") $(field pingpong_ns "$after")" "$ticks $nano"
}

# judge MODEL FILE: the result of the good rounds, or failure when there are too few
judge() {
    awk -v model="$1" -v needed="$needed" -v cpus="$(nproc)" -v hz="$(getconf CLK_TCK)" '
        function median(v, n,    i, j, t) {
            for (i = 2; i <= n; i++)
                for (j = i; j > 1 && v[j] < v[j - 1]; j--) {
                    t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
                }
            return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
        }
        {
            peak[NR] = $4 < $5 ? $4 : $5; ping[NR] = $6 > $7 ? $6 : $7
            foreign[NR] = $8 / hz / ($9 / 1e9) / cpus
            ours[NR] = $1; rival[NR] = $2; variant = $3
            if ($4 > best) best = $4
            if ($5 > best) best = $5
            pings[2 * NR - 1] = $6; pings[2 * NR] = $7
        }
        END {
            usual = median(pings, 2 * NR)
            for (i = 1; i <= NR; i++) {
                if (peak[i] < 0.85 * best || ping[i] > 2 * usual || foreign[i] > 0.05) continue
                a[++n] = ours[i]; b[n] = rival[i]; r[n] = rival[i] / ours[i]
            }
            printf "%s: %d of %d rounds good; best probe %.0f GFLOP/s, %.0f ns\n", model, n, NR, best, usual > "/dev/stderr"
            if (n < needed) exit 1
            printf "compare model=%s ours_ms=%.3f rival=%s rival_ms=%.3f ratio=%.3f\n", model, median(a, n), variant, median(b, n), median(r, n)
        }' "$2"
}

compare() {
    local model=$1 n_ours n_rival try i
    start ours "$bench/models" --name "$model" --threads "$threads"
    start rival "$python" "$root/tests/bench/rival.py" --name "$model" --threads "$threads"
    n_ours=$(steps ours) && n_rival=$(steps rival) || return 1
    : >"$tmp/rounds"
    for try in 1 2 3; do
        for ((i = 0; i < rounds; i++)); do
            round "$n_ours" "$n_rival" >>"$tmp/rounds" || return 1
        done
        judge "$model" "$tmp/rounds" && return 0
    done
    echo "compare model=$model unreliable"
    return 3
}

command -v "$python" >/dev/null || {
    echo "compare.sh: no PyTorch: run scripts/torch-venv.sh or set TAPER_PYTHON" >&2
    exit 2
}
[ $# -gt 0 ] || set -- mlp cnn vae lstm gpt gpt384 dcgan ddpm resnet18
status=0
for model; do
    compare "$model" || status=$?
    stop ours
    stop rival
done
exit "$status"
