"""Equal searches at one moment: hh.ru is asked once, by whichever process comes first."""

from __future__ import annotations

import contextlib
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
from tests.fixtures.search_function import function
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform import clock
from ullgetthejob.platform.errors import TooManyRequests
from ullgetthejob.vacancies import shared_answers

__all__ = ["function"]

AT_ONCE = 6
PROCESS = """
import json, os, sys
from types import SimpleNamespace
from functions.search.app import handler
os.environ["PGAPPNAME"] = f"process-{os.getpid()}"
event = json.loads(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
answer = handler(event, SimpleNamespace(aws_request_id="a-process"))
print("answer", json.dumps([answer["statusCode"], json.loads(answer["body"])]), flush=True)
"""

LIVING = """
    SELECT application_name FROM pg_stat_activity
    WHERE application_name LIKE 'process-%' AND query LIKE '%SET asked_until%'
"""


def event(**body):
    sample = json.loads((ROOT / "events" / "search.json").read_text())
    return {**sample, "body": json.dumps(body)}


def start_asking(*bodies):
    """Let a process of the function for each of *bodies* ask at the same moment; the processes."""
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
    return processes


def answer_of(process):
    output, _ = process.communicate(timeout=60)
    [line] = [line for line in output.splitlines() if line.startswith("answer ")]
    return json.loads(line.removeprefix("answer "))


def ask_at_once(*bodies):
    return [answer_of(process) for process in start_asking(*bodies)]


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


def ask(parameters, connection, seconds):
    ends = time.monotonic() + seconds
    return shared_answers.get_or_claim(parameters, connection=connection, now=clock.now, ends=ends)


def test_an_asker_that_is_alive_keeps_the_others_waiting(connection, database_url):
    parameters = SearchParameters(text="python")
    with (
        psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as own,
        ask(parameters, own, 1) as asker,
        asker.alive(),
    ):
        seconds = shared_answers.CLAIM_LIFETIME.total_seconds() + 2
        with pytest.raises(TooManyRequests), ask(parameters, connection, seconds):
            pytest.fail("two ask at once")


def test_one_that_waits_takes_the_place_of_one_that_died(connection):
    parameters = SearchParameters(text="python")
    dead = ask(parameters, connection, 1)
    assert isinstance(dead.__enter__(), shared_answers.SearchClaim)  # and dies: never left
    began = time.monotonic()
    with ask(parameters, connection, 10) as asker:
        assert isinstance(asker, shared_answers.SearchClaim)
    assert 1 < time.monotonic() - began < shared_answers.CLAIM_LIFETIME.total_seconds() + 2


def test_when_the_asker_is_killed_one_of_those_that_wait_asks_for_all(
    function, hh_sandbox, database_url
):
    hh_sandbox.fault("slow", path="/vacancies", seconds=4)
    before = searches(hh_sandbox)
    with contextlib.ExitStack() as ended:
        processes = start_asking(*[{"text": "scala", "per_page": 5}] * AT_ONCE)
        for process in processes:
            ended.enter_context(process)
            ended.callback(process.kill)
        asker_id = process_of_asker(database_url)
        [asker] = [process for process in processes if process.pid == asker_id]
        asker.kill()
        killed_at = time.monotonic()
        answers = [answer_of(process) for process in processes if process is not asker]
        took = time.monotonic() - killed_at
    assert {status for status, _ in answers} == {200}
    assert len({json.dumps([job["id"] for job in body["jobs"]]) for _, body in answers}) == 1
    assert searches(hh_sandbox) - before == 2  # of the one that died, and of one for all
    assert took < shared_answers.CLAIM_LIFETIME.total_seconds() + 4 + 4


def process_of_asker(database_url):
    """The id of the process that is in the middle of its call to hh.ru: the one whose connection
    said last that it lives."""
    ends = time.monotonic() + 30
    with psycopg.connect(database_url, autocommit=True) as connection:
        while not (found := connection.execute(LIVING).fetchall()):
            assert time.monotonic() < ends
            time.sleep(0.05)
    [(name,)] = found
    return int(name.removeprefix("process-"))


def test_old_answers_are_forgotten_and_what_was_never_answered(connection):
    for text in ("python", "java"):
        with ask(SearchParameters(text=text), connection, 1) as asker:
            asker.store("{}", now=clock.now())
    with ask(SearchParameters(text="fails"), connection, 1):
        pass
    later = clock.now() + shared_answers.ANSWER_RETENTION + timedelta(minutes=1)

    def forget(now, most=10):
        return shared_answers.delete_old(connection=connection, now=now, most=most)

    with ask(SearchParameters(text="is being asked"), connection, 1) as asker:
        assert forget(clock.now()) == 1
        assert [forget(later, most=1), forget(later), forget(later)] == [1, 1, 0]
        asker.store("{}", now=clock.now())
    assert forget(clock.now()) == 0
