#!/usr/bin/env bash
# Every C++ source is as clang-format 22 writes it.
set -euo pipefail
files=$(find compiler dialects passes tools tests -name '*.cpp' -o -name '*.h' | sort)
if ! clang-format-22 --dry-run -Werror $files 2>/tmp/format.$$; then
  grep -E '^[^ ]+: error' "/tmp/format.$$" | cut -d: -f1 | sort -u
  rm -f "/tmp/format.$$"
  echo "error: these files are not formatted; run: clang-format-22 -i FILE..."
  exit 1
fi
rm -f "/tmp/format.$$"
# What is written down for people refers to what they have.
if grep -rnE '\b(DESIGN|PEERS|STYLE)(\.md)?\b|shared/(facts|models|anchors)' compiler dialects passes tools docs README.md; then
  echo "error: these lines refer to documents that are not in the repository"
  exit 1
fi
