"""The frame of every invocation: its place in a trace, the keys of its log lines, its metrics, and
the one wide line with which it ends."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import clock, tracing
from ullgetthejob.platform.telemetry import flush, logger
from ullgetthejob.platform.tracing import Position, Totals

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,40}")  # a UUID has 36, a token of hh.ru more
UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_is_cold = True


@dataclass
class Invocation:
    """An invocation that runs. *result* and *facts* are set by its handler, for the wide line."""

    position: Position
    result: Any = None
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def of_request(event: dict[str, Any], context: Any) -> Iterator[tuple[Invocation, str]]:
    """Measure the invocation of an HTTP request (payload format 2.0, with headers in lower case);
    yield it, and the id of the request.

    The trace is the caller's (``traceparent``), else that of an ``X-Request-ID`` that is a UUID,
    else X-Ray's, else a new one. The id of the request is the caller's ``X-Request-ID`` if it is
    well-formed, so that a chain has one id; else that of the trace.
    """
    headers = event["headers"]
    sent = str(headers.get("x-request-id", ""))
    parent = Position.parse(headers.get("traceparent"))
    own_id = _uuid_digits(sent) or tracing.xray_root(headers.get("x-amzn-trace-id"))
    with measured(context, parent, trace_id=own_id, route=event.get("routeKey")) as current:
        request_id = sent if REQUEST_ID.fullmatch(sent) else current.position.trace_id
        current.facts["request_id"] = request_id
        current.facts["api_request_id"] = event.get("requestContext", {}).get("requestId")
        logger.append_keys(request_id=request_id)
        try:
            yield current, request_id
        finally:
            logger.remove_keys(["request_id"])


@contextmanager
def of_messages(records: list[dict[str, Any]], context: Any) -> Iterator[Invocation]:
    """Measure the invocation of a batch of SQS, as a part of the trace of its first message; the
    ids of other traces are its ``links``."""
    parents = [parent_of(record) for record in records]
    first = parents[0] if parents else None
    queue = records[0].get("eventSourceARN", "").rpartition(":")[2] if records else None
    with measured(context, first, queue=queue) as current:
        links = {parent.trace_id for parent in parents if parent} - {current.position.trace_id}
        if links:
            current.facts["links"] = sorted(links)
        current.facts["messages"] = len(records)
        logger.append_keys(request_id=str(getattr(context, "aws_request_id", "")))
        try:
            yield current
        finally:
            logger.remove_keys(["request_id"])


def parent_of(record: dict[str, Any]) -> Position | None:
    """Return where the sender of a message was in its trace; ``None`` if it does not say."""
    attribute = record.get("messageAttributes", {}).get("traceparent", {})
    return Position.parse(attribute.get("stringValue"))


@contextmanager
def measured(
    context: Any, parent: Position | None = None, *, trace_id: str | None = None, **keys: Any
) -> Iterator[Invocation]:
    """Measure an invocation of Lambda with its *context*, as a part of the caller's trace.

    *parent*: where the caller is in its trace; without one a trace begins, with *trace_id* if
    given. *keys*, such as ``route`` or ``queue``, stand in all its log lines. In the end the line
    ``invocation`` is written: milliseconds, whether it was cold, and number and milliseconds of
    statements and of calls of AWS and hh.ru; and the metrics.
    """
    global _is_cold
    is_cold, _is_cold = _is_cold, False
    begun_at, began = clock.real_seconds(), time.perf_counter()
    own = Position.below(parent or (Position(trace_id, "0" * 16) if trace_id else None))
    current = Invocation(own)
    totals = Totals(tracing.wants_spans())
    keys = {"trace_id": own.trace_id, **keys}
    logger.append_keys(**keys)
    try:
        with tracing.at(own, totals):
            yield current
    except BaseException as error:
        current.facts.setdefault("error_type", type(error).__name__)
        current.result = current.result or "failed"
        raise
    finally:
        logger.info(
            "invocation",
            function=getattr(context, "function_name", None),
            result=current.result,
            span_id=own.span_id,
            parent_id=parent.span_id if parent else None,
            started_at=tracing.iso(begun_at),
            ms=round((time.perf_counter() - began) * 1000, 3),
            cold=is_cold,
            **_totals_of(totals),
            **current.facts,
        )
        logger.remove_keys([*keys, "error"])
        flush()


def _totals_of(totals: Totals) -> dict[str, Any]:
    """Return number and milliseconds of each kind of span, of calls also where there was none."""
    always: tuple[tracing.Kind, ...] = ("sql", "aws", "hh")
    named: dict[str, Any] = {}
    for kind, number in (dict.fromkeys(always, 0) | totals.counts).items():
        named[f"{kind}_count"] = number
        named[f"{kind}_ms"] = round(totals.seconds.get(kind, 0.0) * 1000, 3)
    return named


def _uuid_digits(text: str) -> str | None:
    """Return the digits of a UUID, which can be the id of a trace; ``None`` for another text."""
    digits = text.lower().replace("-", "") if UUID_FORM.fullmatch(text) else ""
    return digits if digits.strip("0") else None
