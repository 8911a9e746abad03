"""Moves the weights of an ONNX file to data files beside it, without holding them all.

    model.onnx         graph; initializers of 1 KiB and more, and constants whose values lay in
                       files, refer to
    model.onnx_data    the first data file, and, if a size limit is given,
    model.onnx_data_1  further ones

Weights lie in the order in which the graph's nodes use them, so that a reader that walks the graph
reads the files once from front to back. Large tensors begin on a page.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import onnx

SMALLEST = 1024  # bytes; smaller tensors stay in the graph
_PAGE, _LINE = 4096, 64
_CHUNK = 1 << 24


def _graphs_in(node: onnx.NodeProto) -> Iterable[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _make_initializers(graph: onnx.GraphProto) -> None:
    """Of Constant nodes whose values lie in a file."""
    nodes = []
    for node in graph.node:
        for inner in _graphs_in(node):
            _make_initializers(inner)
        if node.op_type == "Constant" and node.attribute and _external(node.attribute[0].t):
            tensor = graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        else:
            nodes.append(node)
    if len(nodes) < len(graph.node):
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)


def _in_order_of_use(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    waiting = {tensor.name: tensor for tensor in graph.initializer}
    tensors = []
    for node in graph.node:
        for inner in _graphs_in(node):
            tensors += _in_order_of_use(inner)
        tensors += [waiting.pop(name) for name in node.input if name in waiting]
    return tensors + list(waiting.values())


def _external(tensor: onnx.TensorProto) -> dict[str, str]:
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return {}
    return {entry.key: entry.value for entry in tensor.external_data}


def _copy(source: BinaryIO, target: BinaryIO, size: int, name: str) -> None:
    while size:
        chunk = source.read(min(size, _CHUNK))
        if not chunk:
            raise OSError(f"the external data of '{name}' ends {size} bytes early")
        target.write(chunk)
        size -= len(chunk)


class _DataFiles:
    """Data files that are written one after another."""

    def __init__(self, folder: Path, stem: str, limit: int | None) -> None:
        self._folder, self._stem, self._limit = folder, stem, limit
        self._count = 0
        self._file: BinaryIO | None = None
        self._name = ""

    def place(self, size: int) -> tuple[BinaryIO, str, int]:
        """File, its name and the offset for the next `size` bytes."""
        full = self._file is not None and self._limit is not None
        if full and self._file is not None and self._file.tell() + size > (self._limit or 0):
            self.close()
        if self._file is None:
            self._name = self._stem + (f"_{self._count}" if self._count else "")
            self._count += 1
            self._file = open(self._folder / self._name, "wb")
        alignment = _PAGE if size >= 1 << 20 else _LINE
        self._file.write(bytes(-self._file.tell() % alignment))
        return self._file, self._name, self._file.tell()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _point_to(tensor: onnx.TensorProto, entries: Iterable[tuple[str, str]]) -> None:
    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries:
        tensor.external_data.add(key=key, value=value)


def move_weights_out(source: Path, target: Path, file_limit: int | None = None) -> int:
    """Writes `source` as `target` with its weights in data files; returns their bytes.

    `file_limit`: bytes after which a further data file begins (a tensor is never split).
    """
    model = onnx.load(str(source), load_external_data=False)
    _make_initializers(model.graph)
    files = _DataFiles(target.parent, target.name + "_data", file_limit)
    total = 0
    try:
        for tensor in _in_order_of_use(model.graph):
            place = _external(tensor)
            path = source.parent / place["location"] if place else None
            if path is not None:
                size = int(place.get("length", os.path.getsize(path)))
            else:
                size = len(tensor.raw_data)
            if size < SMALLEST and path is None:
                continue
            data, name, offset = files.place(size)
            if path is not None:
                with open(path, "rb") as old:
                    old.seek(int(place.get("offset", 0)))
                    _copy(old, data, size, tensor.name)
            else:
                data.write(tensor.raw_data)
            entries = [("location", name), ("offset", str(offset)), ("length", str(size))]
            _point_to(tensor, entries)
            total += size
    finally:
        files.close()
    with open(target, "wb") as out:
        out.write(model.SerializeToString())
    return total
