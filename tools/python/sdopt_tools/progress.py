"""Lines on standard error that tell what is being done, how far it is and how long it will take."""

from __future__ import annotations

import sys
import time
from typing import TextIO


def silence_libraries() -> None:
    """No bars of the libraries that download and load pipelines."""
    from diffusers.utils.logging import disable_progress_bar as silence_diffusers
    from huggingface_hub.utils import disable_progress_bars as silence_downloads
    from transformers.utils.logging import disable_progress_bar as silence_transformers

    for silence in (silence_diffusers, silence_downloads, silence_transformers):
        silence()


class Progress:
    """Prints stages always, and steps at most twice a second on a terminal, else every ten."""

    def __init__(self, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._shown = 0.0
        self._open_line = False

    def stage(self, text: str) -> None:
        if self._quiet:
            return
        self._end_line()
        print(text, file=self._stream, flush=True)

    def step(self, what: str, done: int, total: int, started: float) -> None:
        """`started`: time.monotonic() when `done` was 0."""
        now = time.monotonic()
        last = done == total
        if self._quiet or (not last and now - self._shown < (0.5 if self._terminal else 10.0)):
            return
        self._shown = now
        spent = now - started
        left = spent / done * (total - done) if done else 0.0
        rate = done / spent if spent > 0 else 0.0
        text = f"{what}: {done}/{total}, {rate:.2f}/s, {left:.0f} s left"
        if self._terminal:
            print(f"\r{text}\x1b[K", end="", file=self._stream, flush=True)
            self._open_line = True
            if last:
                self._end_line()
        else:
            print(text, file=self._stream, flush=True)

    def _end_line(self) -> None:
        if self._open_line:
            print(file=self._stream, flush=True)
            self._open_line = False
