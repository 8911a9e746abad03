#!/bin/sh
# PSNR of the UNet quantized by ONNX Runtime's quantize_static (convolutions and linear layers, as it does best here: 8-bit weights for each
# channel, 8-bit activations; each way of choosing ranges) and by sdopt's w8a8, both from the same calibration samples and measured on the same
# recorded test calls. Exit code 1 if sdopt is less than 4 dB better than the best of them.
#   tests/benchmark/quantize-static.sh [BUILD_FOLDER [PYTHON]]     (PYTHON has onnxruntime, onnx and safetensors)
cd "$(dirname "$0")/../.." && exec "${2:-python3}" - "${1:-build}" <<'PYTHON'
import contextlib
import json
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from safetensors.numpy import load_file

build = sys.argv[1]
folder, samples = "testdata/patterns-sd2/opset17-fp32", "testdata/patterns-sd2/samples"
source = f"{folder}/unet/model.onnx"
INPUTS = ("sample", "timestep", "encoder_hidden_states")
CALLS_AT_ONCE = 10  # what the calibration of ONNX Runtime holds in memory: every tensor of so many calls


class Calls(CalibrationDataReader):
    """Recorded calls, both rows of guidance in each."""

    def __init__(self, path):
        self.values = load_file(path)
        self.set_range(0, len(self))

    def __len__(self):
        return len(self.values["timestep"])

    def set_range(self, start_index, end_index):
        self.next, self.end = start_index, end_index

    def get_next(self):
        if self.next == self.end:
            return None
        call, self.next = self.next, self.next + 1
        return {name: self.values[name][call : call + 1] if name == "timestep" else self.values[name][call] for name in INPUTS}


def psnr(reference, value, calls=slice(None)):
    error = np.sqrt(np.mean((reference[calls].astype(np.float64) - value[calls]) ** 2))
    return 20 * np.log10(np.abs(reference).max() / error)


test = Calls(f"{samples}/unet_test.safetensors")


def measure(model):
    """PSNR over all calls, of the worst one, and of the guided noise u + 5 (c - u), as sdopt's report has them."""
    session, found = onnxruntime.InferenceSession(model), []
    test.set_range(0, len(test))
    while (feed := test.get_next()) is not None:
        found.append(session.run(None, feed)[0])
    reference, value = test.values["out_sample"], np.stack(found)
    worst = min(psnr(reference, value, call) for call in range(len(test)))
    guided = [five[:, 0] + 5 * (five[:, 1] - five[:, 0]) for five in (reference, value)]
    return psnr(reference, value), worst, psnr(*guided)


def row(name, numbers):
    print(f"| {name} | " + " | ".join(f"{number:.1f}" for number in numbers) + " |", flush=True)


with tempfile.TemporaryDirectory() as work:
    print("| quantized by | PSNR | worst call | guided |\n|---|---|---|---|")
    best = -np.inf
    for method in ("MinMax", "Entropy", "Percentile"):
        model = f"{work}/model.onnx"
        with contextlib.redirect_stdout(sys.stderr):
            quantize_static(source, model, Calls(f"{samples}/unet_calibration.safetensors"), quant_format=QuantFormat.QDQ, per_channel=True,
                            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod[method],
                            op_types_to_quantize=["Conv", "Gemm", "MatMul"], extra_options={"CalibStridedMinMax": CALLS_AT_ONCE, "MatMulConstBOnly": True})
        numbers = measure(model)
        best = max(best, numbers[0])
        row(f"`quantize_static`, {method}", numbers)
    subprocess.run([f"{build}/bin/sdopt-compile", folder, "--modules", "unet", "--recipe", "w8a8", "--samples", samples, "-o", f"{work}/u.sdnpu",
                    "--report", work, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    with open(f"{work}/report.json") as file:
        unet = json.load(file)["modules"][0]
    row("sdopt `w8a8`", (unet["psnr"], unet["worst_psnr"], unet["guided_psnr"]))
    gain = unet["psnr"] - best
    print(f"sdopt is {gain:.1f} dB better than the best of them; at least 4 dB are needed")
    sys.exit(int(gain < 4))
PYTHON
