"""The progress of a benchmark: one line of the terminal, nothing where the output is not one."""

from __future__ import annotations

import sys


def show(text: str) -> None:
    """Replace the line of progress by *text*."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def clear() -> None:
    """Clear the line of progress."""
    show("")
