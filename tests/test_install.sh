#!/bin/sh
# test_install.sh BUILD - a user's programs against an installed copy: C11 and C++17 by
# pkg-config, and CMake by find_package.
set -eu

build=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/usr" >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$work/usr" -name taper.pc)")
LD_LIBRARY_PATH=$(dirname "$(find "$work/usr" -name 'libtaper.so')")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
# the installed file names the prefix of configuration
flags="-I$work/usr/include/taper $(pkg-config --define-variable=prefix="$work/usr" --cflags --libs taper)"

cd "$work"
# shellcheck disable=SC2086 # flags are words
${CC:-cc} -std=c11 -Wall -Wextra -Werror "$here/install/train.c" $flags -o train_c
# shellcheck disable=SC2086
${CXX:-c++} -std=c++17 -Wall -Wextra -Werror "$here/install/train.cpp" $flags -o train_cpp
./train_cpp
if [ -d /usr/share/datasets/fashion-mnist ]; then
    ./train_c cpu 3
    [ -s out/log.csv ] && [ -s out/cnn.safetensors ]
fi

mkdir user && cd user
cat >CMakeLists.txt <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(user C)
find_package(taper 0.1 REQUIRED)
add_executable(train train.c)
target_link_libraries(train PRIVATE taper::taper)
EOF
cp "$here/install/train.c" .
cmake -S . -B build -DCMAKE_PREFIX_PATH="$work/usr" >/dev/null
cmake --build build >/dev/null
echo "test_install: C11, C++17 and CMake programs build against the installed copy"
