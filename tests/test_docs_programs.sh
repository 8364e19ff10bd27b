#!/bin/sh
# test_docs_programs.sh BUILD - every whole program in docs/*.md compiles without a warning and runs:
# what stands between ```c, or ```cpp, and ``` and has a main.
set -eu
build=$1 cc=${CC:-cc} cxx=${CXX:-c++}
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/taper-test-XXXXXX")
trap 'rm -rf "$dir"' EXIT
strict="-Wall -Wextra -Werror -pedantic"
cd "$dir"

for page in "$root"/docs/*.md; do
    awk -v name="$(basename "$page" .md)" '
        /^```(c|cpp)$/ { file = name "-" ++n "." substr($0, 4); next }
        /^```/ { if (file) close(file); file = ""; next }
        file { print > file }' "$page"
done

count=0
for f in *.c *.cpp; do
    grep -q '^int main(' "$f" || continue
    case $f in
    *.c) "$cc" -std=c11 -D_POSIX_C_SOURCE=200809L $strict -I"$root" "$f" -o program -L"$build" -ltaper -lpthread -lm ;;
    *.cpp) "$cxx" -std=c++17 $strict -I"$root" "$f" -o program -L"$build" -ltaper ;;
    esac || { echo "docs/${f%-*}.md: program ${f##*-} doesn't compile"; exit 1; }
    mkdir run
    (cd run && LD_LIBRARY_PATH="$build" timeout 120 ../program >../stdout 2>&1) ||
        { cat stdout; echo "docs/${f%-*}.md: program ${f##*-} fails"; exit 1; }
    echo "$f: $(tail -n 1 stdout)"
    rm -rf run
    count=$((count + 1))
done
[ "$count" -ge 5 ]
echo "test_docs_programs: $count programs"
