#!/bin/sh
# What each technique is worth: the UNet compiled with the shipped recipes and with each of their techniques switched off, as a Markdown table.
#   tests/benchmark/techniques.sh [--verify] [--recipe NAME] [BUILD_FOLDER [MODEL SAMPLES]]
# --verify compares every row's program with its integer model. MODEL with outliers: sdopt-outliers writes one.
cd "$(dirname "$0")/../.." && PYTHONPATH=tests/benchmark exec python3 -B - "$@" <<'PYTHON'
import argparse, re
from unet_quality import MODEL, SAMPLES, Unet, builtin

parser = argparse.ArgumentParser("techniques.sh")
parser.add_argument("--verify", action="store_true")
parser.add_argument("--recipe", help="only this one")
for place, default in (("build", "build"), ("model", MODEL), ("samples", SAMPLES)):
    parser.add_argument(place, nargs="?", default=default)
options = parser.parse_args()
unet = Unet(options.build, options.model, options.samples, ["--verify"] if options.verify else [])


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
awq = ("on: AWQ's scales", [settings("smooth: awq")])
nearest_awq = ("rounding: nearest; on: AWQ's scales", nearest[1] + awq[1])
no_names = ("no exceptions for sensitive layers", [change(r"names:\n(.*\n)*", "")])
narrow_text = ("8 bits for keys and values of the text", [change(r".*attn2\?to_[kv].*\n")])
narrow_last = ("8 bits in the first and the last block", [change(r".*(down_blocks\.0|up_blocks\.2).*\n")])
narrow_gates = ("8 bits behind gates", [change(r".*ff\?net\?2.*\n")])
per_channel = ("a scale for each channel", [change("group_size: 64", "group_size: 0")])
per_tensor = ("a scale for each tensor", [change("group_size: 64", "group_size: 0"), settings("weight_granularity: tensor")])
symmetric = ("no zero points", [change("weight_symmetric: false", "weight_symmetric: true")])
one_tap = ("a scale for all taps", [settings("taps: all")])
one_scale = ("one scale for all parts of a concatenation", [change("version: 1\n", "version: 1\nsplit_concats: false\n")])
by_timestep = ("on: scales for 5 intervals of timesteps", [change("version: 1\n", "version: 1\ntimestep_buckets: 5\n")])
stepwise = ("all in every step", [change("version: 1\n", "version: 1\nhoist: false\n")])

TABLE = {
    "w8a8": [no_smoothing, one_scale, no_bias, extremes, activation_extremes, narrow_text, narrow_last, narrow_gates, no_names, by_timestep],
    "w4a16": [nearest, awq, nearest_awq, no_bias, extremes, per_channel, per_tensor, symmetric, one_tap, no_names],
    "w4a8": [nearest, no_smoothing, no_names],
    "w8a16": [one_scale, no_bias, extremes],
}
# Together, without what another one of them includes; here also what does not change a number: all in every step.
ALL = {
    "w8a8": [no_smoothing, one_scale, no_bias, extremes, activation_extremes, no_names, stepwise],
    "w4a16": [awq, no_bias, extremes, symmetric, one_tap, stepwise],
    "w4a8": [nearest, no_smoothing, one_scale, no_bias, extremes, activation_extremes, per_channel, symmetric, no_names, stepwise],
}


def row(recipe, what, steps):
    text = builtin(recipe)
    for step in steps:
        text = step(text)
    quality = unet.report(text)
    numbers = [f"{quality[key]:.1f}" for key in ("psnr", "worst_psnr", "guided_psnr")]
    print(f"| {recipe} | {what} | " + " | ".join(numbers) + f" | {quality['weight_bits']:.2f} |", flush=True)


print("| recipe | switched off, or on | PSNR | worst call | guided | bits per weight |\n|---|---|---|---|---|---|")
for recipe, techniques in TABLE.items():
    if options.recipe not in (None, recipe):
        continue
    row(recipe, "nothing", [])
    for what, steps in techniques:
        row(recipe, what, steps)
    if recipe in ALL:
        row(recipe, "all of these", [step for _, steps in ALL[recipe] for step in steps])
PYTHON
