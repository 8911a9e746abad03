#!/usr/bin/env bash
# Installs sdopt and builds a project outside with its CMake package: the package is made once, and again only when an
# input has changed; a gate that fails fails the build.
#   outside-project.sh BUILD_FOLDER TESTDATA
set -euo pipefail
work=$1/outside-project
rm -rf "$work"
mkdir -p "$work"
cp -r "$2/patterns-sd2/opset17-fp32" "$work/model"
rm -r "$work"/model/unet/*.onnx* "$work"/model/vae_*/*.onnx
cmake --install "$1" --prefix "$work/install" >"$work/log"
for tool in compile opt translate objdump run lsp-server; do
  "$work/install/bin/sdopt-$tool" --version >/dev/null
done

configure() {
  cmake -G Ninja -S "$(dirname "$0")/outside-project" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/install" \
    -DMODEL="$work/model" -DSAMPLES="$2/patterns-sd2/samples" -DGATE="$3" >"$work/log"
}

# expect TEXT: a build that says it.
expect() {
  cmake --build "$work/build" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
  grep -q "$1" "$work/log" || { cat "$work/log"; echo "the build does not say '$1'"; return 1; }
}

configure "$1" "$2" "text_encoder.psnr>=40dB"
expect "gate passed"
test -s "$work/build/text.sdnpu"
expect "no work to do"
touch "$work/model/text_encoder/model.onnx"
expect "Compiling"
expect "no work to do"
configure "$1" "$2" "text_encoder.psnr>=90dB"
if cmake --build "$work/build" >"$work/log" 2>&1 || cmake --build "$work/build" >"$work/log" 2>&1; then
  cat "$work/log"
  echo "a failed gate does not fail the build"
  exit 1
fi
grep -q "gate FAILED: text_encoder.psnr>=90dB" "$work/log"
rm -rf "$work"
echo "installed, built outside, rebuilt when an input changed, stopped by a gate"
