#!/bin/sh
# What each technique is worth: the UNet compiled with the shipped recipes and with each of their techniques switched off, as a Markdown table.
#   tests/benchmark/techniques.sh [--verify] [--recipe NAME] [BUILD_FOLDER [MODEL SAMPLES]]
# --verify compares every row's program with its integer model. MODEL with outliers: sdopt-outliers writes one.
cd "$(dirname "$0")/../.." && exec python3 - "$@" <<'PYTHON'
import argparse, json, re, subprocess, tempfile

parser = argparse.ArgumentParser("techniques.sh")
parser.add_argument("--verify", action="store_true")
parser.add_argument("--recipe", help="only this one")
for place, default in (("build", "build"), ("model", "testdata/patterns-sd2/opset17-fp32"), ("samples", "testdata/patterns-sd2/samples")):
    parser.add_argument(place, nargs="?", default=default)
options = parser.parse_args()
# What names nothing in this model is an error in a recipe file; only built-in recipes may describe many models.
absent = r"pos_embed|add_emb|time_text_emb|quant_conv|text_encoder|vae_|up_blocks\.3"


def builtin(name):
    with open(f"compiler/recipe/builtin/{name}.yaml") as file:
        lines = file.read().split("\n")
    return "\n".join(line for line in lines if not re.search(absent, line)).replace("modules:\n", "")


def change(pattern, replacement=""):
    """Applies to every place; one at least."""
    def applied(text):
        changed = re.sub(pattern, replacement, text)
        assert changed != text, pattern
        return changed
    return applied


def settings(text):
    return change("global: {", f"global: {{{text}, ")


no_bias = ("bias correction off", [settings("bias_correction: false")])
no_smoothing = ("smoothing off", [change(", smooth: search")])
extremes = ("weights' ranges: the extremes", [change("weight_range: mse", "weight_range: minmax")])
activation_extremes = ("activations' ranges: the extremes", [change("activation_range: mse", "activation_range: minmax")])
nearest = ("rounding: nearest", [change("rounding: gptq, ")])
no_names = ("no exceptions for sensitive layers", [change(r"names:\n(.*\n)*", "")])
narrow_text = ("8 bits for keys and values of the text", [change(r".*attn2\?to_[kv].*\n")])
narrow_last = ("8 bits in the first and the last block", [change(r".*(down_blocks\.0|up_blocks\.2).*\n")])
narrow_gates = ("8 bits behind gates", [change(r".*ff\?net\?2.*\n")])
per_channel = ("a scale for each channel", [change("group_size: 64", "group_size: 0")])
per_tensor = ("a scale for each tensor", [change("group_size: 64", "group_size: 0"), settings("weight_granularity: tensor")])
symmetric = ("no zero points", [change("weight_symmetric: false", "weight_symmetric: true")])
one_tap = ("a scale for all taps", [settings("taps: all")])
stepwise = ("all in every step", [change("version: 1\n", "version: 1\nhoist: false\n")])

TABLE = {
    "w8a8": [no_smoothing, no_bias, extremes, activation_extremes, narrow_text, narrow_last, narrow_gates, no_names],
    "w4a16": [nearest, no_bias, extremes, per_channel, per_tensor, symmetric, one_tap, no_names],
    "w4a8": [nearest, no_smoothing, no_names],
    "w8a16": [no_bias, extremes],
}
# Together, without what another one of them includes; here also what does not change a number: all in every step.
ALL = {
    "w8a8": [no_smoothing, no_bias, extremes, activation_extremes, no_names, stepwise],
    "w4a8": [nearest, no_smoothing, no_bias, extremes, activation_extremes, per_channel, symmetric, no_names, stepwise],
}

with tempfile.TemporaryDirectory() as folder:
    statistics = []

    def compile(text):
        with open(f"{folder}/r.yaml", "w") as file:
            file.write(text)
        command = [f"{options.build}/bin/sdopt-compile", options.model, "--modules", "unet", "--recipe", f"{folder}/r.yaml",
                   "--samples", options.samples, "-o", f"{folder}/u.sdnpu", "--report", folder, "--quiet"]
        command += ["--verify"] if options.verify else []
        command += ["--statistics", f"{folder}/unet.pb"] if statistics else ["--statistics-out", folder]
        statistics.append(True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with open(f"{folder}/report.json") as file:
            return json.load(file)["modules"][0]

    def row(recipe, what, steps):
        text = builtin(recipe)
        for step in steps:
            text = step(text)
        unet = compile(text)
        numbers = [f"{unet[key]:.1f}" for key in ("psnr", "worst_psnr", "guided_psnr")]
        print(f"| {recipe} | {what} | " + " | ".join(numbers) + f" | {unet['weight_bits']:.2f} |", flush=True)

    print("| recipe | switched off | PSNR | worst call | guided | bits per weight |\n|---|---|---|---|---|---|")
    for recipe, techniques in TABLE.items():
        if options.recipe not in (None, recipe):
            continue
        row(recipe, "nothing", [])
        for what, steps in techniques:
            row(recipe, what, steps)
        if recipe in ALL:
            row(recipe, "all of these", [step for _, steps in ALL[recipe] for step in steps])
PYTHON
