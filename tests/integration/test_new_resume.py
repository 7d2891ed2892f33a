"""A resume is made for an application: once, whatever goes wrong, and before any token is spent."""

import json
from contextlib import suppress

import httpx
import pytest

from tests.integration.apply_work import STEPS_OF_MAKING_A_RESUME, STEPS_OF_PUBLISHING_IT
from tests.integration.test_apply import CALLER, Desk, publish
from tests.integration.workers import Workers
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
def desk(connected, monkeypatch):
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return Maker(connected)


class Maker(Desk):
    """Somebody who wants a new resume for what they apply to."""

    def ask(self, vacancy_id=None, cv=None, **fields):
        cv = CV if cv is None else {**CV, **cv}
        return self.submit(
            vacancy_id or publish(self), customized_cv=cv, create_resume=True, **fields
        )

    @property
    def resumes(self):
        return self.world.sandbox.resumes(self.who)

    def resume(self, id):
        token = self.world.log_in(self.who).access_token
        return self.world.sandbox.call("GET", f"/resumes/{id}", token).json()

    def stored(self, accepted):
        return self.connection.execute(ROW, [accepted.application_id]).fetchone()

    def stands(self, accepted):
        row = self.row(accepted)
        return row.state, row.reason

    def tokens(self):
        return token_bucket.read_level("submit", self.account_id, now=self.world.now()).tokens

    def let_pass(self, *, rounds=12, seconds=15):
        """The clock goes on and the applier does what is due."""
        for _ in range(rounds):
            self.world.sandbox.advance(seconds)
            self.run()

    def asked(self, route="POST /resumes"):
        """How often hh.ru was called so."""
        calls = self.world.sandbox.control("GET", "/state")["calls"]["by_route"]
        return int(calls.get(route, 0))

    def through(self, handle):
        """hh.ru is called through *handle*, a function of the request and the way on."""
        self.hh = self.world.hh(Way(handle))


class Way(httpx.BaseTransport):
    def __init__(self, handle):
        self._handle = handle
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request):
        return self._handle(request, self._inner.handle_request)

    def close(self):
        self._inner.close()


# ── as it should go ─────────────────────────────────────────────────────────────────────────────


def test_a_resume_is_made_published_and_sent_when_hh_shows_it(desk):
    before = desk.resumes
    accepted = desk.ask()
    desk.run()
    assert desk.stands(accepted) == ("queued", "resume_not_visible")
    row = desk.row(accepted)
    assert 0 < (row.due_at - desk.world.now()).total_seconds() <= 10
    assert row.resume_id not in before.values()
    assert (desk.tokens(), desk.posted()) == (20, [])
    desk.world.sandbox.advance(10)
    desk.run()
    row = desk.row(accepted)
    assert (row.state, row.resume_reason) == ("submitted", "made")
    made = set(desk.resumes.values()) - set(before.values())
    assert made == {row.resume_id}
    [judged] = desk.posted()
    assert (judged["resume_id"], judged["outcome"]) == (row.resume_id, "accepted")
    assert desk.asked() == desk.asked("POST /resumes/{resume_id}/publish") == 1


def test_it_says_what_the_cv_says_and_the_rest_is_a_copy_of_the_one_that_fits_best(desk):
    source = desk.resume(desk.resumes["Python-разработчик"])
    accepted = desk.ask()
    desk.run()
    desk.let_pass(rounds=1)
    made = desk.resume(desk.row(accepted).resume_id)
    assert made["title"] == TITLE
    assert made["skills"] == "Пишу сервисы на Python."
    assert made["skill_set"] == ["PostgreSQL", "Python", "Terraform"]
    assert made["status"]["id"] == "published"
    copied = ("first_name", "last_name", "gender", "area", "citizenship", "contact", "education",
              "experience", "language", "professional_roles", "access")  # fmt: skip
    assert {name: made[name] for name in copied} == {name: source[name] for name in copied}


def test_what_a_copy_does_not_take_over_is_written_into_it_once(desk):
    changed = []

    def only_the_title(request, way_on):
        if (request.method, request.url.path) == ("POST", "/resumes"):
            body = json.dumps({"title": json.loads(request.content)["title"]}).encode()
            headers = {**request.headers, "content-length": str(len(body))}
            request = httpx.Request("POST", request.url, headers=headers, content=body)
        if request.method == "PUT":
            changed.append(json.loads(request.content))
        return way_on(request)

    desk.through(only_the_title)
    accepted = desk.ask()
    desk.run()
    desk.let_pass(rounds=1)
    assert changed == [
        {"skills": CV["summary"], "skill_set": ["PostgreSQL", "Python", "Terraform"]}
    ]
    made = desk.resume(desk.row(accepted).resume_id)
    assert (made["title"], made["skills"]) == (TITLE, CV["summary"])
    assert desk.row(accepted).state == "submitted"


def test_without_being_asked_for_none_is_made(desk):
    accepted = desk.submit(publish(desk), customized_cv=CV)
    desk.run()
    assert desk.row(accepted).state == "submitted"
    assert (desk.asked(), desk.stored(accepted)["new_resume"]) == (0, None)


def test_the_resume_that_is_named_is_the_one_that_is_copied(desk):
    accepted = desk.ask(hh_resume_id=desk.resumes["Backend-инженер"])
    desk.run()
    desk.let_pass(rounds=1)
    made = desk.resume(desk.row(accepted).resume_id)
    source = desk.resume(desk.resumes["Backend-инженер"])
    assert (made["title"], made["experience"]) == (TITLE, source["experience"])


@pytest.mark.parametrize(
    ("title", "made"),
    [("Python-разработчик", "Python-разработчик (2)"), (None, "Python-разработчик (2)")],
)
def test_a_title_that_is_taken_gets_a_number(desk, title, made):
    accepted = desk.ask(cv={"title": title})
    desk.run()
    desk.let_pass(rounds=1)
    assert desk.row(accepted).resume_id == desk.resumes[made]


def test_two_that_want_the_same_title_get_one_each_before_hh_shows_the_first(desk):
    both = [desk.ask(), desk.ask()]
    desk.run()
    assert desk.asked() == 2, "hh.ru need not refuse a title that is known"
    desk.let_pass(rounds=2)
    assert [desk.row(one).state for one in both] == ["submitted"] * 2
    assert {desk.row(one).resume_id for one in both} == {
        desk.resumes[TITLE],
        desk.resumes[f"{TITLE} (2)"],
    }


def test_a_title_that_only_hh_knows_to_be_taken_gets_a_number_too(desk):
    token = desk.world.log_in(desk.who).access_token
    hidden = {"title": TITLE, "first_name": "Анна", "last_name": "Веснина", "area": {"id": "2"}}
    desk.world.sandbox.control("POST", "/clock", {"rate": 0})
    accepted = desk.ask()
    assert desk.world.sandbox.call("POST", "/resumes", token, json=hidden).status_code == 201
    desk.run()
    assert desk.stands(accepted) == ("queued", "resume_not_visible")
    desk.let_pass(rounds=1)
    assert desk.row(accepted).resume_id == desk.resumes[f"{TITLE} (2)"]


def test_the_cv_is_forgotten_when_the_application_is_over(desk):
    accepted = desk.ask()
    assert desk.stored(accepted)["new_resume"] == {
        "title": TITLE,
        "skills": CV["summary"],
        "skill_set": ["PostgreSQL", "Python", "Terraform"],
    }
    desk.run()
    desk.let_pass(rounds=1)
    row = desk.stored(accepted)
    assert (row["new_resume"], row["new_resume_title"]) == (None, None)
    given_up = desk.ask()
    about = {"person": desk.person, "connection": desk.connection, "now": desk.world.now()}
    cancel(str(given_up.application_id), caller=CALLER, **about)
    assert desk.stored(given_up)["new_resume"] is None
    told = desk.connection.execute(
        "SELECT string_agg(events::text, '') || (SELECT string_agg(audit_log::text, '')"
        " FROM audit_log) || (SELECT string_agg(application_history::text, '')"
        " FROM application_history) AS told FROM events"
    ).fetchone()["told"]
    for text in (TITLE, CV["summary"], "Terraform", CV["email"]):
        assert text not in told


# ── where a person has to do something ──────────────────────────────────────────────────────────


def test_a_person_without_a_resume_is_told_so(desk):
    vera = Maker(desk.world, "vera")
    accepted = vera.ask()
    vera.run()
    assert vera.stands(accepted) == ("needs_person", "missing_resume_id")
    assert (vera.asked(), vera.tokens()) == (0, 20)


def fill(desk):
    """All twenty resumes."""
    token = desk.world.log_in(desk.who).access_token
    for number in range(20 - len(desk.resumes)):
        body = {"title": f"№ {number}", "first_name": "Анна", "last_name": "В", "area": {"id": "2"}}
        answer = desk.world.sandbox.call("POST", "/resumes", token, json=body)
        assert answer.status_code == 201, answer.text
    desk.world.sandbox.advance(10)
    return token


def test_twenty_resumes_are_the_most_and_room_lets_it_go_on(desk):
    token = fill(desk)
    asked = desk.asked()
    accepted = desk.ask()
    desk.run()
    assert desk.stands(accepted) == ("needs_person", "resume_limit")
    assert (desk.asked() - asked, desk.tokens()) == (0, 20)
    assert desk.row(accepted).link == resume_creation.RESUMES_PAGE
    unwanted = desk.resumes["№ 0"]
    desk.world.sandbox.call("DELETE", f"/resumes/{unwanted}", token)
    again(desk, accepted)
    desk.let_pass(rounds=1)
    assert desk.row(accepted).state == "submitted"


def again(desk, accepted):
    retry(
        str(accepted.application_id),
        RetryBody(),
        person=desk.person,
        caller=CALLER,
        connection=desk.connection,
        now=desk.world.now(),
    )
    desk.run()


def test_the_cap_is_told_by_the_refusal_too(desk, monkeypatch):
    fill(desk)
    monkeypatch.setattr(HHClient, "may_create_resume", lambda self, token: True)
    accepted = desk.ask()
    desk.run()
    assert desk.stands(accepted) == ("needs_person", "resume_limit")
    assert desk.stored(accepted)["new_resume_asked"] == 0


def test_what_hh_does_not_take_is_the_persons_to_complete(desk):
    accepted = desk.ask(cv={"title": "TEST_RESUME"})
    desk.run()
    assert desk.stands(accepted) == ("needs_person", "resume_incomplete")
    assert desk.row(accepted).link == resume_creation.RESUMES_PAGE
    assert (desk.tokens(), desk.stored(accepted)["new_resume_title"]) == (20, None)


def test_a_copy_of_an_unfinished_resume_is_finished_by_its_person_and_then_sent(desk):
    egor = Maker(desk.world, "egor")
    accepted = egor.ask(cv={"title": "Стажёр-тестировщик"})
    egor.run()
    egor.let_pass(rounds=1)
    assert egor.stands(accepted) == ("needs_person", "resume_incomplete")
    made = egor.resumes["Стажёр-тестировщик"]
    assert egor.row(accepted).link == f"https://hh.ru/resume/{made}"
    assert egor.tokens() == 20
    token = egor.world.log_in("egor").access_token
    education = {"level": {"id": "higher"}, "primary": [{"name": "Институт", "year": 2025}]}
    body = {"education": education, "skills": "Своими словами"}
    assert egor.world.sandbox.call("PUT", f"/resumes/{made}", token, json=body).status_code == 204
    again(egor, accepted)
    assert (egor.row(accepted).state, egor.row(accepted).resume_id) == ("submitted", made)
    assert egor.asked() == 1
    assert egor.resume(made)["skills"] == "Своими словами"


def test_a_made_resume_that_is_gone_is_not_made_again(desk):
    accepted = desk.ask()
    desk.run()
    made = desk.row(accepted).resume_id
    desk.world.sandbox.advance(5)
    token = desk.world.log_in(desk.who).access_token
    desk.world.sandbox.call("DELETE", f"/resumes/{made}", token)
    desk.let_pass(seconds=61)
    assert desk.stands(accepted) == ("needs_person", "resume_not_available")
    again(desk, accepted)
    assert desk.stands(accepted) == ("needs_person", "resume_not_available")
    assert (desk.asked(), desk.tokens()) == (1, 20)


def test_a_closed_hh_makes_nothing_and_hands_over(desk):
    accepted = desk.ask()
    desk.world.sandbox.control("POST", "/mode", {"mode": "closed"})
    desk.run()
    assert desk.stands(accepted) == ("handoff", "hh_closed")
    assert desk.stored(accepted)["new_resume_asked"] == 0


def test_an_archived_vacancy_is_worth_no_resume(desk):
    vacancy = publish(desk)
    desk.world.sandbox.control("POST", f"/vacancies/{vacancy}/close")
    accepted = desk.ask(vacancy)
    desk.run()
    assert desk.stands(accepted) == ("refused", "vacancy_archived")
    assert desk.asked() == 0
    assert desk.stored(accepted)["new_resume"] is None


# ── what is asked for ───────────────────────────────────────────────────────────────────────────


def test_a_resume_is_made_of_a_cv(desk):
    with pytest.raises(Invalid) as raised:
        desk.submit(publish(desk), create_resume=True)
    assert raised.value.code == "bad_arguments"


def test_the_same_key_with_another_cv_is_another_application(desk):
    vacancy = publish(desk)
    first = desk.ask(vacancy, idempotency_key="k")
    assert desk.ask(vacancy, idempotency_key="k").application_id == first.application_id
    with pytest.raises(Conflict):
        desk.ask(vacancy, cv={"title": "Другое"}, idempotency_key="k")
    with pytest.raises(Conflict):
        desk.submit(vacancy, customized_cv=CV, idempotency_key="k")


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────


def made_by(desk, before):
    return [title for title, id in desk.resumes.items() if id not in before.values()]


@pytest.mark.parametrize("fault", ["lost", "truncated"])
def test_a_lost_answer_is_settled_by_looking_for_the_title(desk, fault):
    before = desk.resumes
    accepted = desk.ask()
    desk.world.sandbox.fault(fault, path="/resumes", method="POST", times=1)
    desk.run()
    desk.let_pass(rounds=3)
    assert desk.row(accepted).state == "submitted"
    assert made_by(desk, before) == [TITLE]
    assert (desk.asked(), desk.row(accepted).resume_id) == (1, desk.resumes[TITLE])


def test_a_call_that_never_arrived_is_made_again_when_that_is_certain(desk):
    before = desk.resumes
    accepted = desk.ask()
    desk.world.sandbox.fault("drop", path="/resumes", method="POST", times=1)
    desk.run()
    desk.let_pass(rounds=5)
    assert desk.stands(accepted) == ("queued", "resume_not_visible")
    assert made_by(desk, before) == []
    desk.let_pass(rounds=4)
    assert desk.row(accepted).state == "submitted"
    assert made_by(desk, before) == [TITLE]


def test_a_call_that_never_arrives_is_not_made_for_ever(desk):
    accepted = desk.ask()
    desk.world.sandbox.fault("drop", path="/resumes", method="POST")
    desk.run()
    desk.let_pass(rounds=8, seconds=91)
    assert desk.stands(accepted) == ("needs_person", "resume_not_available")
    assert desk.tokens() == 20
    desk.world.sandbox.control("DELETE", "/faults")
    again(desk, accepted)
    desk.let_pass(rounds=1)
    assert desk.row(accepted).state == "submitted"


def test_a_lost_answer_of_publishing_publishes_once_more_or_not_at_all(desk):
    accepted = desk.ask()
    desk.run()
    desk.world.sandbox.fault("lost", path="/resumes/", method="POST", times=1)
    desk.let_pass(rounds=3)
    assert desk.row(accepted).state == "submitted"
    assert desk.asked("POST /resumes/{resume_id}/publish") == 1


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    with Workers(tmp_path_factory.mktemp("workers") / "log") as started:
        yield started


@pytest.mark.parametrize("step", [*STEPS_OF_MAKING_A_RESUME, *STEPS_OF_PUBLISHING_IT])
def test_a_worker_killed_at_any_step_leaves_one_resume_and_one_application(desk, workers, step):
    before = desk.resumes
    accepted = desk.ask()
    if step in STEPS_OF_PUBLISHING_IT:
        desk.run()
        desk.world.sandbox.advance(11)
    workers.killed_at(step, desk.account_id, desk.world.clock.path)
    desk.run()  # its lease is not over
    desk.let_pass(rounds=20)
    assert desk.row(accepted).state == "submitted"
    assert made_by(desk, before) == [TITLE]
    assert (len(desk.posted()), desk.row(accepted).resume_id) == (1, desk.resumes[TITLE])


class Gone(BaseException):
    """A worker is no more."""


@pytest.mark.parametrize("other", ["is done", "dies"])
def test_a_worker_that_was_asleep_asks_for_no_second(desk, monkeypatch, other):
    """Its lease is another's by now, who has asked for the resume already."""
    before = desk.resumes
    accepted = desk.ask()
    inner = HHClient.may_create_resume

    def dies(*_):
        raise Gone

    def overtaken(self, token):
        monkeypatch.setattr(HHClient, "may_create_resume", inner)
        desk.world.sandbox.advance(submitter.LEASE_S + 1)
        with monkeypatch.context() as patched, suppress(Gone):
            if other == "dies":
                patched.setattr(resume_creation._Work, "_keep", dies)
            desk.run()
        assert desk.row(accepted).state == ("preparing" if other == "dies" else "queued")
        return inner(self, token)

    monkeypatch.setattr(HHClient, "may_create_resume", overtaken)
    desk.run()
    desk.let_pass(rounds=10)
    assert desk.row(accepted).state == "submitted"
    assert (desk.asked(), made_by(desk, before)) == (1, [TITLE])


def test_what_is_made_for_an_application_that_was_cancelled_meanwhile_is_kept_and_used(
    desk, monkeypatch
):
    accepted = desk.ask()
    inner = HHClient.create_resume

    def cancelled(self, *arguments, **options):
        made = inner(self, *arguments, **options)
        ledger.transition(
            accepted.application_id, "cancelled", connection=desk.connection, now=desk.world.now()
        )
        return made

    with monkeypatch.context() as patched:
        patched.setattr(HHClient, "create_resume", cancelled)
        desk.run()
    assert desk.row(accepted).state == "cancelled"
    again(desk, accepted)
    desk.let_pass(rounds=1)
    row = desk.row(accepted)
    assert (row.state, row.resume_reason) == ("submitted", "made")
    assert (desk.asked(), row.resume_id) == (1, desk.resumes[TITLE])


def test_a_made_resume_that_an_application_does_not_find_at_once_is_waited_for(desk):
    accepted = desk.ask()
    desk.world.sandbox.advance(50)
    desk.run()
    desk.world.sandbox.fault("refusal", value="resume_not_found", path="/negotiations", times=1)
    desk.world.sandbox.advance(11)
    desk.run()
    assert desk.stands(accepted) == ("queued", "resume_not_available")
    desk.let_pass(rounds=1)
    assert desk.row(accepted).state == "submitted"


def test_a_list_of_resumes_that_is_empty_by_mistake_makes_no_second(desk):
    """hh.ru itself refuses a second one of the title."""
    before = desk.resumes
    accepted = desk.ask()
    desk.world.sandbox.fault("lost", path="/resumes", method="POST", times=1)
    desk.run()

    def forgetful(request, way_on):
        if request.url.path == "/resumes/mine":
            wanted = json.loads(body(way_on(request)))["items"]
            items = [one for one in wanted if one["title"] != TITLE]
            return httpx.Response(200, json={"items": items, "pages": 1})
        return way_on(request)

    sane = desk.hh
    desk.through(forgetful)
    desk.let_pass(rounds=3, seconds=46)
    assert desk.asked() == 2
    assert desk.stands(accepted) == ("queued", "resume_not_visible")
    desk.hh = sane
    desk.let_pass(rounds=1)
    assert desk.row(accepted).state == "submitted"
    assert made_by(desk, before) == [TITLE]


def body(response):
    response.read()
    response.close()
    return response.content


def test_one_of_ten_calls_fails_and_each_application_has_its_resume_once(desk):
    before = desk.resumes
    accepted = [desk.ask(cv={"title": f"{TITLE} № {number}"}) for number in range(8)]
    for kind in ("lost", "drop", "bad_gateway"):
        desk.world.sandbox.fault(kind, path="/resumes", probability=0.1)
    desk.run()
    for _ in range(60):
        desk.let_pass(rounds=1, seconds=31)
    rows = [desk.row(one) for one in accepted]
    assert {(row.state, row.resume_reason) for row in rows} == {("submitted", "made")}, rows
    assert sorted(made_by(desk, before)) == [f"{TITLE} № {number}" for number in range(8)]
    assert len({row.resume_id for row in rows}) == 8
    assert [one["outcome"] for one in desk.posted()].count("accepted") == 8
