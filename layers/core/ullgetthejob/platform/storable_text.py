"""Text that Postgres can hold: without NUL, and without half of a surrogate pair.

JSON can say both (``\\u0000``, ``\\ud800``). What a caller sends is refused by the name of its
field; within the items of a list it is replaced by U+FFFD, so that one bad item fails alone, or is
shown with the replacement. In what hh.ru sends NUL is dropped, and the rest replaced, everywhere.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ullgetthejob.platform.errors import Invalid

REPLACEMENT = "\ufffd"
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# As JSON escapes them; the halves of a good pair are among what is found, and stay.
ESCAPED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def replaced(content: Any, *, nul: str = REPLACEMENT) -> Any:
    """Return JSON *content* with :data:`REPLACEMENT` for what Postgres cannot hold, names too, and
    with *nul* for NUL."""
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
    """Raise :class:`Invalid`, which names the first of *values* that Postgres cannot hold."""
    for name, value in values.items():
        if isinstance(value, str) and UNSTORABLE.search(value):
            raise _invalid(name)


def checked_body(raw: bytes) -> bytes:
    """Return a JSON body with replacements in the items of its lists.

    Raises :class:`Invalid`, which names the field, elsewhere. What is no JSON stays as it is.
    """
    if not ESCAPED.search(raw):
        return raw
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return raw  # the reader of the body says what is wrong
    return json.dumps(_checked(content, "")).encode()


def _checked(content: Any, path: str) -> Any:
    match content:
        case str() if UNSTORABLE.search(content):
            raise _invalid(path)
        case list():
            return [replaced(item) for item in content]
        case dict():
            if any(UNSTORABLE.search(name) for name in content):
                raise _invalid(path or "the body")
            return {
                name: _checked(value, f"{path}.{name}".lstrip("."))
                for name, value in content.items()
            }
        case _:
            return content


def _invalid(field: str) -> Invalid:
    name = field if not UNSTORABLE.search(field) else "a field"
    return Invalid.field(name, "must not have a NUL character or half of a surrogate pair")
