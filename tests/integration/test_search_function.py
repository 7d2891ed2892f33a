"""functions/search and functions/health on their sample events, with real services."""

import json
import os
import time

import psycopg

from functions.search import app
from tests.fixtures.local_cloud import ROOT
from tests.fixtures.search_function import CONTEXT, SECRET, clear_environment
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import postgres
from ullgetthejob.vacancies import search

BUSY_S = 60  # of a busy machine, between two lines of a test


def test_health_reports_up_and_down(function, monkeypatch):
    status, body = function("health")
    assert (status, body["status"], body["db"]) == (200, "ok", "up")
    assert {each["state"] for each in body["hh_methods"]} <= {"open", "closed", "unknown"}
    assert {each["account"] for each in body["hh_methods"]} == {"unknown"}, "nothing of a person"
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@127.0.0.1:9/d")
    postgres.close()
    assert function("health") == (503, {"status": "unavailable", "db": "down", "hh_methods": []})


def test_sample_search_is_answered_and_stored(function, hh_sandbox, database_url):
    hh_sandbox.publish(
        "JavaScript Developer",
        area="1",
        experience="between1And3",
        employment_form="FULL",
        work_format=["REMOTE"],
    )
    status, body = function("search")
    assert status == 200
    assert body["jobs"]
    with psycopg.connect(database_url) as connection:
        stored = connection.execute("SELECT external_id FROM jobs").fetchall()
    assert {job["id"] for job in body["jobs"]} == {id for (id,) in stored}


def test_excluded_employer_is_left_out_though_hh_ignores_that(function, hh_sandbox):
    hh_sandbox.set_era("2026")  # its documents no longer have the parameter for a search
    shown, hidden = (
        hh_sandbox.publish("Реставратор роялей", employer=name) for name in ("Филармония", "Опера")
    )
    body = {"text": "реставратор роялей", "excluded_employer_id": hidden["employer"]["id"]}
    _, answer = function("search", body=json.dumps(body))
    assert [job["id"] for job in answer["jobs"]] == [shown["id"]]


def test_repeated_search_stores_jobs_once(function, database_url):
    body = json.dumps({"text": "", "per_page": 50})
    first, second = function("search", body=body), function("search", body=body)
    assert first == second
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (50,)


def test_job_is_read_by_both_of_its_ids(function, database_url):
    [job] = function("search", body=json.dumps({"per_page": 1}))[1]["jobs"]
    status, body = function("search", "search-job", pathParameters={"id": job["id"]})
    assert (status, body["job"]["full_description_loaded"]) == (200, True)
    with psycopg.connect(database_url) as connection:
        [(row_id,)] = connection.execute("SELECT id::text FROM jobs").fetchall()
    assert function("search", "search-job", pathParameters={"id": row_id}) == (status, body)


def test_archived_job_is_still_shown(function, hh_sandbox):
    vacancy = hh_sandbox.publish("Закрытая вакансия")
    hh_sandbox.control("POST", f"/vacancies/{vacancy['id']}/close")
    status, body = function("search", "search-job", pathParameters={"id": vacancy["id"]})
    assert (status, body["job"]["archived"]) == (200, True)


def test_unknown_code_is_refused_before_the_search(function, hh_sandbox):
    status, body = function("search", body=json.dumps({"area": "123456789"}))
    assert (status, body["details"]["fields"][0]["field"]) == (422, "area")
    assert "GET /vacancies" not in hh_sandbox.control("GET", "/state")["calls"]["by_route"]


def test_unreachable_postgres_is_503_without_a_search(function, hh_sandbox, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hidden@127.0.0.1:9/d")
    postgres.close()
    status, body = function("search")
    assert (status, body["error"]) == (503, "database_unavailable")
    assert "hidden" not in json.dumps(body)
    assert "GET /vacancies" not in hh_sandbox.control("GET", "/state")["calls"]["by_route"]


def test_secrets_tokens_and_search_texts_are_not_logged(function, hh_sandbox, monkeypatch, capfd):
    import io

    from ullgetthejob.platform import telemetry

    log = io.StringIO()
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", log)
    needle = "needle-of-a-search"
    function("search", body=json.dumps({"text": needle}))
    for kind in ("token_revoked", "server_error", "captcha", "edge_block", "errors_with_200"):
        hh_sandbox.fault(kind, times=1)
        function("search", body=json.dumps({"text": needle}))
        clear_environment()
    out, err = capfd.readouterr()
    written = log.getvalue() + out + err
    assert '"message":"invocation"' in written
    for hidden in (needle, SECRET, hh_sandbox.token(), "postgresql://"):
        assert hidden not in written


def take_slot(seconds, egress="default"):
    """Reserve slots so that the next one begins in *seconds*."""
    table = os.environ["PACER_TABLE"]
    Pacer(table, calls_per_second=1 / seconds, egress=egress).wait()


def test_search_without_a_slot_in_time_is_refused_at_once(function, hh_sandbox):
    take_slot(search.PATIENCE_S + BUSY_S, egress="default#searches")
    began = time.monotonic()
    event = json.loads((ROOT / "events" / "search.json").read_text())
    response = app.handler({**event, "body": json.dumps({"text": "fortran"})}, CONTEXT)
    assert time.monotonic() - began < search.PATIENCE_S, "it did not wait for the slot"
    assert response["statusCode"] == 429
    assert json.loads(response["body"])["error"] == "too_many_requests"
    assert 0 < int(response["headers"]["retry-after"]) <= search.PATIENCE_S + BUSY_S
    # other requests than searches do not wait in that queue
    assert function("search", "search-job", pathParameters={"id": "1"})[0] == 404


def test_search_waits_for_a_free_slot(function):
    began = time.monotonic()
    take_slot(6)  # more than the pacer's patience for a single call
    assert function("search", body=json.dumps({"text": "cobol"}))[0] == 200
    assert time.monotonic() - began > 4


def test_search_refused_after_waiting_makes_no_call(function, hh_sandbox, monkeypatch):
    monkeypatch.setattr(search, "PATIENCE_S", 2.0)
    take_slot(20)
    before = hh_sandbox.control("GET", "/state")["calls"]["by_route"].get("GET /vacancies", 0)
    status, body = function("search", body=json.dumps({"text": "algol"}))
    assert (status, body["error"]) == (429, "too_many_requests")
    assert body["advice"]
    after = hh_sandbox.control("GET", "/state")["calls"]["by_route"].get("GET /vacancies", 0)
    assert after == before
