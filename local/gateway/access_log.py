"""The access log of the APIs, in the format of the template."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.functions.logs import Logs

_NAME = "access"


def write(logs: Logs, form: str, values: Mapping[str, str]) -> None:
    """Write a line: *form* with its ``$context`` variables replaced, "-" for unknown ones."""
    texts, names = _split(form)
    line = texts[0] + "".join(
        f"{values.get(name, '-')}{text}" for name, text in zip(names, texts[1:], strict=True)
    )
    logs.write(_NAME, line, echo=False)


@cache
def _split(form: str) -> tuple[list[str], list[str]]:
    """Return the texts of *form*, and the names of the variables between them."""
    parts = re.split(r"\$context\.([A-Za-z.]+[A-Za-z])", form)
    return parts[::2], parts[1::2]
