"""sdopt-export: a pipeline as a folder of ONNX modules."""

from __future__ import annotations

import argparse
import gc
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .architectures import ARCHITECTURES, Architecture, architecture, scaled, tiny
from .commands import require, run
from .errors import UsageError

COMMAND = "sdopt-export"

_DESCRIPTION = """Exports a Stable Diffusion pipeline (1.x, 2.x, XL, 3; also inpainting) to the
folder layout that sdopt-compile reads: MODULE/model.onnx with its weights in MODULE/model.onnx_data,
tokenizer/, scheduler/, model_index.json. The folder appears when it is complete."""


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(COMMAND, description=_DESCRIPTION)
    result.add_argument(
        "pipeline", nargs="?", help="folder of a diffusers pipeline, or a hub id OWNER/NAME"
    )
    result.add_argument("-o", "--output", required=True, type=Path, metavar="DIR")
    result.add_argument("--overwrite", action="store_true", help="replace DIR if one of these tools wrote it")
    result.add_argument("--modules", metavar="M,M", help="only these modules")
    result.add_argument("--quiet", action="store_true", help="no progress")

    shape = result.add_argument_group("shapes")
    kind = shape.add_mutually_exclusive_group()
    kind.add_argument(
        "--static", action="store_true", help="fixed sizes (default for --exporter torchscript)"
    )
    kind.add_argument("--symbolic", action="store_true", help="named batch, height, width, length")
    shape.add_argument(
        "--batch", type=int, default=1, help="rows of the static text encoder and denoiser: 2 runs "
        "both branches of guidance at once (default 1)",
    )
    shape.add_argument("--height", type=int, metavar="PIXELS")
    shape.add_argument("--width", type=int, metavar="PIXELS")

    onnx = result.add_argument_group("ONNX")
    onnx.add_argument("--dtype", choices=("fp32", "fp16"), default="fp32")
    onnx.add_argument("--exporter", choices=("torchscript", "dynamo"), default="torchscript")
    onnx.add_argument("--opset", type=int, help="default: 17 for torchscript, 20 for dynamo")
    onnx.add_argument(
        "--data-file-limit", type=float, metavar="GB", help="begin a further data file after this"
    )

    random = result.add_argument_group("random weights, without a pipeline")
    random.add_argument("--random-weights", action="store_true")
    random.add_argument("--architecture", metavar="NAME", help=", ".join(ARCHITECTURES))
    random.add_argument("--scale-channels", type=float, metavar="F", help="0.25, 0.5, 1 or 2")
    random.add_argument("--tiny", action="store_true", help="the same topology with few channels")
    random.add_argument(
        "--initial-weights", action="store_true",
        help="as PyTorch initializes them before training, not like trained ones",
    )
    random.add_argument("--seed", type=int, metavar="N", help="default 0")
    return result


def chosen_architecture(options: argparse.Namespace) -> Architecture | None:
    """The architecture of --random-weights; contradictions are errors that name both options."""
    if not options.random_weights:
        for name in ("architecture", "scale_channels", "tiny", "initial_weights", "seed"):
            if getattr(options, name) not in (None, False):
                flag = "--" + name.replace("_", "-")
                raise UsageError(f"{flag} needs --random-weights")
        if options.pipeline is None:
            raise UsageError("no pipeline given; name a folder or hub id, or use --random-weights")
        return None
    if options.pipeline is not None:
        raise UsageError(f"--random-weights and the pipeline '{options.pipeline}' exclude each other")
    if options.architecture is None:
        known = ", ".join(ARCHITECTURES)
        raise UsageError(f"--random-weights needs --architecture; use one of {known}")
    if options.tiny and options.scale_channels is not None:
        raise UsageError("--tiny and --scale-channels exclude each other")
    result = architecture(options.architecture)
    if options.tiny:
        return tiny(result)
    return scaled(result, options.scale_channels) if options.scale_channels else result


def check(options: argparse.Namespace) -> None:
    for name in ("batch", "height", "width", "data_file_limit"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} {value:g} is not a positive number")
    low, high = (14, 20) if options.exporter == "torchscript" else (18, 23)
    if options.opset is not None and not low <= options.opset <= high:
        raise UsageError(
            f"--opset {options.opset} is not possible with --exporter {options.exporter}; "
            f"use {low} to {high}"
        )


def wanted_modules(names: Sequence[str], listed: str | None) -> list[str]:
    if listed is None:
        return list(names)
    wanted = [name for name in listed.split(",") if name]
    if not wanted:
        raise UsageError(f"--modules names none; there are {', '.join(names)}")
    for name in wanted:
        if name not in names:
            raise UsageError(
                f"--modules names '{name}', which the pipeline lacks; it has {', '.join(names)}"
            )
    return [name for name in names if name in wanted]


def export(arguments: Sequence[str]) -> None:
    options = parser().parse_args(arguments)
    chosen = chosen_architecture(options)
    check(options)
    require("torch", "diffusers", "transformers", "onnx")
    if options.exporter == "dynamo":
        require("onnxscript")

    from .graphs import Sizes, component_of, make_graph
    from .onnx_export import ExportOptions, export_graph
    from .output_folder import new_folder
    from .progress import Progress, silence_libraries
    from .sources import (
        RandomSource,
        Source,
        graph_names,
        open_pipeline,
        surroundings,
        write_index,
    )

    if options.quiet:
        silence_libraries()
    source: Source
    if chosen is not None:
        source = RandomSource(chosen, options.seed or 0, options.initial_weights)
    else:
        source = open_pipeline(options.pipeline)
    around = surroundings(source)
    names = wanted_modules(graph_names(source), options.modules)
    limit = int(options.data_file_limit * 1e9) if options.data_file_limit else None
    how = ExportOptions(options.exporter, options.opset, options.symbolic, limit)
    traced = options.symbolic and options.exporter == "torchscript"
    sizes = Sizes(options.batch, options.height, options.width, any_size=traced)
    progress = Progress(options.quiet)
    reads = [Path(options.pipeline)] if options.pipeline is not None else []
    with new_folder(options.output, options.overwrite, reads) as folder:
        source.write_files(folder)
        write_index(source, folder, names)
        for index, name in enumerate(names):
            started = time.monotonic()
            progress.stage(f"[{index + 1}/{len(names)}] {name}: loading")
            graph = make_graph(name, source.load(component_of(name)), sizes, around)
            if options.dtype == "fp16":
                graph.half()
            progress.stage(f"[{index + 1}/{len(names)}] {name}: exporting")
            written = export_graph(graph, folder / name, how)
            del graph
            gc.collect()
            spent = time.monotonic() - started
            progress.stage(
                f"[{index + 1}/{len(names)}] {name}: {written / 1e6:,.1f} MB in {spent:.1f} s"
            )
    progress.stage(f"wrote {options.output}")


def main() -> None:
    sys.exit(run(COMMAND, export, sys.argv[1:]))


if __name__ == "__main__":
    main()
