#!/bin/sh
# torch-venv.sh - PyTorch, the oracle of the golden files and the rival of the benches.
#
# Makes a virtual environment in $TAPER_TORCH_VENV (~/.cache/taper/torch) with the pinned
# PyTorch and prints its interpreter; scripts use $TAPER_PYTHON, else that interpreter.
# The library itself never needs it.  $TAPER_TORCH_INDEX names another package index, for
# instance a CPU-only one.  Where pip can't install, Debian's python3-torch serves: older,
# good enough for tests/golden/make.py --check within its tolerance.
set -eu

version=2.15.0
venv=${TAPER_TORCH_VENV:-$HOME/.cache/taper/torch}
python=$venv/bin/python

works() {
    "$1" -c 'import torch, numpy, safetensors' 2>/dev/null
}

from_pip() {
    python3 -m venv "$venv" || return 1
    "$python" -m pip install --quiet --upgrade pip || return 1
    if [ -n "${TAPER_TORCH_INDEX:-}" ]; then
        "$python" -m pip install "torch==$version" --index-url "$TAPER_TORCH_INDEX" || return 1
    else
        "$python" -m pip install "torch==$version" || return 1
    fi
    "$python" -m pip install numpy safetensors
}

from_debian() {
    echo "torch-venv.sh: pip can't install torch $version; trying Debian's python3-torch" >&2
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get install -y python3-torch python3-numpy python3-safetensors ||
        $sudo apt-get install -y python3-torch python3-numpy
    rm -rf "$venv"
    /usr/bin/python3 -m venv --system-site-packages "$venv"
    works "$python" || "$python" -m pip install --quiet safetensors
}

works "$python" || from_pip || from_debian
works "$python" || {
    echo "torch-venv.sh: no PyTorch" >&2
    exit 1
}
"$python" -c 'import torch; print("torch", torch.__version__)' >&2
echo "$python"
