#!/bin/sh
# test_device.sh PROGRAM TAPER CUDA STAND_INS CMAKE - a program that asks for "cuda", where some of NVIDIA's
# libraries are and some aren't: the error names what is missing.
#
# A folder of our own holds the program, libtaper and what each case adds, as a user's installation would.
set -eu
program=$1 taper=$2 cuda=$3 stand_ins=$4 cmake=$5
dir=$(mktemp -d "${TMPDIR:-/tmp}/taper-test-XXXXXX")
trap 'rm -rf "$dir"' EXIT
unset LD_LIBRARY_PATH TAPER_CUDA_LIBRARY

cp "$program" "$dir/program"
cp -L "$taper" "$dir"
cp "$cuda" "$dir/shipped.so"
for f in program shipped.so; do # without the paths that they were built with
    echo "file(RPATH_REMOVE FILE $dir/$f)" >>"$dir/strip.cmake"
done
"$cmake" -P "$dir/strip.cmake"

# says WORDS [NAME=VALUE...]: the program fails, and says so
says()
{
    words=$1
    shift
    if env "$@" "$dir/program" cuda >"$dir/out" 2>&1; then
        echo "expected \"$words\", but it ran:"
        cat "$dir/out"
        exit 1
    fi
    grep -qF "$words" "$dir/out" || { echo "expected \"$words\" of"; cat "$dir/out"; exit 1; }
    echo "ok: $(cat "$dir/out")"
}

path=LD_LIBRARY_PATH=$dir
with_driver=$path:$stand_ins/driver

if ! ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then
    says "no NVIDIA driver is installed: libcuda.so.1" $path
    cp "$dir/shipped.so" "$dir/libtaper_cuda.so"
    says "no NVIDIA driver is installed" $path "TAPER_CUDA_LIBRARY=$cuda" # NVIDIA's own runtime says it
    rm "$dir/libtaper_cuda.so"
fi
says "libtaper_cuda.so: cannot open shared object file" "$with_driver"
for missing in cudart cublasLt cudnn; do # as if it weren't installed
    grep -q "lib$missing\.so" "$dir/shipped.so" || continue # built without cuDNN
    sed "s/lib$missing\.so/lib${missing%?}_.so/g" "$dir/shipped.so" >"$dir/libtaper_cuda.so"
    says "lib${missing%?}_.so" "$with_driver:$stand_ins"
done
cp "$dir/shipped.so" "$dir/libtaper_cuda.so"
says "no .ptx holds" "$with_driver:$stand_ins" CUDASIM_PTX=/nowhere.so

# everything is there
env "$with_driver:$stand_ins" "$dir/program" cuda >"$dir/out" 2>&1 || { cat "$dir/out"; exit 1; }
grep -q '^cudasim, .*compute 8.0.*: 500500$' "$dir/out" || { cat "$dir/out"; exit 1; }
