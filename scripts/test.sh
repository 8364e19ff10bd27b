#!/bin/sh
# test.sh - installs what the tests need, builds everything with warnings as errors, runs all
# tests but those labelled slow.  Arguments go to ctest:  sh scripts/test.sh -L fast
set -eu

cd "$(dirname "$0")/.."
build=${TAPER_BUILD:-build}
sh scripts/deps.sh build test
sim=OFF
if [ -f "${CUDA_PATH:-/usr/local/cuda}/include/cuda_runtime.h" ]; then
    sim=ON
else
    echo "test.sh: without NVIDIA's headers (CUDA_PATH says where) the CUDA kernels aren't tested" >&2
fi
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=ON -DTP_WERROR=ON \
    -DTP_CUDASIM=$sim -DCMAKE_CUDA_ARCHITECTURES=80
cmake --build "$build" -j"$(nproc)"
cd "$build"
[ $sim = OFF ] || sed -n 's/^TP_CUDA_TESTED:INTERNAL=/test.sh: of CUDA is tested: /p' CMakeCache.txt >&2
exec ctest -j"$(nproc)" -LE slow --output-on-failure "$@"
