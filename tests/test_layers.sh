#!/bin/sh
# test_layers.sh LIBRARY - the house's rules, checked: includes go one way; each public header
# compiles alone, as C11 and as C++17; the library exports tp_ names and nothing else.
set -eu

library=$1
cd "$(dirname "$0")/.."
status=0
wrong() {
    echo "test_layers: $*" >&2
    status=1
}

# folder: what its files may include, beside their own folder
allowed() {
    case $1 in
    kernels) echo "" ;;
    tensor) echo "kernels" ;;
    autograd) echo "kernels tensor" ;;
    nn) echo "kernels tensor autograd" ;;
    optim) echo "kernels tensor autograd nn" ;;
    data) echo "kernels tensor" ;;
    train) echo "kernels tensor autograd nn optim data" ;;
    esac
}

for folder in kernels tensor autograd nn optim data train; do
    for file in $(find $folder -name '*.c' -o -name '*.h' -o -name '*.def'); do
        for included in $(sed -n 's/^#include "\([a-z]*\)\/.*/\1/p' "$file" | sort -u); do
            case " $folder $(allowed $folder) " in
            *" $included "*) ;;
            *) wrong "$file includes $included/, which is above $folder/" ;;
            esac
        done
    done
done
for file in examples/*.c; do
    if grep -q '^#include "' "$file" || [ "$(grep -c '^#include <taper.h>' "$file")" -ne 1 ]; then
        wrong "$file includes more of taper than <taper.h>"
    fi
    [ "$(wc -l <"$file")" -lt 150 ] || wrong "$file has 150 lines or more"
done

for header in kernels/dtype.h tensor/tensor.h tensor/file.h autograd/autograd.h autograd/ops.h nn/nn.h \
    optim/optim.h data/data.h train/train.h taper.h; do
    echo "#include \"$header\"" | ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -I. -fsyntax-only -x c - ||
        wrong "$header doesn't compile alone as C11"
    echo "#include \"$header\"" | ${CXX:-c++} -std=c++17 -Wall -Wextra -Werror -I. -fsyntax-only -x c++ - ||
        wrong "$header doesn't compile alone as C++17"
done

others=$(nm -D --defined-only "$library" | awk '$3 !~ /^tp_/ { print $3 }')
[ -z "$others" ] || wrong "exported without tp_: $others"
inner=$(nm -D --defined-only "$library" | awk '$3 ~ /^tp_cpu_/ { print $3 }')
[ -z "$inner" ] || wrong "kernels are exported: $inner"
exit $status
