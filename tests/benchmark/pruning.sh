#!/bin/sh
# Quality of the UNet with half of its weights zero, as a Markdown table.
#   tests/benchmark/pruning.sh [BUILD_FOLDER [MODEL SAMPLES]]
# Fails if what makes up for zeros does not lose less than Wanda, or Wanda not less than magnitude.
cd "$(dirname "$0")/../.." && exec python3 - "$@" <<'PYTHON'
import json, subprocess, sys, tempfile

build, model, samples = (sys.argv[1:] + ["build", "testdata/patterns-sd2/opset17-fp32", "testdata/patterns-sd2/samples"][len(sys.argv) - 1:])[:3]
methods = [("`magnitude`", "prune: magnitude"), ("`wanda`", "prune: wanda"), ("`wanda`, `least_squares`", "prune: wanda, prune_update: least_squares"),
           ("`sparsegpt`", "prune: sparsegpt"), ("`sparsegpt`, `least_squares`", "prune: sparsegpt, prune_update: least_squares")]
weights = [("8", "weight_bits: 8"), ("4, `gptq`", "weight_bits: 4, weight_symmetric: false, rounding: gptq")]
wrong = []
with tempfile.TemporaryDirectory() as folder:
    def measure(settings):
        with open(f"{folder}/r.yaml", "w") as file:
            file.write("version: 1\nname: pruned\nglobal: {%s}\n" % settings)
        subprocess.run([f"{build}/bin/sdopt-compile", model, "--modules", "unet", "--recipe", f"{folder}/r.yaml", "--samples", samples,
                        "-o", f"{folder}/u.sdnpu", "--report", folder, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        with open(f"{folder}/report.json") as file:
            return json.load(file)["modules"][0]

    print("| sparsity | weight bits | `prune` | PSNR | worst call | guided |\n|---|---|---|---|---|---|")
    for sparsity in ("0.5", "2:4"):
        for bits, form in weights:
            found = []
            for name, pruning in methods:
                unet = measure(f"sparsity: {sparsity}, {pruning}, {form}")
                found.append(unet["psnr"])
                print(f"| {sparsity} | {bits} | {name} | {unet['psnr']:.1f} | {unet['worst_psnr']:.1f} | {unet['guided_psnr']:.1f} |", flush=True)
            magnitude, wanda, *updated = found
            if wanda < magnitude or min(updated) < wanda:
                wrong.append(f"{sparsity}, {bits} bits: not magnitude <= wanda <= all that make up for zeros")
sys.exit("\n".join(wrong))
PYTHON
