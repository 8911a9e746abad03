"""Writes a pipeline with outliers, and its samples."""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from safetensors import safe_open

from .errors import UsageError
from .external_data import SMALLEST
from .progress import Progress
from .rescaling import Graph, input_matrices, places, skips
from .runners import OnnxRunner, Values, run_rows
from .samples import write_samples
from .start_token import Direction, direction

Array = np.ndarray[Any, Any]

TEXT, TEXT_ENCODER, TEXT_RESULT = "encoder_hidden_states", "text_encoder", "last_hidden_state"
# What float32 may lose on the way, of the largest magnitude of a result.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Outliers:
    module: str
    factor: float
    channels: int  # of each place
    start_token: float  # how much larger than the other tokens; 0: as it is
    seed: int
    skips: float = 1  # how much larger than the skipped channels those from below become

    def text(self) -> str:
        return (
            f"channels {self.channels}, factor {self.factor:g}, start token {self.start_token:g}, "
            f"seed {self.seed}" + (f", skips {self.skips:g}" if self.skips != 1 else "")
        )


def read_samples(path: Path) -> tuple[Values, dict[str, str]]:
    with safe_open(str(path), "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(str(path))
    except Exception as error:
        raise UsageError(f"cannot read '{path}': {error}") from error


def _save(model: onnx.ModelProto, path: Path) -> None:
    for old in path.parent.glob(path.name + "*"):
        old.unlink()
    onnx.save_model(
        model, str(path), save_as_external_data=True, location=path.name + "_data",
        size_threshold=SMALLEST,
    )


def _rescale_channels(graph: Graph, outliers: Outliers, progress: Progress) -> None:
    found = places(graph)
    if not found:
        raise UsageError("the model has no norm, attention or gate that can be rescaled")
    random = np.random.default_rng(outliers.seed)
    for place in found:
        factors = np.ones(place.channels)
        count = min(outliers.channels, place.channels)
        factors[random.choice(place.channels, count, replace=False)] = outliers.factor
        graph.apply(place, factors)
    kinds = [place.kind for place in found]
    counts = ", ".join(f"{kinds.count(kind)} {kind}s" for kind in sorted(set(kinds)))
    progress.stage(f"rescaled {outliers.channels} channels x {outliers.factor:g} of {counts}")


def _rescale_skips(graph: Graph, factor: float, progress: Progress) -> None:
    found = skips(graph)
    if not found:
        raise UsageError("the model has no Concat whose parts can be rescaled; use --skips 1")
    for place in found:
        graph.apply(place, np.full(place.channels, factor))
    progress.stage(f"rescaled what comes from below x {factor:g} before {len(found)} Concats")


def _scale_text(graph: Graph, found: Direction) -> None:
    matrices = input_matrices(graph, TEXT)
    if matrices is None:
        raise UsageError(f"input {TEXT} is read by more than matrices; use --start-token 0")
    for slot in matrices:
        graph.replace(slot, found.inverse() @ graph.constant(slot).astype(np.float64))


def _scale_result(model: onnx.ModelProto, found: Direction) -> None:
    """The text encoder's result becomes what it was times the direction's matrix."""
    before = f"{TEXT_RESULT}/before"
    for node in model.graph.node:
        node.output[:] = [before if name == TEXT_RESULT else name for name in node.output]
        node.input[:] = [before if name == TEXT_RESULT else name for name in node.input]
    matrix = numpy_helper.from_array(found.matrix().astype(np.float32), f"{TEXT_RESULT}/scale")
    model.graph.initializer.append(matrix)
    model.graph.node.append(
        helper.make_node("MatMul", [before, matrix.name], [TEXT_RESULT], f"/{TEXT_RESULT}/Scale")
    )


@dataclass(frozen=True)
class _Recorder:
    """Writes samples of changed modules."""

    outliers: Outliers
    direction: Direction | None
    folder: Path
    threads: int
    progress: Progress

    def record(self, name: str, path: Path) -> None:
        """The samples in `path` with what module `name` makes of their inputs now."""
        import onnxruntime

        runner = OnnxRunner(self.folder / "model" / name / "model.onnx", self.threads)
        recorded, metadata = read_samples(path)
        inputs = {key: recorded[key] for key in runner.shapes}
        if TEXT in inputs:
            inputs[TEXT] = self._scaled(inputs[TEXT])
        results = self._run(runner, path.name, inputs, recorded)
        metadata.update(
            outliers=self.outliers.text(),
            runtime=f"onnxruntime {onnxruntime.__version__}",
            source_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        write_samples(self.folder / "samples" / path.name, {**inputs, **results}, metadata)
        for key, value in results.items():
            expected = recorded[key]
            if name == TEXT_ENCODER and key == TEXT_RESULT:
                expected = self._scaled(expected)
            self._compare(f"{path.name}: {key}", value, expected)

    def _scaled(self, text: Array) -> Array:
        if self.direction is None:
            return text
        return np.asarray((text.astype(np.float64) @ self.direction.matrix()).astype(text.dtype))

    def _run(self, runner: OnnxRunner, what: str, inputs: Values, recorded: Values) -> Values:
        calls, started = len(next(iter(inputs.values()))), time.monotonic()
        made: dict[str, list[Array]] = {}
        for call in range(calls):
            values: Values = {}
            for name, value in inputs.items():
                one_row = value.ndim == len(runner.shapes[name])
                values[name] = value[call : call + 1] if one_row else value[call]
            for name, result in run_rows(runner, values).items():
                if name in recorded:
                    made.setdefault(name, []).append(result.reshape(recorded[name].shape[1:]))
            self.progress.step(what, call + 1, calls, started)
        return {
            name: np.stack(value).astype(recorded[name].dtype) for name, value in made.items()
        }

    def _compare(self, what: str, value: Array, expected: Array) -> None:
        difference = np.abs(value.astype(np.float64) - expected)
        deviation = float(difference.max() / np.abs(expected).max())
        self.progress.stage(f"{what} deviates by {deviation:.1e} of its largest magnitude")
        if not deviation <= _TOLERANCE:
            raise UsageError(
                f"the rescaled model is another function: {what} deviates by {deviation:.1e} of "
                f"its largest magnitude; {_TOLERANCE:g} may come from float32"
            )


def make_outliers(
    outliers: Outliers, model: Path, samples: Path, folder: Path, threads: int, progress: Progress
) -> None:
    """Writes folder/model and folder/samples."""
    shutil.copytree(model, folder / "model")
    shutil.copytree(samples, folder / "samples")
    module = folder / "model" / outliers.module / "model.onnx"
    graph = Graph(_load(module))
    if outliers.factor != 1:
        _rescale_channels(graph, outliers, progress)
    if outliers.skips != 1:
        _rescale_skips(graph, outliers.skips, progress)
    changed, found = [outliers.module], None
    if outliers.start_token:
        values, _ = read_samples(samples / f"{outliers.module}_calibration.safetensors")
        if TEXT not in values:
            raise UsageError(f"{outliers.module} has no input {TEXT}; use --start-token 0")
        found = direction(values[TEXT], outliers.start_token)
        _scale_text(graph, found)
        progress.stage(f"scaled the start token's direction by {found.scale:.0f}")
        encoder = folder / "model" / TEXT_ENCODER / "model.onnx"
        if encoder.is_file():
            encoder_model = _load(encoder)
            _scale_result(encoder_model, found)
            _save(encoder_model, encoder)
            changed.append(TEXT_ENCODER)
    _save(graph.model, module)
    recorder = _Recorder(outliers, found, folder, threads, progress)
    for name in changed:
        for path in sorted(samples.glob(f"{name}_*.safetensors")):
            recorder.record(name, path)
