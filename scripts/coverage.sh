#!/bin/sh
# coverage.sh - how many lines of the library the tests run: a table by file, and failure below 95 %.
#
#     sh scripts/coverage.sh
set -eu

cd "$(dirname "$0")/.."
build=${TAPER_BUILD:-build-coverage}
sh scripts/deps.sh build test coverage
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=ON -DTP_COVERAGE=ON -DTP_CUDA=OFF \
    -DTP_LEVELS="${TAPER_LEVELS:-base}"
cmake --build "$build" -j"$(nproc)"
find "$build" -name '*.gcda' -delete
TAPER_START_MS=10000 ctest --test-dir "$build" -j"$(nproc)" -LE slow \
    -E test_layers --output-on-failure # that one would find the symbols of gcov
exec gcovr --root . --object-directory "$build" --filter '(tensor|autograd|nn|optim|data|train)/' \
    --exclude-unreachable-branches --sort-uncovered --fail-under-line 95 "$build"
