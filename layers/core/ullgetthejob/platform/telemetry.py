"""Logs and metrics: JSON lines with a request id, and one metric per business fact.

Log messages are constant texts; variable parts go into keys. A body, a name, a token or the text of
an exception (a driver's message may quote a row) is never logged: :func:`trace` gives the type of
the exception, the code of Postgres, AWS or hh.ru, and where it was raised.
"""

from __future__ import annotations

import json
import re
import traceback
from pathlib import PurePath
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from ullgetthejob.platform import settings

SERVICE = "ullgetthejob-core"
CODE = re.compile(r"[A-Za-z0-9_]{1,64}")  # an error code, never free text

# An encoder that is made once, and messages that are not decoded: they are texts, never JSON.
_encode = json.JSONEncoder(default=str, separators=(",", ":"), ensure_ascii=False).encode
logger = Logger(service=SERVICE, json_serializer=_encode, json_deserializer=str)
if settings.COMMIT():
    logger.append_keys(commit=settings.COMMIT())
_metrics = Metrics(namespace=settings.POWERTOOLS_METRICS_NAMESPACE(), service=SERVICE)


def count(fact: str, value: float = 1) -> None:
    """Add *value* to the metric of a business fact, such as ``VacanciesFound``."""
    _metrics.add_metric(name=fact, unit=MetricUnit.Count, value=value)


def measure(fact: str, milliseconds: float) -> None:
    """Add *milliseconds* to the metric of a duration, such as ``EventAge``."""
    _metrics.add_metric(name=fact, unit=MetricUnit.Milliseconds, value=milliseconds)


def gauge(state: str, value: float, unit: MetricUnit = MetricUnit.Seconds) -> None:
    """Add the current value of *state*, such as ``OldestDueApplicationAgeSeconds``."""
    _metrics.add_metric(name=state, unit=unit, value=value)


def log_transition(subject: str, before: str | None, after: str, **ids: Any) -> None:
    """Write the line ``<subject> changed`` of a change of state: ``from``, ``to`` and *ids*. Every
    subject has one: application, run, campaign, access, method, tokens, connection."""
    known: dict[str, Any] = {"from": before, "to": after}
    for name, value in ids.items():
        if value is not None:
            known[name] = value if isinstance(value, int) else str(value)
    logger.info(f"{subject} changed", **known)


def flush() -> None:
    """Write the metrics of this invocation to the log (CloudWatch's embedded metric format)."""
    if _metrics.metric_set:
        _metrics.flush_metrics()


def trace(error: BaseException) -> dict[str, Any]:
    """Return the parts of an unexpected error that may be logged: the types along the chain, the
    codes (SQLSTATE, AWS's error code, hh.ru's value), and the lines of the traceback."""
    types: list[str] = []
    codes: list[str] = []
    link: BaseException | None = error
    while link is not None and len(types) < 5:
        types.append(type(link).__qualname__)
        found = (getattr(link, name, None) for name in ("sqlstate", "code", "reason"))
        codes += [text for text in found if isinstance(text, str) and CODE.fullmatch(text)]
        link = link.__cause__ or link.__context__
    frames = traceback.extract_tb(error.__traceback__)[-12:]
    lines = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error_type": types[0], "caused_by": types[1:], "codes": codes, "at": lines}
