"""The reader of the logs: lines by the contract of the trail, their ends, and its bounds."""

import asyncio
import json

import pytest

from local.dashboard import activity, log_tail, trail, waterfall
from local.dashboard.pages.database import count_spans
from local.dashboard.trail import Trail
from local.functions import logs as function_logs
from local.functions.logs import Logs

TRACE = "6b0a946fce232b4f45d21d383cfd849a"
REQUEST = "6c3ce6d2-3b97-4e00-9f13-771ed35f1579"
USER = "10000000-0000-4000-8000-000000000001"


def read(folder):
    """Return a reader that has caught up with the logs in *folder*."""
    found = Trail(folder)
    catch_up(found)
    return found


def catch_up(reader):
    reader._read_at = float("-inf")  # without the pause between two reads
    asyncio.run(reader.catch_up())


def answered(trace_id=TRACE, status=202, ms=120):
    """Return the gateway's line of a request."""
    line = {
        "message": "request",
        "trace_id": trace_id,
        "request_id": "a-request",
        "route": "POST /api/applications/submit",
        "status": status,
        "started_at": "2099-01-01T00:00:00.050000+00:00",
        "ms": ms,
    }
    return json.dumps(line)


def invocation(at, **more):
    line = {"message": "invocation", "route": "POST /x", "ms": 90, "trace_id": TRACE}
    return json.dumps({**line, "started_at": at, **more})


def span(kind, operation, ms, at, **more):
    line = {"message": "span", "kind": kind, "operation": operation, "ms": ms, "started_at": at}
    return json.dumps({**line, "trace_id": TRACE, **more})


def change(**more):
    line = {"level": "INFO", "message": "application changed", "trace_id": TRACE}
    return json.dumps(line | more)


def write_application(logs):
    """Write the lines of one application."""
    at = "2099-01-01T00:00:00.{}00000+00:00"
    logs.write("submit", f"START RequestId: {REQUEST} Version: $LATEST")
    logs.write(
        "submit",
        invocation(at.format(1), span_id="a" * 16, request_id=REQUEST),
    )
    sql = {"span_id": "b" * 16, "parent_id": "a" * 16, "rows": 1}
    logs.write("submit", span("sql", "INSERT INTO x\n VALUES (%s)", 4, at.format(2), **sql))
    logs.write("submit", span("sql", "INSERT INTO x VALUES (%s)", 6, at.format(3), **sql))
    logs.write("submit", change(**{"from": None, "to": "queued", "user_id": USER}))
    logs.write(
        "submit",
        f"REPORT RequestId: {REQUEST}\tDuration: 91.50 ms\tBilled Duration: 583 ms\t"
        "Memory Size: 512 MB\tMax Memory Used: 48 MB\tInit Duration: 437.98 ms",
    )
    logs.write("gateway", answered(), echo=False)


def test_lines_of_one_request_become_one_trace(tmp_path):
    write_application(Logs(tmp_path, echo="none"))
    found = read(tmp_path)

    [request] = found.requests
    assert (request.route, request.status, request.ms) == (
        "POST /api/applications/submit",
        202,
        120,
    )
    assert request.trace_id == TRACE
    trace = found.traces[TRACE]
    assert trace.people == {USER}
    assert [line.data["kind"] for line in trace.spans] == ["sql", "sql"]
    assert any(line.text.startswith("REPORT") for line in trace.lines)
    [invocation] = found.invocations["submit"]
    assert (invocation.ms, invocation.memory_mb, invocation.init_ms) == (91.5, 48, 437.98)


def test_trace_id_of_xray_is_read_where_the_line_has_no_other(tmp_path):
    logs = Logs(tmp_path, echo="none")
    xray = {"message": "within", "xray_trace_id": f"1-{TRACE[:8]}-{TRACE[8:]}"}
    logs.write("search", json.dumps(xray))
    assert list(read(tmp_path).traces) == [TRACE]


def test_waterfall_holds_spans_changes_and_the_request(tmp_path):
    write_application(Logs(tmp_path, echo="none"))
    bars = waterfall.waterfall(read(tmp_path).traces[TRACE])

    kinds = [bar.kind for bar in bars]
    assert sorted(kinds) == ["change", "function", "gateway", "sql", "sql"]
    depth = {bar.kind: bar.depth for bar in bars}
    assert (depth["function"], depth["sql"]) == (0, 1)
    assert all(0 <= bar.start <= 100 and bar.start + bar.width <= 100.5 for bar in bars)
    assert [bar.name for bar in bars if bar.kind == "change"] == ["application: none → queued"]


def test_statements_are_counted_by_their_text(tmp_path):
    write_application(Logs(tmp_path, echo="none"))
    assert count_spans(read(tmp_path).spans) == [
        {
            "statement": "INSERT INTO x VALUES (%s)",
            "calls": 2,
            "total_ms": 10.0,
            "rows": 2,
            "mean_ms": 5.0,
        }
    ]


def test_rotated_file_loses_and_repeats_no_line(tmp_path, monkeypatch):
    monkeypatch.setattr(function_logs, "_MAX_BYTES", 2_000)
    logs, found, written = Logs(tmp_path, echo="none"), Trail(tmp_path), 0
    for _ in range(30):
        for _ in range(5):
            logs.write("search", json.dumps({"message": f"line {written}"}))
            written += 1
        catch_up(found)
    assert (tmp_path / "search.log.1").exists()
    assert [line.message for line in found.lines] == [f"line {n}" for n in range(written)]


def test_first_visit_reads_only_the_end_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(log_tail, "FIRST_BYTES", 1_000)
    logs = Logs(tmp_path, echo="none")
    for number in range(200):
        logs.write("search", json.dumps({"message": f"line {number}"}))
    found = read(tmp_path)
    assert found.lines[-1].message == "line 199"
    assert 0 < len(found.lines) < 30


def test_line_without_its_end_is_read_once_it_is_complete(tmp_path):
    path = tmp_path / "search.log"
    path.write_text('2026-01-01T00:00:00+00:00 {"message":')
    found = read(tmp_path)
    assert not found.lines
    with path.open("a") as file:
        file.write(' "whole"}\n')
    catch_up(found)
    assert [line.message for line in found.lines] == ["whole"]


def test_more_than_is_kept_leaves_the_latest(tmp_path, monkeypatch):
    monkeypatch.setattr(trail, "TRACES_KEPT", 3)
    logs = Logs(tmp_path, echo="none")
    for number in range(10):
        logs.write("gateway", answered(trace_id=f"{number:032x}"), echo=False)
    assert list(read(tmp_path).traces) == [f"{number:032x}" for number in (7, 8, 9)]


def test_broken_lines_are_passed_over(tmp_path):
    (tmp_path / "search.log").write_bytes(
        b"no time here\n\xff\xfe\n2026-01-01T00:00:00+00:00 {broken\n"
        b'2026-01-01T00:00:00+00:00 {"message": "span", "kind": "sql", "ms": null}\n'
        b'2026-01-01T00:00:00+00:00 {"message": "request", "route": "x", "status": "-"}\n'
    )
    found = read(tmp_path)
    assert found.lines[0].text == "{broken"
    assert len(found.lines) == 3


def test_page_waits_for_a_backlog_only_so_long(tmp_path, monkeypatch):
    monkeypatch.setattr("local.dashboard.trail.PATIENCE_S", 0.0)
    line = '{"message":"request","route":"GET /x","status":200,"ms":1}'
    at = "2026-07-01T10:00:00.000+00:00"
    (tmp_path / "gateway.log").write_text(f"{at} {line}\n" * 3_000)
    found = Trail(tmp_path)

    async def visit():
        await found.catch_up()
        was_behind, seen = found.is_behind, len(found.requests)
        while found.is_behind:
            await asyncio.sleep(0.01)
        return was_behind, seen

    was_behind, seen = asyncio.run(visit())
    assert was_behind
    assert seen < len(found.requests) == 3_000


def test_error_of_reading_reaches_the_page(tmp_path):
    (tmp_path / "gateway.log").mkdir()
    with pytest.raises(OSError, match="directory"):
        catch_up(Trail(tmp_path))


HOSTILE = (
    *("", " ", "no time at all", '{"message":"request"'),
    *(value for kind in ("request", "span", "application changed", "invocation") for value in (
        f'{{"message":"{kind}"}}',
        f'{{"message":"{kind}","ms":NaN,"status":Infinity,"kind":"sql","rows":1e999}}',
        f'{{"message":"{kind}","ms":"<b>","status":[],"kind":"sql","rows":"x","level":7}}',
        f'{{"message":"{kind}","ms":1e308,"started_at":"0001-01-01T00:00:00+23:59","span_id":{{}},'
        '"parent_id":[],"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","to":null,"kind":{}}',
        f'{{"message":"{kind}","span_id":"a","parent_id":"a","kind":"sql","operation":null,'
        '"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","account_id":{"a":1}}',
    )),
    '{"message":["a"]}', "[1]", "{" * 5000, '{"a":' + "[" * 20_000 + "]" * 20_000 + "}",
    "REPORT RequestId: x\tDuration: many ms", "\x1b[31m<script>alert(1)</script>", "я" * 5_000,
)  # fmt: skip


def test_no_line_of_a_log_breaks_a_page(tmp_path):
    for name in ("gateway", "submit"):
        at = ("2026-07-01T10:00:00.000+00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z")
        lines = [f"{when} {text}" for text in HOSTILE for when in at]
        (tmp_path / f"{name}.log").write_text("\n".join([*lines, *HOSTILE]))
    found = Trail(tmp_path)
    catch_up(found)
    assert found.requests
    for trace in found.traces.values():
        assert waterfall.waterfall(trace)
    assert count_spans(found.spans)
    assert [waterfall.describe(line) for line in found.lines]
    assert activity.series(found)["at"]
    assert activity.function_summary(found, "submit").count == 1  # of the year 9999
    json.dumps(activity.series(found), allow_nan=False)
