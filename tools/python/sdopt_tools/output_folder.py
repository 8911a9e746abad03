"""Folders that are either complete or absent."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from .errors import UsageError


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {number}")


MARK = ".sdopt-tools"  # in each folder that was written here: only such folders are overwritten


def _check_may_go(path: Path, overwrite: bool, reads: Sequence[Path]) -> None:
    """Is there no folder yet, or an empty one, or one of ours that may be replaced?"""
    if path.exists() and not path.is_dir():
        raise UsageError(f"'{path}' is a file; give a folder")
    if not path.exists() or not any(path.iterdir()):
        return
    if not overwrite:
        raise UsageError(f"'{path}' exists and is not empty; give another or --overwrite")
    for read in reads:
        if read.exists() and read.resolve().is_relative_to(path):
            raise UsageError(f"'{path}' holds '{read}', which this command reads; give another folder")
    if not (path / MARK).is_file():
        raise UsageError(
            f"'{path}' was not written by these tools and is not overwritten; give another folder"
        )


@contextlib.contextmanager
def new_folder(path: Path, overwrite: bool, reads: Sequence[Path] = ()) -> Iterator[Path]:
    """A folder beside `path` that takes its name when the block ends without an error. What it
    replaces holds none of `reads` and was made here."""
    path = path.resolve()
    _check_may_go(path, overwrite, reads)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        partial.mkdir(parents=True)
        (partial / MARK).touch()
        yield partial
        if path.exists():
            old = path.with_name(f".{path.name}.old-{os.getpid()}")
            os.rename(path, old)
            os.rename(partial, path)
            shutil.rmtree(old)
        else:
            os.rename(partial, path)
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)
