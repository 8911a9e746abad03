#!/usr/bin/env bash
# Slow checks, run by hand before a release: the package is the same bytes from a Debug build and with other threads, and the program is bit-exact
# whatever technique is switched off, alone or all together.
#   tests/benchmark/nightly.sh        (needs a Release build in build/; makes a Debug build in build-debug/)
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
data=testdata/patterns-sd2
compile() { # BUILD OUTPUT flags...
  "$1/bin/sdopt-compile" "$data/opset17-fp32" -o "$work/$2.sdnpu" --quiet "${@:3}" >/dev/null
}
same() {
  cmp "$work/$1.sdnpu" "$work/$2.sdnpu" && echo "same bytes: $1 and $2"
}
cmake --preset debug >/dev/null
cmake --build --preset debug --target sdopt-compile

compile build release --samples "$data/samples" --statistics-out "$work/statistics" --threads 1
compile build threads2 --samples "$data/samples" --threads 2
same release threads2
statistics=(--statistics "$work/statistics/text_encoder.pb,$work/statistics/vae_encoder.pb,$work/statistics/unet.pb,$work/statistics/vae_decoder.pb")
compile build-debug debug "${statistics[@]}"
same release debug

tests/benchmark/techniques.sh --verify
