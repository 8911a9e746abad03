#!/bin/sh
# Quality of the UNet with half of its weights zero, as a Markdown table.
#   tests/benchmark/pruning.sh [BUILD_FOLDER [RESULTS [MODEL SAMPLES]]]
# Fails if what makes up for zeros does not lose less than Wanda, or Wanda not less than magnitude, as published.
# RESULTS (default: BUILD_FOLDER/pruning.jsonl) keeps what was measured; that is not measured again.
cd "$(dirname "$0")/../.." && PYTHONPATH=tests/benchmark exec python3 -B - "$@" <<'PYTHON'
import sys
from unet_quality import Results

build, kept, *model = (sys.argv[1:] + ["build", ""][len(sys.argv) - 1:])
results = Results(kept or f"{build}/pruning.jsonl", build, *model)
methods = [("magnitude", "layer", "none"), ("magnitude", "row", "none"), ("wanda", "row", "none"), ("wanda", "layer", "none"),
           ("magnitude", "layer", "bias"), ("wanda", "row", "bias"), ("wanda", "row", "sweep"), ("wanda", "row", "least_squares"),
           ("sparsegpt", "usual", "sweep"), ("sparsegpt", "usual", "least_squares")]
weights = [("8", "weight_bits: 8"), ("4, `gptq`", "weight_bits: 4, weight_symmetric: false, rounding: gptq")]
wrong = []
print("| sparsity | weight bits | `prune` | `prune_scope` | `prune_update` | PSNR | worst call | guided |\n|---|---|---|---|---|---|---|---|")
for sparsity in ("0.5", "2:4"):
    for bits, form in weights:
        found = {}
        for method, scope, update in methods:
            if ":" in sparsity and (method, scope) in (("magnitude", "row"), ("wanda", "layer")):
                continue  # runs of a pattern are all that is compared
            scope_text = "" if ":" in sparsity or scope == "usual" else f", prune_scope: {scope}"
            report = results.of("version: 1\nname: pruned\nglobal: {sparsity: %s, prune: %s%s, prune_update: %s, %s}\n"
                                % (sparsity, method, scope_text, update, form))
            found[method, scope, update] = report["psnr"]
            shown = "" if ":" in sparsity else f"`{scope}`"
            print(f"| {sparsity} | {bits} | `{method}` | {shown} | `{update}` | {report['psnr']:.1f} | {report['worst_psnr']:.1f} | {report['guided_psnr']:.1f} |", flush=True)
        magnitude, wanda = found["magnitude", "layer", "none"], found["wanda", "row", "none"]
        updated = min(value for (_, _, update), value in found.items() if update in ("sweep", "least_squares"))
        if wanda < magnitude or updated < wanda:
            wrong.append(f"{sparsity}, {bits} bits: not magnitude <= wanda <= all that make up for zeros")
sys.exit("\n".join(wrong))
PYTHON
