"""The terminal's output while the local cloud runs."""

import pytest

from local.functions.logs import Logs
from local.live import display
from local.live.counters import lines
from local.live.display import money
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
    ("stored", "shown"),
    [
        ("108000-158000 RUR net", "108\u202f000–158\u202f000 ₽ net"),
        ("from 250000 RUR gross", "from 250\u202f000 ₽ gross"),
        ("to 900 USD", "to 900 $"),
        ("1500 UZS", "1\u202f500 UZS"),
        ("by agreement", "by agreement"),
        (None, None),
    ],
)
def test_salary_is_written_as_people_do(stored, shown):
    assert money(stored) == shown


def test_piped_output_is_plain(capsys):
    display.welcome(2.34, {"Dashboard": "http://localhost:4000/dev/dashboard"}, "\x1b[1mhint")
    display.report("12:00:00  jobs.new  1 for a search")
    out = capsys.readouterr().out
    assert "Ready in 2.3 s." in out
    assert "  Dashboard  http://localhost:4000/dev/dashboard\n" in out
    assert "\x1b" not in out


def test_terminal_output_has_colours_and_no_foreign_escapes(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    display.report("12:00:00  jobs.new  1 for \x1b]0;evil\x07")
    display.welcome(2, {"Dashboard": "http://localhost:4000/dev/dashboard"}, "hint")
    out = capsys.readouterr().out
    assert "\x1b[1;32m" in out
    assert "evil" in out
    assert "\x1b]0;" not in out
    assert "UllGetTheJob Core, ready in 2.0 s" in out


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
