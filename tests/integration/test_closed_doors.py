"""Withdrawn methods of hh.ru, calls that always fail, and captchas, on the real sandbox."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.harness.applying import harness, publish
from ullgetthejob.accounts import account_status, people, resumes
from ullgetthejob.applications import commands
from ullgetthejob.applications.models import ApplicationQuery
from ullgetthejob.hh import method_access
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import settings
from ullgetthejob.rate_limits import status as status_module
from ullgetthejob.rate_limits import token_bucket

__all__ = ["harness"]

DAY = 86_400
REFUSALS = [
    *((status, body) for status in (404, 405, 410, 501) for body in ("json", "html", "empty")),
    (403, "json"),
    (403, "empty"),
]


def tokens(harness):
    return token_bucket.read_level("submit", harness.account_id, now=harness.world.now()).tokens


def spend_all_tokens(harness):
    for number in range(21):
        token_bucket.acquire(
            "submit", harness.account_id, spend_id=f"spent-{number}", now=harness.world.now()
        )
    assert tokens(harness) == 0


def access(harness):
    return people.find_by_id(harness.user_id).access


def method(harness, name="apply"):
    return method_access.read(name, harness.account_id, connection=harness.connection)


def calls(harness, route="POST /negotiations"):
    return harness.world.sandbox.control("GET", "/state")["calls"]["by_route"].get(route, 0)


def close(harness, path, status=404, body="json", **options):
    options = {"method": "GET", **options}
    harness.world.sandbox.fault("withdrawn", path=path, status=status, body=body, **options)


def read_negotiations_now(harness):
    harness.connection.execute(
        "UPDATE accounts SET negotiations_due_at = %s", [harness.world.now()]
    )


def run_workers(harness, accepted, *, minutes=20):
    """Run the workers and the sweeper for *minutes* of domain time; return the rows."""
    for _ in range(minutes):
        harness.run()
        harness.world.sandbox.advance(60)
        harness.sweep()
    return [harness.row(application) for application in accepted]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_closed_applying_is_tried_once_and_handed_off(harness, status, body):
    accepted = [harness.submit(publish(harness)) for _ in range(3)]
    before = calls(harness)
    close(harness, "/negotiations", status, body, method="POST")
    rows = run_workers(harness, accepted, minutes=10)
    assert {(row.state, row.reason) for row in rows} == {("handoff", "hh_closed")}
    assert all(row.link and row.letter for row in rows)
    assert calls(harness) - before == 1
    assert tokens(harness) == 20, "the token of the refused call is given back"
    assert access(harness).state == "ok", "nothing else is closed"
    found = method(harness)
    expected = ("account", "forbidden") if status == 403 else ("service", "no_such_method")
    assert (found.scope, found.decisive.reason) == expected
    pause = found.decisive.probe_at - harness.world.now()
    assert timedelta(hours=23) < pause <= timedelta(days=1)


def test_closed_applying_hands_off_without_waiting_for_tokens(harness):
    waiting = [harness.submit(publish(harness)) for _ in range(23)]
    harness.run()
    assert [harness.row(each).state for each in waiting].count("waiting_quota") == 3
    close(harness, "/negotiations", 410, method="POST")
    before = calls(harness)
    harness.world.sandbox.advance(460)  # one more token, which the refused call spends
    harness.sweep()
    harness.run()
    assert {harness.row(each).state for each in waiting} == {"submitted", "handoff"}
    spend_all_tokens(harness)
    accepted = [harness.submit(publish(harness)) for _ in range(5)]
    harness.run()
    assert {harness.row(each).state for each in accepted} == {"handoff"}
    assert calls(harness) - before == 1


def test_closed_applying_leaves_resumes_open(harness):
    close(harness, "/negotiations", method="POST")
    run_workers(harness, [harness.submit(publish(harness))], minutes=2)
    listed = resumes.list_resumes(harness.person, harness.context)
    assert listed.items
    assert method(harness).state == "closed", "a successful read does not reopen applying"
    assert method(harness, "resumes_read").state == "open"


def test_closed_applying_is_retried_with_growing_delays(harness):
    close(harness, "/negotiations", method="POST")
    run_workers(harness, [harness.submit(publish(harness))], minutes=2)
    for days in (1, 2):
        harness.world.sandbox.advance(days * DAY)
        before = calls(harness)
        accepted = [harness.submit(publish(harness)) for _ in range(2)]
        rows = run_workers(harness, accepted, minutes=5)
        assert {row.state for row in rows} == {"handoff"}
        assert calls(harness) - before == 1
        pause = method(harness).decisive.probe_at - harness.world.now()
        assert timedelta(days=2 * days) - timedelta(hours=1) < pause <= timedelta(days=2 * days)


def test_reopened_applying_is_found_by_the_next_application(harness):
    close(harness, "/negotiations", method="POST")
    first = harness.submit(publish(harness))
    run_workers(harness, [first], minutes=2)
    harness.world.sandbox.control("DELETE", "/faults")
    harness.world.sandbox.advance(DAY)
    second = harness.submit(publish(harness))
    (row,) = run_workers(harness, [second], minutes=2)
    assert row.state == "submitted"
    found = method(harness)
    assert (found.state, found.service.state, found.service.probes) == ("open", "open", 0)
    assert harness.row(first).state == "handoff", "a handed-off application stays with the person"


@pytest.mark.parametrize(("status", "body"), [(404, "html"), (405, "json"), (403, "empty")])
def test_closed_resumes_hand_off_without_a_post(harness, status, body):
    accepted = [harness.submit(publish(harness)) for _ in range(2)]
    close(harness, "/resumes/mine", status, body)
    before, read = calls(harness), calls(harness, "GET /resumes/mine")
    rows = run_workers(harness, accepted, minutes=3)
    assert {(row.state, row.reason) for row in rows} == {("handoff", "hh_closed")}
    assert calls(harness) == before
    assert calls(harness, "GET /resumes/mine") - read == 1
    assert tokens(harness) == 20
    assert access(harness).state == "ok"
    assert method(harness, "resumes_read").state == "closed"


def test_closed_resumes_leave_applying_with_a_named_resume_open(harness):
    listed = resumes.list_resumes(harness.person, harness.context)
    close(harness, "/resumes/mine", 405)
    run_workers(harness, [harness.submit(publish(harness))], minutes=1)
    accepted = harness.submit(publish(harness), hh_resume_id=listed.items[0].id)
    (row,) = run_workers(harness, [accepted], minutes=1)
    assert (row.state, row.resume_reason) == ("submitted", "asked_for")


@pytest.mark.parametrize(("status", "body"), [(404, "html"), (405, "json"), (403, "empty")])
def test_closed_negotiations_leave_applying_open(harness, status, body):
    accepted = [harness.submit(publish(harness)) for _ in range(2)]
    read_negotiations_now(harness)
    close(harness, "/negotiations", status, body)
    before = calls(harness, "GET /negotiations")
    rows = run_workers(harness, accepted, minutes=30)
    assert {row.state for row in rows} == {"submitted"}
    assert calls(harness, "GET /negotiations") - before == 1
    shown = account_status.show_account(harness.person, harness.context)
    assert [each.method for each in shown.methods if each.state == "closed"] == ["negotiations"]
    assert shown.counters is not None
    assert shown.counters.resumes_count >= 1
    limits = status_module.read_status(
        harness.person, connection=harness.connection, now=harness.world.now()
    )
    assert (limits.can_apply, limits.by_hand) == (True, "confirmed")
    listed = commands.list_applications(ApplicationQuery(), harness.person, harness.context)
    assert {tuple(item.unknowable) for item in listed.items} == {("viewed", "hh_state")}


def test_reopened_reading_is_found_by_the_sweeper(harness):
    read_negotiations_now(harness)
    close(harness, "/negotiations")
    harness.run()
    assert method(harness, "negotiations").state == "closed"
    harness.world.sandbox.control("DELETE", "/faults")
    harness.world.sandbox.advance(DAY + 1)
    assert harness.sweep().notified == 1
    harness.run()
    assert method(harness, "negotiations").state == "open"


def test_lost_response_without_negotiations_is_handed_off(harness):
    accepted = harness.submit(publish(harness))
    harness.world.sandbox.fault("lost", path="/negotiations", method="POST", times=1)
    close(harness, "/negotiations")
    (row,) = run_workers(harness, [accepted], minutes=5)
    assert (row.state, row.reason) == ("handoff", "hh_closed")
    assert len(harness.posted()) == 1


def test_unclear_response_is_looked_up_and_not_repeated(harness):
    accepted = harness.submit(publish(harness))
    close(harness, "/negotiations", 200, "empty", method="POST")
    before = calls(harness)
    (row,) = run_workers(harness, [accepted], minutes=10)
    assert (row.state, row.reason) == ("handoff", "unclear_answer")
    assert row.link
    assert calls(harness) - before == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_failing_vacancy_is_handed_off_and_others_submitted(harness, method):
    poisoned, good = publish(harness), publish(harness)
    harness.world.sandbox.fault("bad_gateway", vacancy_id=poisoned, method=method)
    accepted = [harness.submit(poisoned), harness.submit(good)]
    rows = run_workers(harness, accepted, minutes=15)
    assert (rows[0].state, rows[0].reason) == ("handoff", "hh_unreliable")
    assert rows[0].link.endswith(poisoned)
    assert rows[1].state == "submitted"
    hits = [hit for hit in harness.world.sandbox.control("GET", "/hits")["hits"]
            if hit["status"] == 502]  # fmt: skip
    assert len(hits) <= 5
    other = HHClient(harness.world.sandbox.url, user_agent="UllGetTheJob/1.0 (t@example.org)",
                     pacer=Pacer(settings.PACER_TABLE(), calls_per_second=1000))  # fmt: skip
    harness.world.clients.append(other)
    assert other.is_answering(), "calls are not paused"


def test_application_waits_while_hh_ru_is_down(harness):
    accepted = harness.submit(publish(harness))
    harness.world.sandbox.fault("bad_gateway", path="/")
    (row,) = run_workers(harness, [accepted], minutes=60)
    assert (row.state, row.reason) == ("queued", "hh_unavailable")
    harness.world.sandbox.control("DELETE", "/faults")
    harness.world.clients.append(harness.hh)
    (row,) = run_workers(harness, [accepted], minutes=30)
    assert row.state == "submitted"


def test_captcha_is_shown_and_its_solution_is_found(harness):
    accepted = harness.submit(publish(harness))
    harness.world.sandbox.fault("captcha", path="/resumes")
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.reason) == ("needs_person", "captcha")
    assert row.link == access(harness).captcha_url
    assert row.link.startswith("https://hh.ru/account/captcha?")
    harness.world.sandbox.control("DELETE", "/faults")  # the person has solved it
    (row,) = run_workers(harness, [accepted], minutes=12)
    assert row.state == "submitted"
    assert access(harness).state == "ok"
