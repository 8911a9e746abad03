#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests. Idempotent.
set -euo pipefail
cd "$(dirname "$0")/.."
start=$SECONDS
step() { printf '\n== %s (%d s)\n' "$1" "$((SECONDS - start))"; }

step "dependencies"
tools/install-dependencies.sh test
step "build"
mkdir -p build
cmake -G Ninja -S . -B build -DCMAKE_BUILD_TYPE=Release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
cmake --build build
step "tests"
build/tests/bin/onnx_backend_test --gtest_brief=1 | grep "onnx backend node tests"
ctest --test-dir build --output-on-failure --timeout 1200 -j2
