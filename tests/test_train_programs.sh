#!/bin/sh
# test_train_programs.sh CUSTOM_OP EMBEDDING - the two programs as a user meets them.
set -u
custom=$1 embedding=$2
. "$(dirname "$0")/programs.sh"

# quiet NAME COMMAND...: ends with 0 and says nothing on stderr
quiet()
{
    ok "$@"
    [ ! -s stderr ] || fail "$name: on stderr: $(cat stderr)"
}

below()
{
    awk "BEGIN { exit !($1 < $2 && $1 > 0) }" || fail "$3 is $1, not below $2"
}

# ---- custom_op ----
quiet custom_op "$custom" --device cpu --out run
below "$(value worst checked)" 1e-6 "the gradient's error"
below "$(value worst_twice checked)" 1e-6 "the second gradient's error"
below "$(value loss)" 0.01 "custom_op's loss"
[ "$(value steps)" = 1600 ] || fail "steps: $(value steps)"
[ "$(wc -l <stdout)" -eq 2 ] || fail "custom_op prints $(cat stdout)"
picture run/fit.png
[ "$(wc -l <run/log.csv)" -eq 1601 ] || fail "log.csv has $(wc -l <run/log.csv) lines"
cp stdout first
quiet "custom_op again" "$custom" --device cpu --out run
cmp -s first stdout || fail "two runs differ: $(cat first stdout)"
timeout 60 "$custom" --device cpu --epochs x >stdout 2>stderr
[ $? -eq 2 ] && [ "$(wc -l <stderr)" -eq 1 ] || fail "--epochs x: $(cat stderr)"
mkdir wall && mkdir wall/fit.png
timeout 60 "$custom" --device cpu --steps 2 --out wall >stdout 2>stderr
[ $? -eq 1 ] && grep -q "wall/fit.png can't be written" stderr || fail "a folder in the picture's place: $(cat stderr)"

# ---- embedding_in_a_program ----
quiet embedding "$embedding"
below "$(value loss "result worker=0")" 0.05 "worker 0's loss"
below "$(value loss "result worker=1")" 0.05 "worker 1's loss"
grep -q "^error: tp_file_open: no such file can't be read" stdout || fail "the error isn't in the log: $(cat stdout)"
grep -v '^note: \|^warning: \|^error: \|^result ' stdout && fail "a line that is not the program's"
grep '^result' stdout >first
quiet "embedding again" "$embedding"
grep '^result' stdout | cmp -s first - || fail "two runs differ"
"$embedding" >/dev/full 2>/dev/null
[ $? -eq 1 ] || fail "a full disk isn't told"

exit $bad
