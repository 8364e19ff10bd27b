#!/bin/sh
# test_layers.sh LIBRARY - who includes whom, each public header alone, what is exported.
set -u
library=$1 cc=${CC:-cc} cxx=${CXX:-c++}
cd "$(dirname "$0")/.." || exit 1
bad=0

fail()
{
    echo "FAIL: $*"
    bad=1
}

# arrows FOLDER ALLOWED...: FOLDER includes its own files and those of ALLOWED alone
arrows()
{
    [ -d "$1" ] || return
    folder=$1 allowed=$(echo "$*" | tr ' ' '|')
    found=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$folder" --include='*.[ch]' --include='*.def' --include='*.cu*' |
        grep -E "\"(kernels|tensor|autograd|nn|optim|data|models|train|examples|tests|taper\.h)" |
        grep -vE "\"($allowed)/|launch.cuh:.*\"tests/cudasim/") # launch.cuh: what the simulator replaces
    [ -z "$found" ] || fail "$folder includes what it must not:
$found"
    found=$(grep -rnE '#[[:space:]]*include[[:space:]]*[<"](\.\./|taper\.h)' "$folder" --include='*.[ch]' --include='*.cu')
    [ -z "$found" ] || fail "$folder: $found"
}

arrows kernels
arrows tensor kernels
arrows autograd tensor kernels
arrows nn autograd tensor kernels
arrows data tensor kernels
arrows optim nn autograd tensor kernels
arrows models nn data autograd tensor kernels
arrows train optim nn data autograd tensor kernels
found=$(grep -rn '#[[:space:]]*include[[:space:]]*"' examples)
[ -z "$found" ] || fail "an example includes more than <taper.h>: $found"
grep -n 'tp__\|internal\.h' train/fit.c train/turns.c train/run.h && fail "train/fit.c, turns.c or run.h uses more than the public calls"
grep -n 'tp__\|internal\.h' models/*.[ch] && fail "a model uses more than the public calls"
for file in examples/*.c; do
    [ "$(wc -l <"$file")" -lt 150 ] || fail "$file has 150 lines or more"
done
found=$(grep -rln 'omp.h\|#pragma omp' --include='*.[ch]' kernels tensor autograd nn optim models data train)
[ -z "$found" ] || fail "OpenMP, and not the pool of kernels/cpu/parallel.c: $found"
grep -n 'setlocale\|fesetround' -r --include='*.c' kernels tensor autograd nn optim models data train && fail "locale or floating-point mode is touched"

# ---- each public header alone ----
headers="taper.h" # and what it includes, and what those include
for depth in 1 2 3 4; do
    headers=$({ printf '%s\n' $headers; sed -n 's/^#include "\(.*\)"$/\1/p' $headers; } | sort -u)
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/taper-test-XXXXXX")
trap 'rm -rf "$dir"' EXIT
for h in $headers; do
    echo "#include \"$h\"" >"$dir/h.c"
    echo "#include \"$h\"" >>"$dir/h.c" # twice is once
    cp "$dir/h.c" "$dir/h.cpp"
    "$cc" -std=c11 -pedantic -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror -I. -c "$dir/h.c" -o "$dir/h.o" || fail "$h as C11"
    "$cxx" -std=c++17 -pedantic -Wall -Wextra -Werror -I. -c "$dir/h.cpp" -o "$dir/h.o" || fail "$h as C++17"
done
for h in $headers; do
    grep -qE "(^|[ (])$h([ )]|\$)" CMakeLists.txt || fail "$h is included by a public header, and isn't installed"
done

# ---- what the library shows ----
nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' | sort -u >"$dir/exported"
[ "$(wc -l <"$dir/exported")" -gt 100 ] || fail "only $(wc -l <"$dir/exported") symbols are exported"
grep -v '^tp_' "$dir/exported" && fail "exported, and not tp_"
cat $headers | tr -c 'A-Za-z0-9_' '\n' | sort -u >"$dir/words"
comm -23 "$dir/exported" "$dir/words" >"$dir/secret"
[ ! -s "$dir/secret" ] || fail "exported, and in no public header: $(cat "$dir/secret")"
sed -n '/^inline\|^typedef/d; s/^[a-z].*[ *]\(tp_[a-z0-9_]*\)(.*/\1/p' $headers | grep -v '^tp_[a-z0-9_]*_fn$' | sort -u >"$dir/promised"
comm -13 "$dir/exported" "$dir/promised" >"$dir/missing"
[ ! -s "$dir/missing" ] || fail "in a public header, and not exported: $(cat "$dir/missing")"

[ $bad -eq 0 ] && echo "$(wc -l <"$dir/exported") symbols, $(echo $headers | wc -w) headers: all as it should be"
exit $bad
