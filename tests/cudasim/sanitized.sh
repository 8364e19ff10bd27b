#!/bin/sh
# sanitized.sh SOURCE BUILD OPTION... - the simulator's tests under AddressSanitizer and UndefinedBehaviorSanitizer, in a
# build of their own: cmake's options are those of this build, for compilers and where things are.
set -eu
source=$1 build=$2
shift 2
cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DTP_SANITIZE=address,undefined -DTP_LEVELS=base \
    -DTP_CUDASIM=ON -DTP_CUDA=OFF -DTP_EXAMPLES=OFF "$@"
cmake --build "$build" -j"$(nproc)" --target sim_programs
ctest --test-dir "$build" -j"$(nproc)" -L sim -LE slow --output-on-failure
