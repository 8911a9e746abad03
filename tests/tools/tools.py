#!/usr/bin/env python3
"""The tools as their users run them, on the whole pipeline.

tools.py BUILD_FOLDER TESTDATA
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from tool_cases import Cases, read_safetensors

MEMORY_LIMIT = 300e6  # bytes that a compilation of all four modules may hold
MODULES = ["text_encoder", "vae_encoder", "unet", "vae_decoder"]


class Tools(Cases):
    def __init__(self, build, testdata):
        super().__init__(build, testdata)
        self.package = self.work / "pipeline.sdnpu"
        self.stages = self.work / "stages"

    def expect(self, name, conditions, detail=""):
        """`conditions`: {what must hold: whether it does}"""
        self.report(name, [what for what, holds in conditions.items() if not holds], detail)

    def works(self, name, tool, *arguments, conditions=lambda done: {}, **options):
        done = self.run(tool, *arguments, **options)
        if done.returncode != 0:
            self.report(name, [f"exit code {done.returncode}: {done.stderr[-500:]}"])
        else:
            self.expect(name, conditions(done))
        return done

    def compile_pipeline(self):
        arguments = [self.model, "--samples", self.samples, "-o", self.package, "--verify", "--threads", "2", "--steps", "3"]
        arguments += ["--report", self.work / "report", "--depfile", self.work / "pipeline.d"]
        with open(self.work / "log", "w") as log:
            begin = time.monotonic()
            process = subprocess.Popen([self.bin / "sdopt-compile", *map(str, arguments)], stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        text = (self.work / "log").read_text()
        peak = usage.ru_maxrss * 1024
        self.expect(
            "compile: four modules, verified",
            {
                f"exit code 0: {text[-500:]}": process.returncode == 0,
                f"at most {MEMORY_LIMIT / 1e6:.0f} MB resident": peak <= MEMORY_LIMIT,
                "every module verified": all(f"{module}: verified" in text for module in MODULES),
                "report.json and report.html": sorted(os.listdir(self.work / "report")) == ["report.html", "report.json"],
                "nothing partial": not self.left_behind(None),
            },
            f"{peak / 1e6:.0f} MB resident at most, {seconds:.0f} s",
        )

    def build_system(self):
        version = self.run("sdopt-compile", "--version").stdout
        self.expect("compile: --version", {"says sdopt and a number": re.fullmatch(r"sdopt \d+\.\d+\.\d+\n", version)})
        for tool in ("sdopt-run", "sdopt-objdump"):
            self.expect(f"{tool}: --version", {"as sdopt-compile": self.run(tool, "--version").stdout == version})
        for tool in ("sdopt-opt", "sdopt-translate", "sdopt-lsp-server"):
            self.expect(f"{tool}: --version", {"sdopt's beside LLVM's": version in self.run(tool, "--version").stdout})
        target, _, inputs = (self.work / "pipeline.d").read_text().partition(":")
        inputs = inputs.replace("\\\n", " ").split()
        needed = [self.model / module / name for module in MODULES for name in ("model.onnx", "config.json")]
        needed += [self.model / "unet" / "model.onnx_data", self.model / "tokenizer" / "vocab.json", self.model / "model_index.json"]
        needed += [self.samples / f"{module}_{kind}.safetensors" for module in MODULES for kind in ("calibration", "test")]
        printed = self.run("sdopt-compile", self.model, "--samples", self.samples, "--print-inputs").stdout.split()
        self.expect(
            "compile: --depfile and --print-inputs",
            {
                "the package is its target": target == str(self.package),
                "every input is there": all(str(path) in inputs for path in needed),
                "every input exists": all(os.path.isfile(path) for path in inputs),
                "none twice": len(set(inputs)) == len(inputs),
                "the same list is printed": printed == inputs,
            },
        )
        told = self.run("sdopt-compile", self.model, "--recipe", "w8a8", "--explain", "mid_block.attentions.0.proj_in").stdout
        self.expect(
            "compile: --explain",
            {
                "the layer and its names": "unet linear" in told and "also /unet/mid_block/attentions.0/proj_in/MatMul" in told,
                "the rule": "activation_bits = 16 from built-in w8a8:" in told and "(names: *proj_in*)" in told,
                "the default": "bias_correction = true by default" in told,
            },
        )
        small = ["sdopt-compile", self.model, "--samples", self.samples, "--modules", "text_encoder", "--dimension", "sequence_length=77", "--sensitivity", self.work / "widths"]
        searched = self.run(*small, "--budget", "5bit", "--threads", "1", "-o", self.work / "five.sdnpu", "--verify")
        again = self.run(*small, "--budget", "5bit", "-o", self.work / "five2.sdnpu")
        floor = self.run(*small, "--min-psnr", "35dB", "-o", self.work / "floor.sdnpu")
        width = lambda done: float(re.search(r"([0-9.]+) bits per weight", done.stdout + done.stderr)[1])
        self.expect(
            "compile: --budget and --min-psnr",
            {
                "both are met": width(searched) <= 5 < width(floor) < 8,
                "what was measured is not measured again": "sensitivity " in searched.stderr and "sensitivity " not in again.stderr,
                "the same package": (self.work / "five.sdnpu").read_bytes() == (self.work / "five2.sdnpu").read_bytes(),
            },
        )
        spaced = self.work / "a folder #1"
        shutil.copytree(self.model / "vae_encoder", spaced / "vae_encoder")
        depfile = self.work / "spaced.d"
        done = self.run("sdopt-compile", spaced, "--samples", self.samples, "--dimension", "height=16", "--dimension", "width=16", "-o", spaced / "p.sdnpu", "--depfile", depfile, "--quiet")
        text = depfile.read_text() if done.returncode == 0 else done.stderr
        self.expect("compile: --depfile with blanks", {f"blanks and # are escaped: {text[:300]}": "a\\ folder\\ \\#1/p.sdnpu:" in text})

    def gates_and_baselines(self):
        output = self.work / "gated.sdnpu"
        compile = lambda *flags: self.run("sdopt-compile", self.model, "--modules", "text_encoder", "--samples", self.samples, "-o", output, "--quiet", *flags)
        passed = compile("--gate", "text_encoder.psnr>=30dB, package<=1MB", "--report", self.work / "base")
        self.expect("gate: passed", {"exit code 0": passed.returncode == 0, "both printed": passed.stdout.count("gate passed") == 2})
        output.unlink(missing_ok=True)
        failed = compile("--gate", "text_encoder.psnr>=90dB,package<=1MB")
        self.expect(
            "gate: failed",
            {
                "exit code 2": failed.returncode == 2,
                "says which": "gate FAILED: text_encoder.psnr>=90dB" in failed.stdout,
                "and that the other passed": "gate passed: package<=1MB" in failed.stdout,
                "no error": "error" not in failed.stderr,
                "the package is written": output.is_file(),
            },
        )
        report = json.loads((self.work / "base" / "report.json").read_text())
        same = compile("--baseline", self.work / "base" / "report.json")
        self.expect("baseline: the same", {f"exit code 0: {same.stdout[-300:]}": same.returncode == 0})
        layer = report["modules"][0]["layers"][3]
        layer["sqnr"] += 20
        better = self.work / "better.json"
        better.write_text(json.dumps(report))
        worse = compile("--baseline", better)
        self.expect(
            "baseline: one layer worse",
            {"exit code 2": worse.returncode == 2, f"names the layer: {worse.stdout[-300:]}": layer["name"] in worse.stdout, "the package is written": output.is_file()},
        )

    def objdump(self):
        dump = lambda name, *flags, conditions: self.works(f"objdump: {name}", "sdopt-objdump", *flags, self.package, conditions=conditions)
        whole = self.package.stat().st_size
        dump("overview", conditions=lambda done: {"all modules": all(f"module {module}:" in done.stdout for module in MODULES), "inputs": "unet/model.onnx_data" in done.stdout})
        dump("--header", "--header", conditions=lambda done: {"size": f"{whole} bytes" in done.stdout})
        dump("--sections", "--sections", conditions=lambda done: {"4 commands": done.stdout.count("\ncommands ") == 4, "manifest": "\nmanifest" in done.stdout})
        dump("--check", "--check", conditions=lambda done: {"ok": done.stdout.startswith(f"ok: {whole} bytes, 4 modules")})
        one = dump("--disassemble=unet", "--disassemble=unet", conditions=lambda done: {"conv": " q=array " in done.stdout, "one module": done.stdout.count("module ") == 1})
        dump("--disassemble", "--disassemble", conditions=lambda done: {"all modules": all(f"module {module}\n" in done.stdout for module in MODULES), "unet as alone": one.stdout in done.stdout})
        dump("--memory-map", "--memory-map", "--module=unet", conditions=lambda done: {"80 columns": max(map(len, done.stdout.splitlines())) <= 80, "layers": " layers 0 to " in done.stdout})
        picture = self.work / "unet.svg"
        dump("--memory-map=svg", "--memory-map=svg", "--module=unet", "-o", picture, conditions=lambda done: {"a picture": picture.read_text().startswith("<svg "), "of the tensors in DRAM": picture.read_text().count("<title>") > 50})

    def run_module(self):
        inputs = self.samples / "text_encoder_test.safetensors"
        out, trace = self.work / "outputs.safetensors", self.work / "trace.json"
        done = self.works("run: recorded samples", "sdopt-run", self.package, "--module", "text_encoder", "--inputs", inputs, "-o", out, "--trace", trace)
        found = re.search(r"last_hidden_state: PSNR ([\d.]+) dB", done.stdout)
        shapes = {name: tensor[1] for name, tensor in read_safetensors(out).items()} if out.exists() else {}
        self.expect(
            "run: what it prints and writes",
            {
                f"PSNR of 45 dB or more: {done.stdout}": found and float(found[1]) >= 45,
                f"outputs for all five records: {shapes}": shapes.get("last_hidden_state") == [5, 77, 64],
                "a trace": len(json.loads(trace.read_text())["traceEvents"]) > 100,
            },
        )

    def zoom(self):
        def pictures(folder, seed):
            done = self.run("sdopt-run", "zoom", self.package, "--prompt", "small red rings on blue", "--frames", "2", "--steps", "3", "--interpolate", "2", "--seed", seed, "-o", folder)
            return done, {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.exists() else {}

        done, first = pictures(self.work / "zoom1", 7)
        _, again = pictures(self.work / "zoom2", 7)
        _, other = pictures(self.work / "zoom3", 8)
        self.expect(
            "zoom",
            {
                f"exit code 0: {done.stderr[-300:]}": done.returncode == 0,
                f"its files: {sorted(first)}": sorted(first) == ["frame_0000.png", "frame_0001.png", "frame_0002.png", "zoom.webp"],
                "rates": "painted images/s" in done.stdout and "images/s/W" in done.stdout,
                "same seed, same bytes": first == again,
                "another seed, other pictures": all(first[name] != other.get(name) for name in first),
            },
        )

    def bad_zooms(self):
        folder, prompt = self.work / "bad-zoom", ("--prompt", "red rings")
        broken = self.work / "broken.png"
        broken.write_bytes((self.work / "zoom1" / "frame_0000.png").read_bytes()[:500])
        for name, flags, needles in (
            ("no prompt", [], ["--prompt"]),
            ("no frames", [*prompt, "--frames", "0"], ["--frames", "0"]),
            ("too many frames", [*prompt, "--frames", "100000"], ["--frames", "100000"]),
            ("no steps", [*prompt, "--steps", "0"], ["--steps", "0"]),
            ("more steps than the scheduler has", [*prompt, "--steps", "100000"], ["--steps", "100000"]),
            ("a guidance that is not a number", [*prompt, "--guidance", "nan"], ["--guidance"]),
            ("a border of everything", [*prompt, "--border", "0.5"], ["--border"]),
            ("a direction that is none", [*prompt, "--direction", "up"], ["--direction", "up"]),
            ("a prompt that is not UTF-8", ["--prompt", b"\xff\xfe red"], ["--prompt", "UTF-8"]),
            ("a missing picture", [*prompt, "--start", self.work / "none.png"], ["none.png"]),
            ("a truncated picture", [*prompt, "--start", broken], ["broken.png"]),
            ("a picture that is none", [*prompt, "--start", self.work / "pipeline.d"], ["pipeline.d"]),
        ):
            self.refused(f"zoom: {name}", "sdopt-run", "zoom", self.package, *flags, "-o", folder, needles=needles, output=folder)
        other = ("--frames", "1", "--steps", "2", "-o", self.work / "other-steps")
        self.refused("zoom: another schedule", "sdopt-run", "zoom", self.package, *prompt, *other, needles=["timestep 501", "667 ... 1", "--steps"], output=other[-1])
        self.refused("zoom: its folder is a file", "sdopt-run", "zoom", self.package, *prompt, "-o", broken, needles=[broken])

    def mlir_tools(self):
        self.works(
            "compile: snapshots of all stages",
            "sdopt-compile",
            *(self.model, "--modules", "text_encoder", "--samples", self.samples, "--stages", self.stages),
            *("-o", self.work / "text.sdnpu", "--quiet"),
        )
        folder = self.stages / "text_encoder"
        imported = self.works(
            "translate: --import-onnx",
            "sdopt-translate",
            *("--import-onnx", self.model / "text_encoder" / "model.onnx", "--batch=2", "--dimension=sequence_length=77"),
            conditions=lambda done: {"sd operations": "sd.weight" in done.stdout and "func.func" in done.stdout},
        )
        unbound = self.run("sdopt-translate", "--import-onnx", self.model / "text_encoder" / "model.onnx")
        self.expect("translate: unbound dimension", {"exit code 1": unbound.returncode == 1, "named": "sequence_length" in unbound.stderr})
        assembly = self.run(
            "sdopt-translate",
            *("--npu-to-assembly", folder / "schedule.mlir", "--model", self.model, "--weights", folder / "overlay.safetensors"),
        ).stdout.splitlines()
        dumped = self.run("sdopt-objdump", "--disassemble", self.work / "text.sdnpu").stdout.splitlines()
        dumped = [line.split("\t")[1] for line in dumped if "\t" in line]
        self.expect("translate: --npu-to-assembly", {f"as the package has it: {len(assembly)} lines": assembly[1:] == dumped})
        self.works("opt: one pass", "sdopt-opt", "--sdopt-form-linear", "-", input=imported.stdout, conditions=lambda done: {"its operation": "sd.linear" in done.stdout})
        wrong = self.run("sdopt-opt", "--sdopt-form-linear", "-", input="func.func @f( {")
        self.expect("opt: no MLIR", {"exit code 1": wrong.returncode == 1, "an error with its place": "-:1:" in wrong.stderr or "<stdin>:1:" in wrong.stderr})

        shapes = "func.func @f(%x: tensor<2xf32>) -> tensor<3xf32> {\n  %y = sd.sigmoid %x : (tensor<2xf32>) -> tensor<3xf32>\n  return %y : tensor<3xf32>\n}\n"
        for flags, printed in (((), False), (("--mlir-print-op-on-diagnostic",), True)):
            done = self.run("sdopt-opt", *flags, "-", input=shapes)
            self.expect(
                f"opt: an error{' '.join(('', *flags))}",
                {f"at its place: {done.stderr}": "<stdin>:2:8: error: 'sd.sigmoid'" in done.stderr, f"the operation is printed: {printed}": ("see current operation" in done.stderr) == printed},
            )

    def language_server(self):
        def packet(method, parameters, identifier=None):
            body = {"jsonrpc": "2.0", "method": method, "params": parameters}
            if identifier is not None:
                body["id"] = identifier
            text = json.dumps(body)
            return f"Content-Length: {len(text)}\r\n\r\n{text}"

        session = packet("initialize", {"processId": None, "rootUri": None, "capabilities": {}}, 0)
        session += packet("initialized", {}) + packet("shutdown", {}, 1) + packet("exit", {})
        done = self.run("sdopt-lsp-server", input=session)
        self.expect("lsp: initialize", {f"exit code 0: {done.stderr[-300:]}": done.returncode == 0, "capabilities": '"capabilities"' in done.stdout})

    def interrupted(self, name, tool, arguments, number, waits_for):
        """Ends `tool` by a signal once a file of such a name is there: what stays is whole, and told."""
        folder = self.work / "interrupted"
        folder.mkdir()
        # A shell that runs this in the background has made its children ignore SIGINT.
        process = subprocess.Popen(
            [self.bin / tool, *map(str, arguments(folder))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        )
        files = lambda: sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        limit = time.monotonic() + 30
        while not any(waits_for in name for name in files()) and time.monotonic() < limit and process.poll() is None:
            time.sleep(0.01)
        seen = files()
        process.send_signal(number)
        _, text = process.communicate(timeout=30)
        left = files()
        whole = [f"'{folder / name}'" for name in left if (folder / name).is_file()]
        told = {0: "nothing was written", 1: f"{''.join(whole)} is finished and stays"}.get(len(whole), f"{''.join(whole[:1])} and {len(whole) - 1} more are finished and stay")
        self.expect(
            f"{name}: {number.name}",
            {
                f"{waits_for} was there before: {seen}": any(waits_for in name for name in seen),
                f"ends by the signal: {process.returncode}": process.returncode == -number,
                f"one line tells it: {text!r}": text.splitlines()[-1:] == [f"{tool}: interrupted; {told}"],
                f"nothing partial, no empty folder, no package is left: {left}": not any(
                    ".partial-" in name or name.endswith(".sdnpu") or ((folder / name).is_dir() and not os.listdir(folder / name)) for name in left
                ),
            },
            told.replace(str(folder), "DIR"),
        )
        shutil.rmtree(folder)

    def interrupt(self):
        common = [self.model, "--samples", self.samples, "--quiet"]
        package = lambda folder: [*common, "-o", folder / "p.sdnpu"]
        for number in (signal.SIGINT, signal.SIGTERM):
            self.interrupted("compile", "sdopt-compile", package, number, ".partial")
        exports = lambda folder: [*package(folder), "--export-onnx", folder / "a" / "onnx", "--export-encodings", folder / "codes", "--export-masks", folder / "masks"]
        self.interrupted("compile with exports", "sdopt-compile", exports, signal.SIGINT, "text_encoder.encodings.partial")
        stages = lambda folder: [*package(folder), "--stages", folder / "stages"]
        self.interrupted("compile with snapshots", "sdopt-compile", stages, signal.SIGTERM, "vae_encoder/import.mlir")
        zoom = lambda folder: ["zoom", self.package, "--prompt", "red rings", "--frames", 3, "--steps", 3, "-o", folder / "pictures"]
        self.interrupted("zoom", "sdopt-run", zoom, signal.SIGINT, "pictures")


def main():
    cases = Tools(*sys.argv[1:3])
    cases.compile_pipeline()
    cases.build_system()
    cases.gates_and_baselines()
    cases.objdump()
    cases.run_module()
    cases.zoom()
    cases.bad_zooms()
    cases.mlir_tools()
    cases.language_server()
    cases.interrupt()
    return cases.finish()


sys.exit(main())
