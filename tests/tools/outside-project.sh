#!/usr/bin/env bash
# Installs sdopt, builds a project outside with its CMake package, and builds it again: the second time nothing runs.
#   outside-project.sh BUILD_FOLDER TESTDATA
set -euo pipefail
work=$1/outside-project
rm -rf "$work"
mkdir -p "$work"
cp -r "$2/patterns-sd2/opset17-fp32" "$work/model"
rm -r "$work"/model/unet/*.onnx* "$work"/model/vae_*/*.onnx
cmake --install "$1" --prefix "$work/install" >/dev/null
cmake -G Ninja -S "$(dirname "$0")/outside-project" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/install" \
  -DMODEL="$work/model" -DSAMPLES="$2/patterns-sd2/samples" >/dev/null
cmake --build "$work/build"
test -s "$work/build/text.sdnpu"
cmake --build "$work/build" | grep -q 'no work to do'
touch "$work/model/text_encoder/model.onnx"
cmake --build "$work/build" | grep -q 'Compiling'
