"""Models that ONNX Runtime quantized, compiled: their codes are kept.

    quantized-elsewhere.py BUILD TESTDATA [MODULE ...]

quantize_static (QDQ, per channel, minimum and maximum of recorded samples) makes the model. It is compiled up to quantize
with w8a16 for all that it leaves open; the integer program is compared with ONNX Runtime's run of the same QDQ model, and
exported again, its weights are compared code by code. Exit code 77: a package is missing.
"""

import math
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from safetensors.numpy import load_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

# The activation type of each module, and whether weights stay floats that QuantizeLinear reads.
MODULES = {"text_encoder": (QuantType.QUInt8, True), "unet": (QuantType.QInt8, False)}
# What lies within one operation of the program (scores of attention, parts of norms) has 8-bit codes in ONNX Runtime and
# none here. So the program comes closer to the float model than ONNX Runtime does, and may be this much farther from ONNX
# Runtime than the float model is.
SLACK = 1.5
CALLS = 4


def psnr(reference, value):
    error = math.sqrt(float(np.mean((reference.astype(np.float64) - value) ** 2)))
    return math.inf if error == 0 else 20 * math.log10(float(np.abs(reference).max()) / error)


class Samples(CalibrationDataReader):
    def __init__(self, model, samples, count):
        run = onnxruntime.InferenceSession(model)
        self.feeds = []
        for call in range(count):
            feed = {}
            for entry in run.get_inputs():
                rows = samples[entry.name]
                if entry.name == "timestep":
                    feed[entry.name] = rows[call * len(rows) // count].reshape(1)
                elif rows.ndim > len(entry.shape):
                    feed[entry.name] = rows[call * len(rows) // count]
                else:
                    feed[entry.name] = rows[[call % len(rows), (call + 1) % len(rows)]]
            self.feeds.append(feed)
        self.next = iter(self.feeds)

    def get_next(self):
        return next(self.next, None)


def int8_weights(path):
    """int8 codes of constants with at least two dimensions."""
    model = onnx.load(path)
    constants = {entry.name: onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer}
    found = []
    for node in model.graph.node:
        value = constants.get(node.input[0]) if node.op_type in ("QuantizeLinear", "DequantizeLinear") else None
        if value is None or value.ndim < 2:
            continue
        if node.op_type == "QuantizeLinear" and constants[node.input[2]].dtype == np.int8:
            axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 1)
            scale = constants[node.input[1]]
            shape = [1] * value.ndim
            shape[axis] = -1
            value = np.clip(np.rint(value / scale.reshape(shape if scale.size > 1 else [])), -128, 127).astype(np.int8)
        if value.dtype == np.int8:
            found.append(value)
    return found


def unmatched(theirs, ours):
    """Weights of `ours` (lying either way) that are none of `theirs`; embedding tables are no int8 weights there."""
    known = {array.tobytes() for array in theirs} | {array.T.tobytes() for array in theirs if array.ndim == 2}
    shapes = {array.shape for array in theirs} | {array.T.shape for array in theirs}
    return sum(array.tobytes() not in known for array in ours if array.shape in shapes)


def activation_codes(text):
    return set(re.findall(r"!quant\.uniform<[^>]*>", text))


def one_pass_keeps_codes(build, work, module):
    """Do the passes alone, from the snapshot before them, give activations the codes that the whole compiler gives them?"""
    stages = work / "stages" / module
    resources = f"sdopt-open-resources{{model={work / 'model'} statistics={stages / 'statistics.pb'} recipe=w8a16 target=mobile}}"
    passes = f"builtin.module({resources},func.func(sdopt-split-concat-scales,sdopt-smooth,sdopt-quantize))"
    done = subprocess.run([build / "bin/sdopt-opt", stages / "calibrate.mlir", "--mlir-print-debuginfo", f"--pass-pipeline={passes}"],
                          check=True, stdout=subprocess.PIPE, text=True)
    return activation_codes(done.stdout) == activation_codes((stages / "quantize.mlir").read_text())


def check(build, testdata, work, module):
    activation, floats = MODULES[module]
    source = testdata / "patterns-sd2/opset17-fp32" / module
    samples = testdata / "patterns-sd2/samples"
    folder = work / "model" / module
    shutil.copytree(source.parent, work / "model", ignore=shutil.ignore_patterns("*.onnx*"))
    reader = Samples(str(source / "model.onnx"), load_file(samples / f"{module}_calibration.safetensors"), 8)
    quantize_static(str(source / "model.onnx"), str(folder / "model.onnx"), reader, quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=activation, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax,
                    extra_options={"AddQDQPairToWeight": floats})
    subprocess.run([build / "bin/sdopt-compile", work / "model", "--modules", module, "--samples", samples, "--stages", work / "stages",
                    "--stop-after", "quantize", "--export-onnx", work / "onnx", "--quiet"], check=True)
    subprocess.run([build / "tests/bin/record-codes", work / "model", work / "stages", samples / f"{module}_test.safetensors", module,
                    str(CALLS), work / "codes.safetensors"], check=True)
    problems = []
    if not one_pass_keeps_codes(build, work, module):
        problems.append(f"{module}: sdopt-opt gives activations other codes than sdopt-compile")
    codes = load_file(work / "codes.safetensors")
    run = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    float_run = onnxruntime.InferenceSession(str(source / "model.onnx"))
    names = [entry.name for entry in run.get_outputs()]
    triples = {name: ([], [], []) for name in names}
    for call in range(CALLS):
        if f"result/{call}/{names[0]}" not in codes:
            break
        feeds = {entry.name: codes[f"input/{call}/{entry.name}"] for entry in run.get_inputs()}
        floats = dict(zip(names, float_run.run(names, feeds)))
        for name, value in zip(names, run.run(names, feeds)):
            for to, part in zip(triples[name], (codes[f"result/{call}/{name}"], value, floats[name])):
                to.append(part)
    for name, (program, theirs, floats) in triples.items():
        program, theirs, floats = np.stack(program), np.stack(theirs), np.stack(floats)
        near = psnr(theirs, program)
        far, own = psnr(floats, theirs), psnr(floats, program)
        print(f"{module} {name}: PSNR(ONNX Runtime, sdopt) {near:.1f} dB; against float: ONNX Runtime {far:.1f} dB, sdopt {own:.1f} dB")
        if near < far - SLACK or own < far:
            problems.append(f"{module} {name}: farther from ONNX Runtime or from the float model than ONNX Runtime from that")
    theirs, ours = int8_weights(folder / "model.onnx"), int8_weights(work / "onnx" / module / "model.onnx")
    wrong = unmatched(theirs, ours)
    print(f"{module}: {len(ours)} weights, {wrong} of them not as ONNX Runtime made them")
    if wrong:
        problems.append(f"{module}: {wrong} of {len(ours)} weights have other codes")
    return problems


def main():
    build, testdata = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    problems = []
    for module in sys.argv[3:] or MODULES:
        with tempfile.TemporaryDirectory(prefix="sdopt-elsewhere-") as scratch:
            problems += check(build, testdata, Path(scratch), module)
    for problem in problems:
        print(f"FAILED {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
