"""Text from outside cannot control the terminal."""

import logging

import pytest

from local.functions.logs import Logs
from local.live.follow import describe
from local.services import say
from local.terminal import Formatter, printable

ATTACKS = [
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b]0;title\x07",  # names the window
    "\x1b]52;c;cm0gLXJmIH4=\x07",  # fills the clipboard
    "\x9b31m",  # the same as ESC [, in one character
    "\x08\x08\x08ok",
    "\u202egnp.exe",
    "\x00",
    "\x7f",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_control_characters_are_escaped(attack):
    shown = printable(f"before {attack} after")
    assert shown.isprintable()
    assert shown.startswith("before \\")
    assert shown.endswith(" after")


@pytest.mark.parametrize("text", ["Привет, Ёлка №5 — «ок»", "a\tb\nc", "日本語 🙂", "C:\\new"])
def test_plain_text_is_unchanged(text):
    assert printable(text) == text


@pytest.mark.parametrize("attack", ATTACKS)
def test_logs_are_escaped_in_terminal_and_file(tmp_path, capsys, attack):
    Logs(tmp_path, echo="all").write("search", f"title: {attack}")
    assert capsys.readouterr().out.removesuffix("\n").isprintable()
    assert (tmp_path / "search.log").read_text().removesuffix("\n").isprintable()


@pytest.mark.parametrize("attack", ATTACKS)
def test_demo_user_news_are_escaped(capsys, attack):
    job = {"title": attack, "company": attack, "area": "Москва", "salary": None}
    data = {"jobs": [job], "search_name": attack, "part": 1, "parts": 1}
    for line in describe("jobs.new", data):
        say(line)
    assert capsys.readouterr().out.replace("\n", "").isprintable()


def test_log_record_is_escaped():
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "bad: %s", ("\x1b[31m",), None)
    assert Formatter().format(record) == "bad: \\x1b[31m"
