"""Answers that are a file instead of JSON."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class File:
    """A file to download. *headers* come beside those of type and name."""

    content: bytes = field(repr=False)
    media_type: str
    name: str
    headers: dict[str, str] = field(default_factory=dict)
