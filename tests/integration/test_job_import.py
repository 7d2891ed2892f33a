"""Import of vacancies from links, against the sandbox: facts, campaign items, and what is later."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

import pytest

from tests.harness.applying import harness, publish
from tests.harness.context import CORE, make_context
from tests.harness.fetching import receive_wake_ups
from tests.harness.killing import sqs_message
from ullgetthejob.applications.campaigns import commands as campaigns
from ullgetthejob.applications.campaigns.models import WorkflowBody
from ullgetthejob.filters import commands as filters
from ullgetthejob.filters.models import FiltersBody
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.job_import import commands
from ullgetthejob.job_import.models import ImportBody
from ullgetthejob.platform import settings
from ullgetthejob.platform.errors import NotFound
from ullgetthejob.vacancies import requested_details

__all__ = ["harness"]

PIER = {"id": "77001", "name": "Облачная пристань"}


@pytest.fixture
def run(harness):
    """Return the import, as the harness's person requests it."""

    def imported(*links, **fields):
        queue = Pacer(settings.PACER_TABLE(), calls_per_second=100, egress="test#searches")
        body = ImportBody.model_validate({"links": links, **fields})
        return commands.import_links(body, queue, harness.person, harness.context)

    return imported


def link(vacancy_id):
    return f"https://hh.ru/vacancy/{vacancy_id}?from=share"


def calls(harness):
    by_route = harness.world.sandbox.control("GET", "/state")["calls"]["by_route"]
    return by_route.get("GET /vacancies/{vacancy_id}", 0)


def stored(harness):
    rows = harness.connection.execute("SELECT external_id FROM jobs ORDER BY external_id")
    return [row["external_id"] for row in rows.fetchall()]


def items(harness, workflow_id):
    rows = harness.connection.execute(
        "SELECT job_external_id AS id, core_state FROM application_queue WHERE workflow_id = %s",
        [workflow_id],
    )
    return {row["id"]: row["core_state"] for row in rows.fetchall()}


def test_each_link_has_its_facts_or_its_own_error(harness, run):
    job_id, closed = publish(harness, employer=PIER), publish(harness)
    harness.world.sandbox.control("POST", f"/vacancies/{closed}/close")
    wrong = "https://example.org/vacancy/1"
    answer = run(link(job_id), wrong, link(closed), link("999999999"), "hh.ru/employer/1", job_id)
    assert [(own.kind, own.error) for own in answer.links] == [
        ("vacancy", None),
        (None, "not_hh"),
        ("vacancy", "vacancy_archived"),
        ("vacancy", "job_not_found"),
        (None, "no_vacancy"),
        ("vacancy", None),
    ]
    [vacancy] = answer.links[0].vacancies
    assert (vacancy.job_id, vacancy.company) == (job_id, PIER["name"])
    assert (answer.stored, answer.later, answer.failed) == (1, 0, 4)
    assert answer.campaign is None
    assert stored(harness) == sorted([job_id, closed])


def test_vacancy_that_is_kept_is_not_read_again(harness, run):
    job_id = publish(harness)
    first, before = run(link(job_id)), calls(harness)
    assert run(link(job_id)) == first
    assert calls(harness) == before
    harness.world.sandbox.advance(25 * 3600)
    run(link(job_id))
    assert calls(harness) == before + 1


def test_search_has_its_first_vacancies_up_to_the_bound(harness, run):
    for _ in range(4):
        harness.world.sandbox.publish("Реставратор роялей")
    answer = run("https://hh.ru/search/vacancy?text=реставратор+роялей", max_per_search=3)
    assert answer.links[0].found == 4
    assert [own.status for own in answer.links[0].vacancies] == ["stored"] * 3
    refused = run("https://hh.ru/search/vacancy?text=a&area=123456789")
    assert (refused.links[0].kind, refused.links[0].error) == ("search", "invalid_request")


def test_vacancies_become_items_once_and_pass_the_same_gates(harness, run):
    body = FiltersBody.model_validate({"rules": {"employers": [{"id": "77001"}]}})
    filters.replace(body, harness.person, harness.context)
    dropped, wanted = publish(harness, employer=PIER), publish(harness)
    links = [link(dropped), link(wanted), link(wanted), "https://example.org"]
    first = run(*links, apply={"min_fit": 0})
    assert first.campaign is not None
    assert (first.campaign.status, first.campaign.queued_count) == ("created", 2)
    again = run(*links, apply={"min_fit": 0})
    assert again.campaign is not None
    assert again.campaign.workflow_id == first.campaign.workflow_id
    assert again.campaign.queued_count == 0
    workflow_id = first.campaign.workflow_id
    campaigns.start(WorkflowBody(workflow_id=workflow_id), harness.person, harness.context)
    harness.run()
    assert items(harness, workflow_id) == {dropped: "refused", wanted: "submitted"}
    assert [row["vacancy_id"] for row in harness.posted()] == [wanted]


def test_campaign_and_template_of_others_are_not_found(harness, run):
    job_id, other = publish(harness), uuid4()
    with pytest.raises(NotFound):
        run(link(job_id), apply={"letter_template_id": str(other)})
    harness.connection.execute(
        "WITH other AS (INSERT INTO accounts (hh_user_id, access_changed_at, created_at)"
        " VALUES ('other', now(), now()) RETURNING id)"
        " INSERT INTO campaigns (workflow_id, account_id, user_id, state, created_at, updated_at)"
        " SELECT %s, id, %s, 'created', now(), now() FROM other",
        [other, harness.user_id],
    )
    with pytest.raises(NotFound):
        run(link(job_id), apply={"workflow_id": str(other)})


def test_what_hh_has_no_time_for_is_read_in_the_background(harness, run):
    ids = [publish(harness) for _ in range(3)]
    harness.world.sandbox.fault("server_error", path="/vacancies/", times=1)
    answer = run(*map(link, ids), apply={})
    assert {own.status for found in answer.links for own in found.vacancies} == {"later"}
    assert (answer.later, answer.failed) == (3, 0)
    assert answer.campaign is not None
    assert set(items(harness, answer.campaign.workflow_id)) == set(ids)
    [sent] = receive_wake_ups("FETCH_QUEUE_URL", "vacancy_ids")
    assert sent == ",".join(ids)
    harness.world.sandbox.control("DELETE", "/faults")
    context = make_context(harness.connection, harness.world.now, caller=CORE, hh=harness.hh)
    requested_details.read_requested({"vacancy_ids": sent}, context)
    assert stored(harness) == sorted(ids)


def test_background_reading_is_repeated_only_so_often(harness):
    ids = [publish(harness) for _ in range(2)]
    harness.world.sandbox.fault("server_error", path="/vacancies/")
    context = make_context(harness.connection, harness.world.now, caller=CORE, hh=harness.hh)
    read = partial(requested_details.read_requested, context=context)
    read({"vacancy_ids": ",".join(ids), "attempt": str(requested_details.MAX_ATTEMPTS)})
    assert receive_wake_ups("FETCH_QUEUE_URL", "vacancy_ids") == []
    assert stored(harness) == []


def test_background_reader_killed_after_any_effect_reads_all(harness, functions):
    """SQS delivers the message again; then it comes twice at once. What was stored is not read
    again."""
    ids = [publish(harness) for _ in range(2)]
    requested = sqs_message("fetch_worker", vacancy_ids=",".join(ids), attempt="1")
    effects = list(functions.kill_after_each(lambda: requested))
    functions.call(requested, requested)
    assert any("jobs" in effect for effect in effects)
    assert stored(harness) == sorted(ids)
    assert len(ids) <= calls(harness) <= len(ids) + len(effects)
