"""The log files of the local cloud, and what of them the terminal shows."""

import json
import os

import pytest

from local.functions import logs as local_logs
from local.functions.logs import Logs
from local.gateway import access_log


def line(level, message="invocation"):
    return json.dumps({"level": level, "message": message}, separators=(",", ":"))


def test_several_lines_are_written_at_once(tmp_path, monkeypatch):
    writes = []
    write = os.write

    def counted(file, data):
        writes.append(data)
        return write(file, data)

    monkeypatch.setattr(os, "write", counted)
    Logs(tmp_path, echo="none").write_all("search", ["one", "two\rthree"])
    assert len(writes) == 1
    texts = [text.partition(" ")[2] for text in (tmp_path / "search.log").read_text().splitlines()]
    assert texts == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        (line("INFO"), False),
        (line("INFO", "Traceback"), False),  # a message of ours, not a traceback
        (line("ERROR"), True),
        ("[ERROR] ValueError\rTraceback (most recent call last):", True),
        ("START RequestId: 1", False),
    ],
)
def test_terminal_shows_problems_only(tmp_path, capsys, text, is_shown):
    logs = Logs(tmp_path, echo="problems")
    logs.write_all("search", [line("INFO"), text])
    shown = capsys.readouterr().out.splitlines()
    assert shown == ([f"[search] {part}" for part in text.split("\r")] if is_shown else [])


def test_large_file_is_put_aside_after_a_restart_too(tmp_path, monkeypatch):
    monkeypatch.setattr(local_logs, "_MAX_BYTES", 50)
    (tmp_path / "search.log").write_text("x" * 60)
    logs = Logs(tmp_path, echo="none")
    for text in ("first", "second"):
        logs.write("search", text)
    assert (tmp_path / "search.log.1").read_text().endswith("first\n")
    assert (tmp_path / "search.log").read_text().endswith("second\n")


def test_access_log_fills_the_format(tmp_path):
    form = '{"id":"$context.requestId","ip":"$context.identity.sourceIp","x":"$context.unknown"}'
    for number in range(2):
        values = {"requestId": str(number), "identity.sourceIp": "::1"}
        access_log.write(Logs(tmp_path, echo="none"), form, values)
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert lines[1].endswith(' {"id":"1","ip":"::1","x":"-"}')
