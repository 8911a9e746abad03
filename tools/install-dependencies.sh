#!/usr/bin/env bash
# Installs what the build and the tests need from Debian 12's packages, if anything is missing. Needs root only then.
#   tools/install-dependencies.sh [build|test]
set -euo pipefail

build_packages=(
  g++ cmake ninja-build ccache pkg-config python3
  libmlir-22-dev mlir-22-tools llvm-22-dev llvm-22-tools
  libprotobuf-dev protobuf-compiler libonnx-dev libabsl-dev libyaml-cpp-dev nlohmann-json3-dev libcli11-dev
  libpng-dev libwebp-dev zlib1g-dev libgtest-dev libgmock-dev
)
test_packages=(libonnx-testdata clang-format-22 clang-tidy-22 clang-22 libclang-rt-22-dev)

packages=("${build_packages[@]}")
[ "${1:-build}" = test ] && packages+=("${test_packages[@]}")

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing: ${missing[*]}"
root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
    echo "error: these packages are missing and installing them needs root; run this, then try again:" >&2
    echo "  apt-get install ${missing[*]}" >&2
    exit 1
  fi
  root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${root[@]}" apt-get update -qq
"${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
