#!/usr/bin/env bash
# clang-tidy 22 over the sources, two at a time. What has not changed since it last passed is not checked again.
#   check-tidy.sh BUILD_FOLDER
set -euo pipefail
build=$1
cache=$build/tidy-passed
mkdir -p "$cache"
stamp=$(sha256sum .clang-tidy | cut -c1-16)
headers=$(find compiler dialects passes tools -name '*.h' -o -name '*.td' | sort | xargs cat | sha256sum | cut -c1-16)
files=()
for file in $(find compiler dialects passes tools -name '*.cpp' | sort); do
  grep -q "\"file\": \"$PWD/$file\"" "$build/compile_commands.json" || continue
  key=$(cat "$file" | sha256sum | cut -c1-32)-$headers-$stamp
  [ -e "$cache/$key" ] || files+=("$file:$cache/$key")
done
echo "${#files[@]} files to check"
[ ${#files[@]} -eq 0 ] && exit 0
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -I{} bash -c '
  file=${1%%:*}; key=${1#*:}
  if clang-tidy-22 --quiet -p "$2" "$file" >"$key.log" 2>/dev/null; then rm -f "$key.log"; touch "$key"
  else cat "$key.log"; rm -f "$key.log"; exit 1; fi' _ {} "$build"
