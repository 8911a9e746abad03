"""What the commands share: one-line errors, exit codes, missing libraries."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence

from .errors import UsageError


def require(*libraries: str) -> None:
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"python library {', '.join(missing)} is not installed; "
            "install sdopt-tools with pip, which brings it"
        )


def run(command: str, body: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> int:
    """Runs `body`; 0, 1 after an error (one line on standard error), 130 after an interrupt."""
    try:
        body(arguments)
    except UsageError as error:
        print(f"{command}: error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print(f"{command}: error: not enough memory", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{command}: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0
