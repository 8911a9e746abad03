#!/bin/sh
# Prints every bar of quality, size, memory and time with its measured value; exit code 1 if one is missed.
#   tests/benchmark/bars.sh [BUILD_FOLDER]
cd "$(dirname "$0")/../.." && exec python3 - "${1:-build}" <<'PYTHON'
import json, os, re, resource, subprocess, sys, tempfile, time

build = sys.argv[1]
model, samples = "testdata/patterns-sd2/opset17-fp32", "testdata/patterns-sd2/samples"
missed = 0


def run(command):
    """Output, seconds and peak resident bytes of one program."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 and "zoom-quality" not in command[0]:
        sys.exit(f"failed: {' '.join(command)}")
    return output, time.monotonic() - start, usage.ru_maxrss * 1024


def bar(what, value, unit, least=None, most=None):
    global missed
    holds = (least is None or value >= least) and (most is None or value <= most)
    missed += not holds
    needed = f">= {least}" if least is not None else f"<= {most}" if most is not None else ""
    print(f"{what:48} {value:10.3f} {unit:3} {needed:9} {'' if not needed else 'ok' if holds else 'MISSED'}", flush=True)


with tempfile.TemporaryDirectory() as folder:
    for recipe, least, worst, guided in (("w8a16", 55, 45, 53), ("w8a8", 47, 44, 39)):
        package = f"{folder}/{recipe}.sdnpu"
        _, seconds, peak = run([f"{build}/bin/sdopt-compile", model, "--samples", samples, "--recipe", recipe, "-o", package,
                                "--report", folder, "--verify", "--quiet"])
        with open(f"{folder}/report.json") as file:
            report = json.load(file)
        name = recipe.upper()
        for module in report["modules"]:
            bar(f"{name} {module['name']} PSNR", module["psnr"], "dB", least if module["name"] == "unet" else None)
            if module["name"] == "unet":
                bar(f"{name} unet PSNR of the worst call", module["worst_psnr"], "dB", worst)
                bar(f"{name} unet PSNR of guided noise", module["guided_psnr"], "dB", guided)
        fp32 = sum(int(module["fp32_bytes"]) for module in report["modules"])
        bar(f"{name} package / fp32 weights", os.path.getsize(package) / fp32, "", most=0.30)
        bar(f"{name} compile and verify, peak resident", peak / 1e6, "MB", most=300)
        bar(f"{name} compile and verify", seconds, "s")
        bar(f"{name} modelled images/s", report["pipeline"]["images_per_second"], "")
        bar(f"{name} modelled images/s/W", report["pipeline"]["images_per_second_per_watt"], "")
    output, seconds, peak = run([f"{build}/bin/sdopt-run", "zoom", f"{folder}/w8a16.sdnpu", "--prompt", "small red rings on blue",
                                 "--frames", "3", "--steps", "12", "--seed", "7", "-o", f"{folder}/zoom"])
    bar("simulated zoom of 3 frames, peak resident", peak / 1e6, "MB", most=300)
    bar("simulated zoom of 3 frames", seconds, "s")
    output, _, _ = run([f"{build}/tests/bin/zoom-quality", f"{folder}/w8a16.sdnpu", "--steps", "20", "--frames", "6"])
    for what, value in re.findall(r"^(recorded, package|zoom frame \d+).* all +(\S+)$", output, re.M):
        bar(f"W8A16 against fp32, painted pixels, {what}", float(value), "dB", 35 if what == "zoom frame 1" else None)
output, _, _ = run([f"{build}/tests/bin/palette-speed"])
seconds, peak = re.search(r"16 centers: (\S+) s, (\S+) MB", output).groups()
bar("best 16 of 30 M halves, one core", float(seconds), "s", most=2)
bar("best 16 of 30 M halves, beyond the layer", float(peak), "MB", most=100)
sys.exit(missed > 0)
PYTHON
