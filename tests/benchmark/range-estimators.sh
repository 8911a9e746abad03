#!/bin/sh
# Quality of the UNet with each range estimator for 8-bit activations, as a Markdown table.
#   tests/benchmark/range-estimators.sh [BUILD_FOLDER [MODEL SAMPLES]]
cd "$(dirname "$0")/../.." && PYTHONPATH=tests/benchmark exec python3 -B - "$@" <<'PYTHON'
import sys
from unet_quality import Unet, builtin

unet = Unet(*sys.argv[1:])
estimators = ["minmax", "moving_average", "{percentile: 99.99}", "{percentile: 99.9}", "{percentile: 99}", "mse", "entropy"]


def everywhere(range):
    return f"version: 1\nname: a8\nglobal: {{weight_bits: 8, weight_range: mse, activation_bits: 8, activation_range: {range}}}\n"


def sensitive(range):
    text = builtin("w8a8").replace("activation_range: minmax", f"activation_range: {range}")
    return text.replace("activation_range: mse", f"activation_range: {range}")


print("| activation_range | w8a8 | worst call | guided | 8 bits everywhere | guided |\n|---|---|---|---|---|---|")
for estimator in estimators:
    some, whole = unet.report(sensitive(estimator)), unet.report(everywhere(estimator))
    numbers = (some["psnr"], some["worst_psnr"], some["guided_psnr"], whole["psnr"], whole["guided_psnr"])
    print(f"| `{estimator}` | " + " | ".join(f"{number:.1f}" for number in numbers) + " |", flush=True)
PYTHON
