#!/bin/sh
# test_install.sh BUILD - what is installed can be used: by pkg-config and by
# find_package, from C11 and C++17.
set -eu
build=$1 cc=${CC:-cc} cxx=${CXX:-c++}
tests=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/taper-test-XXXXXX")
trap 'rm -rf "$dir"' EXIT
strict="-Wall -Wextra -Werror -pedantic"

cmake --install "$build" --prefix "$dir/usr" >"$dir/log" || { cat "$dir/log"; exit 1; }
PKG_CONFIG_PATH=$(dirname "$(find "$dir/usr" -name taper.pc)")
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
cd "$dir"

# runs PROGRAM: a few steps where the data set is, else one line on what is missing
runs()
{
    rm -rf out
    if [ -d /usr/share/datasets/fashion-mnist ]; then
        "$1" cpu 3 2>stderr || { cat stderr; exit 1; }
        [ -s out/cnn.safetensors ] && [ -s out/curve.png ] && [ "$(wc -l <out/log.csv)" -eq 4 ]
    elif "$1" cpu 3 2>stderr; then
        exit 1
    else
        [ "$(wc -l <stderr)" -eq 1 ] && grep -q dataset-fashion-mnist stderr
    fi
}

if grep -rIn "$dir\|$build" usr; then
    echo "the installed files name the place where they were made"
    exit 1
fi
sed -n '/^```c$/,/^```$/p' "$tests/../README.md" | grep -v '^```' >readme.c
cmp readme.c "$tests/install/train.c" || { echo "the README's program is not tests/install/train.c"; exit 1; }
echo "pkg-config, C11"
"$cc" -std=c11 $strict "$tests/install/train.c" $(pkg-config --cflags --libs taper) -o train
runs ./train
echo "pkg-config, C++17"
"$cxx" -std=c++17 $strict "$tests/install/train.cpp" $(pkg-config --cflags --libs taper) -o trainpp
./trainpp
# refused_by COMPILER CODE: a function of that body is no C++ program
refused_by()
{
    printf '#include <taper.h>\ntp_tensor *f(tp_tensor *a, tp_device *d)\n{\n%s\n}\n' "$2" >wrong.cpp
    if "$1" -std=c++17 $strict $(pkg-config --cflags taper) -fsyntax-only wrong.cpp 2>stderr; then
        echo "$1 accepts $2"
        exit 1
    fi
}
refused_by "$cxx" "(void)a; return tp_ones(TP_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 2), TP_F32, d);"
grep -q "at most 8 axes" stderr
if command -v clang++ >/dev/null; then
    refused_by clang++ "(void)d; tp_list l = TP_LIST(a, a); return tp_concat(l, 0);"
    grep -q dangling stderr
fi
echo "find_package"
{ cmake -S "$tests/install" -B cmake -DCMAKE_PREFIX_PATH="$dir/usr" -DCMAKE_BUILD_TYPE=Release >log 2>&1 &&
    cmake --build cmake >>log 2>&1; } || { cat log; exit 1; }
for kind in taper taper_static; do
    runs cmake/c_$kind
    cmake/cpp_$kind
done
echo "test_install: C11, C++17 and CMake programs build against the installed copy, and run"
