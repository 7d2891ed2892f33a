"""Text that Postgres can hold: without NUL, and without half of a surrogate pair.

JSON can express both (``\\u0000``, ``\\ud800``). In a caller's request they are refused with the
name of the field; in the items of a list they are replaced by U+FFFD, so that a bad item fails
alone, or is shown with the replacement. In hh.ru's responses NUL is dropped, and surrogates are
replaced, everywhere.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ullgetthejob.platform.errors import Invalid

REPLACEMENT = "\ufffd"
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# As JSON escapes them; this also matches the halves of a valid pair, which are not replaced.
ESCAPED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def replaced(content: Any, *, nul: str = REPLACEMENT) -> Any:
    """Return JSON *content*, names too, with :data:`REPLACEMENT` for lone surrogates and *nul* for
    NUL."""
    match content:
        case str():
            return UNSTORABLE.sub(REPLACEMENT, content.replace("\x00", nul))
        case list():
            return [replaced(item, nul=nul) for item in content]
        case dict():
            return {
                replaced(name, nul=nul): replaced(value, nul=nul) for name, value in content.items()
            }
        case _:
            return content


def require(values: dict[str, Any]) -> None:
    """Raise :class:`Invalid`, naming the first of *values* that Postgres cannot hold, if any."""
    for name, value in values.items():
        if isinstance(value, str) and UNSTORABLE.search(value):
            raise _invalid(name)


def checked_body(raw: bytes) -> bytes:
    """Return a JSON body with replacements in the items of its lists; unchanged if it is not JSON.

    Raises :class:`Invalid`, which names the field, for such text outside of lists.
    """
    if not ESCAPED.search(raw):
        return raw
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return raw  # the model that validates the body raises the error
    return json.dumps(_check(content, "")).encode()


def _check(content: Any, path: str) -> Any:
    match content:
        case str() if UNSTORABLE.search(content):
            raise _invalid(path)
        case list():
            return [replaced(item) for item in content]
        case dict():
            if any(UNSTORABLE.search(name) for name in content):
                raise _invalid(path or "the body")
            return {
                name: _check(value, f"{path}.{name}".lstrip(".")) for name, value in content.items()
            }
        case _:
            return content


def _invalid(field: str) -> Invalid:
    name = field if not UNSTORABLE.search(field) else "a field"
    return Invalid.field(name, "must not have a NUL character or half of a surrogate pair")
