#!/bin/sh
# What 3x3 convolutions by fewer products gain and lose, at several least SQNRs, as a Markdown table.
#   tests/benchmark/winograd.sh [BUILD_FOLDER [MODEL SAMPLES]]
cd "$(dirname "$0")/../.." && PYTHONPATH=tests/benchmark exec python3 -B - "$@" <<'PYTHON'
import json, re, subprocess, sys, tempfile
from unet_quality import MODEL, SAMPLES, builtin

build, model, samples = (sys.argv[1:] + ["build", MODEL, SAMPLES][len(sys.argv) - 1:])[:3]
folder = tempfile.TemporaryDirectory().name


def report(module, recipe, target, head, setting):
    """What the report says of the module, and how many convolutions are made by F(2x2, 3x3) and F(4x4, 3x3)."""
    text = builtin(recipe) if module == "unet" else "version: 1\nname: r\nglobal: {activation_bits: 16}\n"
    if module == "vae_decoder" and recipe == "w8a8":
        text = "version: 1\nname: r\nglobal: {activation_bits: 16}\ntypes: {conv2d: {activation_bits: 8, activation_range: mse}}\n"
    with open(f"{folder}/r.yaml", "w") as file:
        file.write(head + "\n" + re.sub("global: {", "global: {" + setting, text, count=1))
    subprocess.run([f"{build}/bin/sdopt-compile", model, "--modules", module, "--recipe", f"{folder}/r.yaml", "--samples", samples, "--target",
                    target, "-o", f"{folder}/p.sdnpu", "--report", folder, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    with open(f"{folder}/report.json") as file:
        result = json.load(file)["modules"][0]
    forms = [layer.get("winograd", "") for layer in result["layers"]]
    return result, forms.count("F(2x2, 3x3)"), forms.count("F(4x4, 3x3)")


subprocess.run(["mkdir", folder], check=True)
with open("compiler/target/presets/mobile.yaml") as file:
    small = re.sub(r"(rows|columns): {multipliers: 64", r"\1: {multipliers: 16", file.read())
with open(f"{folder}/mobile-16x16.yaml", "w") as file:
    file.write(small)
print("| module | recipe | target | `winograd_min_sqnr` | F(2x2, 3x3), F(4x4, 3x3) | time | PSNR | worst call |\n|---|---|---|---|---|---|---|---|")
for module in ("vae_decoder", "unet"):
    for recipe in ("w8a16", "w8a8"):
        for target in ("mobile", "laptop", f"{folder}/mobile-16x16.yaml"):
            for head, setting in (("winograd: false", ""), ("", ""), *(("", f"winograd_min_sqnr: {least}dB, ") for least in (60, 50, 40))):
                result, exact, taps = report(module, recipe, target, head, setting)
                name = re.sub(r".*/|\.yaml", "", target)
                least = "`winograd: false`" if head else re.sub(r".*: |, ", "", setting) or "off"
                print(f"| {module} | {recipe} | {name} | {least} | {exact}, {taps} | {1e6 * result['seconds']:.1f} us | {result['psnr']:.1f} | "
                      f"{result['worst_psnr']:.1f} |", flush=True)
PYTHON
