"""Traces: what a caller may send, what an invocation writes of itself, and what a span costs."""

import json
import threading
from contextvars import copy_context
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from ullgetthejob.platform import invocation, queues, tracing
from ullgetthejob.platform.telemetry import logger

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"  # the example of W3C Trace Context
PARENT = "00f067aa0ba902b7"
CONTEXT = SimpleNamespace(aws_request_id="a-request", function_name="SubmitFunction")


def lines(log, message):
    found = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in found if line.get("message") == message]


def http_event(**headers):
    return {
        "routeKey": "GET /open",
        "headers": headers,
        "requestContext": {"requestId": "of-the-gateway"},
    }


@pytest.mark.parametrize(
    ("sent", "trace_id"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f"01-{TRACE}-{PARENT}-00-of-a-later-version", TRACE),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE[1:]}-{PARENT}-01", None),
        ("evil\n", None),
        (None, None),
    ],
)
def test_traceparent_is_read_as_w3c_defines_it(sent, trace_id):
    position = tracing.Position.parse(sent)
    assert (position.trace_id if position else None) == trace_id


def test_xray_root_has_the_digits_of_a_w3c_id():
    header = f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={PARENT};Sampled=1"
    assert tracing.xray_root(header) == TRACE
    assert tracing.xray_root("Root=2-x") is None


@pytest.mark.parametrize(
    ("headers", "trace_id"),
    [
        ({"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": str(uuid4())}, TRACE),
        ({"x-request-id": str(UUID(TRACE))}, TRACE),
        (
            {
                "x-request-id": str(UUID(TRACE)),
                "x-amzn-trace-id": f"Root=1-{PARENT[:8]}-{PARENT}{PARENT[:8]}",
            },
            TRACE,
        ),
        ({"x-amzn-trace-id": f"Root=1-{TRACE[:8]}-{TRACE[8:]}"}, TRACE),
    ],
)
def test_request_continues_the_trace_of_its_caller(log, headers, trace_id):
    with invocation.of_request(http_event(**headers), CONTEXT) as (current, request_id):
        logger.info("within")
    assert request_id == headers.get("x-request-id", trace_id)
    (within,), (wide,) = lines(log, "within"), lines(log, "invocation")
    assert {within["trace_id"], wide["trace_id"], current.position.trace_id} == {trace_id}
    assert (wide["request_id"], wide["api_request_id"]) == (request_id, "of-the-gateway")


def test_nil_uuid_as_request_id_begins_a_trace():
    with invocation.of_request(http_event(**{"x-request-id": str(UUID(int=0))}), CONTEXT) as (
        current,
        _,
    ):
        assert int(current.position.trace_id, 16)


def test_wide_line_sums_up_the_spans(log):
    with invocation.measured(CONTEXT, rule="a rule") as current:
        for kind in ("sql", "sql", "aws", "pace"):
            with tracing.span(kind, "a call"):
                pass
        current.result = {"done": 1}
    (wide,) = lines(log, "invocation")
    assert (wide["function"], wide["rule"]) == ("SubmitFunction", "a rule")
    assert (wide["sql_count"], wide["aws_count"], wide["hh_count"]) == (2, 1, 0)
    assert (wide["pace_count"], wide["result"]) == (1, {"done": 1})
    assert 0 <= wide["sql_ms"] <= wide["ms"]
    assert not lines(log, "span"), "only where they are wanted"


def test_failed_invocation_has_its_wide_line_too(log):
    with pytest.raises(ZeroDivisionError), invocation.measured(CONTEXT):
        raise ZeroDivisionError
    (wide,) = lines(log, "invocation")
    assert (wide["result"], wide["error_type"]) == ("failed", "ZeroDivisionError")


def test_only_the_first_invocation_is_cold(log, monkeypatch):
    monkeypatch.setattr(invocation, "_is_cold", True)
    for _ in range(2):
        with invocation.measured(CONTEXT):
            pass
    assert [wide["cold"] for wide in lines(log, "invocation")] == [True, False]


def test_spans_are_written_below_each_other(log, monkeypatch):
    monkeypatch.setenv("TRACE_SPANS", "on")

    def call_aws():
        with tracing.span("aws", "sqs.SendMessage") as call:
            call.note(status=500)
            raise KeyError

    with (
        invocation.measured(CONTEXT) as current,
        tracing.span("message", "a-queue"),
        pytest.raises(KeyError),
    ):
        call_aws()
    inner, outer = lines(log, "span")
    assert (outer["kind"], outer["operation"]) == ("message", "a-queue")
    assert outer["parent_id"] == current.position.span_id
    assert inner["parent_id"] == outer["span_id"]
    assert (inner["status"], inner["error"]) == (500, "KeyError")
    assert {inner["trace_id"], outer["trace_id"]} == {current.position.trace_id}
    assert inner["started_at"] >= outer["started_at"]


def test_span_outside_of_an_invocation_writes_nothing(log, monkeypatch):
    monkeypatch.setenv("TRACE_SPANS", "on")
    with tracing.span("sql", "SELECT 1"):
        assert tracing.trace_id() is None
    assert log.getvalue() == ""


def test_span_of_another_trace_is_written_there(log, monkeypatch):
    monkeypatch.setenv("TRACE_SPANS", "on")
    with invocation.measured(CONTEXT), tracing.span("frame", "jobs.new", UUID(TRACE)):
        pass
    assert [line["trace_id"] for line in lines(log, "span")] == [TRACE]


def test_spans_of_threads_are_counted(log):
    with invocation.measured(CONTEXT):

        def call():
            with tracing.span("aws", "dynamodb.Query"):
                pass

        threads = [threading.Thread(target=copy_context().run, args=(call,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (wide,) = lines(log, "invocation")
    assert wide["aws_count"] == 8


def test_row_continues_its_own_trace(log):
    with invocation.measured(CONTEXT) as current:
        with tracing.continued(UUID(TRACE)):
            logger.info("of the row")
            assert tracing.trace_id() == UUID(TRACE)
        with tracing.continued(None):
            logger.info("of the invocation")
    assert [line["trace_id"] for line in lines(log, "of the row")] == [TRACE]
    (after,) = lines(log, "of the invocation")
    assert after["trace_id"] == current.position.trace_id


def test_messages_are_worked_on_in_their_own_traces(log):
    def record(number, trace_id):
        value = {"stringValue": f"00-{trace_id}-{PARENT}-01", "dataType": "String"}
        return {
            "messageId": str(number),
            "body": json.dumps({"account_id": str(number)}),
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:a-queue",
            "messageAttributes": {"traceparent": value},
        }

    other = "f" * 32
    event = {"Records": [record(1, TRACE), record(2, other)]}
    seen = {}

    def work(payload, _):
        seen[payload["account_id"]] = tracing.trace_id().hex
        if payload["account_id"] == "2":
            raise ValueError

    failed = queues.process_batch(event, CONTEXT, work)
    assert failed == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert seen == {"1": TRACE, "2": other}
    (wide,) = lines(log, "invocation")
    assert (wide["trace_id"], wide["links"], wide["queue"]) == (TRACE, [other], "a-queue")
    assert (wide["messages"], wide["result"]) == (2, {"failed": 1})
    (failure,) = lines(log, "work failed")
    assert failure["trace_id"] in (TRACE, other)
