"""Text from outside, as a terminal may show it.

Escape sequences move the cursor, rename the window, fill the clipboard or print what looks like
something else. Function logs, errors and vacancies quote what strangers wrote.
"""

from __future__ import annotations

import logging
import re

# Control characters but tab and line feed, C1 among them; marks that turn the direction of text;
# separators that some terminals break lines at.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """*text* with each character that a terminal would obey written out, such as ``\\x1b``."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


class Formatter(logging.Formatter):
    """Log records, printable."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        return printable(super().format(record))
