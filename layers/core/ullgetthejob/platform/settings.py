"""Settings: environment variables, read here and nowhere else.

A function never passes the environment on: each setting is named where it is used. Secrets are read
through :mod:`ullgetthejob.platform.secrets`.
"""

from __future__ import annotations

import os


class SettingMissing(RuntimeError):
    """A variable that must be set is not. Names the variable, never its value."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the environment variable {name} is not set")


def text(name: str, default: str | None = None) -> str:
    """A plain setting. Without a default, raises :class:`SettingMissing` when unset or empty."""
    value = os.environ.get(name) or default
    if value is None:
        raise SettingMissing(name)
    return value


def number(name: str, default: float) -> float:
    """A setting that is a number; ``ValueError`` names the variable."""
    value = os.environ.get(name)
    if not value:
        return default
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"the environment variable {name} must be a number") from None


def flag(name: str) -> bool:
    """A setting that is ``true`` or ``false`` (also when unset)."""
    value = (os.environ.get(name) or "false").lower()
    if value not in ("true", "false"):
        raise ValueError(f"the environment variable {name} must be true or false")
    return value == "true"


def starting_with(prefix: str) -> list[str]:
    """Return the values, of whatever variables, that start with *prefix*."""
    return [value for value in os.environ.values() if value.startswith(prefix)]
