"""Equal searches at one moment: one process calls hh.ru, and the others share its answer."""

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
from tests.fixtures.waiting import until
from tests.harness.context import make_context
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform import clock
from ullgetthejob.platform.errors import TooManyRequests
from ullgetthejob.vacancies import shared_answers

__all__ = ["function"]

CONCURRENT = 6
HANG_S = 60  # seconds: only a hang takes longer
# On a busy machine one process may come seconds after another, or not renew its claim for seconds.
PROCESS = """
import json, os, sys
from datetime import timedelta
from types import SimpleNamespace
from functions.search.app import handler
from ullgetthejob.vacancies import shared_answers
shared_answers.FRESHNESS = timedelta(minutes=1)
shared_answers.CLAIM_LIFETIME = timedelta(seconds=6)
os.environ["PGAPPNAME"] = f"process-{os.getpid()}"
event = json.loads(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
answer = handler(event, SimpleNamespace(aws_request_id="a-process"))
print("answer", json.dumps([answer["statusCode"], json.loads(answer["body"])]), flush=True)
"""

SELECT_CLAIM_HOLDER = """
    SELECT application_name FROM pg_stat_activity
    WHERE application_name LIKE 'process-%' AND query LIKE '%SET asked_until%'
"""


def event(**body):
    sample = json.loads((ROOT / "events" / "search.json").read_text())
    return {**sample, "body": json.dumps(body)}


def start_searches(*bodies):
    """Start a process of the function for each of *bodies*, and let all search at the same moment;
    return the processes."""
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
    output, _ = process.communicate(timeout=HANG_S)
    [line] = [line for line in output.splitlines() if line.startswith("answer ")]
    return json.loads(line.removeprefix("answer "))


def search_concurrently(*bodies):
    return [answer_of(process) for process in start_searches(*bodies)]


def searches(hh_sandbox):
    return hh_sandbox.control("GET", "/state")["calls"]["by_route"].get("GET /vacancies", 0)


def test_equal_concurrent_searches_make_one_call(function, hh_sandbox):
    hh_sandbox.fault("slow", path="/vacancies", seconds=1)
    before = searches(hh_sandbox)
    answers = search_concurrently(*[{"text": "python", "per_page": 5}] * CONCURRENT)
    assert {status for status, _ in answers} == {200}
    assert len({json.dumps([job["id"] for job in body["jobs"]]) for _, body in answers}) == 1
    assert searches(hh_sandbox) - before == 1
    assert [body["age_seconds"] for _, body in answers].count(0) >= 1


def test_different_searches_share_no_answer(function, hh_sandbox):
    before = searches(hh_sandbox)
    for body in ({"text": "python"}, {"text": "java"}, {"text": "python", "page": 1}):
        assert function("search", body=json.dumps(body))[0] == 200
    assert searches(hh_sandbox) - before == 3


def test_answer_is_shared_for_seconds_and_states_its_age(
    function, hh_sandbox, database_url, monkeypatch
):
    monkeypatch.setattr(shared_answers, "FRESHNESS", timedelta(seconds=60))
    before = searches(hh_sandbox)
    first = function("search", body=json.dumps({"text": "go"}))[1]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE search_answers SET answered_at = answered_at - interval '30 s'")
    again = function("search", body=json.dumps({"text": "go"}))[1]
    assert again["jobs"] == first["jobs"]
    assert first["age_seconds"] == 0
    assert 30 <= again["age_seconds"] < 60
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE search_answers SET answered_at = answered_at - interval '30 s'")
    assert function("search", body=json.dumps({"text": "go"}))[1]["age_seconds"] == 0
    assert searches(hh_sandbox) - before == 2


def test_answer_older_than_a_clock_set_back_is_not_shared(function, hh_sandbox, database_url):
    before = searches(hh_sandbox)
    assert function("search", body=json.dumps({"text": "perl"}))[0] == 200
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE search_answers SET answered_at = answered_at + interval '1 day'")
    assert function("search", body=json.dumps({"text": "perl"}))[0] == 200
    assert searches(hh_sandbox) - before == 2


def test_lost_connection_does_not_hide_the_error_of_the_call(connection):
    claim = get_or_claim(SearchParameters(text="python"), connection, 1)
    claim.__enter__()
    connection.close()
    assert not claim.__exit__(ZeroDivisionError, ZeroDivisionError(), None)


def test_failed_search_leaves_the_call_to_the_next(function, hh_sandbox):
    hh_sandbox.fault("service_unavailable", path="/vacancies", times=1)
    assert function("search", body=json.dumps({"text": "rust"}))[0] == 503
    assert function("search", body=json.dumps({"text": "rust"}))[0] == 200


@pytest.fixture
def connection(database_url):
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def get_or_claim(parameters, connection, seconds):
    deadline = time.monotonic() + seconds
    context = make_context(connection, clock.now)
    return shared_answers.get_or_claim(parameters, context, deadline=deadline)


def test_renewed_claim_keeps_other_searches_waiting(connection, database_url):
    parameters = SearchParameters(text="python")
    with (
        psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as own,
        get_or_claim(parameters, own, 1) as holder,
        holder.kept_alive(),
    ):
        seconds = shared_answers.CLAIM_LIFETIME.total_seconds() + 2
        with pytest.raises(TooManyRequests), get_or_claim(parameters, connection, seconds):
            pytest.fail("two searches hold the claim")


def test_waiting_search_claims_after_the_claim_expired(connection):
    parameters = SearchParameters(text="python")
    began = time.monotonic()
    abandoned = get_or_claim(parameters, connection, 1)
    assert isinstance(abandoned.__enter__(), shared_answers.SearchClaim)  # and is never left
    with get_or_claim(parameters, connection, HANG_S) as holder:
        assert isinstance(holder, shared_answers.SearchClaim)
    assert 1 < time.monotonic() - began < HANG_S


def test_killed_claim_holder_is_replaced_by_one_waiting_search(function, hh_sandbox, database_url):
    hh_sandbox.fault("slow", path="/vacancies", seconds=4)
    before = searches(hh_sandbox)
    with contextlib.ExitStack() as ended:
        processes = start_searches(*[{"text": "scala", "per_page": 5}] * CONCURRENT)
        for process in processes:
            ended.enter_context(process)
            ended.callback(process.kill)
        holder_id = process_of_holder(database_url)
        [holder] = [process for process in processes if process.pid == holder_id]
        holder.kill()
        answers = [answer_of(process) for process in processes if process is not holder]
    assert {status for status, _ in answers} == {200}
    assert len({json.dumps([job["id"] for job in body["jobs"]]) for _, body in answers}) == 1
    assert searches(hh_sandbox) - before == 2  # one by the killed process, one for all


def process_of_holder(database_url):
    """Return the id of the process that is calling hh.ru: the one whose connection renewed its
    claim last."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        [(name,)] = until(
            lambda: connection.execute(SELECT_CLAIM_HOLDER).fetchall(), limit_s=HANG_S
        )
    return int(name.removeprefix("process-"))


def test_old_and_unanswered_rows_are_deleted(connection):
    for text in ("python", "java"):
        with get_or_claim(SearchParameters(text=text), connection, 1) as holder:
            holder.store("{}", now=clock.now())
    with get_or_claim(SearchParameters(text="fails"), connection, 1):
        pass
    later = clock.now() + shared_answers.ANSWER_RETENTION + timedelta(minutes=1)

    def delete_old(now, most=10):
        return shared_answers.delete_old(connection=connection, now=now, most=most)

    with get_or_claim(SearchParameters(text="is in progress"), connection, 1) as holder:
        assert delete_old(clock.now()) == 1
        assert [delete_old(later, most=1), delete_old(later), delete_old(later)] == [1, 1, 0]
        holder.store("{}", now=clock.now())
    assert delete_old(clock.now()) == 0
