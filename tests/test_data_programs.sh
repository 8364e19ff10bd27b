#!/bin/sh
# test_data_programs.sh CUSTOM_DATA REGRESSION - the two programs as a user meets them.
set -u
custom=$1 regression=$2
. "$(dirname "$0")/programs.sh"

# refused_in_a_line PROGRAM STATUS TEXT ARGUMENTS...: ends with STATUS and one line on stderr that has TEXT
refused_in_a_line()
{
    program=$1 want=$2 text=$3
    shift 3
    timeout 60 "$program" --device cpu "$@" >stdout 2>stderr
    got=$?
    [ $got -eq "$want" ] || fail "$text: status $got, not $want"
    [ "$(wc -l <stderr)" -eq 1 ] || fail "$text: $(wc -l <stderr) lines: $(cat stderr)"
    grep -qe "$text" stderr || fail "\"$text\" is not in: $(cat stderr)"
    [ ! -s stdout ] || fail "$text: prints $(cat stdout)"
}

above()
{
    awk "BEGIN { exit !($1 > $2) }" || fail "$3 is $1, not above $2"
}

# ---- custom_data ----
refused_in_a_line "$custom" 2 "isn't a flag" --nonsense
refused_in_a_line "$custom" 1 "stdout" --steps 2 --out stdout
timeout 300 "$custom" --device cpu --epochs 2 --out c1 >c1.out 2>c1.err || fail "custom_data: $(cat c1.err)"
grep -q '^result model=custom_data test_accuracy=[01]\.[0-9]* steps=188 pictures_per_second=[0-9]*$' c1.out || fail "custom_data prints $(cat c1.out)"
above "$(value test_accuracy "result " c1.out)" 0.8 test_accuracy # three shapes: guessing is right one time in three
[ "$(wc -l <c1/log.csv)" -eq 189 ] || fail "log.csv has $(wc -l <c1/log.csv) lines"
timeout 300 "$custom" --device cpu --steps 40 --out whole >/dev/null 2>err || fail "40 steps: $(cat err)"
timeout 300 "$custom" --device cpu --steps 17 --out part >/dev/null 2>err || fail "17 steps: $(cat err)"
timeout 300 "$custom" --device cpu --steps 40 --out rest --resume part/state.safetensors >/dev/null 2>err || fail "23 more: $(cat err)"
cmp whole/state.safetensors rest/state.safetensors || fail "40 steps are not 17 and 23 more"

# ---- regression ----
refused_in_a_line "$regression" 2 "isn't a flag" --nonsense
refused_in_a_line "$regression" 1 "nothing can't be read: No such file" --data nothing
printf 'a,b\n1,2\n' >one.csv
printf 'a,b\n1,x\n2,y\n' >text.csv
refused_in_a_line "$regression" 1 "text.csv: column -1 is no number" --data text.csv
refused_in_a_line "$regression" 1 'there is no column "c"' --data text.csv:c
refused_in_a_line "$regression" 1 "so few rows leave none to test" --data text.csv:a
timeout 300 "$regression" --device cpu --out r1 >r1.out 2>r1.err || fail "regression: $(cat r1.err)"
grep -q '^result model=regression rmse=[0-9.]* r2=[0-9.]* mse=[0-9.]* steps=1320$' r1.out || fail "regression prints $(cat r1.out)"
above "$(value r2 "result " r1.out)" 0.9 r2 # a linear fit of this function reaches 0.8
timeout 300 "$regression" --device cpu --out r2 --resume r1/state.safetensors >r2.out 2>r2.err || fail "resumed: $(cat r2.err)"
cmp r1.out r2.out || fail "what is resumed at its end is another"
[ -f r2/state.safetensors ] || fail "what is resumed at its end leaves no state in a folder of its own"
gzip -c r1/made.csv >made.csv.gz
timeout 300 "$regression" --device cpu --out r3 --data made.csv.gz:y >r3.out 2>r3.err || fail "gzip: $(cat r3.err)"
cmp r1.out r3.out || fail "the table in gzip is another"

awk 'BEGIN { print "x,y,z"; for (i = 0; i < 99; i++) print i "," 2 * i "," 3 * i }' >three.csv
timeout 60 "$regression" --device cpu --out r4 --data three.csv:z --epochs 2 >stdout 2>stderr || fail "three: $(cat stderr)"
refused_in_a_line "$regression" 1 "is another text there: it is of other data" --resume r4/state.safetensors --data three.csv:y --epochs 3
timeout 60 "$regression" --device cpu --out r1 --lr 9e8 --epochs 30 >stdout 2>stderr
[ $? -eq 1 ] && grep -q "the loss of step [0-9]* is" stderr || fail "a wild rate: $(cat stderr)"
[ -f r1/regression.safetensors ] || fail "regression: no weights"

[ $bad -eq 0 ] && echo "all as it should be"
exit $bad
