"""Each era of hh.ru: what a person's submit, campaign, resumes, history and status say, how many
calls hh.ru got, and how many tokens were spent. And the probes of closed methods."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.harness.applying import ApplyHarness, harness, publish, quiet_world
from tests.harness.campaigns import Campaign
from ullgetthejob.accounts import account_status, resumes
from ullgetthejob.applications import commands
from ullgetthejob.applications.models import ApplicationQuery
from ullgetthejob.hh import method_access, methods
from ullgetthejob.hh.errors import HHForbidden
from ullgetthejob.hh.method_access import Admission
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform.errors import NeedsPerson
from ullgetthejob.rate_limits import token_bucket

__all__ = ["harness", "quiet_world"]

DAY = 86_400
# era: (posts of three applications, how they end, whom each closed method is closed for)
ERAS = {
    "2025": (3, "submitted", {}),
    "closed": (0, "handoff", {"resumes_read": "account", "negotiations": "account"}),
    "removed-404": (1, "handoff", {"apply": "service"}),
    "removed-405": (1, "handoff", {"apply": "service"}),
    "removed-410": (1, "handoff", {"apply": "service"}),
    "2026": (0, "handoff", {"resumes_read": "account", "negotiations": "account"}),
}


def calls(harness, route="POST /negotiations"):
    return harness.world.sandbox.control("GET", "/state")["calls"]["by_route"].get(route, 0)


def tokens(harness):
    return token_bucket.read_level("submit", harness.account_id, now=harness.world.now()).tokens


def closed(harness):
    """Return whom each closed method is closed for."""
    found = method_access.read_all(harness.account_id, connection=harness.connection)
    return {each.method: each.scope for each in found if each.state == "closed"}


def refuse(harness, method="apply", *, is_missing=False):
    """Record a refusal of hh.ru's, as after a call."""
    error = HHForbidden("closed")
    error.is_missing = is_missing
    now = harness.world.now()
    admission = method_access.admit(
        method, harness.account_id, connection=harness.connection, now=now
    )
    assert isinstance(admission, Admission)
    method_access.record_refusal(admission, error, connection=harness.connection, now=now)


@pytest.mark.parametrize("era", ERAS)
def test_applications_in_an_era(harness, era):
    posts, state, expected = ERAS[era]
    harness.world.sandbox.set_era(era)
    harness.connection.execute(
        "UPDATE accounts SET negotiations_due_at = %s", [harness.world.now()]
    )
    before = calls(harness)
    accepted = [harness.submit(publish(harness)) for _ in range(3)]
    harness.run()
    rows = [harness.row(each) for each in accepted]
    assert {row.state for row in rows} == {state}
    assert calls(harness) - before == posts
    assert tokens(harness) == (17 if era == "2025" else 20)
    assert closed(harness) == expected
    shown = account_status.show_account(harness.person, harness.context)
    assert shown.access.state == "ok"
    said = {each.method: each for each in shown.methods if each.state == "closed"}
    assert all(each.message and each.next_probe_at for each in said.values())
    listed = commands.list_applications(ApplicationQuery(), harness.person, harness.context)
    assert {item.state for item in listed.items} == {state}
    if state == "handoff":
        assert all(item.link and item.cover_letter for item in listed.items)
        unknowable = ["sent", "viewed", "hh_state"] if "negotiations" in expected else []
        assert all(item.unknowable == unknowable for item in listed.items)
    if era.startswith("removed"):
        assert all(item.resume_id for item in listed.items), "with the resume to send"


@pytest.mark.parametrize("era", [era for era in ERAS if era not in ("2025",)])
def test_application_is_handed_off_once_applying_is_closed(harness, era):
    harness.world.sandbox.set_era(era)
    harness.submit(publish(harness))
    harness.run()
    for number in range(21):  # neither a token nor a limit is waited for
        token_bucket.acquire(
            "submit", harness.account_id, spend_id=f"spent-{number}", now=harness.world.now()
        )
    before = calls(harness)
    vacancy = publish(harness)
    answer = harness.submit(vacancy)
    assert (answer.status, answer.state, answer.reason) == ("handoff", "handoff", "hh_closed")
    assert answer.link == f"https://hh.ru/vacancy/{vacancy}"
    harness.run()
    row = harness.row(answer)
    assert (row.state, row.due_at) == ("handoff", None)
    assert vacancy in row.link
    assert (row.resume_id is not None) == era.startswith("removed")
    assert calls(harness) == before
    confirmed = commands.confirm(str(row.id), harness.person, harness.context)
    assert confirmed.application.state == "submitted"
    assert confirmed.application.by_hand


@pytest.mark.parametrize("era", ["closed", "2026"])
def test_application_with_a_named_resume_is_posted_once(harness, era):
    listed = resumes.list_resumes(harness.person, harness.context)
    harness.world.sandbox.set_era(era)
    before = calls(harness)
    accepted = [harness.submit(publish(harness), hh_resume_id=listed.items[0].id) for _ in range(3)]
    harness.run()
    rows = [harness.row(each) for each in accepted]
    assert {(row.state, row.resume_id) for row in rows} == {("handoff", listed.items[0].id)}
    assert calls(harness) - before == 1
    assert tokens(harness) == 20


@pytest.mark.parametrize("era", ["removed-404", "removed-405", "removed-410"])
def test_new_resume_is_not_made_where_writing_is_removed(harness, era):
    harness.world.sandbox.set_era(era)
    cv = {"email": "a@example.org", "phone": "+79000000000", "title": "Python developer"}
    before = calls(harness, "POST /resumes")
    accepted = [
        harness.submit(publish(harness), create_resume=True, customized_cv=cv) for _ in range(2)
    ]
    harness.run()
    rows = [harness.row(each) for each in accepted]
    assert {(row.state, row.reason) for row in rows} == {("needs_person", "resume_closed")}
    assert closed(harness) == {"resumes_write": "service"}
    assert calls(harness, "POST /resumes") - before == 1
    harness.submit(publish(harness))
    harness.run()
    handed_off = harness.submit(publish(harness), create_resume=True, customized_cv=cv)
    assert handed_off.status == "handoff", "where applying is closed, none is needed"


@pytest.mark.parametrize("era", ["closed", "2026"])
def test_resumes_are_read_once_where_that_is_closed(harness, era):
    harness.world.sandbox.set_era(era)
    before = calls(harness, "GET /resumes/mine")
    for _ in range(3):
        with pytest.raises(NeedsPerson) as raised:
            resumes.list_resumes(harness.person, harness.context)
        assert raised.value.code == "hh_closed"
    assert calls(harness, "GET /resumes/mine") - before == 1
    status = account_status.show_status(harness.person, harness.context)
    assert (status.connected, status.access) == (True, "ok")
    assert [each.method for each in status.closed_methods] == ["resumes_read"]


@pytest.mark.parametrize("is_known", [False, True])
def test_campaign_is_handed_off_in_the_order_of_priorities(harness, database_url, is_known):
    listed = resumes.list_resumes(harness.person, harness.context)
    harness.world.sandbox.set_era("2026")
    if is_known:
        harness.submit(publish(harness), hh_resume_id=listed.items[0].id)
        harness.run()
    before = calls(harness)
    campaign = Campaign(harness, database_url)
    payload = {"hhResumeId": listed.items[0].id}
    wishes = []
    for number in range(50):
        vacancy = publish(harness)
        item = campaign.insert(vacancy, payload=payload)
        campaign.bff("UPDATE application_queue SET priority = %s WHERE id = %s", 50 - number, item)
        wishes.insert(0, vacancy)
    campaign.change("start")
    if is_known:
        assert {row.state for row in campaign.rows().values()} == {"handoff"}, "in the answer"
    while harness.run():
        pass
    rows = campaign.rows().values()
    assert {(row.state, row.reason) for row in rows} == {("handoff", "hh_closed")}
    assert all(row.link and row.resume_id for row in rows)
    first_handed_off = harness.connection.execute(
        "SELECT l.vacancy_id FROM application_history h JOIN application_ledger l"
        " ON l.id = h.ledger_id WHERE h.state = 'handoff' AND l.workflow_id = %s"
        " GROUP BY l.vacancy_id ORDER BY min(h.id)",
        [campaign.id],
    ).fetchall()
    assert [row["vacancy_id"] for row in first_handed_off] == wishes
    assert calls(harness) - before == (0 if is_known else 1)
    assert tokens(harness) == 20
    assert campaign.progress().needs_person == 50


def test_filters_hold_where_applying_is_closed(harness):
    harness.world.sandbox.set_era("removed-410")
    harness.submit(publish(harness))
    harness.run()
    harness.connection.execute(
        "INSERT INTO application_filters (account_id, rules, updated_at) VALUES (%s, %s, %s)",
        [harness.account_id, '{"title_words": ["python"]}', harness.world.now()],
    )
    answer = harness.submit(publish(harness))
    assert answer.status == "processing", "the vacancy is not known yet: it is looked at first"
    harness.run()
    row = harness.row(answer)
    assert (row.state, row.reason) == ("refused", "filtered_title")


def test_closed_method_is_probed_by_one_of_many_callers(harness):
    refuse(harness, is_missing=True)
    now = harness.world.now() + timedelta(days=1)
    url = harness.connection.info.dsn

    def probe(_number):
        with psycopg.connect(
            url, password=harness.connection.info.password, row_factory=dict_row, autocommit=True
        ) as connection:
            found = method_access.admit("apply", harness.account_id, connection=connection, now=now)
            return isinstance(found, Admission)

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(probe, range(50))) == 1


def test_lost_probe_is_repeated_an_hour_later(harness):
    refuse(harness, is_missing=True)
    connection = harness.connection
    due = harness.world.now() + timedelta(days=1)
    for moment, is_admitted in (
        (due - timedelta(minutes=1), False),
        (due, True),
        (due + timedelta(minutes=59), False),
        (due + methods.PROBE_TIMEOUT, True),
    ):
        found = method_access.admit("apply", harness.account_id, connection=connection, now=moment)
        assert isinstance(found, Admission) is is_admitted, moment


def test_method_forbidden_to_three_accounts_is_closed_to_all(quiet_world):
    people = [ApplyHarness(quiet_world, name) for name in ("anna", "timur", "marina")]
    for person in people[:2]:
        refuse(person)
        assert closed(person) == {"apply": "account"}
    refuse(people[2])
    service = method_access.read("apply", None, connection=people[0].connection).service
    assert (service.state, service.reason) == ("closed", "forbidden")


def test_answer_under_way_does_not_open_a_closed_method(harness):
    connection, now = harness.connection, harness.world.now()
    sent = method_access.admit("apply", harness.account_id, connection=connection, now=now)
    refuse(harness)
    method_access.record_answer(sent, connection=connection, now=now)
    assert closed(harness) == {"apply": "account"}


def test_closed_search_is_not_called_again_until_its_probe(harness):
    harness.world.sandbox.fault("withdrawn", path="/vacancies", method="GET", status=405)
    context, before = harness.context, calls(harness, "GET /vacancies")

    def search():
        return method_access.call_as_service(
            "search", lambda: context.hh.search(SearchParameters()), context
        )

    for _ in range(3):
        with pytest.raises(HHForbidden):
            search()
    assert calls(harness, "GET /vacancies") - before == 1
    harness.world.sandbox.control("DELETE", "/faults")
    harness.world.sandbox.advance(601)
    assert search().found >= 0
    found = method_access.read("search", None, connection=harness.connection)
    assert (found.state, found.service.probes) == ("open", 0)


def test_token_is_given_back_once(harness):
    owner, now = harness.account_id, harness.world.now()

    def give_back(spend_id, after_s=0):
        later = now + timedelta(seconds=after_s)
        return token_bucket.give_back("submit", owner, spend_id=spend_id, spent_at=now, now=later)

    for name in ("a", "b"):
        token_bucket.acquire("submit", owner, spend_id=name, now=now)
    assert tokens(harness) == 18
    assert give_back("a")
    assert not give_back("a")
    assert not give_back("never spent")
    assert not give_back("b", after_s=450), "the bucket may have been full since"
    assert tokens(harness) == 19
    token_bucket.acquire("submit", owner, spend_id="a", now=now)
    assert tokens(harness) == 18, "the spend id is charged again"
