"""Creation of a resume for an application: once, under all faults, before any token is spent."""

import json
from contextlib import suppress

import httpx
import pytest

from tests.harness.apply_process import STEPS_OF_MAKING_A_RESUME, STEPS_OF_PUBLISHING_IT
from tests.harness.applying import CALLER, ApplyHarness, publish
from tests.harness.worker_pool import Workers
from ullgetthejob.applications import ledger, resume_creation, submitter
from ullgetthejob.applications.commands import RetryBody, cancel, retry
from ullgetthejob.hh.client import HHClient
from ullgetthejob.platform.errors import Conflict, Invalid
from ullgetthejob.rate_limits import token_bucket

TITLE = "Ведущий Python-разработчик"
CV = {
    "firstName": "Анна",
    "lastName": "Веснина",
    "email": "anna@example.org",
    "phone": "+7 999 123-45-67",
    "title": TITLE,
    "summary": "Пишу сервисы на Python.",
    "experience": "2019-2024, «Ромашка»",
    "skills": ["Python", "Terraform"],
    "matchedSkills": ["PostgreSQL"],
    "addedKeywords": ["Kubernetes"],
}
ROW = """
    SELECT new_resume, new_resume_title, new_resume_asked, resume_id, resume_reason
    FROM application_ledger WHERE id = %s
"""


@pytest.fixture
def harness(connected, monkeypatch):
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return ResumeHarness(connected)


class ResumeHarness(ApplyHarness):
    """A person who requests a new resume for each application."""

    def submit_with_new_resume(self, vacancy_id=None, cv=None, **fields):
        cv = CV if cv is None else {**CV, **cv}
        return self.submit(
            vacancy_id or publish(self), customized_cv=cv, create_resume=True, **fields
        )

    @property
    def resumes(self):
        return self.world.sandbox.resumes(self.name)

    def resume(self, resume_id):
        token = self.world.log_in(self.name).access_token
        return self.world.sandbox.call("GET", f"/resumes/{resume_id}", token).json()

    def stored(self, accepted):
        return self.connection.execute(ROW, [accepted.application_id]).fetchone()

    def state(self, accepted):
        row = self.row(accepted)
        return row.state, row.reason

    def tokens(self):
        return token_bucket.read_level("submit", self.account_id, now=self.world.now()).tokens

    def let_pass(self, *, rounds=12, seconds=15):
        """Advance the clock in *rounds*, in each of which the submitter does what is due."""
        for _ in range(rounds):
            self.world.sandbox.advance(seconds)
            self.run()

    def count_calls(self, route="POST /resumes"):
        """Return how often hh.ru was called at *route*."""
        calls = self.world.sandbox.control("GET", "/state")["calls"]["by_route"]
        return int(calls.get(route, 0))

    def intercept(self, handle):
        """Call hh.ru through *handle*, a function of the request and of the function that sends
        it."""
        self.hh = self.world.hh(InterceptingTransport(handle))


class InterceptingTransport(httpx.BaseTransport):
    def __init__(self, handle):
        self._handle = handle
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request):
        return self._handle(request, self._inner.handle_request)

    def close(self):
        self._inner.close()


# ── without faults ──────────────────────────────────────────────────────────────────────────────


def test_new_resume_is_published_and_sent_once_visible(harness):
    before = harness.resumes
    accepted = harness.submit_with_new_resume()
    harness.run()
    assert harness.state(accepted) == ("queued", "resume_not_visible")
    row = harness.row(accepted)
    assert 0 < (row.due_at - harness.world.now()).total_seconds() <= 10
    assert row.resume_id not in before.values()
    assert (harness.tokens(), harness.posted()) == (20, [])
    harness.world.sandbox.advance(10)
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.resume_reason) == ("submitted", "made")
    made = set(harness.resumes.values()) - set(before.values())
    assert made == {row.resume_id}
    [posted] = harness.posted()
    assert (posted["resume_id"], posted["outcome"]) == (row.resume_id, "accepted")
    assert harness.count_calls() == harness.count_calls("POST /resumes/{resume_id}/publish") == 1


def test_new_resume_merges_cv_into_best_resume(harness):
    source = harness.resume(harness.resumes["Python-разработчик"])
    accepted = harness.submit_with_new_resume()
    harness.run()
    harness.let_pass(rounds=1)
    made = harness.resume(harness.row(accepted).resume_id)
    assert made["title"] == TITLE
    assert made["skills"] == "Пишу сервисы на Python."
    assert made["skill_set"] == ["PostgreSQL", "Python", "Terraform"]
    assert made["status"]["id"] == "published"
    copied = ("first_name", "last_name", "gender", "area", "citizenship", "contact", "education",
              "experience", "language", "professional_roles", "access")  # fmt: skip
    assert {name: made[name] for name in copied} == {name: source[name] for name in copied}


def test_missing_fields_of_copy_are_written_once(harness):
    changed = []

    def only_the_title(request, send):
        if (request.method, request.url.path) == ("POST", "/resumes"):
            body = json.dumps({"title": json.loads(request.content)["title"]}).encode()
            headers = {**request.headers, "content-length": str(len(body))}
            request = httpx.Request("POST", request.url, headers=headers, content=body)
        if request.method == "PUT":
            changed.append(json.loads(request.content))
        return send(request)

    harness.intercept(only_the_title)
    accepted = harness.submit_with_new_resume()
    harness.run()
    harness.let_pass(rounds=1)
    assert changed == [
        {"skills": CV["summary"], "skill_set": ["PostgreSQL", "Python", "Terraform"]}
    ]
    made = harness.resume(harness.row(accepted).resume_id)
    assert (made["title"], made["skills"]) == (TITLE, CV["summary"])
    assert harness.row(accepted).state == "submitted"


def test_resume_is_not_created_without_request(harness):
    accepted = harness.submit(publish(harness), customized_cv=CV)
    harness.run()
    assert harness.row(accepted).state == "submitted"
    assert (harness.count_calls(), harness.stored(accepted)["new_resume"]) == (0, None)


def test_named_resume_is_copied(harness):
    accepted = harness.submit_with_new_resume(hh_resume_id=harness.resumes["Backend-инженер"])
    harness.run()
    harness.let_pass(rounds=1)
    made = harness.resume(harness.row(accepted).resume_id)
    source = harness.resume(harness.resumes["Backend-инженер"])
    assert (made["title"], made["experience"]) == (TITLE, source["experience"])


@pytest.mark.parametrize(
    ("title", "made"),
    [("Python-разработчик", "Python-разработчик (2)"), (None, "Python-разработчик (2)")],
)
def test_taken_title_gets_number(harness, title, made):
    accepted = harness.submit_with_new_resume(cv={"title": title})
    harness.run()
    harness.let_pass(rounds=1)
    assert harness.row(accepted).resume_id == harness.resumes[made]


def test_two_applications_get_distinct_titles(harness):
    both = [harness.submit_with_new_resume(), harness.submit_with_new_resume()]
    harness.run()
    assert harness.count_calls() == 2, "hh.ru need not refuse a title that the ledger knows"
    harness.let_pass(rounds=2)
    assert [harness.row(application).state for application in both] == ["submitted"] * 2
    assert {harness.row(application).resume_id for application in both} == {
        harness.resumes[TITLE],
        harness.resumes[f"{TITLE} (2)"],
    }


def test_title_taken_invisibly_gets_number(harness):
    token = harness.world.log_in(harness.name).access_token
    hidden = {"title": TITLE, "first_name": "Анна", "last_name": "Веснина", "area": {"id": "2"}}
    harness.world.sandbox.control("POST", "/clock", {"rate": 0})
    accepted = harness.submit_with_new_resume()
    assert harness.world.sandbox.call("POST", "/resumes", token, json=hidden).status_code == 201
    harness.run()
    assert harness.state(accepted) == ("queued", "resume_not_visible")
    harness.let_pass(rounds=1)
    assert harness.row(accepted).resume_id == harness.resumes[f"{TITLE} (2)"]


def test_cv_is_deleted_when_application_is_final(harness):
    accepted = harness.submit_with_new_resume()
    assert harness.stored(accepted)["new_resume"] == {
        "title": TITLE,
        "skills": CV["summary"],
        "skill_set": ["PostgreSQL", "Python", "Terraform"],
    }
    harness.run()
    harness.let_pass(rounds=1)
    row = harness.stored(accepted)
    assert (row["new_resume"], row["new_resume_title"]) == (None, None)
    cancelled = harness.submit_with_new_resume()
    context = {
        "person": harness.person,
        "connection": harness.connection,
        "now": harness.world.now(),
    }
    cancel(str(cancelled.application_id), caller=CALLER, **context)
    assert harness.stored(cancelled)["new_resume"] is None
    records = harness.connection.execute(
        "SELECT string_agg(events::text, '') || (SELECT string_agg(audit_log::text, '')"
        " FROM audit_log) || (SELECT string_agg(application_history::text, '')"
        " FROM application_history) AS records FROM events"
    ).fetchone()["records"]
    for text in (TITLE, CV["summary"], "Terraform", CV["email"]):
        assert text not in records


# ── what needs the person ───────────────────────────────────────────────────────────────────────


def test_person_without_resume_needs_person(harness):
    vera = ResumeHarness(harness.world, "vera")
    accepted = vera.submit_with_new_resume()
    vera.run()
    assert vera.state(accepted) == ("needs_person", "missing_resume_id")
    assert (vera.count_calls(), vera.tokens()) == (0, 20)


def fill(harness):
    """Create resumes up to hh.ru's limit of twenty; return the person's token."""
    token = harness.world.log_in(harness.name).access_token
    for number in range(20 - len(harness.resumes)):
        body = {"title": f"№ {number}", "first_name": "Анна", "last_name": "В", "area": {"id": "2"}}
        answer = harness.world.sandbox.call("POST", "/resumes", token, json=body)
        assert answer.status_code == 201, answer.text
    harness.world.sandbox.advance(10)
    return token


def test_resume_limit_needs_person_until_one_is_deleted(harness):
    token = fill(harness)
    calls = harness.count_calls()
    accepted = harness.submit_with_new_resume()
    harness.run()
    assert harness.state(accepted) == ("needs_person", "resume_limit")
    assert (harness.count_calls() - calls, harness.tokens()) == (0, 20)
    assert harness.row(accepted).link == resume_creation.RESUMES_PAGE
    unwanted = harness.resumes["№ 0"]
    harness.world.sandbox.call("DELETE", f"/resumes/{unwanted}", token)
    retry_and_run(harness, accepted)
    harness.let_pass(rounds=1)
    assert harness.row(accepted).state == "submitted"


def retry_and_run(harness, accepted):
    retry(
        str(accepted.application_id),
        RetryBody(),
        person=harness.person,
        caller=CALLER,
        connection=harness.connection,
        now=harness.world.now(),
    )
    harness.run()


def test_resume_limit_is_known_from_refusal(harness, monkeypatch):
    fill(harness)
    monkeypatch.setattr(HHClient, "may_create_resume", lambda self, token: True)
    accepted = harness.submit_with_new_resume()
    harness.run()
    assert harness.state(accepted) == ("needs_person", "resume_limit")
    assert harness.stored(accepted)["new_resume_asked"] == 0


def test_refused_resume_needs_person(harness):
    accepted = harness.submit_with_new_resume(cv={"title": "TEST_RESUME"})
    harness.run()
    assert harness.state(accepted) == ("needs_person", "resume_incomplete")
    assert harness.row(accepted).link == resume_creation.RESUMES_PAGE
    assert (harness.tokens(), harness.stored(accepted)["new_resume_title"]) == (20, None)


def test_incomplete_copy_is_sent_after_completion(harness):
    egor = ResumeHarness(harness.world, "egor")
    accepted = egor.submit_with_new_resume(cv={"title": "Стажёр-тестировщик"})
    egor.run()
    egor.let_pass(rounds=1)
    assert egor.state(accepted) == ("needs_person", "resume_incomplete")
    made = egor.resumes["Стажёр-тестировщик"]
    assert egor.row(accepted).link == f"https://hh.ru/resume/{made}"
    assert egor.tokens() == 20
    token = egor.world.log_in("egor").access_token
    education = {"level": {"id": "higher"}, "primary": [{"name": "Институт", "year": 2025}]}
    body = {"education": education, "skills": "Своими словами"}
    assert egor.world.sandbox.call("PUT", f"/resumes/{made}", token, json=body).status_code == 204
    retry_and_run(egor, accepted)
    assert (egor.row(accepted).state, egor.row(accepted).resume_id) == ("submitted", made)
    assert egor.count_calls() == 1
    assert egor.resume(made)["skills"] == "Своими словами"


def test_deleted_new_resume_is_not_created_again(harness):
    accepted = harness.submit_with_new_resume()
    harness.run()
    made = harness.row(accepted).resume_id
    harness.world.sandbox.advance(5)
    token = harness.world.log_in(harness.name).access_token
    harness.world.sandbox.call("DELETE", f"/resumes/{made}", token)
    harness.let_pass(seconds=61)
    assert harness.state(accepted) == ("needs_person", "resume_not_available")
    retry_and_run(harness, accepted)
    assert harness.state(accepted) == ("needs_person", "resume_not_available")
    assert (harness.count_calls(), harness.tokens()) == (1, 20)


def test_closed_hh_creates_nothing_and_hands_off(harness):
    accepted = harness.submit_with_new_resume()
    harness.world.sandbox.control("POST", "/mode", {"mode": "closed"})
    harness.run()
    assert harness.state(accepted) == ("handoff", "hh_closed")
    assert harness.stored(accepted)["new_resume_asked"] == 0


def test_archived_vacancy_creates_no_resume(harness):
    vacancy = publish(harness)
    harness.world.sandbox.control("POST", f"/vacancies/{vacancy}/close")
    accepted = harness.submit_with_new_resume(vacancy)
    harness.run()
    assert harness.state(accepted) == ("refused", "vacancy_archived")
    assert harness.count_calls() == 0
    assert harness.stored(accepted)["new_resume"] is None


# ── requests ────────────────────────────────────────────────────────────────────────────────────


def test_new_resume_without_cv_is_refused(harness):
    with pytest.raises(Invalid) as raised:
        harness.submit(publish(harness), create_resume=True)
    assert raised.value.code == "bad_arguments"


def test_reused_key_with_other_cv_is_conflict(harness):
    vacancy = publish(harness)
    first = harness.submit_with_new_resume(vacancy, idempotency_key="k")
    assert (
        harness.submit_with_new_resume(vacancy, idempotency_key="k").application_id
        == first.application_id
    )
    with pytest.raises(Conflict):
        harness.submit_with_new_resume(vacancy, cv={"title": "Другое"}, idempotency_key="k")
    with pytest.raises(Conflict):
        harness.submit(vacancy, customized_cv=CV, idempotency_key="k")


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


@pytest.mark.parametrize("other", ["is done", "ends"])
def test_overtaken_worker_creates_no_second_resume(harness, monkeypatch, other):
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
            if other == "ends":
                patched.setattr(resume_creation._ResumeCreation, "_record_created", end)
            harness.run()
        assert harness.row(accepted).state == ("preparing" if other == "ends" else "queued")
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
