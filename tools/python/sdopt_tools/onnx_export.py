"""Writes one graph as MODULE/model.onnx with its weights in MODULE/model.onnx_data."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch

from .errors import UsageError
from .external_data import move_weights_out
from .graphs import Graph

DEFAULT_OPSET = {"torchscript": 17, "dynamo": 20}


@dataclass(frozen=True)
class ExportOptions:
    exporter: str = "torchscript"
    opset: int | None = None
    symbolic: bool = False
    file_limit: int | None = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters print pages of warnings about what is right for an export."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def _dynamic_shapes(graph: Graph) -> dict[str, Any]:
    """The symbolic axes as the dynamo exporter takes them: one object for each name."""
    shapes: dict[str, Any] = {}
    for name in graph.inputs:
        axes = graph.symbolic.get(name, {})
        shapes[name] = {axis: torch.export.Dim.DYNAMIC for axis in axes} or None
    return shapes


def _torch_export(graph: Graph, path: Path, options: ExportOptions) -> None:
    arguments = tuple(graph.inputs.values())
    common: dict[str, Any] = {
        "input_names": list(graph.inputs),
        "output_names": list(graph.outputs),
        "opset_version": options.opset or DEFAULT_OPSET[options.exporter],
    }
    with torch.no_grad(), _quiet():
        if options.exporter == "torchscript":
            axes = graph.symbolic if options.symbolic else None
            torch.onnx.export(
                graph.network, arguments, str(path), dynamo=False, dynamic_axes=axes, **common
            )
            return
        shapes = _dynamic_shapes(graph) if options.symbolic else None
        torch.onnx.export(
            graph.network,
            arguments,
            str(path),
            dynamo=True,
            dynamic_shapes=shapes,
            external_data=True,
            verbose=False,
            **common,
        )


def _rename_sizes(graph: Graph, path: Path) -> None:
    """Gives the sizes that the dynamo exporter numbers (s12) the names that `graph` has for them."""
    model = onnx.load(str(path), load_external_data=False)
    names: dict[str, str] = {}
    for value in model.graph.input:
        axes = graph.symbolic.get(value.name, {})
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if axis in axes and size.dim_param:
                names[size.dim_param] = axes[axis]
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    for value in values:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in names:
                size.dim_param = names[size.dim_param]
    path.write_bytes(model.SerializeToString())


def export_graph(graph: Graph, folder: Path, options: ExportOptions) -> int:
    """Writes `graph` to `folder`, which must not exist; returns the bytes of its weights.

    The TorchScript exporter folds constants into the network's own storage: the network must not be
    run afterwards.
    """
    folder.mkdir(parents=True)
    # Beside the result: the exporter's files can be as large as the module.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as scratch:
        raw = Path(scratch) / "model.onnx"
        try:
            _torch_export(graph, raw, options)
        except (RuntimeError, ValueError, torch.onnx.errors.OnnxExporterError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise UsageError(
                f"{graph.name}: torch's {options.exporter} exporter failed: {reason}"
            ) from error
        if options.exporter == "dynamo" and options.symbolic:
            _rename_sizes(graph, raw)
        size = move_weights_out(raw, folder / "model.onnx", options.file_limit)
    with open(folder / "config.json", "w", encoding="utf-8") as file:
        json.dump(graph.config, file, indent=1, default=str, sort_keys=True)
        file.write("\n")
    return size
