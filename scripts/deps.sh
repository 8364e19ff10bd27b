#!/bin/sh
# deps.sh - installs what Taper needs from Debian's packages, if it isn't there.
#
#     sh scripts/deps.sh build        to build the library
#     sh scripts/deps.sh build data   and to train on Fashion-MNIST
#     sh scripts/deps.sh build test   and to run the tests
#     sh scripts/deps.sh build fuzz   and the fuzzers
#     sh scripts/deps.sh texts        for scripts/texts.sh
#     sh scripts/deps.sh emoji        for scripts/emoji.sh
#     sh scripts/deps.sh series       for scripts/series.sh
#     sh scripts/deps.sh build test coverage docs   and to count covered lines, and check headers
set -eu

wanted=
for what; do
    case $what in
    build) wanted="$wanted gcc libc6-dev make cmake pkg-config zlib1g-dev libjansson-dev libstb-dev libopenblas-openmp-dev" ;;
    data) wanted="$wanted dataset-fashion-mnist" ;;
    test) wanted="$wanted g++ libcriterion-dev python3" ;;
    coverage) wanted="$wanted gcovr" ;;
    docs) wanted="$wanted doxygen" ;;
    texts) wanted="$wanted bible-kjv sword-text-kjv sword-text-sparv libsword-utils" ;;
    emoji) wanted="$wanted fonts-noto-color-emoji python3-fonttools python3-pil" ;;
    series) wanted="$wanted python3-vega-datasets" ;;
    fuzz) wanted="$wanted clang libclang-rt-14-dev" ;;
    *)
        echo "deps.sh: build, data, test, fuzz, coverage, docs, texts, emoji or series, not \"$what\"" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps.sh: this system has no apt; install by its own means what these Debian packages hold:" >&2
    echo " $wanted" >&2
    exit 1
fi

missing=
for package in $wanted; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        root=sudo
    else
        echo "deps.sh: missing:$missing" >&2
        echo "deps.sh: no right to install them; as root: apt-get install$missing" >&2
        exit 1
    fi
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # words are packages
if ! $root apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1; then
    $root apt-get update -q >/dev/null
    $root apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1 || {
        cat "$log" >&2
        exit 1
    }
fi
