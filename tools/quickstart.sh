#!/usr/bin/env bash
# From nothing to an infinite zoom: installs what is missing, builds, compiles the pipeline in testdata/ to one package,
# checks it to the bit, and simulates a zoom with it. Idempotent. Results in build/quickstart/.
set -euo pipefail
cd "$(dirname "$0")/.."
start=$SECONDS
step() { printf '\n== %s (%d s)\n' "$1" "$((SECONDS - start))"; }

step "dependencies"
tools/install-dependencies.sh build
step "build"
mkdir -p build
cmake -G Ninja -S . -B build -DCMAKE_BUILD_TYPE=Release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
cmake --build build --target sdopt-compile sdopt-run sdopt-objdump

out=build/quickstart
mkdir -p "$out"
step "compile four modules, W8A16, with every lossless step checked to the bit"
build/bin/sdopt-compile testdata/patterns-sd2/opset17-fp32 -o "$out/pipeline.sdnpu" \
  --samples testdata/patterns-sd2/samples --recipe w8a16 --target mobile --verify --steps 20 --report "$out"
step "simulate an infinite zoom from the package"
build/bin/sdopt-run zoom "$out/pipeline.sdnpu" --prompt "large purple rings on white" \
  --start testdata/patterns-sd2/start.png --frames 3 --interpolate 5 --feather 3 --steps 20 --guidance 5 --seed 7 -o "$out/zoom"

step "done"
echo "package:   $out/pipeline.sdnpu"
echo "report:    $out/report.html, $out/report.json"
echo "pictures:  $(ls "$out"/zoom/*.png | head -1) ... ($(ls "$out"/zoom/*.png | wc -l) files)"
echo "animation: $(ls "$out"/zoom/*.webp)"
