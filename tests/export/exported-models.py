"""Exported models against the integer program, in ONNX Runtime.

    exported-models.py BUILD TESTDATA RECIPE [MODULE ...]

Each module is compiled up to quantize and exported. Layer by layer, fed the integers that the program computes, ONNX
Runtime's codes may differ by the last bit (BOUNDS below); from end to end the two differ by 10 dB less than the program
and the float model do. Where 8-bit codes are read behind silu, whose tables are interpolated here, one in a thousand is rounded the
other way, and each such step is as large as the quantization's own, which becomes smaller than that as layers get better: there
LEAST holds instead. Exit code 77: a package is missing.
"""

import math
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import onnx
    import onnxruntime
    from safetensors.numpy import load_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

# Largest difference of codes, by the node that computes what is quantized: (of 8-bit codes, of 16-bit codes).
EXACT = (1, 1)
BOUNDS = {
    "Conv": EXACT,
    "Gemm": EXACT,
    "MatMul": EXACT,
    "Add": EXACT,
    "Concat": EXACT,
    "Identity": EXACT,  # a change of the code alone
    "GroupNormalization": EXACT,
    "LayerNormalization": EXACT,
    "Mul": (1, 2),  # silu, quick_gelu and geglu: tables with interpolation
    "Gelu": (1, 2),
    "Sigmoid": (1, 2),
    "Attention": (1, 6),
    "Expand": (1, 4),  # the time embedding: float32 phases of hundreds of turns
}
MODULES = sys.argv[4:] or ["text_encoder", "vae_encoder", "unet", "vae_decoder"]
CALLS = 8
MARGIN = 10
LEAST = {("w8a8", "unet"): 63}  # PSNR(ONNX Runtime, sdopt); a step of 8-bit attention is a large one


def psnr(reference, value):
    error = math.sqrt(float(np.mean((reference.astype(np.float64) - value) ** 2)))
    return math.inf if error == 0 else 20 * math.log10(float(np.abs(reference).max()) / error)


def kind_of(graph, producers, quantize):
    """The node whose result `quantize` turns into codes, by its operator."""
    node = producers.get(quantize.input[0])
    if node is None or node.op_type == "DequantizeLinear":
        return "Identity"
    if node.op_type == "Reshape" and producers[node.input[0]].op_type == "Transpose":
        return "Attention"
    if node.op_type == "Transpose":
        return producers[node.input[0]].op_type if node.input[0] in producers else "Identity"
    return node.op_type


def opened(model):
    """The model with every code an input, and every code that it computes an output."""
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    kinds = {}
    types = {entry.name: entry.data_type for entry in graph.initializer}
    outputs = []
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        codes = node.output[0]
        kinds[codes] = kind_of(graph, producers, node)
        node.output[0] = codes + ".found"
        graph.input.append(onnx.helper.make_tensor_value_info(codes, types[node.input[2]], None))
        outputs.append(onnx.helper.make_tensor_value_info(node.output[0], types[node.input[2]], None))
    del graph.value_info[:]
    del graph.output[:]
    graph.output.extend(outputs)
    return model, kinds


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def as_exported(codes, shape):
    """Codes of the program in the layout and type of the model."""
    if list(codes.shape) != shape or (codes.ndim == 4 and len(set(shape[1:])) == 1):
        codes = codes.transpose(0, 3, 1, 2)
    assert list(codes.shape) == shape, (codes.shape, shape)
    return (codes.astype(np.int16) + 128).astype(np.uint8) if codes.dtype == np.int8 else codes


def shapes_of(model):
    return {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in model.graph.value_info}


def check_layers(folder, codes, inputs):
    """Largest difference by kind of node, and what is beyond its bound."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    shapes = shapes_of(model)
    model, kinds = opened(model)
    path = folder / "opened.onnx"
    onnx.save(model, path)
    feeds = dict(inputs)
    for name in kinds:
        feeds[name] = as_exported(codes[name.removesuffix(".codes")], shapes[name])
    run = session(path)
    used = {entry.name for entry in run.get_inputs()}
    names = [entry.name for entry in run.get_outputs()]
    found = dict(zip(names, run.run(names, {name: value for name, value in feeds.items() if name in used})))
    worst, problems = {}, []
    for name, kind in sorted(kinds.items()):
        if name + ".found" not in found:
            continue
        expected = feeds[name]
        difference = int(np.abs(expected.astype(np.int64) - found[name + ".found"].astype(np.int64)).max())
        narrow = expected.dtype == np.uint8
        worst[kind] = max(worst.get(kind, 0), difference)
        if kind not in BOUNDS or difference > BOUNDS[kind][0 if narrow else 1]:
            problems.append(f"{name} ({kind}, {8 if narrow else 16} bits) differs by {difference}")
    return worst, problems


def inputs_of(recorded, call, run):
    return {entry.name: recorded[f"input/{call}/{entry.name}"] for entry in run.get_inputs()}


def check_module(build, testdata, work, recipe, module):
    folder = work / "onnx" / module
    onnx.checker.check_model(folder / "model.onnx", full_check=True)
    samples_file = testdata / "patterns-sd2" / "samples" / f"{module}_test.safetensors"
    subprocess.run([build / "tests/bin/record-codes", testdata / "patterns-sd2/opset17-fp32", work / "stages", samples_file,
                    module, str(CALLS), work / "codes.safetensors"], check=True)
    codes = load_file(work / "codes.safetensors")
    run = session(folder / "model.onnx")
    worst, problems = check_layers(folder, codes, inputs_of(codes, 0, run))
    print(f"{recipe} {module}: largest difference of codes {worst}")
    names = [entry.name for entry in run.get_outputs()]
    float_run = session(testdata / "patterns-sd2/opset17-fp32" / module / "model.onnx")
    pairs = {name: ([], [], []) for name in names}
    for call in range(CALLS):
        if f"result/{call}/{names[0]}" not in codes:
            break
        feeds = inputs_of(codes, call, run)
        floats = dict(zip(names, float_run.run(names, feeds)))
        for name, value in zip(names, run.run(names, feeds)):
            for to, part in zip(pairs[name], (codes[f"result/{call}/{name}"], value, floats[name])):
                to.append(part)
    for name, (program, exported, floats) in pairs.items():
        program, exported, floats = np.stack(program), np.stack(exported), np.stack(floats)
        near, far = psnr(program, exported), psnr(floats, program)
        print(f"{recipe} {module} {name}: PSNR(ONNX Runtime, sdopt) {near:.1f} dB, PSNR(sdopt, float) {far:.1f} dB")
        least = LEAST.get((recipe, module), far + MARGIN)
        if near < least:
            problems.append(f"{name}: {near:.1f} dB between ONNX Runtime and sdopt; needed: {least:.1f} dB")
    return [f"{module}: {problem}" for problem in problems]


def main():
    build, testdata, recipe = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3]
    problems = []
    with tempfile.TemporaryDirectory(prefix="sdopt-exported-") as scratch:
        work = Path(scratch)
        subprocess.run([build / "bin/sdopt-compile", testdata / "patterns-sd2/opset17-fp32", "--samples", testdata / "patterns-sd2/samples",
                        "--recipe", recipe, "--stages", work / "stages", "--stop-after", "quantize", "--export-onnx", work / "onnx",
                        "--modules", ",".join(MODULES), "--quiet"], check=True)
        subprocess.run([build / "bin/sdopt-compile", testdata / "patterns-sd2/opset17-fp32", "--samples", testdata / "patterns-sd2/samples",
                        "--recipe", recipe, "--stages", work / "stages", "--start-from", "quantize", "--stop-after", "lower", "--threads", "1",
                        "--export-onnx", work / "again", "--modules", ",".join(MODULES), "--quiet"], check=True)
        for file in sorted((work / "onnx").rglob("*.*")):
            if file.read_bytes() != (work / "again" / file.relative_to(work / "onnx")).read_bytes():
                problems.append(f"{file.name} of {file.parent.name} differs from that of a second run, with one thread")
        for module in MODULES:
            problems += check_module(build, testdata, work, recipe, module)
    for problem in problems[:40]:
        print(f"FAILED {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
