# programs.sh - for tests that run a program as a user does: read it first, and `exit $bad` at the end.
# They stand in a folder of their own, which is gone after them.
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

# value KEY [LINE [FILE]]: of the line of stdout that begins with LINE
value()
{
    sed -n "s/^${2:-result }.*$1=\([^ ]*\).*/\1/p" "${3:-stdout}"
}

# number KEY...: are they, on the result line?
number()
{
    for key; do
        value "$key" | grep -Eq '^[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?$' || fail "$key: $(cat stdout)"
    done
}

# picture FILE...: are they there?
picture()
{
    for file; do
        [ "$(head -c 4 "$file" | tail -c 3)" = PNG ] || fail "no $file"
    done
}

# until_it_trains PID: till cut/log.csv has some lines, or the program is at its end
until_it_trains()
{
    while kill -0 "$1" 2>/dev/null; do
        [ -f cut/log.csv ] && [ "$(wc -l <cut/log.csv)" -gt 4 ] && break
        sleep 0.01
    done
}

# resumed NAME FILE COMMAND...: ended by Ctrl-C and gone on with, a run leaves the bits of one in one go in
# moved/FILE and whole/FILE
resumed()
{
    model=$1 file=$2
    shift 2
    rm -rf whole cut moved
    ok "$model" "$@" --out whole
    cp stdout whole.out
    "$@" --out cut >cut.out 2>cut.err &
    pid=$!
    until_it_trains $pid
    kill -INT $pid 2>/dev/null
    wait $pid
    status=$?
    [ $status -eq 130 ] || fail "$model: Ctrl-C gives $status (0: it was done; let it run longer): $(cat cut.err)"
    grep -q -- "--resume cut/state.safetensors" cut.err || fail "$model: $(cat cut.err)"
    [ ! -f "cut/$file" ] || fail "$model: weights of a run that isn't done"
    mv cut moved
    ok "$model resumed" "$1" --resume moved/state.safetensors # as it says: with the flags of the run, wherever it is now
    cmp -s "whole/$file" "moved/$file" || fail "$model: resumed, other bits"
    cmp -s stdout whole.out || fail "$model: $(cat stdout whole.out)"
}
