#!/bin/sh
# The published MiniMalloc instances: are all placed within their capacity, each in 60 seconds on one core, and is hill climb alone
# within 1.25x of it? A Markdown table; exit status 1 if a bar is missed.
#   tests/benchmark/placement.sh [BUILD_FOLDER]
cd "$(dirname "$0")/../.." && exec python3 - "$@" <<'PYTHON'
import glob, subprocess, sys

build = sys.argv[1] if len(sys.argv) > 1 else "build"


def place(methods, capacity, file):
    line = subprocess.run([f"{build}/tests/bin/placement-speed", methods, capacity, file], check=True, capture_output=True, text=True).stdout
    method, peak, bound, nodes, seconds, sound = line.split()
    return method, int(peak), int(bound), int(nodes), float(seconds), sound


missed = 0
print("| instance | method | peak / capacity | peak / lower bound | nodes | seconds | bar | hill climb / capacity | bar | greedy / capacity |")
print("|---|---|---|---|---|---|---|---|---|---|")
for file in sorted(glob.glob("testdata/minimalloc/*.csv")):
    label, capacity, _ = file.split("/")[-1].split(".")
    method, peak, bound, nodes, seconds, sound = place("plan", capacity, file)
    climbed, greedy = (place(which, capacity, file)[1] / int(capacity) for which in ("hill-climb", "greedy"))
    bars = [peak <= int(capacity) and seconds <= 60 and sound == "sound", climbed <= 1.25]
    missed += bars.count(False)
    marks = ["pass" if bar else "MISSED" for bar in bars]
    print(f"| {label} | {method} | {peak / int(capacity):.4f} | {peak / bound:.4f} | {nodes:,} | {seconds:.2f} | {marks[0]} | {climbed:.3f} | {marks[1]} | {greedy:.3f} |", flush=True)
sys.exit(missed > 0)
PYTHON
