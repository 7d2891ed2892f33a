"""Escaping of text from outside for the terminal.

Escape sequences move the cursor, rename the window, fill the clipboard or disguise text. Function
logs, errors and vacancies quote text of strangers.
"""

from __future__ import annotations

import logging
import re

# Control characters without tab and line feed, C1 included; marks that change the direction of
# text; separators at which some terminals break lines.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return *text* with each character that a terminal would interpret escaped, as ``\\x1b``."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


class Formatter(logging.Formatter):
    """A formatter of log records that makes them printable."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as printable text."""
        return printable(super().format(record))
