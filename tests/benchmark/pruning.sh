#!/bin/sh
# Quality of the UNet with half of its weights zero, as a Markdown table.
#   tests/benchmark/pruning.sh [BUILD_FOLDER [MODEL SAMPLES]]
# Fails if what makes up for zeros does not lose less than Wanda, or Wanda not less than magnitude.
cd "$(dirname "$0")/../.." && PYTHONPATH=tests/benchmark exec python3 -B - "$@" <<'PYTHON'
import sys
from unet_quality import Unet

unet = Unet(*sys.argv[1:])
methods = [("`magnitude`", "prune: magnitude"), ("`wanda`", "prune: wanda"), ("`wanda`, `least_squares`", "prune: wanda, prune_update: least_squares"),
           ("`sparsegpt`", "prune: sparsegpt"), ("`sparsegpt`, `least_squares`", "prune: sparsegpt, prune_update: least_squares")]
weights = [("8", "weight_bits: 8"), ("4, `gptq`", "weight_bits: 4, weight_symmetric: false, rounding: gptq")]
wrong = []
print("| sparsity | weight bits | `prune` | PSNR | worst call | guided |\n|---|---|---|---|---|---|")
for sparsity in ("0.5", "2:4"):
    for bits, form in weights:
        found = []
        for name, pruning in methods:
            report = unet.report("version: 1\nname: pruned\nglobal: {sparsity: %s, %s, %s}\n" % (sparsity, pruning, form))
            found.append(report["psnr"])
            print(f"| {sparsity} | {bits} | {name} | {report['psnr']:.1f} | {report['worst_psnr']:.1f} | {report['guided_psnr']:.1f} |", flush=True)
        magnitude, wanda, *updated = found
        if wanda < magnitude or min(updated) < wanda:
            wrong.append(f"{sparsity}, {bits} bits: not magnitude <= wanda <= all that make up for zeros")
sys.exit("\n".join(wrong))
PYTHON
