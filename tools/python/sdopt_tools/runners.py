"""Runs the modules of a pipeline: exported ones by ONNX Runtime, those of diffusers by torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .errors import UsageError

Array = np.ndarray[Any, Any]
Values = dict[str, Array]

_NUMPY_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
}


class Runner(Protocol):
    """One module. Shapes have 0 for what is not fixed."""

    types: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]

    def run(self, values: Values) -> Values: ...


class Modules(Protocol):
    names: list[str]
    runtime: str

    def open(self, name: str) -> Runner: ...


class OnnxRunner:
    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has a class for each status code
            reason = str(error).strip().splitlines()[0]
            raise UsageError(f"ONNX Runtime cannot load '{path}': {reason}") from error
        inputs = self._session.get_inputs()
        self.types: Mapping[str, str] = {entry.name: _NUMPY_TYPES[entry.type] for entry in inputs}
        self.shapes: Mapping[str, tuple[int, ...]] = {
            entry.name: tuple(size if isinstance(size, int) else 0 for size in entry.shape)
            for entry in inputs
        }
        self._outputs = [entry.name for entry in self._session.get_outputs()]

    def run(self, values: Values) -> Values:
        feeds = {name: value.astype(self.types[name]) for name, value in values.items()}
        return dict(zip(self._outputs, self._session.run(None, feeds), strict=True))


class OnnxModules:
    """The modules of an exported folder."""

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime

        self._folder, self._threads = folder, threads
        self.names = sorted(path.parent.name for path in folder.glob("*/model.onnx"))
        self.runtime = f"onnxruntime {onnxruntime.__version__}"

    def open(self, name: str) -> Runner:
        return OnnxRunner(self._folder / name / "model.onnx", self._threads)


def _fixed_sizes(shape: Sequence[int], free: Mapping[int, str]) -> tuple[int, ...]:
    return tuple(0 if axis in free else size for axis, size in enumerate(shape))


class TorchRunner:
    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self.types: Mapping[str, str] = {name: str(value.numpy().dtype) for name, value in graph.inputs.items()}
        self.shapes: Mapping[str, tuple[int, ...]] = {
            name: _fixed_sizes(value.shape, graph.symbolic.get(name, {}))
            for name, value in graph.inputs.items()
        }

    def run(self, values: Values) -> Values:
        import torch

        inputs = [
            torch.from_numpy(values[name].astype(self.types[name])) for name in self._graph.inputs
        ]
        with torch.no_grad():
            results = self._graph.network(*inputs)
        found = results if isinstance(results, tuple) else (results,)
        return {
            name: value.numpy() for name, value in zip(self._graph.outputs, found, strict=True)
        }


class TorchModules:
    """The modules of a diffusers pipeline."""

    def __init__(self, folder: Path, threads: int) -> None:
        import torch

        from .sources import FolderSource, graph_names, surroundings

        torch.set_num_threads(threads)
        self._source = FolderSource(folder)
        self._around = surroundings(self._source)
        self.names = graph_names(self._source)
        self.runtime = f"torch {torch.__version__}"

    def open(self, name: str) -> Runner:
        from .graphs import Sizes, component_of, make_graph

        model = self._source.load(component_of(name))
        return TorchRunner(make_graph(name, model, Sizes(), self._around))


def run_rows(runner: Runner, values: Values) -> Values:
    """Runs values with equal rows (axis 0) through a module of another, fixed batch size.

    A timestep [1] goes along with every batch. Results are float32.
    """
    per_row = [name for name, value in values.items() if value.ndim > 1]
    rows = values[per_row[0]].shape[0]
    batch = runner.shapes[per_row[0]][0] or rows
    parts: list[Values] = []
    for first in range(0, rows, batch):
        part = dict(values)
        for name in per_row:
            chosen = values[name][first : first + batch]
            missing = batch - chosen.shape[0]
            part[name] = np.concatenate([chosen] + [chosen[-1:]] * missing) if missing else chosen
        parts.append(runner.run(part))
    joined = {name: np.concatenate([part[name] for part in parts])[:rows] for name in parts[0]}
    return {
        name: value.astype(np.float32) if value.dtype == np.float16 else value
        for name, value in joined.items()
    }
