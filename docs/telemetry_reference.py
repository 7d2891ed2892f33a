"""The reference of what Core says of itself, ``docs/telemetry.md``: read from the source by ``make
docs``, so that no message, field or metric is missing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ullgetthejob.platform import tracing

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
LEVELS = ("debug", "info", "warning", "error")
METRICS = {"count": "number", "measure": "milliseconds", "gauge": "current value"}
# Read by people here, and held against real lines by a test.
WIDE = {
    "function": "the function's name",
    "route": "of an HTTP or WebSocket request: its route key",
    "queue": "of a batch of SQS: the queue",
    "rule": "of a tick: EventBridge's rule",
    "result": "the status; of a batch, how many messages failed; of a tick, the count of each step",
    "ms": "milliseconds of the invocation",
    "cold": "whether it was the first of its process",
    "sql_count": "statements",
    "sql_ms": "milliseconds of statements",
    "aws_count": "calls of DynamoDB, KMS, Secrets Manager and SQS",
    "aws_ms": "milliseconds of these calls",
    "hh_count": "calls of hh.ru",
    "hh_ms": "milliseconds of these calls",
    "pace_count": "waits for hh.ru's pace",
    "pace_ms": "milliseconds of these waits",
    "message_count": "wake-ups that were sent",
    "message_ms": "milliseconds of sending them",
    "frame_count": "frames that were posted to sockets",
    "frame_ms": "milliseconds of posting them",
    "request_id": "the caller's `X-Request-ID`, else the trace id; of other invocations AWS's id",
    "api_request_id": "API Gateway's id of the request",
    "response_bytes": "bytes of the body of the response",
    "messages": "messages of the batch",
    "links": "the other traces that messages of the batch belong to",
    "connection_id": "the WebSocket connection",
    "error": "the code of the error that was answered",
    "error_type": "the class of the error that ended the invocation",
}
SPAN = {
    "kind": f"one of {', '.join(f'`{kind}`' for kind in get_args(tracing.Kind))}",
    "operation": "the statement with its placeholders, the call, the queue, the event's type",
    "ms": "milliseconds",
    "rows": "rows of a statement",
    "status": "the status of hh.ru's answer",
    "bytes": "bytes of hh.ru's answer",
    "seq": "of a frame: the event's number",
    "account_id": "of a frame: the account",
    "error": "the code or the class of the error that ended it",
}
OF_ALL = {
    "trace_id": "the trace, as in W3C Trace Context: 32 hexadecimal digits",
    "span_id": "the span that the line is of",
    "parent_id": "the span around it",
    "started_at": "when it began, in UTC, with microseconds",
}
INTRODUCTION = """# Telemetry

Generated from the source by `make docs`.

Core writes one JSON object a line to standard output. Every line has `level`, `message`,
`timestamp`, `service` and, within an invocation, `trace_id` and its keys (`route`, `queue` or
`rule`, `request_id`, `connection_id`; `xray_trace_id` from AWS). No line holds a letter, a name, an
address, a token, a ticket or the text of a search; ids of users and accounts may occur.

## One trail

A request, or the tick of a rule, has one trace id from its first byte to its last effect. At the
edge it is the caller's `traceparent` (W3C Trace Context), else an `X-Request-ID` that is a UUID,
without its dashes, else that of `X-Amzn-Trace-Id`; answers carry `traceparent` and `X-Request-ID`.
It travels with wake-ups as the message attribute `traceparent`, and is stored in
`application_ledger.trace_id`, `events.trace_id` and `fetch_runs.plan`, so that a worker continues
the trace of the row that it works on. All lines of a trail, in CloudWatch Logs Insights:

```
fields @timestamp, message, function, route, queue, kind, operation, ms, `from`, `to`, reason
| filter trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
| sort @timestamp
```

The parameter `TraceSpans` (`TRACE_SPANS` locally, where it is on) adds a line for each span.
`Tracing` lets X-Ray trace the functions, whose trace header is passed on with each call of AWS;
`TelemetryLayerArn` attaches AWS's OpenTelemetry layer.
"""


def markdown() -> str:
    """Return the reference."""
    lines = [INTRODUCTION]
    lines += ["## `invocation`: the last line of each invocation", ""]
    lines += _fields({**OF_ALL, **WIDE})
    lines += ["", "## `span`: one call out of Core, where `TRACE_SPANS` is on", ""]
    lines += _fields({**OF_ALL, **SPAN})
    lines += ["", "## Changes of state", "", "| message | fields besides `from` and `to` |"]
    lines += ["|---|---|"]
    lines += [f"| `{subject} changed` | {_listed(names)} |" for subject, names in transitions()]
    lines += [
        "",
        "## Other messages",
        "",
        "| level | message | fields | module |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {level} | {message} | {_listed(names)} | `{module}` |"
        for message, level, names, module in messages()
    ]
    lines += [
        "",
        "`error_type`, `caused_by`, `codes` and `at` describe an error: its class, those of",
        "its causes, the codes of Postgres, AWS and hh.ru, and where it was raised.",
    ]
    lines += ["", "## Metrics", "", "| metric | |", "|---|---|"]
    lines += [f"| `{name}` | {METRICS[kind]} |" for name, kind in metrics()]
    return "\n".join(lines) + "\n"


def _fields(described: dict[str, str]) -> list[str]:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in described.items()]
    return ["| field | |", "|---|---|", *rows]


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield module, called name (``logger.info``, ``count``) and node of each call."""
    for folder in ("layers/core/ullgetthejob", "functions"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            module = str(path.relative_to(ROOT / folder).with_suffix("")).replace("/", ".")
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield module, ast.unparse(node.func), node


def _names(node: ast.Call) -> list[str]:
    """Return the keywords of a call; those of ``**trace(error)`` in their place."""
    names: list[str] = []
    for keyword in node.keywords:
        if keyword.arg is not None:
            names.append(keyword.arg)
        elif ast.unparse(keyword.value).startswith("trace("):
            names += ["error_type", "caused_by", "codes", "at"]
    return names


def transitions() -> list[tuple[str, list[str]]]:
    """Return each subject whose changes of state are logged, with its fields."""
    found: dict[str, set[str]] = defaultdict(set)
    for _, called, node in _calls():
        if called.endswith("log_transition"):
            subjects = [a.value for a in node.args if isinstance(a, ast.Constant)]
            if subjects and isinstance(subjects[0], str):
                found[subjects[0]] |= set(_names(node))
    return [(subject, sorted(names)) for subject, names in sorted(found.items())]


def messages() -> list[tuple[str, str, list[str], str]]:
    """Return text, level, fields and module of each other message."""
    found = []
    for module, called, node in _calls():
        owner, _, level = called.rpartition(".")
        if owner == "logger" and level in LEVELS and isinstance(node.args[0], ast.Constant):
            text = str(node.args[0].value)
            if text not in ("invocation", "span"):
                found.append((text, level, _names(node), module))
    return sorted(found)


def metrics() -> list[tuple[str, str]]:
    """Return name and kind of each metric; a part that is only known at run time is ``<…>``."""
    found: set[tuple[str, str]] = set()
    for module, called, node in _calls():
        called = called.removeprefix("self._broadcast.")  # which counts at its end
        if called in METRICS and node.args and not module.endswith("platform.telemetry"):
            found |= {(name, called) for name in _texts(node.args[0])}
    return sorted(found)


def _texts(node: ast.expr) -> list[str]:
    """Return the names that an expression can stand for."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=other):
            return _texts(body) + _texts(other)
        case ast.JoinedStr(values=parts):
            shown = [p.value if isinstance(p, ast.Constant) else "<state>" for p in parts]
            return ["".join(map(str, shown))]
        case ast.Call() | ast.Attribute() if "__name__" in ast.unparse(node):
            return ["<class of an error of hh.ru>"]
        case _:
            return []
