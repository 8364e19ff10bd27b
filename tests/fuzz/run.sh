#!/bin/sh
# run.sh FOLDER [CLANG] - builds the fuzzers with clang in a folder of their own and runs each for
# ten seconds.  77: there is no clang, or no libFuzzer.
set -eu
build=$1 clang=${2:-clang}
source=$(cd "$(dirname "$0")/../.." && pwd)

mkdir -p "$build"
echo 'int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n) { return 0 * (p[0] + (int)n); }' >"$build/try.c"
"$clang" -fsanitize=fuzzer,address "$build/try.c" -o "$build/try" 2>/dev/null || exit 77
cmake -S "$source" -B "$build" -DCMAKE_C_COMPILER="$clang" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DTP_FUZZ=ON \
    -DTP_SANITIZE=address,undefined -DTP_LEVELS=base -DTP_CUDA=OFF -DTP_EXAMPLES=OFF
cmake --build "$build" --parallel 2 --target fuzz_seeds fuzz_file fuzz_idx fuzz_args fuzz_csv \
    fuzz_numpy fuzz_cifar fuzz_tokens fuzz_picture
ctest --test-dir "$build" -R '^fuzz_' --output-on-failure
