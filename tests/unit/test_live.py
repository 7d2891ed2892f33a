"""The terminal's output while the local cloud runs."""

import pytest

from local.functions.logs import Logs
from local.live.counters import lines
from local.live.follow import describe


def function(invocations, errors=0):
    return {
        "invocations": invocations,
        "errors": errors,
        "timeouts": 0,
        "throttles": 0,
        "cold_starts": 1,
    }


def test_function_is_listed_once_it_was_invoked():
    now = {"search": function(3, errors=1), "submit": function(2), "oauth": function(0)}
    head, *shown = lines({"submit": function(2)}, now)
    assert head.split() == ["invocations", "errors", "timeouts", "throttles", "cold", "starts"]
    assert [line.split() for line in shown] == [["search", "3", "1", "0", "0", "1"]]
    assert lines(now, now) == []


def test_news_are_printed_in_a_few_lines():
    job = {"id": "1", "title": "Инженер", "company": None, "area": "Москва", "salary": None}
    data = {"search_name": "Инженеры", "jobs": [job] * 5, "part": 2, "parts": 3}
    assert describe("jobs.new", data) == [
        "jobs.new  5 for Инженеры (part 2 of 3)",
        *["    Инженер · Москва"] * 3,
        "    and 2 more",
    ]
    assert describe("something.else", {}) == ["something.else"]


@pytest.mark.parametrize(
    ("echo", "shown"),
    [
        ("none", []),
        ("problems", ['[f] {"level":"WARNING"}', "[f] [ERROR] X\n[f] Traceback", "[g] 200"]),
        (
            "all",
            ["[f] START", '[f] {"level":"WARNING"}', "[f] [ERROR] X\n[f] Traceback", "[g] 200"],
        ),
    ],
)
def test_terminal_filters_logs_and_the_file_has_all(tmp_path, capsys, echo, shown):
    logs = Logs(tmp_path, echo=echo)
    for text in ("START", '{"level":"WARNING"}', "[ERROR] X\rTraceback"):
        logs.write("f", text)
    logs.write("g", "200", echo=True)
    logs.write("h", "hidden", echo=False)
    assert capsys.readouterr().out == "".join(f"{line}\n" for line in shown)
    assert len((tmp_path / "f.log").read_text().splitlines()) == 4
    assert (tmp_path / "h.log").exists()
