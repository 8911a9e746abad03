#!/usr/bin/env python3
"""Weights far into data files of more than 2 and 4 GB. The files are sparse: no disk is needed, and no time.

sparse-weights.py BUILD_FOLDER TESTDATA
"""

import random
import struct
import sys

from tool_cases import (
    Cases,
    message,
    number,
    onnx_external_constant,
    onnx_model,
    onnx_node,
    onnx_value,
    read_safetensors,
    write_safetensors,
)

CHANNELS = 8
WEIGHTS = CHANNELS * CHANNELS * 9
LENGTH = 4 * WEIGHTS

# File and byte offset of each layer's weights. A reader with too narrow an offset finds other weights: see below.
NEAR = [("data", 0), ("data", 4 << 10), ("data", 8 << 10), ("data", 12 << 10), ("data", 16 << 10)]
FAR = [
    ("data", 4096),
    ("data", (2 << 30) - 4 * 100),  # begins before 2 GiB, ends behind
    ("data", (4 << 30) - 4 * 100),
    ("data", (4 << 30) + (1 << 27) + 8192),
    ("more/data", (2 << 30) + 8192),
]


def floats(generator, count):
    return struct.pack(f"<{count}f", *(generator.gauss(0, 0.1) for _ in range(count)))


def wrapped(offset):
    """Where an offset lands that is cut to 32 bits, or to 31."""
    return {offset % (1 << 32), offset % (1 << 31)} - {offset}


class SparseWeights(Cases):
    def write_model(self, name, places):
        """Convolutions one after another; returns the file."""
        folder = self.work / name
        nodes, constants, value = [], [], "x"
        generator, decoys = random.Random(1), random.Random(2)
        real, other = [], []
        for i, (file, offset) in enumerate(places):
            pads = message(5, message(1, "pads"), *(number(8, 1) for _ in range(4)), number(20, 7))
            following = "y" if i == len(places) - 1 else f"v{i}"
            nodes.append(onnx_node("Conv", [value, f"w{i}"], [following], f"conv{i}", pads))
            constants.append(onnx_external_constant(f"w{i}", [CHANNELS, CHANNELS, 3, 3], file, offset, LENGTH))
            real.append((file, offset, floats(generator, WEIGHTS)))
            other += [(file, place, floats(decoys, WEIGHTS)) for place in wrapped(offset)]
            value = following
        for file, offset, content in other + real:
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "r+b" if path.exists() else "w+b") as data:
                data.seek(offset)
                data.write(content)
        shape = [1, CHANNELS, 8, 8]
        file = folder / "net.onnx"
        file.write_bytes(onnx_model(*nodes, *constants, onnx_value(11, "x", shape), onnx_value(12, "y", shape)))
        return file

    def outputs(self, name, model):
        package, out = self.work / f"{name}.sdnpu", self.work / f"{name}.safetensors"
        done = self.run("sdopt-compile", model, "--samples", self.samples_folder, "-o", package, "--verify", "--quiet")
        problems = [done.stderr[-600:]] if done.returncode != 0 else []
        if not problems:
            done = self.run("sdopt-run", package, "--module", "net", "--inputs", self.samples_folder / "net_test.safetensors", "-o", out)
            problems = [done.stderr[-600:]] if done.returncode != 0 else []
        self.report(f"compiles and runs: {name}", problems)
        return None if problems else read_safetensors(out)["y"][2]

    def check(self):
        self.samples_folder = self.work / "samples"
        self.samples_folder.mkdir()
        for kind in ("calibration", "test"):
            content = floats(random.Random(kind), 2 * CHANNELS * 64)
            write_safetensors(self.samples_folder / f"net_{kind}.safetensors", {"x": ("F32", [2, 1, CHANNELS, 8, 8], content)})
        near = self.outputs("near", self.write_model("near", NEAR))
        model = self.write_model("far", FAR)
        blocks = sum(path.stat().st_blocks for path in model.parent.rglob("data")) * 512
        if blocks > 64 << 20:
            print("       (this file system has no sparse files: skipped)")
            return
        far = self.outputs("far", model)
        problems = []
        if near is None or near == bytes(len(near)):
            problems.append("the outputs are zero: nothing is compared")
        if near != far:
            problems.append("other outputs than with the same weights in a small file")
        self.report("weights behind 2 and 4 GiB are the weights", problems)
        self.past_the_end(model)

    def past_the_end(self, model):
        """The same offsets in a file that is too short by one byte of the last weights."""
        path = model.parent / "data"
        with open(path, "r+b") as data:
            data.truncate(FAR[3][1] + LENGTH - 1)
        out = self.work / "short.sdnpu"
        self.refused("a file of 4.4 GB that is short by one byte", "sdopt-compile", *(model, "--samples", self.samples_folder, "-o", out, "--quiet"), needles=["'w3'", "data"], output=out)


cases = SparseWeights(*sys.argv[1:3])
cases.check()
sys.exit(cases.finish())
