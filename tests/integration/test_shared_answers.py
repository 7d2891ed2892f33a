"""Equal searches at one moment: hh.ru is asked once, by whichever process comes first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.fixtures.local_cloud import ROOT
from tests.integration.test_search_function import function
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform import clock
from ullgetthejob.vacancies import shared_answers

__all__ = ["function"]

AT_ONCE = 6
PROCESS = """
import json, sys
from types import SimpleNamespace
from functions.search.app import handler
event = json.loads(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
answer = handler(event, SimpleNamespace(aws_request_id="a-process"))
print("answer", json.dumps([answer["statusCode"], json.loads(answer["body"])]), flush=True)
"""


def event(**body):
    sample = json.loads((ROOT / "events" / "search.json").read_text())
    return {**sample, "body": json.dumps(body)}


def ask_at_once(*bodies):
    """Let a process of the function for each of *bodies* ask at the same moment; the answers."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, json.dumps(event(**body))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for body in bodies
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = []
    for process in processes:
        output, _ = process.communicate(timeout=60)
        [line] = [line for line in output.splitlines() if line.startswith("answer ")]
        answers.append(json.loads(line.removeprefix("answer ")))
    return answers


def searches(hh_sandbox):
    return hh_sandbox.control("GET", "/state")["calls"]["by_route"].get("GET /vacancies", 0)


def test_equal_searches_at_one_moment_are_asked_once_at_hh_ru(function, hh_sandbox):
    hh_sandbox.fault("slow", path="/vacancies", seconds=1)
    before = searches(hh_sandbox)
    answers = ask_at_once(*[{"text": "python", "per_page": 5}] * AT_ONCE)
    assert {status for status, _ in answers} == {200}
    assert len({json.dumps([job["id"] for job in body["jobs"]]) for _, body in answers}) == 1
    assert searches(hh_sandbox) - before == 1
    assert [body["age_seconds"] for _, body in answers].count(0) >= 1


def test_other_searches_are_not_answered_with_it(function, hh_sandbox):
    before = searches(hh_sandbox)
    for body in ({"text": "python"}, {"text": "java"}, {"text": "python", "page": 1}):
        assert function("search", body=json.dumps(body))[0] == 200
    assert searches(hh_sandbox) - before == 3


def test_an_answer_serves_for_some_seconds_and_says_how_old_it_is(
    function, hh_sandbox, database_url
):
    before = searches(hh_sandbox)
    first = function("search", body=json.dumps({"text": "go"}))[1]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE search_answers SET answered_at = answered_at - interval '3 s'")
    again = function("search", body=json.dumps({"text": "go"}))[1]
    assert again["jobs"] == first["jobs"]
    assert (first["age_seconds"], again["age_seconds"]) == (0, 3)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE search_answers SET answered_at = answered_at - interval '3 s'")
    assert function("search", body=json.dumps({"text": "go"}))[1]["age_seconds"] == 0
    assert searches(hh_sandbox) - before == 2


def test_a_search_that_fails_leaves_the_next_one_to_ask(function, hh_sandbox):
    hh_sandbox.fault("service_unavailable", path="/vacancies", times=1)
    assert function("search", body=json.dumps({"text": "rust"}))[0] == 503
    assert function("search", body=json.dumps({"text": "rust"}))[0] == 200


@pytest.fixture
def connection(database_url):
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def test_whoever_waits_takes_the_place_of_one_that_died(connection, monkeypatch):
    parameters = SearchParameters(text="python")
    shared = shared_answers.shared(parameters, connection=connection, clock=clock.now)
    assert isinstance(shared.__enter__(), shared_answers.Asker)  # and dies: never left
    monkeypatch.setattr(shared_answers, "WAITED_FOR_S", 0.3)
    began = time.monotonic()
    with shared_answers.shared(parameters, connection=connection, clock=clock.now) as turn:
        assert isinstance(turn, shared_answers.Asker)
    assert time.monotonic() - began >= 0.3
    later = clock.now() + shared_answers.ASKED_FOR + timedelta(seconds=1)
    with shared_answers.shared(parameters, connection=connection, clock=lambda: later) as turn:
        assert isinstance(turn, shared_answers.Asker)


def test_old_answers_are_forgotten(connection):
    for text in ("python", "java"):
        parameters = SearchParameters(text=text)
        with shared_answers.shared(parameters, connection=connection, clock=clock.now) as turn:
            turn.store("{}", now=clock.now())
    assert shared_answers.forget_old(connection=connection, now=clock.now(), most=10) == 0
    later = clock.now() + shared_answers.KEPT_FOR + timedelta(minutes=1)
    assert shared_answers.forget_old(connection=connection, now=later, most=1) == 1
    assert shared_answers.forget_old(connection=connection, now=later, most=10) == 1
