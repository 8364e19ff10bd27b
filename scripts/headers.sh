#!/bin/sh
# headers.sh - reads the public headers with Doxygen into build-docs/html; any warning is a failure.
#
#     sh scripts/headers.sh
set -eu

cd "$(dirname "$0")/.."
sh scripts/deps.sh docs
headers=$(sed -n '/^set(PUBLIC_HEADERS/,/)/p' CMakeLists.txt | tr ' ()' '\n\n\n' | grep '\.h$' | tr '\n' ' ')
warnings=$( (cat docs/Doxyfile && echo "INPUT += $headers") | doxygen - 2>&1)
[ -z "$warnings" ] || {
    echo "$warnings"
    exit 1
}
echo "no warnings: build-docs/html/index.html"
