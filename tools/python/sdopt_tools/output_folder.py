"""Folders that are either complete or absent."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from .errors import UsageError


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {number}")


@contextlib.contextmanager
def new_folder(path: Path, overwrite: bool) -> Iterator[Path]:
    """A folder beside `path` that takes its name when the block ends without an error."""
    path = Path(os.path.abspath(path))
    if path.exists() and not path.is_dir():
        raise UsageError(f"'{path}' is a file; give a folder")
    if path.exists() and any(path.iterdir()) and not overwrite:
        raise UsageError(f"'{path}' exists and is not empty; give another or --overwrite")
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        partial.mkdir(parents=True)
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
