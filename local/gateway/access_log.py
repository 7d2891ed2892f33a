"""The access log of the APIs, in the format of the template."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.functions.logs import Logs

_NAME = "access"


def write(logs: Logs, form: str, values: Mapping[str, str]) -> None:
    """Write a line: *form* with its ``$context`` variables replaced, "-" for unknown ones."""
    line = re.sub(
        r"\$context\.([A-Za-z.]+[A-Za-z])", lambda variable: values.get(variable[1], "-"), form
    )
    logs.write(_NAME, line, echo=False)
