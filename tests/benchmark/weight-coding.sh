#!/bin/sh
# Entropy-coded int8 weights against their zero-order entropy and against the weight coder of Arm Vela on the same tensors.
#   PYTHON=python tests/benchmark/weight-coding.sh [BUILD_FOLDER [MODEL SAMPLES [RECIPE [MODULES]]]]
# Needs onnx and ethos-u-vela (both on PyPI) for PYTHON. Fails if the coder takes more than 1.03 times the entropy of tensors of at
# least 64 KiB, all overheads counted, or more than Vela's.
cd "$(dirname "$0")/../.." && exec "${PYTHON:-python3}" - "$@" <<'PYTHON'
import subprocess, sys, tempfile

import numpy as np
import onnx
from ethosu import mlw_codec

defaults = ["build", "testdata/patterns-sd2/opset17-fp32", "testdata/patterns-sd2/samples", "w8a16", "unet"]
build, model, samples, recipe, modules = (sys.argv[1:] + defaults[len(sys.argv) - 1:])[:5]
lanes, block, least = 128, 65536, 64 << 10


def weights(folder):
    """int8 tensors of convolutions and linear layers, as rows of outputs."""
    for module in modules.split(","):
        graph = onnx.load(f"{folder}/{module}/model.onnx").graph
        for tensor in graph.initializer:
            if tensor.data_type != onnx.TensorProto.INT8 or len(tensor.dims) not in (2, 4) or min(tensor.dims[:2]) < 2:
                continue
            array = onnx.numpy_helper.to_array(tensor)
            if array.ndim == 4:
                array = array.transpose(0, 2, 3, 1)
            yield f"{module}/{tensor.name}", np.ascontiguousarray(array.reshape(array.shape[0], -1))


with tempfile.TemporaryDirectory() as folder:
    command = [f"{build}/bin/sdopt-compile", model, "--modules", modules, "--recipe", recipe, "-o", f"{folder}/p.sdnpu",
               "--export-onnx", folder, "--quiet"]
    subprocess.run(command + (["--samples", samples] if samples != "-" else []), check=True, stdout=subprocess.DEVNULL)
    tensors = [(name, array) for name, array in weights(folder) if array.size >= least]
    listing = ""
    for i, (name, array) in enumerate(tensors):
        array.tofile(f"{folder}/{i}.i8")
        listing += f"{folder}/{i}.i8 {array.shape[0]} {array.shape[1]}\n"
    lines = subprocess.run([f"{build}/tests/bin/coded-bytes", str(lanes), str(block)], input=listing, text=True, check=True,
                           stdout=subprocess.PIPE).stdout.split("\n")
    print("| tensor | int8 | coded | Vela | entropy | of entropy | Vela of entropy |\n|---|---|---|---|---|---|---|")
    sums, speeds = np.zeros(4), []
    for (name, array), line in zip(tensors, lines):
        coded, entropy, encoding, decoding = (float(x) for x in line.split())
        vela = len(mlw_codec.encode(array.astype(np.int16).ravel().tolist()))
        sums += (array.size, coded, vela, entropy)
        speeds.append((encoding, decoding))
        print(f"| {name} | {array.size} | {coded:.0f} | {vela} | {entropy:.0f} | {coded / entropy:.4f} | {vela / entropy:.4f} |")
    size, coded, vela, entropy = sums
    encoding, decoding = np.median(np.array(speeds), axis=0)
    print(f"| all {len(tensors)} | {size:.0f} | {coded:.0f} | {vela:.0f} | {entropy:.0f} | {coded / entropy:.4f} | {vela / entropy:.4f} |")
    print(f"\n{lanes} lanes, blocks of {block} weights; encodes {encoding:.0f} and decodes {decoding:.0f} MB of weights a second on one core")
    sys.exit(0 if coded <= 1.03 * entropy and coded <= vela else "the coder misses its bars")
PYTHON
