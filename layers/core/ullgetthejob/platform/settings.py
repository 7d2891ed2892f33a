"""Settings: environment variables, read here and nowhere else.

A function never passes the whole environment on: each setting is named where it is used. Secrets
are read through :mod:`ullgetthejob.platform.secrets`.
"""

from __future__ import annotations

import os


class SettingMissing(RuntimeError):
    """A required variable is not set. The message names the variable, never a value."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the environment variable {name} is not set")


def text(name: str, default: str | None = None) -> str:
    """Return a plain setting, or *default* if it is unset or empty.

    Raises :class:`SettingMissing` if there is no default either.
    """
    value = os.environ.get(name) or default
    if value is None:
        raise SettingMissing(name)
    return value


def number(name: str, default: float) -> float:
    """Return a setting that is a number. Raises ``ValueError``, which names the variable."""
    value = os.environ.get(name)
    if not value:
        return default
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"the environment variable {name} must be a number") from None


def flag(name: str) -> bool:
    """Return a setting that is ``true`` or ``false`` (the default). Raises ``ValueError``."""
    value = (os.environ.get(name) or "false").lower()
    if value not in ("true", "false"):
        raise ValueError(f"the environment variable {name} must be true or false")
    return value == "true"


def starting_with(prefix: str) -> list[str]:
    """Return the values of all variables whose value starts with *prefix*."""
    return [value for value in os.environ.values() if value.startswith(prefix)]
