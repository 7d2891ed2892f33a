"""The templates, and how numbers and times are written in them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")

_BAD = (
    *("refused", "error", "failed", "timeout", "ended", "down", "reauth_required", "blocked"),
    *("discard", "dead", "ERROR", "CRITICAL"),
)
_WARN = (
    *("needs_person", "handoff", "captcha", "limited_until", "waiting_quota", "uncertain"),
    *("review", "paused", "expired", "WARNING", "closed", "idle in transaction"),
    *("hh_closed", "not_published", "on_moderation", "resume_incomplete", "interrupted"),
)
_GOOD = (
    *("ok", "submitted", "invitation", "hired", "interview", "runs", "done", "completed", "open"),
    *("accepted", "running", "raised", "published"),
)


def tone(value: Any) -> str:
    """Return the class of a badge: bad, warn, good or plain. An HTTP status is one, too."""
    text = str(value)
    if text.isdigit() and len(text) == 3:
        return {"5": "bad", "4": "warn", "2": "good"}.get(text[0], "plain")
    for names, name in ((_BAD, "bad"), (_WARN, "warn"), (_GOOD, "good")):
        if text in names:
            return name
    return "plain"


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with thin spaces between thousands; a dash for none."""
    return "–" if value is None else f"{value:,.{digits}f}".replace(",", "\u202f")


def milliseconds(value: float | None) -> str:
    """Return a duration given in milliseconds, with its unit."""
    if value is None:
        return "–"
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.1f} ms" if value < 10 else f"{number(value)} ms"


def size(value: float | None) -> str:
    """Return a size given in bytes, with its unit."""
    if value is None:
        return "–"
    for unit in ("B", "KB", "MB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GB"


def age(seconds: float | None) -> str:
    """Return a duration given in seconds, in one or two units."""
    if seconds is None:
        return "–"
    if seconds < 0:
        return f"in {age(-seconds)}"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"
    return f"{seconds // 86_400:.0f} d {seconds % 86_400 // 3600:.0f} h"


def clock_time(value: datetime | None, form: str = "%d %b %H:%M:%S") -> str:
    """Return a time in UTC."""
    return "–" if value is None else value.astimezone(UTC).strftime(form)


def clock_milliseconds(value: datetime) -> str:
    """Return a time of the day in UTC, with milliseconds."""
    return value.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "tone": tone,
        "number": number,
        "ms": milliseconds,
        "bytes": size,
        "age": age,
        "at": clock_time,
        "clock": clock_milliseconds,
    }
    return environment


ENVIRONMENT = _environment()


def render(template: str, **values: Any) -> str:
    """Return the HTML of *template*."""
    return ENVIRONMENT.get_template(template).render(**values)


def compile_templates() -> None:
    """Compile all templates, which takes longer than to render them."""
    for name in ENVIRONMENT.list_templates():
        ENVIRONMENT.get_template(name)
