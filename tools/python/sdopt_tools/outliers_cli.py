"""sdopt-outliers: gives a model outliers without changing what it computes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .commands import require, run
from .errors import UsageError

COMMAND = "sdopt-outliers"

_DESCRIPTION = """Rescales an exported pipeline so that it has the outliers of large models and
still computes the same: channels between a norm, an attention's values or a gated product and the
matrices behind them, what a Concat joins with skipped channels, and the start token of the text.
Writes DIR/model and DIR/samples: texts are scaled as in the model, and the samples' results are
recorded anew by ONNX Runtime."""


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(COMMAND, description=_DESCRIPTION)
    result.add_argument("model", type=Path, help="folder that sdopt-export wrote")
    result.add_argument("--samples", required=True, type=Path, metavar="DIR", help="of the model")
    result.add_argument("-o", "--output", required=True, type=Path, metavar="DIR")
    result.add_argument("--overwrite", action="store_true", help="replace DIR if one of these tools wrote it")
    result.add_argument("--module", default="unet", metavar="NAME", help="default unet")
    result.add_argument(
        "--factor", type=float, default=64.0, metavar="F", help="default 64; 1: none"
    )
    result.add_argument(
        "--channels", type=int, default=1, metavar="N", help="of each place (default 1)"
    )
    result.add_argument(
        "--start-token", type=float, default=40.0, metavar="R",
        help="how much larger than the others the first token becomes (default 40); 0: as it is",
    )
    result.add_argument(
        "--skips", type=float, default=1.0, metavar="F",
        help="how much larger than the skipped channels those from below become (default 1)",
    )
    result.add_argument(
        "--seed", type=int, default=0, metavar="N", help="which channels (default 0)"
    )
    result.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N")
    result.add_argument("--quiet", action="store_true", help="no progress")
    return result


def check(options: argparse.Namespace) -> None:
    for name in ("factor", "channels", "skips", "threads"):
        if getattr(options, name) <= 0:
            raise UsageError(f"--{name} {getattr(options, name):g} is not positive")
    if options.start_token < 0 or options.seed < 0:
        raise UsageError("--start-token and --seed are not negative")
    if not (options.model / options.module / "model.onnx").is_file():
        raise UsageError(
            f"'{options.model}' has no {options.module}/model.onnx; give a folder of sdopt-export"
        )
    if not (options.samples / f"{options.module}_calibration.safetensors").is_file():
        raise UsageError(f"'{options.samples}' has no samples of {options.module}")


def rescale(arguments: Sequence[str]) -> None:
    options = parser().parse_args(arguments)
    check(options)
    require("numpy", "onnx", "onnxruntime", "safetensors")

    from .outliers import Outliers, make_outliers
    from .output_folder import new_folder
    from .progress import Progress

    progress = Progress(options.quiet)
    outliers = Outliers(
        options.module, options.factor, options.channels, options.start_token, options.seed,
        options.skips,
    )
    with new_folder(
        options.output, options.overwrite, [options.model, options.samples]
    ) as folder:
        make_outliers(outliers, options.model, options.samples, folder, options.threads, progress)
    progress.stage(f"wrote {options.output}")


def main() -> None:
    sys.exit(run(COMMAND, rescale, sys.argv[1:]))


if __name__ == "__main__":
    main()
