#!/bin/sh
# quickstart.sh - from a fresh Debian to a trained network: installs what is missing, builds,
# trains examples/cnn on Fashion-MNIST, and leaves log, curve, pictures and checkpoint in out/.
# Arguments go to the program:  sh scripts/quickstart.sh --epochs 15
set -eu

cd "$(dirname "$0")/.."
sh scripts/deps.sh build data
[ -f build/CMakeCache.txt ] || cmake --preset release -DBUILD_TESTING=OFF -DTP_CUDA=OFF
cmake --build build -j"$(nproc)" --target example_cnn
exec build/examples/cnn "$@"
