#!/usr/bin/env python3
"""Small models of odd shapes: each must compile, verify and keep its quality, or say why not.

odd-models.py BUILD_FOLDER TESTDATA
"""

import json
import math
import random
import re
import struct
import sys

from tool_cases import (
    Cases,
    message,
    number,
    onnx_float_constant,
    onnx_model,
    onnx_node,
    onnx_value,
    read_safetensors,
    write_safetensors,
)

CALLS = 24


def floats(generator, count):
    return [generator.gauss(0, 1) for _ in range(count)]


def integers_attribute(name, values):
    return message(5, message(1, name), *(number(8, value) for value in values), number(20, 7))


def integer_attribute(name, value):
    return message(5, message(1, name), number(3, value), number(20, 2))


def integer_constant(name, values):
    return message(5, number(1, len(values)), number(2, 7), message(8, name), message(9, struct.pack(f"<{len(values)}q", *values)))


class OddModels(Cases):
    def __init__(self, build, testdata):
        super().__init__(build, testdata)
        self.generator = random.Random(11)

    def constant(self, name, dims):
        return onnx_float_constant(name, dims, floats(self.generator, math.prod(dims)))

    def arguments(self, name, inputs, outputs, *graph, magnitude=1.0):
        """Writes a model and its samples. `inputs` and `outputs`: {name: shape}"""
        folder = self.work / name.replace(" ", "-")
        folder.mkdir()
        values = [onnx_value(11, *value) for value in inputs.items()] + [onnx_value(12, *value) for value in outputs.items()]
        (folder / "odd.onnx").write_bytes(onnx_model(*graph, *values))
        for kind in ("calibration", "test"):
            tensors = {}
            for value, shape in inputs.items():
                count = CALLS * math.prod(shape)
                numbers = [magnitude * value for value in floats(self.generator, count)]
                tensors[value] = ("F32", [CALLS, *shape], struct.pack(f"<{count}f", *numbers))
            write_safetensors(folder / f"odd_{kind}.safetensors", tensors)
        return folder, [folder / "odd.onnx", "--samples", folder, "-o", folder / "odd.sdnpu", "--report", folder, "--verify", "--quiet"]

    def compiles(self, name, *model, magnitude=1.0):
        folder, arguments = self.arguments(name, *model, magnitude=magnitude)
        done = self.run("sdopt-compile", *arguments)
        if done.returncode != 0:
            self.report(name, [f"exit code {done.returncode}: {done.stderr[-400:]}"])
            return
        psnr = json.loads((folder / "report.json").read_text())["modules"][0]["psnr"]
        self.report(name, [] if float(psnr) > 35 else ["quality is lost"], f"{float(psnr):.1f} dB")

    def convolution(self, name, x, w, y, **attributes):
        attributes = [integers_attribute(*attribute) for attribute in attributes.items()]
        node = onnx_node("Conv", ["x", "w", "b"], ["y"], "conv", *attributes)
        self.compiles(name, {"x": x}, {"y": y}, node, self.constant("w", w), self.constant("b", w[:1]))

    def convolutions(self):
        """Where a layout changes no bytes, the result is a reshape of a layer's."""
        self.convolution("one channel in and out", [1, 1, 5, 3], [1, 1, 3, 3], [1, 1, 5, 3], pads=[1, 1, 1, 1])
        self.convolution("a kernel of the whole picture", [1, 3, 6, 7], [4, 3, 6, 7], [1, 4, 1, 1])
        self.convolution("strides past the picture", [1, 2, 3, 3], [3, 2, 2, 2], [1, 3, 1, 1], strides=[100, 100])
        self.convolution("wide dilations", [2, 4, 19, 23], [6, 4, 3, 3], [2, 6, 1, 1], dilations=[9, 11])
        self.convolution("one row", [1, 3, 1, 2053], [5, 3, 1, 3], [1, 5, 1, 2053], pads=[0, 1, 0, 1])
        self.convolution("prime sizes", [3, 7, 13, 11], [5, 7, 3, 2], [3, 5, 5, 10], strides=[3, 1], pads=[1, 0, 2, 0])

    def odd_pictures(self):
        """A decoder meets what was skipped at 9 x 13 pixels: 5 x 7 become one pixel less than twice as many."""
        text = lambda name, value: message(5, message(1, name), message(4, value), number(20, 3))
        nearest = [text("mode", "nearest"), text("coordinate_transformation_mode", "asymmetric"), text("nearest_mode", "floor")]
        pads = integers_attribute("pads", [1, 1, 1, 1])
        nodes = [
            onnx_node("Conv", ["x", "w"], ["down"], "down", pads, integers_attribute("strides", [2, 2])),
            onnx_node("Resize", ["down", "", "", "sizes"], ["up"], "up", *nearest),
            onnx_node("Concat", ["up", "x"], ["both"], "both", integer_attribute("axis", 1)),
            onnx_node("Conv", ["both", "v"], ["y"], "conv", pads),
        ]
        graph = [*nodes, self.constant("w", [4, 4, 3, 3]), self.constant("v", [4, 8, 3, 3]), integer_constant("sizes", [2, 4, 9, 13])]
        self.compiles("upsampled to an odd size", {"x": [2, 4, 9, 13]}, {"y": [2, 4, 9, 13]}, *graph)

    def unsupported(self):
        """All at once, and before anything is calibrated: no samples are needed to say it."""
        shape = [1, 8, 5, 5]
        nodes = [
            onnx_node("Conv", ["x", "d"], ["a"], "depthwise", integers_attribute("pads", [1, 1, 1, 1]), integer_attribute("group", 8)),
            onnx_node("Conv", ["a", "w"], ["b"], "padded", integers_attribute("pads", [3, 3, 3, 3])),
            onnx_node("Tanh", ["b"], ["y"], "tanh"),
        ]
        graph = [*nodes, self.constant("d", [8, 1, 3, 3]), self.constant("w", [8, 8, 3, 3])]
        folder, arguments = self.arguments("unsupported convolutions", {"x": shape}, {"y": [1, 8, 9, 9]}, *graph)
        for samples in folder.glob("*.safetensors"):
            samples.unlink()
        needles = ["module 'odd': the NPU cannot run 3 operations", "8 groups x 1 at 'depthwise'", "reach x 1 at 'padded'", "tanh x 1 at 'tanh'"]
        self.refused("unsupported convolutions", "sdopt-compile", *arguments, needles=needles, output=folder / "odd.sdnpu")

    def budgets(self):
        """A budget that nothing keeps: the one that is told is kept."""
        for side in (8, 16):
            name = f"deep-compression of {side} channels"
            product = onnx_node("MatMul", ["x", "w"], ["y"], "product")
            folder, arguments = self.arguments(name, {"x": [4, side]}, {"y": [4, side]}, product, self.constant("w", [side, side]))
            arguments += ["--recipe", "deep-compression"]
            done = self.run("sdopt-compile", *arguments)
            told = re.search(r"error: module 'odd': the budget of 2.50 bits per weight is too small: .* take [0-9.]+; give --budget ([0-9.]+bit) or more", done.stderr)
            problems = [] if done.returncode == 1 and told else [f"exit code {done.returncode}: {done.stderr}"]
            if told:
                again = self.run("sdopt-compile", *arguments, "--budget", told[1])
                problems += [f"{told[1]} is not kept: {again.stderr}"] if again.returncode else []
            self.report(name, problems, told[1] if told else "")

    def inputs(self):
        sigmoid = onnx_node("Sigmoid", ["x"], ["y"], "sigmoid")
        self.compiles("an input that nothing reads", {"x": [2, 3], "unread": [2, 5]}, {"y": [2, 3]}, sigmoid)
        folder, arguments = self.arguments("an input without elements", {"x": [2, 0]}, {"y": [2, 0]}, sigmoid)
        self.refused("an input without elements", "sdopt-compile", *arguments, needles=["'y'", "shape 2x0", "empty"], output=folder / "odd.sdnpu")

    def ranks(self):
        norm = onnx_node("LayerNormalization", ["x", "g"], ["y"], "norm")
        self.compiles("layer norm of a vector", {"x": [9]}, {"y": [9]}, norm, self.constant("g", [9]))
        for magnitude in (1e-3, 1e-4):
            self.compiles(f"layer norm of values around {magnitude}", {"x": [3, 9]}, {"y": [3, 9]}, norm, self.constant("g", [9]), magnitude=magnitude)
        product = onnx_node("MatMul", ["x", "w"], ["y"], "product")
        self.compiles("matrix times vector", {"x": [3, 5]}, {"y": [3]}, product, self.constant("w", [5]))
        sigmoid = onnx_node("Sigmoid", ["x"], ["s"], "sigmoid")
        reshape = onnx_node("Reshape", ["s", "shape"], ["y"], "reshape")
        shape = [2, 3, 2, 2, 5]
        self.compiles("a result of five dimensions", {"x": [2, 3, 4, 5]}, {"y": shape}, sigmoid, reshape, integer_constant("shape", shape))

    def recorded_results(self):
        """A result that was recorded is the reference, whatever its first dimension; one that was not is named."""
        name = "a recorded result without the batch"
        nodes = [onnx_node("Transpose", ["x"], ["y"], "transpose", integers_attribute("perm", [1, 0])), onnx_node("Sigmoid", ["x"], ["s"], "sigmoid")]
        folder, arguments = self.arguments(name, {"x": [2, 3]}, {"y": [3, 2], "s": [2, 3]}, *nodes)
        samples = folder / "odd_test.safetensors"
        tensors = read_safetensors(samples)
        x = struct.unpack(f"<{6 * CALLS}f", tensors["x"][2])
        y = [x[6 * call + 3 * row + column] for call in range(CALLS) for column in range(3) for row in range(2)]
        for title, factor, is_good in (("the right one", 1, lambda psnr: psnr > 35), ("a wrong one", -1, lambda psnr: psnr < 10)):
            tensors["y"] = ("F32", [CALLS, 3, 2], struct.pack(f"<{len(y)}f", *(factor * value for value in y)))
            write_safetensors(samples, tensors)
            done = self.run("sdopt-compile", *arguments)
            if done.returncode != 0:
                self.report(f"{name}: {title}", [f"exit code {done.returncode}: {done.stderr[-400:]}"])
                continue
            report = json.loads((folder / "report.json").read_text())
            psnr = float(report["modules"][0]["psnr"])
            problems = [] if is_good(psnr) else ["quality is of something else"]
            if not any("record no 's'," in remark["what"] for remark in report["remarks"]):
                problems.append("no remark about 's'")
            self.report(f"{name}: {title}", problems, f"{psnr:.1f} dB")


def main():
    cases = OddModels(*sys.argv[1:3])
    cases.convolutions()
    cases.odd_pictures()
    cases.unsupported()
    cases.budgets()
    cases.inputs()
    cases.ranks()
    cases.recorded_results()
    return cases.finish()


sys.exit(main())
