#!/usr/bin/env bash
# Tests the Python tools with torch and diffusers, which are too large for every run of the test suite.
#   tests/python/run.sh [VENV] [pytest arguments]
# VENV (default: build/venv-python) is made and filled at the first run; set SDOPT_COMPILE to also compile the exported models.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${1:-$root/build/venv-python}
[ $# -gt 0 ] && shift
if [ ! -x "$venv/bin/pytest" ] || [ ! -x "$venv/bin/sdopt-export" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q -e "$root/tools/python[test]"
fi
(cd "$root/tools/python" && "$venv/bin/mypy")
cd "$root"
exec "$venv/bin/pytest" -q -p no:cacheprovider tests/python "$@"
