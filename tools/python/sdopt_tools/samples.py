"""Sample files: recorded calls of a module as safetensors, written call by call.

The file's size is known before the first call, so that a recording never holds more than one call:
the header and zeros are laid out first, then every value is written to its place.

    8 bytes    length of the header, little endian
    header     JSON: {"__metadata__": {...}, NAME: {"dtype", "shape", "data_offsets"}, ...}, padded
    values     tensors of wide types first

A tensor [calls, rows, ...] holds one value for each call; sdopt-compile cuts it into evaluations.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

_TYPES = {"float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "float64": "F64"}


@dataclass(frozen=True)
class Layout:
    """Type and shape of one tensor of a file, all calls together."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def layout_of(value: np.ndarray[Any, Any], calls: int) -> Layout:
    """`calls` values like `value`."""
    return Layout(str(value.dtype), (calls, *value.shape))


class SampleWriter:
    """Writes beside the file and renames it when everything is there."""

    def __init__(self, path: Path, tensors: Mapping[str, Layout], metadata: Mapping[str, str]):
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
        self._tensors = dict(tensors)
        self._written: dict[str, set[int]] = {name: set() for name in tensors}
        header, self._offsets, end = self._header(metadata)
        self._file = open(self._partial, "wb")
        self._file.write(header)
        self._file.truncate(end)

    def _header(self, metadata: Mapping[str, str]) -> tuple[bytes, dict[str, int], int]:
        entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
        begins: dict[str, int] = {}
        end = 0

        def order(name: str) -> tuple[int, str]:
            return -np.dtype(self._tensors[name].dtype).itemsize, name

        for name in sorted(self._tensors, key=order):
            layout = self._tensors[name]
            begins[name] = end
            end += layout.size
            entries[name] = {
                "dtype": _TYPES[layout.dtype],
                "shape": list(layout.shape),
                "data_offsets": [begins[name], end],
            }
        text = json.dumps(entries).encode()
        text += b" " * (-(8 + len(text)) % 64)
        start = 8 + len(text)
        offsets = {name: start + begin for name, begin in begins.items()}
        return len(text).to_bytes(8, "little") + text, offsets, start + end

    def write(self, call: int, values: Mapping[str, np.ndarray[Any, Any]]) -> None:
        for name, value in values.items():
            layout = self._tensors[name]
            found = (str(value.dtype), tuple(value.shape))
            if found != (layout.dtype, layout.shape[1:]) or not 0 <= call < layout.shape[0]:
                raise ValueError(
                    f"{name} of call {call} is {found}, needed: {layout.dtype} "
                    f"{layout.shape[1:]} of {layout.shape[0]} calls"
                )
            self._file.seek(self._offsets[name] + call * value.nbytes)
            self._file.write(np.ascontiguousarray(value).data)
            self._written[name].add(call)

    def __enter__(self) -> SampleWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is not None:
            self._partial.unlink(missing_ok=True)
            return
        for name, calls in self._written.items():
            missing = self._tensors[name].shape[0] - len(calls)
            if missing:
                self._partial.unlink(missing_ok=True)
                raise ValueError(f"'{self._path}': {missing} calls of {name} were not written")
        os.replace(self._partial, self._path)


def write_samples(
    path: Path, tensors: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, str]
) -> None:
    """Writes whole tensors whose axis 0 counts calls."""
    layouts = {
        name: Layout(str(value.dtype), tuple(value.shape)) for name, value in tensors.items()
    }
    with SampleWriter(path, layouts, metadata) as writer:
        for call in range(next(iter(layouts.values())).shape[0]):
            writer.write(call, {name: value[call] for name, value in tensors.items()})
