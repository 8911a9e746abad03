"""Runs the built tools as their users do and checks what they leave behind. Only the standard library."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path


class Cases:
    """A scratch folder, the tools, and a count of what failed."""

    def __init__(self, build, testdata):
        self.bin = Path(build).resolve() / "bin"
        self.testdata = Path(testdata).resolve()
        self.model = self.testdata / "patterns-sd2" / "opset17-fp32"
        self.samples = self.testdata / "patterns-sd2" / "samples"
        self.work = Path(tempfile.mkdtemp(prefix="sdopt-tools-"))
        self.failures = 0
        self.count = 0

    def run(self, tool, *arguments, prefix=(), **options):
        command = [*prefix, str(self.bin / tool), *(value if isinstance(value, bytes) else str(value) for value in arguments)]
        options.setdefault("timeout", 80)
        if "input" not in options:
            options["stdin"] = subprocess.DEVNULL
        return subprocess.run(command, capture_output=True, text=True, errors="replace", **options)

    def report(self, name, problems, detail=""):
        self.count += 1
        if problems:
            self.failures += 1
            print(f"FAILED {name}: {'; '.join(problems)}")
        else:
            print(f"ok     {name}{': ' if detail else ''}{detail}")
        sys.stdout.flush()

    def left_behind(self, output):
        found = [str(path) for path in self.work.rglob("*.partial*")]
        if output is not None and Path(output).exists():
            found.append(str(output))
        return found

    def refused(self, name, tool, *arguments, needles=(), output=None, **options):
        """Exit code 1, one error that has all needles, no output, nothing partial, no crash."""
        try:
            done = self.run(tool, *arguments, **options)
        except subprocess.TimeoutExpired:
            self.report(name, ["does not end"])
            return
        errors = [line for line in done.stderr.splitlines() if "error:" in line]
        problems = []
        if done.returncode != 1:
            problems.append(f"exit code {done.returncode}, needed 1")
        if len(errors) != 1 or not errors[0].startswith(f"{tool}: error: "):
            problems.append(f"needed one error, found {len(errors)} in: {done.stderr[-600:]!r}")
        for needle in needles:
            if str(needle) not in done.stderr:
                problems.append(f"the error does not name {str(needle)!r}: {done.stderr[-600:]!r}")
        if left := self.left_behind(output):
            problems.append(f"left behind: {left}")
            if output is not None:
                shutil.rmtree(output, ignore_errors=True)
                Path(output).unlink(missing_ok=True)
        self.report(name, problems, errors[0][:150] if errors else "")

    def finish(self):
        shutil.rmtree(self.work, ignore_errors=True)
        print(f"{self.count - self.failures} of {self.count} cases passed")
        return 1 if self.failures else 0


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    data = Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    begin = 8 + size
    return {
        name: (entry["dtype"], entry["shape"], data[begin + entry["data_offsets"][0] : begin + entry["data_offsets"][1]])
        for name, entry in header.items()
    }


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


# ONNX files by hand: protocol buffers are (field << 3 | type) followed by a varint or by length and bytes.


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, *parts):
    content = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(content)) + content


def onnx_node(kind, inputs, outputs, name, *attributes):
    return message(
        1,
        *(message(1, value) for value in inputs),
        *(message(2, value) for value in outputs),
        message(3, name),
        message(4, kind),
        *attributes,
    )


def onnx_value(field, name, dims, element=1):
    """A graph input (field 11) or output (12); a text dimension is symbolic."""
    shape = message(
        2, *(message(1, message(2, dim) if isinstance(dim, str) else number(1, dim)) for dim in dims)
    )
    return message(field, message(1, name), message(2, message(1, number(1, element), shape)))


def onnx_float_constant(name, dims, values):
    return message(
        5,
        *(number(1, dim) for dim in dims),
        number(2, 1),
        message(8, name),
        message(9, struct.pack(f"<{len(values)}f", *values)),
    )


def onnx_external_constant(name, dims, location, offset, length):
    entries = {"location": location, "offset": str(offset), "length": str(length)}
    return message(
        5,
        *(number(1, dim) for dim in dims),
        number(2, 1),
        message(8, name),
        *(message(13, message(1, key), message(2, value)) for key, value in entries.items()),
        number(14, 1),
    )


def onnx_model(*graph, opset=17):
    return number(1, 8) + message(8, message(1, ""), number(2, opset)) + message(7, *graph, message(2, "graph"))
