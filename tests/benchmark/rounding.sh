#!/bin/sh
# Quality of the UNet with nearest codes and with codes by second moments, as a Markdown table.
#   tests/benchmark/rounding.sh [BUILD_FOLDER [MODEL SAMPLES]]
cd "$(dirname "$0")/../.." && exec python3 - "$@" <<'PYTHON'
import json, re, subprocess, sys, tempfile

build, model, samples = (sys.argv[1:] + ["build", "testdata/patterns-sd2/opset17-fp32", "testdata/patterns-sd2/samples"][len(sys.argv) - 1:])[:3]
# What names nothing in this model is an error in a recipe file; only built-in recipes may describe many models.
patterns = "pos_embed|add_emb|time_text_emb|quant_conv|text_encoder|vae_|up_blocks\\.3"


def builtin(name):
    with open(f"compiler/recipe/builtin/{name}.yaml") as file:
        lines = file.read().split("\n")
    return "\n".join(line for line in lines if not re.search(patterns, line)).replace("modules:\n", "")


everywhere = "version: 1\nname: w4\nglobal: {weight_bits: 4, group_size: 64, weight_symmetric: false, activation_bits: 16}\n"
recipes = [("`w4a16`", builtin("w4a16")), ("`w4a8`", builtin("w4a8")), ("`w8a16`", builtin("w8a16")), ("4-bit weights everywhere", everywhere)]
with tempfile.TemporaryDirectory() as folder:
    print("| recipe | bits a weight | rounding | PSNR | worst call | guided |\n|---|---|---|---|---|---|")
    statistics = []
    for name, text in recipes:
        for rounding in ("nearest", "gptq"):
            with open(f"{folder}/r.yaml", "w") as file:
                file.write(re.sub("global: {(.*)}", rf"global: {{rounding: {rounding}, \1}}", text.replace("rounding: gptq, ", "")))
            command = [f"{build}/bin/sdopt-compile", model, "--modules", "unet", "--recipe", f"{folder}/r.yaml", "--samples", samples,
                       "-o", f"{folder}/u.sdnpu", "--report", folder, "--quiet"]
            command += ["--statistics", f"{folder}/unet.pb"] if statistics else ["--statistics-out", folder]
            statistics = True
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            with open(f"{folder}/report.json") as file:
                unet = json.load(file)["modules"][0]
            print(f"| {name} | {unet['weight_bits']:.2f} | `{rounding}` | {unet['psnr']:.1f} | {unet['worst_psnr']:.1f} | {unet['guided_psnr']:.1f} |", flush=True)
PYTHON
