#!/bin/sh
# Quality of the UNet with nearest codes and with codes by second moments, as a Markdown table.
#   tests/benchmark/rounding.sh [BUILD_FOLDER [MODEL SAMPLES]]
cd "$(dirname "$0")/../.." && PYTHONPATH=tests/benchmark exec python3 -B - "$@" <<'PYTHON'
import re, sys
from unet_quality import Unet, builtin

unet = Unet(*sys.argv[1:])
everywhere = "version: 1\nname: w4\nglobal: {weight_bits: 4, group_size: 64, weight_symmetric: false, activation_bits: 16}\n"
recipes = [("`w4a16`", builtin("w4a16")), ("`w4a8`", builtin("w4a8")), ("`w8a16`", builtin("w8a16")), ("4-bit weights everywhere", everywhere)]
print("| recipe | bits a weight | rounding | PSNR | worst call | guided |\n|---|---|---|---|---|---|")
for name, text in recipes:
    for rounding in ("nearest", "gptq"):
        quality = unet.report(re.sub("global: {(.*)}", rf"global: {{rounding: {rounding}, \1}}", text.replace("rounding: gptq, ", "")))
        print(f"| {name} | {quality['weight_bits']:.2f} | `{rounding}` | {quality['psnr']:.1f} | {quality['worst_psnr']:.1f} | {quality['guided_psnr']:.1f} |", flush=True)
PYTHON
