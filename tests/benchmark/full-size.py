#!/usr/bin/env python3
"""Measures sdopt beside its peers, all in one run, and prints every bar with its number.

Each step is a process of its own on --threads cores: wall-clock and processor seconds, peak resident memory, bytes written,
SQNR of the output against the fp32 model (10 log10(sum ref^2 / sum err^2)). Only the standard library is needed here; peers
run in a virtual environment that is made and filled from PyPI at the first run.
"""

import argparse
import array
import json
import math
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from full_size_plot import write_plot

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "tools"))
from tool_cases import read_safetensors, write_safetensors  # noqa: E402

CALLS = 3  # of a module: the fastest is the steady state
MODELLED_PHONES = "39.6-96.3 ms"  # Qualcomm AI Hub, SD 2.1 UNet W8A16, one call
# The mobile target: multiply-accumulates a second with 16-bit activations (half rate; attention, 16 by 16 bits: a quarter), DRAM bytes.
MOBILE_MATRIX, MOBILE_ATTENTION, MOBILE_DRAM = 4 * 64 * 64 * 1e9 / 2, 4 * 64 * 64 * 1e9 / 4, 51.2e9
SD2_CONFIGS = {
    "unet": {"sample_size": 64, "in_channels": 9, "cross_attention_dim": 1024},
    "vae_decoder": {"sample_size": 512, "latent_channels": 4, "block_out_channels": [128, 256, 512, 512]},
}
WEIGHTS_RECIPE = """version: 1
name: weights
global: {weight_bits: 8, weight_range: minmax, activation_bits: 16, activation_range: minmax}
"""


def parse_arguments():
    parser = argparse.ArgumentParser("full-size.sh", description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, help="SD2 inpainting ONNX folder; default: exported with random weights")
    parser.add_argument("--peers", choices=("none", "ort", "all"), default="ort", help="all: also NNCF and ONNX Runtime's static quantization, which takes 22 GB")
    parser.add_argument("--initial-model", type=Path, help="the same with PyTorch's initial weights; default: exported")
    parser.add_argument("--tiny", action="store_true", help="the small pipeline of testdata: the same steps in a minute")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="build folder with bin/")
    parser.add_argument("--work", type=Path, help="default: BUILD/benchmark")
    parser.add_argument("--scales", default="0.25,0.5,1", help="channels of the UNets in the plot (2 takes 14 GB of disk)")
    parser.add_argument("--rows", default="weights,static,steps,float,initial,vae,scales", help="what to measure")
    parser.add_argument("--repeat", type=int, default=2, help="times each is run; the best counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer-python", type=Path, help="interpreter that has onnx, onnxruntime (and nncf); default: a new venv")
    parser.add_argument("--exporter", type=Path, help="sdopt-export; default: a new venv")
    options = parser.parse_args()
    options.work = (options.work or options.build / "benchmark").resolve()
    options.rows = options.rows.split(",")
    if options.tiny:
        options.repeat, options.peers = 1, "none"
    return options


# Measuring.


class Failed(Exception):
    pass


class Child:
    """What one process took."""

    def __init__(self, seconds, usage, output, errors):
        self.seconds, self.output, self.errors = seconds, output, errors
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak = usage.ru_maxrss * 1024


def say(text):
    print(f"[{time.monotonic() - STARTED:6.0f} s] {text}", file=sys.stderr, flush=True)


def run(name, command, cores, quiet=False):
    """Runs one process to its end; its last line of progress is shown every ten seconds."""
    if not quiet:
        say(name)
    start = shown = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
    )
    output = []
    reader = threading.Thread(target=lambda: output.append(process.stdout.read()))
    reader.start()
    errors = []
    try:
        for line in process.stderr:
            errors.append(line)
            if time.monotonic() - shown > 10 and line.strip():
                shown = time.monotonic()
                say(f"  {line.strip()[:110]}")
        _, status, usage = os.wait4(process.pid, 0)
    except KeyboardInterrupt:
        process.kill()
        raise
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    if process.returncode != 0:
        raise Failed(f"failed with {process.returncode}: {' '.join(map(str, command))}\n{''.join(errors).strip()[-2000:]}")
    return Child(seconds, usage, output[0], "".join(errors))


def size_of(path):
    """Bytes of a file and of the data files that belong to it."""
    return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))


def floats(tensor):
    dtype, _, content = tensor
    if dtype != "F32":
        sys.exit(f"needed F32, found {dtype}")
    values = array.array("f")
    values.frombytes(content)
    return values


def sqnr(reference, value, name):
    """Over the records that both files have, dB."""
    signal = noise = 0.0
    for a, b in zip(floats(read_safetensors(reference)[name]), floats(read_safetensors(value)[name])):
        signal += a * a
        noise += (a - b) * (a - b)
    return math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal else math.nan


# Inputs.


def normals(generator, *shape):
    values = array.array("f", (generator.gauss(0, 1) for _ in range(math.prod(shape))))
    return ("F32", list(shape), values.tobytes())


def unet_samples(config, records, seed):
    generator = random.Random(seed)
    side, steps = config["sample_size"], [1 + 997 * (i + 1) // (records + 1) for i in range(records)]
    return {
        "sample": normals(generator, records, 1, config["in_channels"], side, side),
        "timestep": ("I64", [records], array.array("q", steps).tobytes()),
        "encoder_hidden_states": normals(generator, records, 1, 77, config["cross_attention_dim"]),
    }


def first_records(tensors, count):
    return {name: (dtype, [count, *shape[1:]], content[: len(content) // shape[0] * count]) for name, (dtype, shape, content) in tensors.items()}


def module_samples(model, module, records, seed, tiny):
    if tiny:
        kind = "calibration" if seed == 1 else "test"
        return first_records(read_safetensors(ROOT / f"testdata/patterns-sd2/samples/{module}_{kind}.safetensors"), records)
    file = model / module / "config.json"
    config = json.loads(file.read_text()) if file.exists() else SD2_CONFIGS[module]
    if module == "unet":
        return unet_samples(config, records, seed)
    side = config["sample_size"] >> (len(config["block_out_channels"]) - 1)
    return {"latent_sample": normals(random.Random(seed), records, 1, config["latent_channels"], side, side)}


class Benchmark:
    def __init__(self, options):
        self.options = options
        self.work = options.work
        self.work.mkdir(parents=True, exist_ok=True)
        for pattern in ("*.sdnpu", "statistics*", "samples*"):  # of another run, perhaps of another compiler or model
            for old in self.work.glob(pattern):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        self.cores = set(sorted(os.sched_getaffinity(0))[: options.threads])
        self.rows, self.bars, self.notes = [], [], []
        self.model = self.find_model()
        self.recipe = self.work / "weights.yaml"
        self.recipe.write_text(WEIGHTS_RECIPE)
        self.python = self.find_peers()
        recorded = Path(__file__).with_name("full-size-recorded.json")
        self.recorded = {row["name"]: row for row in json.loads(recorded.read_text())["rows"]} if recorded.exists() and not options.tiny else {}
        self.references = {}

    # What is needed.

    def find_exporter(self):
        if self.options.exporter:
            return self.options.exporter
        venv = self.options.build / "venv-python"
        if not (venv / "bin" / "sdopt-export").exists():
            run("a virtual environment with torch and diffusers for the exporter", [sys.executable, "-m", "venv", venv], None)
            run("installing the exporter", [venv / "bin/pip", "install", "-q", ROOT / "tools/python"], None)
        return venv / "bin" / "sdopt-export"

    def exported(self, folder, modules, *flags):
        if not folder.exists():
            command = [self.find_exporter(), "--random-weights", "--architecture", "sd2-inpainting", "--modules", modules, "-o", folder, *flags]
            run(f"exporting {modules} {' '.join(map(str, flags))}", command, None)
        return folder

    def find_model(self):
        if self.options.tiny:
            return ROOT / "testdata/patterns-sd2/opset17-fp32"
        return self.options.model or self.exported(self.work / "model", "unet,vae_decoder")

    def find_peers(self):
        if self.options.peers == "none":
            return None
        python = self.options.peer_python
        if not python:
            venv = self.work / "venv-peers"
            python = venv / "bin" / "python3"
            wanted = ["numpy", "onnx", "onnx-ir", "onnxruntime", "sympy"] + (["nncf"] if self.options.peers == "all" else [])
            if not python.exists():
                run("a virtual environment for the peers", [sys.executable, "-m", "venv", venv], None)
            run("installing the peers from PyPI", [venv / "bin/pip", "install", "-q", *wanted], None)
        return python

    # Rows.

    def row(self, name, seconds, peak, cpu=None, size=None, quality=None, **more):
        row = {"name": name, "seconds": seconds, "cpu_seconds": cpu, "peak_bytes": peak, "output_bytes": size, "sqnr": quality, **more}
        self.rows.append(row)
        say(f"  {name}: {seconds:.2f} s" + (f", {peak / 1e6:.0f} MB" if peak else "") + (f", {quality:.1f} dB" if quality is not None else ""))
        self.save()
        return row

    def find(self, name):
        return next((row for row in self.rows if row["name"] == name), None)

    def bar(self, what, value, unit, least=None, most=None, note=""):
        if value is None:
            return
        holds = None if least is None and most is None else (least is None or value >= least) and (most is None or value <= most)
        self.bars.append({"what": what, "value": value, "unit": unit, "least": least, "most": most, "holds": holds, "note": note})

    def save(self):
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        machine = {"cpu": cpu[1] if cpu else "?", "cores": self.options.threads, "load": os.getloadavg()[0]}
        result = {"model": "tiny" if self.options.tiny else "sd2-inpainting", "machine": machine, "rows": self.rows, "bars": self.bars, "notes": self.notes}
        (self.work / "full-size.json").write_text(json.dumps(result, indent=1) + "\n")

    # Steps.

    def sdopt(self, name, *flags, model=None, module="unet", repeat=None):
        """The fastest of some runs of the compiler; memory of the largest."""
        command = [self.options.build / "bin/sdopt-compile", model or self.model, "--modules", module, "--threads", self.options.threads, *flags]
        command += ["--dimension", "sequence_length=77"] if self.options.tiny and not module.startswith("vae") else []
        runs = [run(name, command, self.cores) for _ in range(repeat or self.options.repeat)]
        best = min(runs, key=lambda child: child.seconds)
        best.peak = max(child.peak for child in runs)
        best.cpu = min(child.cpu for child in runs)
        return best

    def peer(self, name, action, *arguments):
        script = Path(__file__).with_name("full-size-peers.py")
        child = run(name, [self.python, script, self.options.threads, action, *arguments], self.cores)
        child.values = json.loads(child.output.splitlines()[-1])
        return child

    def samples(self, module, records, seed=1, model=None, tag=""):
        """A folder with calibration samples; seed 2 is the test set, a file of its own."""
        kind = "calibration" if seed == 1 else "test"
        path = self.work / f"samples{tag}-{kind}-{records}" / f"{module}_{kind}.safetensors"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            write_safetensors(path, module_samples(model or self.model, module, records, seed, self.options.tiny))
        return path

    def output_name(self, module):
        return "out_sample" if module == "unet" else "sample"

    def reference(self, module):
        """Outputs of the fp32 model for the test samples."""
        if self.options.tiny:
            return self.samples(module, CALLS, 2)
        return self.references.get(module)

    def run_package(self, module, package, label):
        """Executes the package on the test samples: seconds of one call and SQNR."""
        out = self.work / f"{module}-{label}.safetensors"
        command = [self.options.build / "bin/sdopt-run", package, "--module", module, "--inputs", self.samples(module, CALLS, 2), "-o", out, "--threads", self.options.threads]
        child = run(f"{module} {label}: {CALLS} calls on the simulator", command, self.cores)
        pace = re.search(r"one run took ([\d.,e-]+) s \(fastest of \d+, median ([\d.,e-]+) s\), ([\d.,e-]+) s of processor", child.errors)
        child.fastest, child.median, child.cpu = (float(value.replace(",", "")) for value in pace.groups())
        modelled = re.search(r"each ([\d,]+) cycles \(([^)]*)\)", child.output)
        child.modelled = modelled[2] if modelled else ""
        child.quality = sqnr(self.reference(module), out, self.output_name(module)) if self.reference(module) else None
        return child

    def run_peer(self, module, model, label, records=CALLS):
        out = self.work / f"{module}-{label}.safetensors"
        child = self.peer(f"{module} {label}: {records} calls by ONNX Runtime", "run", model, self.samples(module, records, 2), out)
        if label == "fp32":
            self.references[module] = out
        else:
            child.quality = sqnr(self.reference(module), out, self.output_name(module))
        return child

    # (a) and (c): weights only.

    def statistics(self):
        folder = self.work / "statistics"
        if not (folder / "unet.pb").exists():
            flags = ["--samples", self.samples("unet", 2).parent, "--statistics-out", folder, "--stages", self.work / "stages", "--stop-after", "calibrate"]
            self.sdopt("statistics of 2 samples", *flags, repeat=1)
        return folder / "unet.pb"

    def weights_package(self):
        package = self.work / "weights.sdnpu"
        if not package.exists():
            self.weights()
        return package

    def weights(self):
        package, given = self.work / "weights.sdnpu", self.statistics()
        flags = ["--statistics", given, "--recipe", self.recipe, "-o", package]
        self.sdopt("weight-only INT8, page cache not yet warm", *flags, "--report", self.work / "report", repeat=1)
        best = self.sdopt("weight-only INT8, sdopt", *flags)
        self.row("sdopt weight-only INT8", best.seconds, best.peak, best.cpu, size_of(package))

    def weights_by_peers(self):
        names = {"dynamic": "ORT quantize_dynamic", "nbits": "ORT MatMulNBits 4 bit"}
        if self.options.peers == "all":
            names = {"nncf": "NNCF compress_weights", **names}
        for action, name in names.items():
            folder = self.work / action
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            child = self.peer(name, action, self.model / "unet/model.onnx", folder / "model.onnx")
            quality = None
            try:
                quality = self.run_peer("unet", folder / "model.onnx", action, records=1).quality
            except Failed as error:
                self.notes.append(f"ONNX Runtime cannot run the model of {name}: {str(error).splitlines()[-1][:200]}")
            self.row(name, child.values["seconds"], child.peak, child.cpu, size_of(folder / "model.onnx"), quality)
            shutil.rmtree(folder)

    # (b): activations too, calibration included.

    def static(self):
        """Calibration, then the compilation with its statistics: without the quality report on test samples, which peers lack."""
        package, given = self.work / "w8a8.sdnpu", self.work / "statistics-w8a8"
        flags = ["--samples", self.samples("unet", 2).parent, "--statistics-out", given, "--stages", self.work / "stages", "--stop-after", "calibrate"]
        calibrated = self.sdopt("static W8A8, sdopt: calibration on 2 samples", *flags)
        compiled = self.sdopt("static W8A8, sdopt: package", "--statistics", given / "unet.pb", "--recipe", "w8a8", "-o", package)
        peak = max(calibrated.peak, compiled.peak)
        self.row("sdopt static W8A8", calibrated.seconds + compiled.seconds, peak, calibrated.cpu + compiled.cpu, size_of(package), calibration=calibrated.seconds)

    def static_by_peer(self):
        free = int(re.search(r"MemAvailable: *(\d+)", Path("/proc/meminfo").read_text())[1]) / 1e6
        weights = sum(file.stat().st_size for file in (self.model / "unet").iterdir()) / 1e9
        if free < 6.6 * weights:
            self.notes.append(f"ORT quantize_static needs {6.6 * weights:.0f} GB of memory, {free:.0f} GB are free: not run")
            return
        folder = self.work / "qdq"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        child = self.peer("ORT quantize_static", "static", self.model / "unet/model.onnx", folder / "model.onnx", self.samples("unet", 2))
        ran = self.run_peer("unet", folder / "model.onnx", "qdq")
        self.row("ORT quantize_static", child.values["seconds"], child.peak, child.cpu, size_of(folder / "model.onnx"), ran.quality)
        self.row("ORT INT8 QDQ UNet step", min(ran.values["calls"]), ran.peak, None, None, ran.quality, median=statistics.median(ran.values["calls"]))
        shutil.rmtree(folder)

    # (d): execution. Programs that are compared take turns: a busy hour slows both.

    def steps(self, module, packages, name):
        fp32, best = None, {}
        for _ in range(self.options.repeat):
            if self.python:
                child = self.run_peer(module, self.model / module / "model.onnx", "fp32")
                if fp32 is None or min(child.values["calls"]) < min(fp32.values["calls"]):
                    fp32 = child
            for label, package in packages.items():
                child = self.run_package(module, package, label)
                if label not in best or child.fastest < best[label].fastest:
                    best[label] = child
        if fp32:
            self.row(f"ORT fp32 {name}", min(fp32.values["calls"]), fp32.peak, min(fp32.values["cpu"]), None, None, median=statistics.median(fp32.values["calls"]), load=fp32.values["load"])
        for label, child in best.items():
            self.row(f"sdopt {label} {name}", child.fastest, child.peak, child.cpu, None, child.quality, median=child.median, modelled=child.modelled)

    def unet_steps(self):
        if not (self.work / "w8a8.sdnpu").exists():
            self.static()
        self.steps("unet", {"W8A16": self.weights_package(), "W8A8": self.work / "w8a8.sdnpu"}, "UNet step")
        compiled, ran = self.find("sdopt weight-only INT8"), self.find("sdopt W8A16 UNet step")
        if compiled:
            compiled["sqnr"] = ran["sqnr"]
        if compiled := self.find("sdopt static W8A8"):
            compiled["sqnr"] = self.find("sdopt W8A8 UNet step")["sqnr"]

    def vae(self):
        package = self.work / "vae.sdnpu"
        if not package.exists():
            given = self.work / "statistics-vae"
            flags = ["--samples", self.samples("vae_decoder", 1).parent, "--statistics-out", given, "--stages", self.work / "stages", "--stop-after", "calibrate"]
            self.sdopt("VAE decoder: calibration", *flags, module="vae_decoder", repeat=1)
            self.sdopt("VAE decoder: package", "--statistics", given / "vae_decoder.pb", "-o", package, module="vae_decoder", repeat=1)
        self.steps("vae_decoder", {"W8A16": package}, "VAE decoder")

    def float_evaluation(self):
        """Seconds of calibration with 1, 2 and 3 samples: the slope is one evaluation."""
        best = {}
        for records in (1, 2, 3):
            flags = ["--samples", self.samples("unet", records).parent, "--stages", self.work / "stages", "--stop-after", "calibrate"]
            best[records] = self.sdopt(f"calibration with {records} samples", *flags)
            self.row(f"sdopt calibration, {records} samples", best[records].seconds, best[records].peak, best[records].cpu)
        slope = lambda what: max(0.0, (getattr(best[3], what) - getattr(best[1], what)) / 2)
        self.row("sdopt float UNet evaluation", slope("seconds"), None, slope("cpu"))

    # (e): quality on the weights that other tools' numbers are of.

    def initial(self):
        """Weights as PyTorch initializes them, the same inputs."""
        model = self.options.initial_model or self.exported(self.work / "initial-model", "unet", "--initial-weights")
        package, given, out = self.work / "initial.sdnpu", self.work / "statistics-initial", self.work / "unet-initial-fp32.safetensors"
        flags = ["--samples", self.samples("unet", 2).parent, "--statistics-out", given, "--stages", self.work / "stages", "--stop-after", "calibrate"]
        self.sdopt("initial weights: calibration on 2 samples", *flags, model=model, repeat=1)
        self.sdopt("initial weights: W8A8 package", "--statistics", given / "unet.pb", "--recipe", "w8a8", "-o", package, model=model, repeat=1)
        self.peer(f"initial weights: {CALLS} calls by ONNX Runtime", "run", model / "unet/model.onnx", self.samples("unet", CALLS, 2), out)
        self.references["unet"], kept = out, self.reference("unet")
        child = self.run_package("unet", package, "initial")
        self.references["unet"] = kept
        self.row("sdopt W8A8 UNet step, initial weights", child.fastest, child.peak, child.cpu, size_of(package), child.quality)

    # (f): cost against size.

    def scales(self):
        for label, model, module in self.sizes():
            tag = f"-{label}"
            stage, package = self.work / f"statistics{tag}", self.work / f"scaled{tag}.sdnpu"
            if not (stage / f"{module}.pb").exists():
                samples = self.samples(module, 1, model=model, tag=tag).parent
                flags = ["--samples", samples, "--statistics-out", stage, "--stages", self.work / f"stages{tag}", "--stop-after", "calibrate"]
                self.sdopt(f"{label}: statistics", *flags, model=model, module=module, repeat=1)
            flags = ["--statistics", stage / f"{module}.pb", "--recipe", self.recipe, "-o", package]
            best = self.sdopt(f"{label}: weight-only INT8", *flags, model=model, module=module, repeat=self.options.repeat + (not self.options.tiny))
            weights = sum(file.stat().st_size for file in (model / module).glob("model.onnx*"))
            self.row(f"sdopt weight-only INT8, {label}", best.seconds, best.peak, best.cpu, size_of(package), None, weight_bytes=weights)
            package.unlink()

    def sizes(self):
        if self.options.tiny:
            return [(module, self.model, module) for module in ("text_encoder", "vae_encoder", "unet")]
        return [
            (f"{scale}x channels", self.model if float(scale) == 1 else self.exported(self.work / f"x{scale}", "unet", "--scale-channels", scale), "unet")
            for scale in self.options.scales.split(",")
        ]

    # Results.

    def judge(self):
        seconds = lambda name: (self.find(name) or {}).get("seconds")
        peak = lambda name: (self.find(name) or {}).get("peak_bytes")
        quality = lambda name: (self.find(name) or {}).get("sqnr")
        giga = lambda value: value / 1e9 if value else None
        limit = lambda value: None if self.options.tiny else value
        self.bar("weight-only INT8 to package", seconds("sdopt weight-only INT8"), "s", most=limit(12), note="NNCF 17.5 s, ONNX only")
        self.bar("weight-only INT8, peak memory", giga(peak("sdopt weight-only INT8")), "GB", most=limit(0.9))
        self.bar("static W8A8 with calibration on 2 samples", seconds("sdopt static W8A8"), "s", most=limit(40))
        self.bar("static W8A8, peak memory", giga(peak("sdopt static W8A8")), "GB", most=limit(1.7))
        self.bar("W8A8 output SQNR, initial weights", quality("sdopt W8A8 UNet step, initial weights"), "dB", least=28, note="ORT quantize_static 24.6")
        self.bar("W8A8 output SQNR", quality("sdopt W8A8 UNet step"), "dB", least=25 if self.options.tiny else None)
        self.bar("W8A16 output SQNR", quality("sdopt W8A16 UNet step"), "dB", least=None if not self.options.tiny else 40)
        for other in ("NNCF compress_weights", "ORT quantize_dynamic"):
            self.ratio("weight-only INT8", "sdopt weight-only INT8", other)
        self.ratio("static W8A8", "sdopt static W8A8", "ORT quantize_static")
        if quality("ORT quantize_static") is not None and quality("sdopt static W8A8") is not None:
            self.bar("static W8A8: SQNR, sdopt - ORT quantize_static", quality("sdopt static W8A8") - quality("ORT quantize_static"), "dB", least=3.4)
        self.ratio("W8A8 UNet step", "sdopt W8A8 UNet step", "ORT fp32 UNet step", 0.4)
        self.ratio("W8A8 UNet step", "sdopt W8A8 UNet step", "ORT INT8 QDQ UNet step")
        self.ratio("W8A16 UNet step", "sdopt W8A16 UNet step", "ORT fp32 UNet step", 0.8)
        self.ratio("VAE decoder W8A16", "sdopt W8A16 VAE decoder", "ORT fp32 VAE decoder", 0.7)
        self.ratio("float UNet evaluation", "sdopt float UNet evaluation", "ORT fp32 UNet step", 1.1)
        self.judge_growth(limit(1.25))
        self.modelled_step()

    def ratio(self, what, mine, other, most=None):
        """Wall-clock time decides; processor time stands beside it, which other programs disturb less."""
        a, b = self.find(mine), self.find(other)
        if not a or not b or not a["seconds"] or not b["seconds"]:
            return
        note = f"processor time {a['cpu_seconds'] / b['cpu_seconds']:.2f}x" if a["cpu_seconds"] and b["cpu_seconds"] else ""
        self.bar(f"{what}: sdopt / {other}", a["seconds"] / b["seconds"], "x", most=most, note=note)

    def judge_growth(self, most):
        """Linear: a further byte of weights or a further sample costs no more in a large model than in a small one."""
        points = sorted((row["weight_bytes"], row["cpu_seconds"], row["peak_bytes"]) for row in self.rows if "weight_bytes" in row)
        for index, what in ((1, "processor time"), (2, "peak memory")):
            slopes = [(b[index] - a[index]) / (b[0] - a[0]) for a, b in zip(points, points[1:])]
            if len(slopes) > 1 and slopes[0] > 0:
                self.bar(f"growth of {what} per weight, largest / smallest", slopes[-1] / slopes[0], "x", most=most)
        samples = [self.find(f"sdopt calibration, {n} samples") for n in (1, 2, 3)]
        if all(samples) and samples[1]["cpu_seconds"] > samples[0]["cpu_seconds"]:
            one, two, three = (row["cpu_seconds"] for row in samples)
            self.bar("growth of calibration per sample, third / second", (three - two) / (two - one), "x", most=most)
            self.bar("peak memory of calibration, 3 samples / 2", samples[2]["peak_bytes"] / samples[1]["peak_bytes"], "x", most=most)

    def modelled_step(self):
        path = self.work / "report" / "report.json"
        if not path.exists() or self.options.tiny:
            return
        module = json.loads(path.read_text())["modules"][0]
        cycles, total = {}, int(module["cycles"])
        for layer in module["layers"]:
            cycles[layer["bound"]] = cycles.get(layer["bound"], 0) + int(layer.get("cycles", 0))
        seconds = float(module["seconds"])
        parts = ", ".join(f"{bound} {seconds * 1e3 * count / total:.1f}" for bound, count in sorted(cycles.items(), key=lambda item: -item[1]))
        macs = {True: 0, False: 0}
        for layer in module["layers"]:
            macs[layer["kind"] == "attention"] += int(layer.get("macs", 0))
        array_floor = macs[False] / MOBILE_MATRIX + macs[True] / MOBILE_ATTENTION
        bytes_of = lambda key, kinds=None: sum(int(layer.get(key, 0)) for layer in module["layers"] if kinds is None or layer["kind"] not in kinds)
        self.notes += [
            f"modelled UNet step W8A16 on the mobile target: {seconds * 1e3:.1f} ms (published for phones: {MODELLED_PHONES}); ms by what bounds a layer: {parts}",
            f"its floors: multiplications {array_floor * 1e3:.1f} ms, DRAM bytes of each layer by itself {bytes_of('dram_lower_bound_bytes') / MOBILE_DRAM * 1e3:.1f} ms;"
            f" {bytes_of('dram_bytes', ('conv', 'linear', 'attention')) / bytes_of('dram_bytes') * 100:.0f} % of {bytes_of('dram_bytes') / 1e9:.2f} GB are moved by layers without multiplications, which a fusing compiler keeps on the chip",
        ]

    def add_recorded(self):
        """Peers that were not run stand in the table with numbers of another run, marked."""
        for name, row in self.recorded.items():
            if not self.find(name) and not name.startswith("sdopt"):
                self.rows.append(dict(row, recorded=True))

    def print_table(self):
        cell = lambda value, width, digits, scale=1.0: f"{'-' if value is None else format(value / scale, f'.{digits}f'):>{width}}"
        print(f"\n{'step':40} {'seconds':>9} {'cpu s':>8} {'peak MB':>9} {'output MB':>10} {'SQNR dB':>8}")
        for row in self.rows:
            name = row["name"] + (" (recorded)" if row.get("recorded") else "")
            print(f"{name:40} {cell(row['seconds'], 9, 2)} {cell(row['cpu_seconds'], 8, 1)} {cell(row['peak_bytes'], 9, 0, 1e6)} {cell(row['output_bytes'], 10, 1, 1e6)} {cell(row['sqnr'], 8, 1)}")
        print(f"\n{'bar':56} {'value':>9}      needed")
        for bar in self.bars:
            needed = f">= {bar['least']:g}" if bar["least"] is not None else f"<= {bar['most']:g}" if bar["most"] is not None else ""
            verdict = "" if bar["holds"] is None else "ok" if bar["holds"] else "MISSED"
            print(f"{bar['what']:56} {bar['value']:9.3f} {bar['unit']:3} {needed:9} {verdict:6} {bar['note']}".rstrip())
        for note in self.notes:
            print(f"note: {note}")

    def measure(self):
        """All rows; what an interrupt or a failure leaves is still shown."""
        failed = False
        try:
            self.measure_rows(self.options.rows)
        except KeyboardInterrupt:
            self.notes.append("interrupted: rows are missing")
        except Failed as error:
            failed = True
            print(error, file=sys.stderr)
        self.judge()
        self.add_recorded()
        self.save()
        write_plot(self.work / "full-size.svg", self.rows)
        self.print_table()
        print(f"\n{self.work}/full-size.json and full-size.svg")
        return failed or any(bar["holds"] is False for bar in self.bars)

    def measure_rows(self, wanted):
        if "weights" in wanted:
            self.weights()
        if "static" in wanted:
            self.static()
        if "steps" in wanted:
            self.unet_steps()
        if "float" in wanted:
            self.float_evaluation()
        if "vae" in wanted:
            self.vae()
        if "initial" in wanted and self.python and not self.options.tiny:
            self.initial()
        if "scales" in wanted:
            self.scales()
        peers = self.python is not None
        if peers and not self.reference("unet") and {"weights", "static"} & set(wanted):
            self.run_peer("unet", self.model / "unet/model.onnx", "fp32")
        if peers and "weights" in wanted:
            self.weights_by_peers()
        if peers and "static" in wanted and self.options.peers == "all":
            self.static_by_peer()


STARTED = time.monotonic()
if __name__ == "__main__":
    sys.exit(Benchmark(parse_arguments()).measure())
