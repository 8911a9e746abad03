#!/usr/bin/env python3
"""Bad input, as users have it: each case must give one clear error and leave nothing behind.

bad-input.py BUILD_FOLDER TESTDATA
"""

import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from tool_cases import (
    Cases,
    message,
    number,
    onnx_external_constant,
    onnx_float_constant,
    onnx_model,
    onnx_node,
    onnx_value,
    read_safetensors,
    write_safetensors,
)

MODULE = "text_encoder"  # the smallest module: a compilation takes a fifth of a second


class BadInput(Cases):
    def __init__(self, build, testdata):
        super().__init__(build, testdata)
        self.out = self.work / "out.sdnpu"
        self.good = self.work / "good.sdnpu"
        self.statistics = self.work / "statistics"
        done = self.compile("-o", self.good, "--statistics-out", self.statistics, "--report", self.work / "report")
        if done.returncode != 0:
            sys.exit(f"the undamaged module does not compile: {done.stderr}")

    def arguments(self, *more, model=None, samples=None):
        flags = ["--samples", samples or self.samples] if samples != "" else []
        return [model or self.model, *flags, "--modules", MODULE, "--quiet", *more]

    def compile(self, *more, **options):
        return self.run("sdopt-compile", *self.arguments(*more), **options)

    def fails(self, name, *more, model=None, samples=None, needles=(), output=None, **options):
        output = output or self.out
        self.refused(
            name,
            "sdopt-compile",
            *self.arguments("-o", output, *more, model=model, samples=samples),
            needles=needles,
            output=output,
            **options,
        )

    def file(self, name, content):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    # Models.

    def onnx_fails(self, name, content, *needles, flags=()):
        """`content` as a file of its own. (Statistics that are not looked at stand in for samples.)"""
        path = self.file("broken.onnx", content)
        self.refused(
            f"model: {name}",
            "sdopt-compile",
            *(path, "-o", self.out, "--statistics", "broken.pb", "--quiet", *flags),
            needles=needles,
            output=self.out,
        )

    def damaged_models(self):
        whole = (self.model / MODULE / "model.onnx").read_bytes()
        for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
            self.onnx_fails(f"truncated to {size} bytes", whole[:size], "broken.onnx")
        self.onnx_fails("a text file", "This is not a model.\n" * 50, "broken.onnx")
        self.onnx_fails("random bytes", random.Random(1).randbytes(5000), "broken.onnx")
        self.no_crash_when_flipped(whole)
        self.fails("model: no such folder", model=self.work / "nowhere", needles=["nowhere"])
        empty = self.work / "empty-model"
        empty.mkdir()
        self.fails("model: an empty folder", model=empty, needles=["empty-model", "model.onnx"])
        self.refused("model: none given", "sdopt-compile", "-o", self.out, needles=["model"])

    def no_crash_when_flipped(self, whole):
        """Most bytes are weights, where a wrong bit is another valid model: what counts is no crash."""
        generator = random.Random(7)
        refused = 0
        problems = []
        structure = [i for i in range(len(whole) - 30) if whole[i : i + 1] == b"/" and whole[i + 1 : i + 5] == b"text"]
        for trial in range(24):
            damaged = bytearray(whole)
            place = generator.choice(structure) + generator.randrange(-24, 24)
            damaged[place] ^= 1 << generator.randrange(8)
            path = self.file("flipped.onnx", bytes(damaged))
            flags = ["--batch", "2", "--dimension", "sequence_length=77", "--stop-after", "normalize", "--quiet"]
            done = self.run("sdopt-compile", path, "--stages", self.work / "stages", *flags)
            refused += done.returncode == 1
            if done.returncode not in (0, 1) or (done.returncode == 1 and "error: " not in done.stderr):
                problems.append(f"byte {place}: exit code {done.returncode}: {done.stderr[-200:]}")
        shutil.rmtree(self.work / "stages", ignore_errors=True)
        self.report("model: 24 flipped bits in its structure", problems, f"{refused} refused")

    def external_data(self):
        folder = self.work / "external" / "unet"
        shutil.copytree(self.model / "unet", folder)
        data = folder / "model.onnx_data"
        for name, size in (("short by one byte", data.stat().st_size - 1), ("empty", 0)):
            os.truncate(data, size)
            self.unet_fails(name, folder, "model.onnx_data")
        data.unlink()
        self.unet_fails("missing", folder, "model.onnx_data")
        data.mkdir()
        self.unet_fails("a folder", folder, "model.onnx_data")
        shutil.rmtree(folder.parent)
        graph = [onnx_node("Add", ["x", "w"], ["y"], "add"), onnx_value(11, "x", [1, 4]), onnx_value(12, "y", [1, 4])]
        for name, place, offset, length in (
            ("outside the model's folder", "../secret", 0, 16),
            ("with an absolute path", "/etc/passwd", 0, 16),
            ("with an offset past 2^63", "data", 2**63 - 8, 16),
            ("of another length than its shape", "data", 0, 12),
        ):
            self.file("data", bytes(64))
            constant = onnx_external_constant("w", [4], place, offset, length)
            self.onnx_fails(f"external data {name}", onnx_model(*graph, constant), "'w'")

    def unet_fails(self, name, folder, *needles):
        self.refused(
            f"model: external data {name}",
            "sdopt-compile",
            *(folder.parent, "--samples", self.samples, "--dimension", "sequence_length=77"),
            *("-o", self.out, "--quiet"),
            needles=needles,
            output=self.out,
        )

    def wrong_graphs(self):
        x, y = onnx_value(11, "x", [1, 4]), onnx_value(12, "y", [1, 4])
        add = onnx_node("Add", ["x", "x"], ["y"], "add")
        cycle = [onnx_node("Add", ["x", "b"], ["a"], "first"), onnx_node("Add", ["x", "a"], ["b"], "second")]
        cases = [
            ("a cycle", [*cycle, onnx_node("Add", ["x", "b"], ["y"], "last"), x, y], ["first", "second"]),
            ("a node that reads itself", [onnx_node("Add", ["x", "y"], ["y"], "loop"), x, y], ["loop"]),
            ("an unknown operator", [onnx_node("Celu", ["x"], ["y"], "odd"), x, y], ["Celu", "odd"]),
            ("an input that nothing makes", [onnx_node("Add", ["x", "z"], ["y"], "add"), x, y], ["'z'", "add"]),
            ("an output that nothing makes", [x, y], ["'y'"]),
            ("two nodes of one output", [add, onnx_node("Mul", ["x", "x"], ["y"], "mul"), x, y], ["'y'", "mul"]),
            ("shapes that do not fit", [onnx_node("Add", ["x", "w"], ["y"], "add"), onnx_float_constant("w", [3], [1, 2, 3]), x, y], ["add"]),
            ("a constant with too few bytes", [onnx_node("Add", ["x", "w"], ["y"], "add"), onnx_float_constant("w", [4], [1]), x, y], ["'w'"]),
            ("a constant of 2^60 elements", [onnx_node("Add", ["x", "w"], ["y"], "add"), onnx_float_constant("w", [1 << 30, 1 << 30], [1]), x, y], ["'w'"]),
            ("a negative dimension", [add, onnx_value(11, "x", [1, -4]), y], ["'x'"]),
            ("a symbolic dimension", [add, onnx_value(11, "x", [1, "tokens"]), y], ["'x'", "tokens"]),
            ("no graph outputs", [add, x], ["output"]),
        ]
        for name, graph, needles in cases:
            self.onnx_fails(name, onnx_model(*graph), "broken.onnx", *needles)
        self.onnx_fails("no graph", number(1, 8), "broken.onnx")
        for opset in (1, 99):
            self.onnx_fails(f"opset {opset}", onnx_model(add, x, y, opset=opset), "broken.onnx", f"{opset}")

    def weights_not_finite(self):
        """The model's tensor is named, not the samples. Field 8 of a tensor is its name and field 9 its bytes, in this file one after the other."""
        whole = (self.model / MODULE / "model.onnx").read_bytes()
        name = "text_model.encoder.layers.1.mlp.fc1.bias"
        matrix = next(tensor for tensor in re.findall(rb"B.(onnx::MatMul_[0-9]+)J", whole, re.DOTALL))
        for tensor in (name.encode(), matrix):
            place = whole.index(b"B" + bytes([len(tensor)]) + tensor + b"J") + len(tensor) + 3
            while whole[place] > 127:  # of the varint that is the length
                place += 1
            for kind, value in (("not a number", "nan"), ("infinite", "inf")):
                folder = self.work / "weights"
                place_of_element = place + 1 + 4 * 3
                self.file(f"weights/{MODULE}/model.onnx", whole[:place_of_element] + struct.pack("<f", float(value)) + whole[place_of_element + 4 :])
                for flags in ([], ["--recipe", "pruned-2of4"], ["--recipe", "w4a16"]):
                    self.fails(
                        f"model: '{tensor.decode()}' that is {kind}{' '.join(('', *flags))}",
                        *("--dimension", "sequence_length=77", *flags),
                        model=folder,
                        needles=[f"tensor '{tensor.decode()}' of the model is not finite"],
                    )

    def broken_configurations(self):
        folder = self.work / "configured"
        shutil.copytree(self.model / MODULE, folder / MODULE)
        for name, text in (("no JSON", "{"), ("a list", "[1]"), ("of wild sizes", '{"max_position_embeddings": -5}')):
            (folder / MODULE / "config.json").write_text(text)
            needles = ["config.json"] if "{" != text[:1] or text == "{" else []
            if needles:
                self.fails(f"model: configuration that is {name}", model=folder, needles=needles)
        shutil.rmtree(folder)

    # Snapshots, which people edit.

    def edited_snapshots(self):
        stages = self.work / "edited"
        flags = ["--stages", stages, "--modules", MODULE, "--quiet"]
        self.run("sdopt-compile", self.model, "--samples", self.samples, *flags, "--stop-after", "normalize")
        for name, content, *needles in (
            ("normalize.mlir", "", MODULE),
            ("normalize.mlir", "module {}", MODULE),
            ("normalize.mlir", "func.func @unet() { return }", MODULE),
            ("normalize.mlir", f"func.func private @{MODULE}()", MODULE),
            ("normalize.mlir", "module {\n  func.func @x( {", "normalize.mlir:2:16"),
            ("normalize.report.json", "{}", MODULE),
            ("normalize.report.json", '{"modules": [{"name": "unet"}]}', MODULE),
            ("manifest.json", "{}"),
        ):
            path = stages / MODULE / name
            before = path.read_text()
            path.write_text(content)
            self.fails(f"snapshot: {name} is '{content[:30]}'".replace("\n", " "), *flags, "--start-from", "normalize", needles=[path, *needles])
            path.write_text(before)

    # Packages.

    def damaged_packages(self):
        whole = self.good.read_bytes()
        samples = self.samples / f"{MODULE}_test.safetensors"
        generator = random.Random(3)
        places = [0, 4, 8, 16, 24, 40, 63, 100, 4096, 5000, len(whole) - 1, len(whole) - 40, len(whole) - 64, len(whole) - 300]
        places += [generator.randrange(len(whole)) for _ in range(50)]
        problems = {"sdopt-objdump": [], "sdopt-run": []}
        path = self.work / "flipped.sdnpu"
        for place in places:
            damaged = bytearray(whole)
            damaged[place] ^= 1 << generator.randrange(8)
            path.write_bytes(damaged)
            for tool, flags in (("sdopt-objdump", ["--check"]), ("sdopt-run", ["--module", MODULE, "--inputs", samples])):
                if tool == "sdopt-run" and place >= len(whole) - 64:
                    continue  # the digest of the whole file is checked by `sdopt-objdump --check` only
                done = self.run(tool, path, *flags)
                if done.returncode != 1 or done.stderr.count("error: ") != 1 or "flipped.sdnpu" not in done.stderr:
                    problems[tool].append(f"byte {place}: exit code {done.returncode}: {done.stderr[-200:]}")
        for tool, found in problems.items():
            self.report(f"package: {len(places)} flipped bits, {tool}", found)
        for size in (0, 1, 63, 64, 4096, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            self.refused(f"package: truncated to {size} bytes", "sdopt-objdump", path, needles=["flipped.sdnpu"])
        path.write_bytes(whole + b"\0")
        self.refused("package: a byte too long", "sdopt-objdump", path, needles=["flipped.sdnpu"])
        self.refused("package: missing", "sdopt-objdump", self.work / "none.sdnpu", needles=["none.sdnpu"])
        self.refused("package: a folder", "sdopt-objdump", self.work, needles=[self.work])
        self.refused("package: an ONNX file", "sdopt-run", self.model / MODULE / "model.onnx", "--module", MODULE, "--inputs", samples, needles=["model.onnx"])

    def wrong_uses_of_packages(self):
        out = self.work / "out.safetensors"
        inputs = self.samples / f"{MODULE}_test.safetensors"
        unet = self.samples / "unet_test.safetensors"
        run = lambda name, *flags, needles: self.refused(f"run: {name}", "sdopt-run", *flags, needles=needles, output=out)
        run("unknown module", self.good, "--module", "unet", "--inputs", inputs, "-o", out, needles=["'unet'", MODULE])
        run("inputs of another module", self.good, "--module", MODULE, "--inputs", unet, "-o", out, needles=["input_ids", "unet_test"])
        run("no inputs", self.good, "--module", MODULE, needles=["--inputs"])
        run("missing inputs", self.good, "--module", MODULE, "--inputs", self.work / "none.npz", needles=["none.npz"])
        run("output in a missing folder", self.good, "--module", MODULE, "--inputs", inputs, "-o", self.work / "no" / "out", needles=[self.work / "no" / "out"])
        run("output is a folder", self.good, "--module", MODULE, "--inputs", inputs, "-o", self.statistics, needles=[self.statistics])
        run("unknown flag", self.good, "--modul", MODULE, needles=["--modul"])
        run("a zoom without the pipeline", "zoom", self.good, "--prompt", "red rings", "-o", self.work / "zoom", needles=["good.sdnpu", "unet"])
        wrong = read_safetensors(inputs)
        kind, shape, content = wrong["last_hidden_state"]
        wrong["last_hidden_state"] = (kind, shape, struct.pack("<f", float("nan")) + content[4:])
        write_safetensors(self.work / "wrong.safetensors", wrong)
        run("a recorded output that is not a number", self.good, "--module", MODULE, "--inputs", self.work / "wrong.safetensors", "-o", out, needles=["last_hidden_state", "wrong.safetensors"])
        self.kept("run: output over its inputs", self.work / "wrong.safetensors", lambda path: ["sdopt-run", self.good, "--module", MODULE, "--inputs", path, "-o", path])
        self.kept("run: trace over the package", self.good, lambda path: ["sdopt-run", path, "--module", MODULE, "--inputs", inputs, "--trace", path])
        for trace in (out, self.work / "." / "statistics" / ".." / out.name):
            run("outputs and trace in one file", self.good, "--module", MODULE, "--inputs", inputs, "-o", out, "--trace", f"{trace}", needles=[out])
        run("trace in a missing folder", self.good, "--module", MODULE, "--inputs", inputs, "-o", out, "--trace", self.work / "no" / "trace", needles=[self.work / "no" / "trace"])
        dump = lambda name, *flags, needles: self.refused(f"objdump: {name}", "sdopt-objdump", self.good, *flags, needles=needles, output=out)
        dump("unknown module", "--disassemble=unet", needles=["'unet'", MODULE])
        dump("output in a missing folder", "-o", self.work / "no" / "dump", needles=[self.work / "no" / "dump"])

    def kept(self, name, path, arguments):
        before = path.read_bytes()
        self.refused(name, *arguments(path), needles=[f"cannot write '{path}'"])
        self.report(f"{name}: it is as it was", [] if path.read_bytes() == before else ["changed"])

    # Recipes, targets, flags.

    def recipes(self):
        head = "version: 1\nname: mine\nglobal: {weight_bits: 8, weight_range: mse, activation_bits: 16, activation_range: minmax}\n"
        cases = [
            ("unknown key", head + "gobal: {}\n", ["gobal", "4"]),
            ("a setting that is unknown", head.replace("weight_bits", "wait_bits"), ["wait_bits"]),
            ("a value that is not offered", head.replace("weight_bits: 8", "weight_bits: 9"), ["weight_bits", "9"]),
            ("a rule that matches nothing", head + 'names:\n  - {match: "*no_such_layer*", activation_bits: 8}\n', ["no_such_layer"]),
            ("an unknown layer type", head + "types:\n  conv9d: {activation_bits: 8}\n", ["conv9d"]),
            ("an unknown module", head + "modules:\n  unnet: {activation_bits: 8}\n", ["unnet"]),
            ("no YAML", "global: {", []),
            ("an empty file", "", []),
            ("binary", bytes(range(256)), []),
        ]
        for name, content, needles in cases:
            self.fails(f"recipe: {name}", "--recipe", self.file("mine.yaml", content), needles=["mine.yaml", *needles])
        self.rules_of_other_modules(head)
        self.fails("recipe: unknown name", "--recipe", "w9a9", needles=["w9a9", "w8a16"])
        self.fails("recipe: missing file", "--recipe", self.work / "none.yaml", needles=["none.yaml"])
        self.fails("recipe: a folder", "--recipe", self.statistics, needles=[self.statistics])

    def rules_of_other_modules(self, head):
        """A recipe for the whole pipeline serves each part; a slip is told before anything is calibrated."""
        whole = head + (
            "types:\n  conv2d: {activation_bits: 8}\nmodules:\n  unet: {activation_bits: 8}\n"
            'names:\n  - {match: "unet/unet.conv_in.weight", activation_bits: 16}\n  - {match: "/unet/conv_out/Conv", activation_bits: 16}\n'
        )
        done = self.compile("-o", self.work / "part.sdnpu", "--recipe", self.file("mine.yaml", whole))
        self.report("recipe: rules of modules that are left out", [done.stderr[-400:]] if done.returncode else [])
        none = self.work / "no-samples"
        none.mkdir()
        for slip, text in (("unett", "  unett: {activation_bits: 8}\n"), ("unet/unet.conv_inn.weight", '  - {match: "unet/unet.conv_inn.weight", activation_bits: 16}\n')):
            recipe = self.file("mine.yaml", whole.replace("names:", text + "names:", 1) if "match" not in text else whole + text)
            self.fails(f"recipe: a rule of {slip}, before samples are looked for", "--recipe", recipe, samples=none, needles=["mine.yaml", f"'{slip}'", "matches no layer"])

    def targets(self):
        preset = (Path(__file__).resolve().parents[2] / "compiler/target/presets/edge-tiny.yaml").read_text()
        cases = [
            ("SRAM too small for any tile", preset.replace("{kibibytes: 512", "{kibibytes: 1"), ["1024", "SRAM"]),
            ("no SRAM", preset.replace("{kibibytes: 512", "{kibibytes: 0"), ["tiny.yaml", "capacity"]),
            ("unknown key", preset.replace("lanes:", "lames:"), ["tiny.yaml", "lames"]),
            ("a missing key", preset.replace("kind: LPDDR4-3200 x16", ""), ["tiny.yaml", "kind"]),
            ("a unit of another kind", preset.replace("gigahertz", "joules"), ["tiny.yaml", "joules"]),
            ("a DRAM too small for the module", preset.replace("{gibibytes: 1", "{kibibytes: 64"), ["65536"]),
            ("no YAML", preset + "\n  : {", ["tiny.yaml"]),
        ]
        for name, content, needles in cases:
            assert content != preset
            self.fails(f"target: {name}", "--target", self.file("tiny.yaml", content), needles=needles)
        self.fails("target: unknown name", "--target", "desktop", needles=["desktop", "mobile"])
        self.fails("target: missing file", "--target", self.work / "none.yaml", needles=["none.yaml"])

    def flags(self):
        fails = lambda name, *flags, needles: self.fails(f"flags: {name}", *flags, needles=needles)
        fails("unknown flag", "--quantise", needles=["--quantise"])
        fails("unknown stage", "--stop-after", "tile", "--stages", self.work, needles=["'tile'", "schedule"])
        fails("unknown module", "--modules", "unnet", needles=["'unnet'", "vae_decoder"])
        fails("--stop-after with an output", "--stop-after", "lower", "--stages", self.work, needles=["--stop-after", "-o"])
        fails("--start-from without snapshots", "--start-from", "lower", "--stages", self.work / "none", needles=["lower.mlir"])
        fails("--start-from without --stages", "--start-from", "lower", needles=["--stages"])
        fails("statistics both ways", "--statistics", "a.pb", "--statistics-out", "b", needles=["--statistics-out"])
        fails("a number that is none", "--threads", "many", needles=["--threads", "many"])
        for threads in ("-1", "0", "1025"):
            fails(f"{threads} threads", "--threads", threads, needles=["--threads", threads, "1 to 1024"])
            self.refused(f"run: {threads} threads", "sdopt-run", self.good, "--threads", threads, needles=["--threads", threads, "1 to 1024"])
        fails("a batch of none", "--batch", "0", needles=["--batch"])
        fails("steps out of range", "--steps", "0", needles=["--steps"])
        other = self.work / "other-scheduler"
        shutil.copytree(self.model, other)
        scheduler = other / "scheduler" / "scheduler_config.json"
        scheduler.write_text(scheduler.read_text().replace("DDIMScheduler", "DPMSolverSDEScheduler"))
        needles = ["--steps 20", "'DPMSolverSDEScheduler'", "without --steps"]
        self.fails("flags: steps of a scheduler that is not known", "--steps", "20", model=other, needles=needles)
        scheduler.unlink()
        needles = ["--steps 20", "no scheduler/scheduler_config.json"]
        self.fails("flags: steps without a scheduler", "--steps", "20", model=other, needles=needles)
        fails("no samples to verify with", "--verify-samples", "0", "--verify", needles=["--verify-samples"])
        fails("verify mode", "--verify=maybe", needles=["maybe"])
        fails("input shape", "--input-shape", "text_encoder.input_ids=2xx", needles=["--input-shape"])
        fails("shape of an unknown input", "--input-shape", f"{MODULE}.tokens=2x77", needles=["tokens"])
        fails("shape of an unknown module", "--input-shape", "unnet.x=2x77", needles=["unnet"])
        fixed = self.testdata / "patterns-sd2" / "opset20-fp16"
        self.fails("flags: a batch that the model has not", "--batch", "3", model=fixed, needles=["--batch 3", "'input_ids'", f"'{MODULE}'", "2 rows"])
        self.refused("flags: a batch of the VAE alone", "sdopt-compile", self.model, "--modules", "vae_encoder,vae_decoder", "--batch", "3",
                     "--stop-after", "import", "--stages", self.work, needles=["--batch 3", "vae_encoder, vae_decoder"])
        rate = ["--gate", "pipeline.images_per_second>=1"]
        fails("a gate on pictures of a part", *rate, needles=["pipeline.images_per_second", "VAE decoder"])
        fails("dimension", "--dimension", "height=tall", needles=["--dimension"])
        self.refused("flags: no output", "sdopt-compile", *self.arguments(), needles=["-o"])
        self.refused("flags: no samples", "sdopt-compile", *self.arguments("-o", self.out, samples=""), needles=["--samples"], output=self.out)
        fails("a budget without a unit", "--budget", "5", needles=["'5'", "4.5bit"])
        fails("a budget in dB", "--budget", "40dB", needles=["--budget", "bit"])
        fails("a floor in bits", "--min-psnr", "5bit", needles=["--min-psnr", "dB"])
        fails("budget and floor", "--budget", "5bit", "--min-psnr", "30dB", needles=["--budget", "--min-psnr"])
        kept = self.work / "kept"
        fails("a budget below all widths", "--budget", "1bit", "--sensitivity", kept, needles=[f"module '{MODULE}'", "1.00", "narrowest", "give --budget "])
        fails("a floor that nothing reaches", "--min-psnr", "150dB", needles=[f"module '{MODULE}'", "150dB", "reach"])
        damaged = next(kept.glob(f"{MODULE}-*.sensitivity.pb"))
        damaged.write_text("hello")
        fails("sensitivities of something else", "--budget", "5bit", "--sensitivity", kept, needles=[damaged.name, "sensitivities"])
        for text, *needles in (("*nothing*", "--explain", "layers"), ("re:(", "regular expression"), ("", "--explain", "empty")):
            self.refused(f"flags: explain '{text}'", "sdopt-compile", *self.arguments("--explain", text), needles=needles)
        fails("explain with an output", "--explain", "*", needles=["--explain", "-o"])
        for text, *needles in (
            ("", "--gate", "empty"),
            ("psnr>=", "column"),
            ("unet.psnr=40", "column"),
            ("unet.sharpness>=40", "sharpness"),
            ("package<=9parsecs", "parsecs"),
            ("psnr>=40MB", "MB"),
            ("psnr>=40dB,,package<=9MB", "column"),
            ("unet.psnr>=40dB", "unet", MODULE),
        ):
            fails(f"gate '{text}'", "--gate", text, needles=needles)
        fails("an empty baseline", "--baseline", "", needles=["--baseline", "empty"])
        fails("a missing baseline", "--baseline", self.work / "none.json", needles=["none.json"])
        fails("a baseline of something else", "--baseline", self.file("base.json", '{"hello": 1}'), needles=["base.json"])

    # Samples and statistics.

    def bad_samples(self):
        folder = self.work / "samples"
        folder.mkdir()
        good = {kind: read_safetensors(self.samples / f"{MODULE}_{kind}.safetensors") for kind in ("calibration", "test")}

        def fails(name, tensors, *needles, kind="calibration"):
            for each in good:
                write_safetensors(folder / f"{MODULE}_{each}.safetensors", tensors if each == kind else good[each])
            self.fails(f"samples: {name}", samples=folder, needles=[f"{MODULE}_{kind}", *needles])

        self.fails("samples: none", samples=folder, needles=[folder, f"{MODULE}_calibration"])
        self.fails("samples: no such folder", samples=self.work / "nowhere", needles=["nowhere"])
        ids, states = good["test"]["input_ids"], good["test"]["last_hidden_state"]
        for kind in good:
            fails(f"no input in {kind}", {"last_hidden_state": good[kind]["last_hidden_state"]}, "input_ids", kind=kind)
            short = ("I64", [5, 76], ids[2][: 5 * 76 * 8])
            fails(f"shape of {kind}", {"input_ids": short, "last_hidden_state": states}, "input_ids", "76", kind=kind)
            floats = ("F32", [5, 77], ids[2][: 5 * 77 * 4])
            fails(f"type of {kind}", {"input_ids": floats, "last_hidden_state": states}, "input_ids", kind=kind)
            fails(f"no records in {kind}", {"input_ids": ("I64", [0, 77], b""), "last_hidden_state": ("F32", [0, 77, 64], b"")}, kind=kind)
        for kind, (_, shape, content) in ((kind, good[kind]["input_ids"]) for kind in good):
            large = content[:16] + struct.pack("<q", 2**31) + content[24:]
            fails(f"an id past 32 bits in {kind}", {"input_ids": ("I64", shape, large)}, "'input_ids'", "2147483648", "element 2", kind=kind)
        for content in (b"", b"x" * 7, struct.pack("<Q", 2**60) + b"{}", (self.samples / f"{MODULE}_test.safetensors").read_bytes()[:-1]):
            (folder / f"{MODULE}_calibration.safetensors").write_bytes(content)
            self.fails(f"samples: damaged file of {len(content)} bytes", samples=folder, needles=[f"{MODULE}_calibration.safetensors"])
        self.not_finite(folder)
        self.one_timestep(folder)
        shutil.rmtree(folder)

    def one_timestep(self, folder):
        """Says nothing of the other steps: a warning that names the samples."""
        for kind in ("calibration", "test"):
            tensors = read_safetensors(self.samples / f"unet_{kind}.safetensors")
            one = {name: (dtype, [1, *shape[1:]], content[: len(content) // shape[0]]) for name, (dtype, shape, content) in tensors.items()}
            write_safetensors(folder / f"unet_{kind}.safetensors", one)
        done = self.run("sdopt-compile", self.model, "--modules", "unet", "--samples", folder, "--stages", folder / "stages", "--stop-after", "calibrate", "--quiet")
        problems = [] if done.returncode == 0 else [f"exit code {done.returncode}"]
        problems += [f"'{needle}' is not told" for needle in ("warning", "unet_calibration.safetensors", "all of timestep 961") if needle not in done.stderr]
        self.report("samples: of one timestep", problems)

    def not_finite(self, folder):
        for kind in ("calibration", "test"):
            shutil.copy(self.samples / "vae_encoder_calibration.safetensors", folder)
            shutil.copy(self.samples / "vae_encoder_test.safetensors", folder)
            path = folder / f"vae_encoder_{kind}.safetensors"
            tensors = read_safetensors(path)
            for name, value in (("not a number", float("nan")), ("infinite", float("inf"))):
                dtype, shape, content = tensors["sample"]
                wrong = dict(tensors, sample=(dtype, shape, content[:400] + struct.pack("<f", value) + content[404:]))
                write_safetensors(path, wrong)
                self.refused(
                    f"samples: {name} in {kind}",
                    "sdopt-compile",
                    *(self.model, "--samples", folder, "--modules", "vae_encoder", "-o", self.out, "--quiet"),
                    needles=[f"vae_encoder_{kind}", "sample"],
                    output=self.out,
                )

    def bad_statistics(self):
        mine = self.work / "wrong" / f"{MODULE}.pb"
        mine.parent.mkdir()
        self.run("sdopt-compile", self.model, "--modules", "vae_encoder", "--samples", self.samples, "--statistics-out", mine.parent, "--stages", mine.parent, "--stop-after", "calibrate", "--quiet")
        shutil.copy(mine.parent / "vae_encoder.pb", mine)
        self.fails("statistics: of another module", "--statistics", mine, needles=[f"{MODULE}.pb"])
        whole = (self.statistics / f"{MODULE}.pb").read_bytes()
        for name, content in (("truncated", whole[: len(whole) // 2]), ("empty", b""), ("random", random.Random(5).randbytes(999))):
            mine.write_bytes(content)
            self.fails(f"statistics: {name}", "--statistics", mine, needles=[f"{MODULE}.pb"])
        mine.unlink()
        self.fails("statistics: missing", "--statistics", mine, needles=[f"{MODULE}.pb"])
        self.fails("statistics: of no module", "--statistics", self.statistics / "unet.pb", samples="", needles=["unet.pb"])

    # Encodings.

    def encodings(self):
        def entry(name, **fields):
            return {"name": name, "output_dtype": "int8", "y_scale": 1.0, **fields}

        def file(name, *entries, version="2.0.0"):
            return self.file(name, json.dumps({"version": version, "encodings": list(entries)}))

        unknown = file("unknown.encodings", entry("no/such/tensor"), entry("neither"))
        self.fails("encodings: unknown names", "--encodings", unknown, needles=[unknown, "2 names", "'no/such/tensor'", "'neither'"])
        self.fails("encodings: two for one module", "--encodings", f"{unknown},{unknown}", needles=["unknown.encodings", MODULE, "one of them"])
        for name, path, needles in (
            ("no JSON", self.file("text.encodings", "{"), ["not JSON"]),
            ("another version", file("new.encodings", version="9.0.0"), ["9.0.0"]),
            ("scales of blocks", file("blocks.encodings", entry("w", block_size=64)), ["'w'", "blocks"]),
            ("a scale of zero", file("zero.encodings", entry("w", y_scale=0)), ["'w'", "positive"]),
            ("missing", self.work / "missing.encodings", ["missing.encodings"]),
            ("4-bit activations", file("four.encodings", entry("last_hidden_state", output_dtype="int4")), ["last_hidden_state", "4-bit"]),
        ):
            self.fails(f"encodings: {name}", "--encodings", path, needles=needles)
        self.fails("encodings: of a quantized module", "--encodings", unknown, "--stages", self.work, "--start-from", "quantize", needles=["--encodings", "--start-from"])

    # Outputs.

    def outputs(self):
        missing = self.work / "no" / "such" / "folder" / "out.sdnpu"
        self.fails("output: in a missing folder", output=missing, needles=[missing])
        folder = self.work / "folder.sdnpu"
        folder.mkdir()
        self.refused("output: is a folder", "sdopt-compile", *self.arguments("-o", folder), needles=[folder, "folder"])
        model = self.work / "overwritten"
        shutil.copytree(self.model / MODULE, model / MODULE)
        flags = ["--dimension", "sequence_length=77"]
        for name in ("model.onnx", "config.json"):
            self.kept(f"output: over {name}", model / MODULE / name, lambda path: ["sdopt-compile", *self.arguments("-o", path, *flags, model=model)])
        self.kept(
            "output: report over the baseline",
            self.work / "report" / "report.json",
            lambda path: ["sdopt-compile", *self.arguments("-o", self.out, "--report", path.parent, "--baseline", path)],
        )
        self.kept(
            "output: export over the model",
            model / MODULE / "model.onnx",
            lambda path: ["sdopt-compile", *self.arguments("-o", self.out, "--export-onnx", model, *flags, model=model)],
        )
        self.places_taken(model, flags)
        self.refused("output: a device", "sdopt-compile", *self.arguments("-o", "/dev/full"), needles=["/dev/full"])
        file = self.file("plain", "x")
        for flag, value in (
            ("--report", file),
            ("--depfile", self.work / "no" / "out.d"),
            ("--statistics-out", file),
            ("--stages", file),
            ("--export-onnx", file),
            ("--depfile", folder),
        ):
            self.fails(f"output: {flag} {Path(value).name}", flag, value, needles=[value])
        before = self.good.read_bytes()
        self.refused("output: an error keeps the old package", "sdopt-compile", *self.arguments("-o", self.good, "--depfile", folder), needles=[folder])
        self.report("output: the old package is as it was", [] if self.good.read_bytes() == before else ["changed"])
        self.untold()
        self.full_disk()
        self.read_only()

    def places_taken(self, model, flags):
        """Two options that name one place, or an output where an input is: told before anything is done."""
        work = self.work / "places"
        work.mkdir()
        out, link = work / "p.sdnpu", work / "link"
        link.symlink_to(work)
        report = work / "report"
        for name, more, *needles in (
            ("the package and the depfile", ["--depfile", work / "." / "p.sdnpu"], "--depfile: -o writes it"),
            ("the same through a link", ["--depfile", link / "p.sdnpu"], "--depfile: -o writes it"),
            ("a file of the report", ["--report", report, "--depfile", report / "report.json"], report / "report.json", "--report: --depfile writes it"),
            ("a file of a snapshot", ["--stages", work, "--depfile", work / MODULE / "quantize.mlir"], "--stages: --depfile writes it"),
            ("statistics and snapshots", ["--stages", work / "s", "--statistics-out", work / "s" / MODULE / "manifest.json"], "for --statistics-out: --stages writes the file"),
            ("a report in the package", ["--report", out], "--report: -o writes the file", out),
            ("an export in the package", ["--export-onnx", out / "onnx"], "--export-onnx: -o writes the file", out),
            ("statistics in the package", ["--statistics-out", out], "--statistics-out: -o writes the file", out),
            ("sensitivities in the package", ["--sensitivity", out, "--budget", "5bit"], "--sensitivity: -o writes the file", out),
            ("exports over the model", ["--export-onnx", model], model / MODULE / "model.onnx", "--export-onnx: MODEL reads it"),
            ("snapshots among the model's files", ["--stages", model], "--stages: MODEL reads all files of", model / MODULE),
        ):
            self.fails(f"places: {name}", *flags, *more, model=model, output=out, needles=["cannot write '", *needles])
        shutil.copy(self.good, out)
        self.refused("places: a report in a package that is there", "sdopt-compile", *self.arguments("-o", out, "--report", out), needles=["--report: -o writes the file", out])
        out.unlink()
        left = sorted(os.listdir(work))
        self.report("places: nothing is made", [] if left == ["link"] else [f"left behind: {left}"])
        samples = work / "samples"
        samples.mkdir()
        for kind in ("calibration", "test"):
            shutil.copy(self.samples / f"{MODULE}_{kind}.safetensors", samples)
        recipe = self.file("places/mine.yaml", "version: 1\nname: mine\nglobal: {weight_bits: 8, weight_range: mse, activation_bits: 16, activation_range: minmax}\n")
        for option, path in (("--samples", samples / f"{MODULE}_test.safetensors"), ("--recipe", recipe), ("MODEL", model / MODULE / "config.json")):
            for flag in ("-o", "--depfile"):
                arguments = lambda path: ["sdopt-compile", *self.arguments(*([] if flag == "-o" else ["-o", out]), flag, path, "--recipe", recipe, *flags, model=model, samples=samples)]
                self.kept(f"places: {flag} where {option} is", path, arguments)

    def untold(self):
        """What is not told on standard output has not happened: nothing is left behind."""
        work = self.work / "untold"
        work.mkdir()
        inputs = self.samples / f"{MODULE}_test.safetensors"
        outputs = ["-o", work / "p.sdnpu", "--report", work / "report", "--depfile", work / "p.d", "--export-onnx", work / "onnx", "--export-encodings", work / "codes"]
        snapshots = self.work / "untold-stages"
        cases = [
            ("sdopt-compile", "a package", self.arguments(*outputs)),
            ("sdopt-compile", "exports of a part", self.arguments("--stages", snapshots, "--stop-after", "quantize", *outputs[6:], "--depfile", work / "p.d")),
            ("sdopt-compile", "a sweep", self.arguments("--sweep", "sram=1MiB..2MiB", "--report", work / "sweep")),
            ("sdopt-compile", "inputs", ["--print-inputs", self.model]),
            ("sdopt-compile", "help", ["--help"]),
            ("sdopt-objdump", "a package", [self.good]),
            ("sdopt-run", "outputs", [self.good, "--module", MODULE, "--inputs", inputs, "-o", work / "out", "--trace", work / "trace"]),
            ("sdopt-run", "help", ["zoom", "--help"]),
        ]
        for redirection, where in ((">/dev/full", "a full device"), (">&-", "a closed stream")):
            for tool, what, arguments in cases:
                command = ["bash", "-c", f'exec "$@" {redirection}', "-", self.bin / tool, *map(str, arguments)]
                done = subprocess.run(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
                errors = [line for line in done.stderr.splitlines() if "error" in line]
                problems = [] if done.returncode == 1 and errors == [f"{tool}: error: cannot write to standard output"] else [f"{done.returncode}: {done.stderr}"]
                if left := sorted(path.name for path in work.rglob("*")):
                    problems.append(f"left behind: {left}")
                self.report(f"output: {tool}, {what} to {where}", problems)

    def full_disk(self):
        """A limit on the size of files stands for the disk: the write fails at the same places."""
        for blocks in (0, 4, 64, 200):  # of 1024 bytes
            self.fails(
                f"output: no room after {blocks} KiB",
                needles=["out.sdnpu"],
                prefix=["bash", "-c", f'ulimit -f {blocks} && exec "$@"', "-"],
            )
        self.fails(
            "output: no room for the report",
            *("--report", self.work / "full-report"),
            needles=["out.sdnpu"],
            prefix=["bash", "-c", 'ulimit -f 8 && exec "$@"', "-"],
        )
        full = self.work / "full"
        full.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", full], capture_output=True).returncode == 0:
            try:
                self.fails("output: a full disk", output=full / "out.sdnpu", needles=[full / "out.sdnpu", "no space left"])
                (full / "fill").write_bytes(bytes(110 << 10))
                for flag, value in (("--report", full), ("--stages", full), ("--statistics-out", full)):
                    self.fails(f"output: a full disk for {flag}", flag, value, needles=[full, "no space left"])
                reports = [name for name in os.listdir(full) if name.startswith("report")]
                self.report("output: no half of a report", [f"left behind: {reports}"] if reports else [])
            finally:
                subprocess.run(["umount", full], check=False)
        else:
            print("       (no right to mount a small disk: the limit on file sizes stands for it)")

    def read_only(self):
        folder = self.work / "read-only"
        folder.mkdir()
        folder.chmod(0o555)
        options = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        self.work.chmod(0o755)
        try:
            readable = subprocess.run([self.bin / "sdopt-compile", "--version"], capture_output=True, **options).returncode == 0
        except OSError:
            readable = False  # the build lies where only its owner can go
        if readable:
            self.fails("output: in a read-only folder", output=folder / "out.sdnpu", needles=[folder / "out.sdnpu", "permission denied"], **options)
        folder.chmod(0o755)


def main():
    cases = BadInput(*sys.argv[1:3])
    cases.damaged_models()
    cases.external_data()
    cases.wrong_graphs()
    cases.weights_not_finite()
    cases.broken_configurations()
    cases.edited_snapshots()
    cases.damaged_packages()
    cases.wrong_uses_of_packages()
    cases.recipes()
    cases.targets()
    cases.flags()
    cases.bad_samples()
    cases.bad_statistics()
    cases.encodings()
    cases.outputs()
    return cases.finish()


sys.exit(main())
