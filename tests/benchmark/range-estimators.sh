#!/bin/sh
# Quality of the UNet with each range estimator for 8-bit activations, as a Markdown table.
#   tests/benchmark/range-estimators.sh [BUILD_FOLDER [MODEL SAMPLES]]
cd "$(dirname "$0")/../.." && exec python3 - "$@" <<'PYTHON'
import json, re, subprocess, sys, tempfile

build, model, samples = (sys.argv[1:] + ["build", "testdata/patterns-sd2/opset17-fp32", "testdata/patterns-sd2/samples"][len(sys.argv) - 1:])[:3]
estimators = ["minmax", "moving_average", "{percentile: 99.99}", "{percentile: 99.9}", "{percentile: 99}", "mse", "entropy"]
with open("compiler/recipe/builtin/w8a8.yaml") as file:
    builtin = file.read()
# What names nothing in this model is an error in a recipe file; only built-in recipes may describe many models.
patterns = "pos_embed|add_emb|time_text_emb|quant_conv|text_encoder|vae_|up_blocks\\.3"
builtin = "\n".join(line for line in builtin.split("\n") if not re.search(patterns, line)).replace("modules:\n", "")


def everywhere(range):
    return f"version: 1\nname: a8\nglobal: {{weight_bits: 8, weight_range: mse, activation_bits: 8, activation_range: {range}}}\n"


def sensitive(range):
    text = builtin.replace("activation_range: minmax", f"activation_range: {range}")
    return text.replace("activation_range: mse", f"activation_range: {range}")


with tempfile.TemporaryDirectory() as folder:
    print("| activation_range | w8a8 | worst call | guided | 8 bits everywhere | guided |\n|---|---|---|---|---|---|")
    statistics = []
    for estimator in estimators:
        row = f"| `{estimator}` |"
        for text in (sensitive(estimator), everywhere(estimator)):
            with open(f"{folder}/r.yaml", "w") as file:
                file.write(text)
            command = [f"{build}/bin/sdopt-compile", model, "--modules", "unet", "--recipe", f"{folder}/r.yaml", "--samples", samples,
                       "-o", f"{folder}/u.sdnpu", "--report", folder, "--quiet"]
            command += ["--statistics", f"{folder}/unet.pb"] if statistics else ["--statistics-out", folder]
            statistics = True
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            with open(f"{folder}/report.json") as file:
                unet = json.load(file)["modules"][0]
            row += f" {unet['psnr']:.1f} |" + (f" {unet['worst_psnr']:.1f} |" if text != everywhere(estimator) else "")
            row += f" {unet['guided_psnr']:.1f} |"
        print(row, flush=True)
PYTHON
