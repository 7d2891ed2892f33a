"""What hh.ru withdraws, what always fails, and what a captcha holds up, on the real sandbox."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.test_apply import desk, publish
from ullgetthejob.accounts import people, resumes
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import settings
from ullgetthejob.rate_limits import token_bucket

__all__ = ["desk"]

DAY = 86_400
WAYS = [
    *((status, body) for status in (404, 405, 410, 501) for body in ("json", "html", "empty")),
    (403, "json"),
    (403, "empty"),
]


def tokens(desk):
    return token_bucket.read_level("submit", desk.account_id, now=desk.world.now()).tokens


def access(desk):
    return people.find_by_id(desk.user_id).access


def calls(desk, route="POST /negotiations"):
    return desk.world.sandbox.control("GET", "/state")["calls"]["by_route"].get(route, 0)


def close(desk, path, status=404, body="json", **options):
    options = {"method": "GET", **options}
    desk.world.sandbox.fault("withdrawn", path=path, status=status, body=body, **options)


def run_on(desk, accepted, *, minutes=20):
    """Let the workers work as the minutes pass."""
    for _ in range(minutes):
        desk.run()
        desk.world.sandbox.advance(60)
        desk.sweep()
    return [desk.row(one) for one in accepted]


@pytest.mark.parametrize(("status", "body"), WAYS)
def test_applying_that_hh_ru_closed_is_tried_once_and_all_is_handed_off(desk, status, body):
    accepted = [desk.submit(publish(desk)) for _ in range(3)]
    before = calls(desk)
    close(desk, "/negotiations", status, body, method="POST")
    rows = run_on(desk, accepted, minutes=10)
    assert {(row.state, row.reason) for row in rows} == {("handoff", "hh_closed")}
    assert all(row.link and row.letter for row in rows)
    assert calls(desk) - before == 1
    assert tokens(desk) >= 19
    held = access(desk)
    assert (held.state, held.reason) == ("closed", "applying_closed")
    assert timedelta(hours=23) < held.until - desk.world.now() <= timedelta(days=1)


def test_applying_that_is_closed_leaves_the_resumes_open(desk):
    close(desk, "/negotiations", method="POST")
    run_on(desk, [desk.submit(publish(desk))], minutes=2)
    listed = resumes.list_resumes(
        desk.person,
        caller=people_caller(),
        hh=desk.hh,
        connection=desk.connection,
        now=desk.world.now(),
    )
    assert listed.items
    assert access(desk).state == "closed", "reading proves nothing about applying"


def people_caller():
    from tests.integration.test_apply import CALLER

    return CALLER


def test_applying_is_tried_with_one_application_a_day_later_then_two_days_later(desk):
    close(desk, "/negotiations", method="POST")
    run_on(desk, [desk.submit(publish(desk))], minutes=2)
    for days in (1, 2):
        desk.world.sandbox.advance(days * DAY)
        before = calls(desk)
        accepted = [desk.submit(publish(desk)) for _ in range(2)]
        rows = run_on(desk, accepted, minutes=5)
        assert {row.state for row in rows} == {"handoff"}
        assert calls(desk) - before == 1
        pause = access(desk).until - desk.world.now()
        assert timedelta(days=2 * days) - timedelta(hours=1) < pause <= timedelta(days=2 * days)


def test_applying_that_opens_again_is_noticed_by_the_next_application(desk):
    close(desk, "/negotiations", method="POST")
    first = desk.submit(publish(desk))
    run_on(desk, [first], minutes=2)
    desk.world.sandbox.control("DELETE", "/faults")
    desk.world.sandbox.advance(DAY)
    second = desk.submit(publish(desk))
    (row,) = run_on(desk, [second], minutes=2)
    assert row.state == "submitted"
    held = access(desk)
    assert (held.state, held.tries) == ("ok", 0)
    assert desk.row(first).state == "handoff", "what was handed off stays the person's"


@pytest.mark.parametrize("path", ["/resumes/mine", "/negotiations"])
@pytest.mark.parametrize(("status", "body"), [(404, "html"), (405, "json"), (403, "empty")])
def test_reading_that_hh_ru_closed_hands_off_and_posts_nothing(desk, path, status, body):
    accepted = [desk.submit(publish(desk)) for _ in range(2)]
    desk.connection.execute("UPDATE accounts SET negotiations_due_at = %s", [desk.world.now()])
    close(desk, path, status, body)
    before = calls(desk)
    rows = run_on(desk, accepted, minutes=3)
    assert {(row.state, row.reason) for row in rows} == {("handoff", "hh_closed")}
    assert calls(desk) == before
    assert tokens(desk) == 20
    assert (access(desk).state, access(desk).reason) == ("closed", "forbidden")


def test_reading_that_opens_again_is_noticed_without_anyone_asking(desk):
    desk.connection.execute("UPDATE accounts SET negotiations_due_at = %s", [desk.world.now()])
    close(desk, "/negotiations")
    desk.run()
    assert access(desk).state == "closed"
    desk.world.sandbox.control("DELETE", "/faults")
    desk.world.sandbox.advance(DAY + 1)
    assert desk.sweep().rung == 1
    desk.run()
    assert access(desk).state == "ok"


def test_lost_answer_is_handed_off_where_negotiations_cannot_be_read(desk):
    accepted = desk.submit(publish(desk))
    desk.world.sandbox.fault("lost", path="/negotiations", method="POST", times=1)
    close(desk, "/negotiations")
    (row,) = run_on(desk, [accepted], minutes=5)
    assert (row.state, row.reason) == ("handoff", "hh_closed")
    assert len(desk.posted()) == 1


def test_answer_that_says_nothing_is_looked_up_and_not_posted_again(desk):
    accepted = desk.submit(publish(desk))
    close(desk, "/negotiations", 200, "empty", method="POST")
    before = calls(desk)
    (row,) = run_on(desk, [accepted], minutes=10)
    assert (row.state, row.reason) == ("handoff", "unclear_answer")
    assert row.link
    assert calls(desk) - before == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_vacancy_that_always_fails_is_handed_off_while_others_go_out(desk, method):
    poisoned, good = publish(desk), publish(desk)
    desk.world.sandbox.fault("bad_gateway", vacancy_id=poisoned, method=method)
    accepted = [desk.submit(poisoned), desk.submit(good)]
    rows = run_on(desk, accepted, minutes=15)
    assert (rows[0].state, rows[0].reason) == ("handoff", "hh_unreliable")
    assert rows[0].link.endswith(poisoned)
    assert rows[1].state == "submitted"
    hits = [one for one in desk.world.sandbox.control("GET", "/hits")["hits"]
            if one["status"] == 502]  # fmt: skip
    assert len(hits) <= 5
    other = HHClient(desk.world.sandbox.url, user_agent="UllGetTheJob/1.0 (t@example.org)",
                     pacer=Pacer(settings.text("PACER_TABLE"), calls_per_second=1000))  # fmt: skip
    desk.world.clients.append(other)
    assert other.is_answering(), "calls are not paused for anyone"


def test_application_waits_while_hh_ru_fails_all_and_goes_out_then(desk):
    accepted = desk.submit(publish(desk))
    desk.world.sandbox.fault("bad_gateway", path="/")
    (row,) = run_on(desk, [accepted], minutes=60)
    assert (row.state, row.reason) == ("queued", "hh_unavailable")
    desk.world.sandbox.control("DELETE", "/faults")
    desk.world.clients.append(desk.hh)
    (row,) = run_on(desk, [accepted], minutes=30)
    assert row.state == "submitted"


def test_captcha_is_shown_at_the_application_and_noticed_when_solved(desk):
    accepted = desk.submit(publish(desk))
    desk.world.sandbox.fault("captcha", path="/resumes")
    desk.run()
    row = desk.row(accepted)
    assert (row.state, row.reason) == ("needs_person", "captcha")
    assert row.link == access(desk).captcha_url
    assert row.link.startswith("https://hh.ru/account/captcha?")
    desk.world.sandbox.control("DELETE", "/faults")  # the person has solved it
    (row,) = run_on(desk, [accepted], minutes=12)
    assert row.state == "submitted"
    assert access(desk).state == "ok"
