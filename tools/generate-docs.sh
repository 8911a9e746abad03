#!/usr/bin/env bash
# Writes the op and pass pages of docs/ from their definitions; --check compares instead.
set -euo pipefail
cd "$(dirname "$0")/.."
tblgen=${MLIR_TBLGEN:-/usr/lib/llvm-22/bin/mlir-tblgen}
includes=(-I . -I /usr/lib/llvm-22/include)
out=docs/generated
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
"$tblgen" -gen-dialect-doc -dialect=sd "${includes[@]}" dialects/sd/SdOps.td -o "$out/sd.md"
"$tblgen" -gen-dialect-doc -dialect=npu "${includes[@]}" dialects/npu/NpuOps.td -o "$out/npu.md"
for table in passes/*/Passes.td; do
  folder=$(basename "$(dirname "$table")")
  "$tblgen" -gen-pass-doc "${includes[@]}" "$table" -o "$out/passes-$folder.md"
done
if [ "${1:-}" = --check ] && ! diff -r docs/generated "$out"; then
  echo "error: docs/generated is out of date; run: tools/generate-docs.sh"
  exit 1
fi
