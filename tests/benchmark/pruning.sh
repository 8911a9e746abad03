#!/bin/sh
# Quality of the UNet with half of its weights zero, as a Markdown table.
#   tests/benchmark/pruning.sh [BUILD_FOLDER [RESULTS [MODEL SAMPLES]]]
# Fails if the best of Wanda's choices loses more than the best of magnitude's, or what makes up for zeros more than that.
# RESULTS (default: BUILD_FOLDER/pruning.jsonl) keeps what was measured; that is not measured again.
cd "$(dirname "$0")/../.." && PYTHONPATH=tests/benchmark exec python3 -B - "$@" <<'PYTHON'
import sys
from unet_quality import Results

build, kept, *model = (sys.argv[1:] + ["build", ""][len(sys.argv) - 1:])
results = Results(kept or f"{build}/pruning.jsonl", build, *model)
# prune, prune_scope, prune_norms, prune_update
methods = [("magnitude", "layer", "", "none"), ("magnitude", "row", "", "none"),
           ("wanda", "row", "pruned", "none"), ("wanda", "threshold", "pruned", "none"), ("wanda", "layer", "pruned", "none"),
           ("wanda", "row", "dense", "none"), ("wanda", "threshold", "dense", "none"), ("wanda", "layer", "dense", "none"),
           ("magnitude", "layer", "", "bias"), ("wanda", "layer", "dense", "bias"),
           ("wanda", "row", "pruned", "sweep"), ("wanda", "row", "pruned", "least_squares"), ("wanda", "layer", "dense", "least_squares"),
           ("sparsegpt", "usual", "", "sweep"), ("sparsegpt", "usual", "", "least_squares")]
weights = [("8", "weight_bits: 8"), ("4, `gptq`", "weight_bits: 4, weight_symmetric: false, rounding: gptq")]
wrong = []
print("| sparsity | weight bits | `prune` | `prune_scope` | `prune_norms` | `prune_update` | PSNR | worst call | guided |\n" + "|---" * 9 + "|")
shown = lambda name: f"`{name}`" if name else ""
for bits, form in weights:
    for sparsity in ("0.5", "2:4"):
        found = {}
        for method, scope, norms, update in methods:
            if ":" in sparsity:  # runs of a pattern are all that is compared
                scope = ""
            if (method, scope, norms, update) in found:
                continue
            settings = [("prune_scope", scope if scope != "usual" else ""), ("prune_norms", norms if norms == "dense" else "")]
            text = "".join(f", {key}: {value}" for key, value in settings if value)
            report = results.of("version: 1\nname: pruned\nglobal: {sparsity: %s, prune: %s%s, prune_update: %s, %s}\n"
                                % (sparsity, method, text, update, form))
            found[method, scope, norms, update] = report["psnr"]
            print(f"| {sparsity} | {bits} | `{method}` | {shown(scope)} | {shown(norms)} | `{update}` | "
                  f"{report['psnr']:.1f} | {report['worst_psnr']:.1f} | {report['guided_psnr']:.1f} |", flush=True)
        magnitude, wanda = (max(value for key, value in found.items() if (key[0], key[-1]) == (method, "none"))
                            for method in ("magnitude", "wanda"))
        updated = min(value for key, value in found.items() if key[-1] in ("sweep", "least_squares"))
        if not magnitude <= wanda <= updated:
            wrong.append(f"{sparsity}, {bits} bits: magnitude {magnitude:.2f}, wanda {wanda:.2f}, made up for {updated:.2f} dB")
sys.exit("\n".join(wrong))
PYTHON
