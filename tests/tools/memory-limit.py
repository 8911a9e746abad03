#!/usr/bin/env python3
"""--memory-limit of sdopt-compile and sdopt-run: one clear error, or the same bytes within the limit.

memory-limit.py BUILD_FOLDER TESTDATA
"""

import os
import re
import subprocess
import sys

from tool_cases import Cases

SIZES = ["900", "0MB", "-1MB", "1e3MB", "5mb", "inf", "nanMB", "1.5GiBx", "0x10MB", "MB", "1e99GB", ""]


class MemoryLimit(Cases):
    def measured(self, tool, *arguments):
        """Exit code, messages and peak resident bytes."""
        log = self.work / "log"
        with open(log, "w") as out:
            process = subprocess.Popen([self.bin / tool, *map(str, arguments)], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, log.read_text(), usage.ru_maxrss * 1024

    def expect(self, name, conditions, detail=""):
        self.report(name, [what for what, holds in conditions.items() if not holds], detail)

    def compile(self, output, *arguments):
        return self.measured(
            "sdopt-compile", self.model, "--modules", "text_encoder,vae_encoder", "--samples", self.samples, "--verify", "-o", output, *arguments
        )

    def sizes(self):
        for size in SIZES:
            output = self.work / "bad.sdnpu"
            needles = ["--memory-limit", f"'{size}'", "1.5GiB"]
            arguments = [self.model, "--samples", self.samples, "-o", output, f"--memory-limit={size}"]
            if size:
                self.refused(f"compile: size '{size}'", "sdopt-compile", *arguments, needles=needles, output=output)
                self.refused(f"run: size '{size}'", "sdopt-run", "p.sdnpu", f"--memory-limit={size}", needles=needles)
            else:
                arguments[-1:] = ["--memory-limit", ""]
                self.refused("compile: no size", "sdopt-compile", *arguments, needles=needles, output=output)

    def same_bytes(self):
        code, text, peak = self.compile(self.work / "free.sdnpu")
        self.expect("compile: without a limit", {f"exit code 0: {text[-500:]}": code == 0}, f"{peak / 1e6:.0f} MB")
        for limit in (4 * peak, peak + (16 << 20)):
            code, text, found = self.compile(self.work / "limited.sdnpu", "--memory-limit", f"{limit}B")
            same = code == 0 and (self.work / "free.sdnpu").read_bytes() == (self.work / "limited.sdnpu").read_bytes()
            self.expect(
                f"compile: {limit / 1e6:.0f} MB",
                {f"exit code 0: {text[-500:]}": code == 0, "the same bytes": same, f"within the limit: {found}": found <= limit},
                f"{found / 1e6:.0f} MB",
            )

    def too_small(self):
        output = self.work / "none.sdnpu"
        arguments = [self.model, "--samples", self.samples, "--verify", "-o", output, "--quiet", "--report", self.work / "report"]
        self.refused(
            "compile: less than the program itself",
            "sdopt-compile",
            *arguments,
            "--memory-limit",
            "1MB",
            needles=["', stage normalize: needs at least", "--memory-limit is 1.0 MB; allow "],
            output=output,
        )
        early = [self.model, "--modules", "vae_encoder", "--samples", self.samples, "--stages", self.work / "stages", "--stop-after", "normalize"]
        _, _, normalized = self.measured("sdopt-compile", *early)
        code, text, _ = self.measured("sdopt-compile", *arguments, "--modules", "vae_encoder", "--memory-limit", f"{normalized + (3 << 20)}B")
        self.expect(
            "compile: less than a stage needs",
            {
                f"exit code 1: {code}": code == 1,
                f"one error: {text!r}": text.count("error:") == 1 and text.count("\n") == 1,
                f"names module, stage and both sizes: {text!r}": "module 'vae_encoder', stage " in text and text.count(" MB") == 3,
                f"nothing is left: {self.left_behind(output)}": not self.left_behind(output) and not (self.work / "report").exists(),
            },
            text[:150].strip(),
        )

    def told_limits(self):
        """The limit that an error tells is kept by the whole compilation."""
        for modules, *flags in (("text_encoder",), ("vae_encoder", "--verify"), ("unet", "--threads", "2"), ("unet", "--verify"), ("vae_decoder", "--recipe", "w8a8"), ("text_encoder,vae_encoder", "--recipe", "w4a16")):
            name = " ".join(("compile: the limit that is told for", modules, *flags))
            arguments = [self.model, "--modules", modules, "--samples", self.samples, "-o", self.work / "told.sdnpu", "--quiet", *flags]
            _, text, _ = self.measured("sdopt-compile", *arguments, "--memory-limit", "1MB")
            told = re.search(r"; allow ([0-9]+) MB", text)
            if not told:
                self.report(name, [f"no limit is told: {text!r}"])
                continue
            code, again, peak = self.measured("sdopt-compile", *arguments, "--memory-limit", f"{told[1]}MB")
            limit = int(told[1]) * 1e6
            self.expect(
                name,
                {f"it suffices: {again!r}": code == 0, f"and is kept: {peak}": peak <= limit, f"it is not much more: {peak}": limit <= 1.4 * peak},
                f"{told[1]} MB, {peak / 1e6:.0f} MB resident",
            )

    def run_module(self):
        package, outputs = self.work / "free.sdnpu", self.work / "out.safetensors"
        arguments = [package, "--module", "vae_encoder", "--inputs", self.samples / "vae_encoder_test.safetensors", "-o", outputs]
        code, text, _ = self.measured("sdopt-run", *arguments)
        expected = outputs.read_bytes()
        limited, limited_text, peak = self.measured("sdopt-run", *arguments, "--memory-limit", "200MB")
        self.expect(
            "run: 200 MB",
            {
                f"exit codes 0: {text[-300:]} {limited_text[-300:]}": code == 0 and limited == 0,
                "the same bytes": outputs.read_bytes() == expected,
                f"within the limit: {peak}": peak <= 200e6,
            },
        )
        outputs.unlink()
        needles = ["module 'vae_encoder': simulation needs", "the limit is 1000000; allow more with --memory-limit"]
        self.refused("run: 1 MB", "sdopt-run", *arguments, "--memory-limit", "1MB", needles=needles, output=outputs)
        _, text, _ = self.measured("sdopt-run", *arguments, "--memory-limit", "1MB")
        told = re.search(r"allow more with --memory-limit ([0-9]+MB)", text)
        code, again, _ = self.measured("sdopt-run", *arguments, "--memory-limit", told[1] if told else "1MB")
        self.expect("run: the limit that is told", {f"it suffices: {again!r}": code == 0}, told[1] if told else "")


def main():
    cases = MemoryLimit(*sys.argv[1:3])
    cases.sizes()
    cases.same_bytes()
    cases.too_small()
    cases.told_limits()
    cases.run_module()
    return cases.finish()


sys.exit(main())
