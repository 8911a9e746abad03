"""sdopt-record: runs a pipeline and writes what its modules were called with."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .commands import require, run
from .errors import UsageError

COMMAND = "sdopt-record"

LARGEST_GUIDANCE = 1000.0

_DESCRIPTION = """Runs a pipeline for every prompt and seed and writes every call of every module
(all steps, both guidance branches) as MODULE_calibration.safetensors and MODULE_test.safetensors,
as `sdopt-compile --samples` reads them. PIPELINE is a folder that sdopt-export wrote (run by ONNX
Runtime) or a diffusers pipeline (run by torch). Calibration and test share no prompt."""


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(COMMAND, description=_DESCRIPTION)
    result.add_argument("pipeline", type=Path, help="folder")
    result.add_argument("-o", "--output", required=True, type=Path, metavar="DIR")
    result.add_argument("--overwrite", action="store_true", help="replace DIR if one of these tools wrote it")
    result.add_argument("--prompts", required=True, type=Path, metavar="FILE", help="one a line")
    result.add_argument("--steps", type=int, default=25, metavar="N", help="default 25")
    result.add_argument("--guidance", type=float, default=7.5, metavar="G", help="default 7.5")
    result.add_argument("--seeds", default="0", metavar="N,N", help="default 0")
    result.add_argument(
        "--test-share", type=float, default=0.25, metavar="F",
        help="share of the prompts (of the seeds if there is one prompt) for the test (default 0.25)",
    )
    result.add_argument("--height", type=int, metavar="PIXELS")
    result.add_argument("--width", type=int, metavar="PIXELS")
    result.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N")
    result.add_argument("--quiet", action="store_true", help="no progress")
    return result


def read_prompts(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read '{path}': {error}") from error
    prompts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not prompts:
        raise UsageError(f"'{path}' has no prompt; write one on each line")
    return prompts


def read_seeds(text: str) -> list[int]:
    seeds: list[int] = []
    for word in text.split(","):
        if not word.strip().isdecimal():
            raise UsageError(f"--seeds '{text}' is not a list of numbers; write 1,2,3")
        seeds.append(int(word))
    return list(dict.fromkeys(seeds))


def check(options: argparse.Namespace) -> None:
    for name in ("steps", "threads", "height", "width"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise UsageError(f"--{name} {value} is not positive")
    for name in ("height", "width"):
        if (getattr(options, name) or 0) % 8:
            raise UsageError(f"--{name} {getattr(options, name)} is not a multiple of 8 pixels")
    if not abs(options.guidance) <= LARGEST_GUIDANCE:
        raise UsageError(
            f"--guidance {options.guidance:g} is not within {LARGEST_GUIDANCE:g}: samples would not be numbers"
        )
    if not 0 < options.test_share < 1:
        raise UsageError(f"--test-share {options.test_share:g} is not between 0 and 1")
    if not (options.pipeline / "model_index.json").is_file():
        raise UsageError(
            f"'{options.pipeline}' has no model_index.json; give a folder of sdopt-export or diffusers"
        )


def record(arguments: Sequence[str]) -> None:
    options = parser().parse_args(arguments)
    check(options)
    prompts, seeds = read_prompts(options.prompts), read_seeds(options.seeds)
    require("numpy", "torch", "diffusers", "transformers")

    from . import trajectories
    from .output_folder import new_folder
    from .progress import Progress, silence_libraries
    from .runners import Modules, OnnxModules, TorchModules

    if options.quiet:
        silence_libraries()
    parts = trajectories.split_trajectories(prompts, seeds, options.test_share)
    modules: Modules
    if any(options.pipeline.glob("*/model.onnx")):
        require("onnxruntime")
        modules = OnnxModules(options.pipeline, options.threads)
    else:
        modules = TorchModules(options.pipeline, options.threads)
    settings = trajectories.Settings(
        options.steps, options.guidance, options.height, options.width
    )
    progress = Progress(options.quiet)
    with new_folder(options.output, options.overwrite, [options.pipeline]) as folder:
        trajectories.record(
            trajectories.Recording(options.pipeline, modules, settings, parts, folder, progress)
        )
    progress.stage(f"wrote {options.output}")


def main() -> None:
    sys.exit(run(COMMAND, record, sys.argv[1:]))


if __name__ == "__main__":
    main()
