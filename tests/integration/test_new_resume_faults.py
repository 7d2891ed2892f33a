"""Creation of a resume under faults: lost answers, killed workers, concurrent cancellation."""

import json
from contextlib import suppress

import httpx
import pytest

from tests.harness.apply_process import STEPS_OF_MAKING_A_RESUME, STEPS_OF_PUBLISHING_IT
from tests.harness.new_resumes import TITLE, ResumeHarness, retry_and_run
from tests.harness.worker_pool import Workers
from ullgetthejob.applications import ledger, resume_creation, submitter
from ullgetthejob.hh.client import HHClient


@pytest.fixture
def harness(quiet_world):
    return ResumeHarness(quiet_world)


# ── faults ──────────────────────────────────────────────────────────────────────────────────────


def created_titles(harness, before):
    known = set(before.values())
    return [title for title, resume_id in harness.resumes.items() if resume_id not in known]


@pytest.mark.parametrize("fault", ["lost", "truncated"])
def test_lost_answer_is_settled_by_title(harness, fault):
    before = harness.resumes
    accepted = harness.submit_with_new_resume()
    harness.world.sandbox.fault(fault, path="/resumes", method="POST", times=1)
    harness.run()
    harness.let_pass(rounds=3)
    assert harness.row(accepted).state == "submitted"
    assert created_titles(harness, before) == [TITLE]
    assert (harness.count_calls(), harness.row(accepted).resume_id) == (1, harness.resumes[TITLE])


def test_call_that_never_arrived_is_repeated_when_certain(harness):
    before = harness.resumes
    accepted = harness.submit_with_new_resume()
    harness.world.sandbox.fault("drop", path="/resumes", method="POST", times=1)
    harness.run()
    harness.let_pass(rounds=5)
    assert harness.state(accepted) == ("queued", "resume_not_visible")
    assert created_titles(harness, before) == []
    harness.let_pass(rounds=4)
    assert harness.row(accepted).state == "submitted"
    assert created_titles(harness, before) == [TITLE]


def test_creation_calls_that_never_arrive_are_limited(harness):
    accepted = harness.submit_with_new_resume()
    harness.world.sandbox.fault("drop", path="/resumes", method="POST")
    harness.run()
    harness.let_pass(rounds=8, seconds=91)
    assert harness.state(accepted) == ("needs_person", "resume_not_available")
    assert harness.tokens() == 20
    harness.world.sandbox.control("DELETE", "/faults")
    retry_and_run(harness, accepted)
    harness.let_pass(rounds=1)
    assert harness.row(accepted).state == "submitted"


def test_lost_answer_of_publishing_is_harmless(harness):
    accepted = harness.submit_with_new_resume()
    harness.run()
    harness.world.sandbox.fault("lost", path="/resumes/", method="POST", times=1)
    harness.let_pass(rounds=3)
    assert harness.row(accepted).state == "submitted"
    assert harness.count_calls("POST /resumes/{resume_id}/publish") == 1


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    with Workers(tmp_path_factory.mktemp("workers") / "log") as started:
        yield started


@pytest.mark.parametrize("step", [*STEPS_OF_MAKING_A_RESUME, *STEPS_OF_PUBLISHING_IT])
def test_worker_killed_at_any_step_creates_one_resume(harness, workers, step):
    before = harness.resumes
    accepted = harness.submit_with_new_resume()
    if step in STEPS_OF_PUBLISHING_IT:
        harness.run()
        harness.world.sandbox.advance(11)
    workers.kill_at(step, harness.account_id, harness.world.clock.path)
    harness.run()  # its lease has not expired
    harness.let_pass(rounds=20)
    assert harness.row(accepted).state == "submitted"
    assert created_titles(harness, before) == [TITLE]
    assert (len(harness.posted()), harness.row(accepted).resume_id) == (1, harness.resumes[TITLE])


class ProcessEnds(BaseException):
    """The process of a worker ends."""


@pytest.mark.parametrize("other_worker", ["is done", "ends"])
def test_overtaken_worker_creates_no_second_resume(harness, monkeypatch, other_worker):
    """Another worker has acquired the lease in the meantime, and has requested the resume."""
    before = harness.resumes
    accepted = harness.submit_with_new_resume()
    inner = HHClient.may_create_resume

    def end(*_):
        raise ProcessEnds

    def overtaken(self, token):
        monkeypatch.setattr(HHClient, "may_create_resume", inner)
        harness.world.sandbox.advance(submitter.LEASE_S + 1)
        with monkeypatch.context() as patched, suppress(ProcessEnds):
            if other_worker == "ends":
                patched.setattr(resume_creation._ResumeCreation, "_record_created", end)
            harness.run()
        assert harness.row(accepted).state == ("preparing" if other_worker == "ends" else "queued")
        return inner(self, token)

    monkeypatch.setattr(HHClient, "may_create_resume", overtaken)
    harness.run()
    harness.let_pass(rounds=10)
    assert harness.row(accepted).state == "submitted"
    assert (harness.count_calls(), created_titles(harness, before)) == (1, [TITLE])


def test_resume_of_cancelled_application_is_reused(harness, monkeypatch):
    accepted = harness.submit_with_new_resume()
    inner = HHClient.create_resume

    def cancelled(self, *arguments, **options):
        made = inner(self, *arguments, **options)
        ledger.transition(
            accepted.application_id,
            "cancelled",
            connection=harness.connection,
            now=harness.world.now(),
        )
        return made

    with monkeypatch.context() as patched:
        patched.setattr(HHClient, "create_resume", cancelled)
        harness.run()
    assert harness.row(accepted).state == "cancelled"
    retry_and_run(harness, accepted)
    harness.let_pass(rounds=1)
    row = harness.row(accepted)
    assert (row.state, row.resume_reason) == ("submitted", "made")
    assert (harness.count_calls(), row.resume_id) == (1, harness.resumes[TITLE])


def test_new_resume_not_found_at_once_is_awaited(harness):
    accepted = harness.submit_with_new_resume()
    harness.world.sandbox.advance(50)
    harness.run()
    harness.world.sandbox.fault("refusal", value="resume_not_found", path="/negotiations", times=1)
    harness.world.sandbox.advance(11)
    harness.run()
    assert harness.state(accepted) == ("queued", "resume_not_available")
    harness.let_pass(rounds=1)
    assert harness.row(accepted).state == "submitted"


def test_incomplete_resume_list_creates_no_second(harness):
    """hh.ru itself refuses a second one of the title."""
    before = harness.resumes
    accepted = harness.submit_with_new_resume()
    harness.world.sandbox.fault("lost", path="/resumes", method="POST", times=1)
    harness.run()

    def without_new_resume(request, send):
        if request.url.path == "/resumes/mine":
            complete = json.loads(body(send(request)))["items"]
            items = [item for item in complete if item["title"] != TITLE]
            return httpx.Response(200, json={"items": items, "pages": 1})
        return send(request)

    unchanged = harness.hh
    harness.intercept(without_new_resume)
    harness.let_pass(rounds=3, seconds=46)
    assert harness.count_calls() == 2
    assert harness.state(accepted) == ("queued", "resume_not_visible")
    harness.hh = unchanged
    harness.let_pass(rounds=1)
    assert harness.row(accepted).state == "submitted"
    assert created_titles(harness, before) == [TITLE]


def body(response):
    response.read()
    response.close()
    return response.content


def test_failing_calls_create_each_resume_once(harness):
    before = harness.resumes
    accepted = [
        harness.submit_with_new_resume(cv={"title": f"{TITLE} № {number}"}) for number in range(8)
    ]
    for kind in ("lost", "drop", "bad_gateway"):
        harness.world.sandbox.fault(kind, path="/resumes", probability=0.1)
    harness.run()
    for _ in range(60):
        harness.let_pass(rounds=1, seconds=31)
    rows = [harness.row(application) for application in accepted]
    assert {(row.state, row.resume_reason) for row in rows} == {("submitted", "made")}, rows
    assert sorted(created_titles(harness, before)) == [f"{TITLE} № {number}" for number in range(8)]
    assert len({row.resume_id for row in rows}) == 8
    assert [entry["outcome"] for entry in harness.posted()].count("accepted") == 8
