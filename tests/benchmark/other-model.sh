#!/bin/sh
# The recipes on a trained diffusion model that is not ours: the UNet of adaptive-terrain-diffusion 0.4.2 from PyPI (MIT; 10.5 million parameters, heightfields of
# 128x128), as improved-diffusion has it: scale and shift of norms from the time, attention over channels-first heads, average pooling. Its preconditioning by sigma
# stays outside, as a sampler has it. Calls are recorded with ONNX Runtime: terrains that the model makes, with noise of five levels; others for the test. Beside the
# recipes, verified bit for bit: ONNX Runtime's quantize_static on the same samples (8 bits, min-max).
#   tests/benchmark/other-model.sh [BUILD_FOLDER [PYTHON]]     (PYTHON has pip, onnxruntime, onnx and safetensors; 40 MB are downloaded; about ten minutes)
cd "$(dirname "$0")/../.." && exec "${2:-python3}" - "${1:-build}" <<'PYTHON'
import contextlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from safetensors.numpy import save_file

build = sys.argv[1]
SIGMAS = (80, 20, 5, 1, 0.1)
INPUTS, OUTPUT = ("mul_22", "cat", "difficulty"), "conv2d_195"  # between the preconditioning before and after
RECIPES = ("w8a16", "w8a8", "w4a16", "w4a8")


def session(model):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def record(source, folder):
    """Six terrains for calibration and four for the test, each with noise of every level."""
    model = onnx.load(source)
    for name in (*INPUTS[:2], OUTPUT):
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    whole, random = session(model.SerializeToString()), np.random.default_rng(7)

    def evaluate(noisy, sigma, difficulty):
        feed = {"noisy": noisy.astype(np.float32), "sigma": np.array([sigma], np.float32), "difficulty": difficulty}
        return dict(zip(("denoised", *INPUTS[:2], OUTPUT), whole.run(["denoised", *INPUTS[:2], OUTPUT], feed)))

    calls = {}
    for kind, terrains in (("calibration", 6), ("test", 4)):
        calls[kind] = []
        for _ in range(terrains):
            difficulty = np.array([random.integers(0, 100) / 99], np.float32)
            noise = random.standard_normal((1, 1, 128, 128)) * SIGMAS[0]
            terrain = evaluate(noise, SIGMAS[0], difficulty)["denoised"]
            for sigma in SIGMAS:
                noisy = terrain * (sigma < SIGMAS[0]) + random.standard_normal(terrain.shape) * sigma
                calls[kind].append(evaluate(noisy, sigma, difficulty) | {"difficulty": difficulty})
        tensors = {name: np.stack([call[name] for call in calls[kind]]) for name in (*INPUTS, OUTPUT)}
        save_file(tensors, folder / f"unet_{kind}.safetensors")
    return calls


def psnr(reference, value, calls=slice(None)):
    return 20 * np.log10(np.abs(reference).max() / np.sqrt(np.mean((reference[calls].astype(np.float64) - value[calls]) ** 2)))


def row(name, value, worst, bits="", cycles=""):
    print(f"| {name} | {value:.1f} | {worst:.1f} | {bits} | {cycles} |", flush=True)


class Calls(CalibrationDataReader):
    def __init__(self, calls):
        self.calls = calls
        self.set_range(0, len(calls))

    def __len__(self):
        return len(self.calls)

    def set_range(self, start_index, end_index):
        self.rest = iter(self.calls[start_index:end_index])

    def get_next(self):
        call = next(self.rest, None)
        return call and {name: call[name] for name in INPUTS}


def run(model, calls):
    """PSNR over all calls and of the worst one."""
    running = session(model)
    found = np.stack([running.run([OUTPUT], {name: call[name] for name in INPUTS})[0] for call in calls])
    reference = np.stack([call[OUTPUT] for call in calls])
    return psnr(reference, found), min(psnr(reference, found, call) for call in range(len(calls)))


with tempfile.TemporaryDirectory() as name:
    work = Path(name)
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", work, "adaptive-terrain-diffusion==0.4.2"], check=True)
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        (member,) = [entry for entry in wheel.namelist() if entry.endswith(".onnx")]
        source = wheel.extract(member, work)
    (work / "model/unet").mkdir(parents=True)
    (work / "samples").mkdir()
    network = work / "model/unet/model.onnx"
    onnx.utils.extract_model(source, network, list(INPUTS), [OUTPUT], check_model=False)
    calls = record(source, work / "samples")
    print("| recipe | PSNR | worst call | bits of a weight | cycles |\n|---|---|---|---|---|")
    quantized = str(work / "static.onnx")
    with contextlib.redirect_stdout(sys.stderr):
        quantize_static(network, quantized, Calls(calls["calibration"]), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QInt8,
                        weight_type=QuantType.QInt8, op_types_to_quantize=["Conv", "Gemm", "MatMul"], extra_options={"CalibStridedMinMax": 10, "MatMulConstBOnly": True})
    row("`quantize_static`, MinMax", *run(quantized, calls["test"]))
    for recipe in RECIPES:
        command = [f"{build}/bin/sdopt-compile", work / "model", "--dimension", "batch=1", "--samples", work / "samples", "--recipe", recipe]
        subprocess.run([*command, "--verify", "--verify-samples", "1", "--quiet", "-o", work / "package.sdnpu", "--report", work / "report"], check=True, stdout=subprocess.DEVNULL)
        (module,) = json.loads((work / "report/report.json").read_text())["modules"]
        row(f"`{recipe}`", module["psnr"], module["worst_psnr"], f"{module['weight_bits']:.2f}", module["cycles"])
PYTHON
