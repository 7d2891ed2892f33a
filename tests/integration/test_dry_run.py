"""What a dry run says of an application, and what really comes of the same request afterwards."""

from __future__ import annotations

from typing import get_args
from uuid import uuid4

import pytest

from tests.harness.applying import harness, publish
from ullgetthejob.accounts.access import Access
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications import acceptance, commands, gates
from ullgetthejob.applications.gate_decisions import Name
from ullgetthejob.applications.submission import SubmitBody
from ullgetthejob.filters import commands as filters
from ullgetthejob.filters.models import FiltersBody
from ullgetthejob.letters import commands as letters
from ullgetthejob.letters.models import TemplateBody
from ullgetthejob.platform.errors import Conflict, Invalid, NeedsPerson, NotFound
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.vacancies import store

__all__ = ["harness"]

PIER = {"id": "77001", "name": "Облачная пристань"}
WOULD = {
    "submitted": "apply_now",
    "waiting_quota": "wait",
    "refused": "refuse",
    "needs_person": "needs_person",
    "handoff": "handoff",
    "review": "review",
}
LETTER = (
    "Здравствуйте! Откликаюсь на вакансию «{{ vacancy.title }}» в «{{ employer }}». Буду рада"
    " рассказать о себе подробнее.\n{{ person.first_name }}"
)
WRITTEN = """
    SELECT (SELECT count(*) FROM application_ledger) AS applications,
           (SELECT count(*) FROM application_keys) AS keys,
           (SELECT count(*) FROM application_attempts) AS attempts,
           (SELECT count(*) FROM application_history) AS steps,
           (SELECT count(*) FROM application_queue) AS items,
           (SELECT count(*) FROM campaigns) AS campaigns,
           (SELECT count(*) FROM events) AS events,
           (SELECT count(*) FROM audit_log WHERE action <> 'resumes.read') AS audited
"""


def ask(harness, vacancy_id, letter="Здравствуйте!", **fields):
    body = SubmitBody(job_external_id=vacancy_id, cover_letter=letter, dry_run=True, **fields)
    return gates.dry_run(body, harness.person, harness.context)


def written(harness):
    tokens = token_bucket.read_level("submit", harness.account_id, now=harness.world.now()).tokens
    return harness.connection.execute(WRITTEN).fetchone(), tokens


def gate(answer, name):
    return next(gate for gate in answer.gates if gate.name == name)


def spend_tokens(harness):
    for number in range(20):
        token_bucket.acquire(
            "submit", harness.account_id, spend_id=f"spent-{number}", now=harness.world.now()
        )


def lose_access(harness, state="reauth_required"):
    harness.connection.execute(
        "UPDATE accounts SET access_state = %s, access_changed_at = now() WHERE id = %s",
        [state, harness.account_id],
    )


def close_applying(harness):
    harness.world.sandbox.fault("withdrawn", path="/negotiations", method="POST", status=404)
    harness.submit(publish(harness))
    harness.run()


def close_vacancies(harness):
    harness.world.sandbox.fault("withdrawn", path="/vacancies/", method="GET", status=404)


def archived(harness):
    vacancy_id = publish(harness)
    harness.world.sandbox.control("POST", f"/vacancies/{vacancy_id}/close")
    return vacancy_id


def rules(harness, **fields):
    filters.replace(FiltersBody.model_validate({"rules": fields}), harness.person, harness.context)


def filtered(harness, **fields):
    rules(harness, **fields)
    return publish(harness, employer=PIER)


def stored(harness, vacancy_id):
    store.store_detail(
        harness.hh.vacancy(vacancy_id), connection=harness.connection, now=harness.world.now()
    )
    return vacancy_id


def repost(harness, policy):
    rules(harness, repost=policy)
    first, second = (stored(harness, publish(harness, employer=PIER)) for _ in range(2))
    harness.connection.execute("UPDATE jobs SET repost_of = NULL")
    harness.connection.execute(
        "UPDATE jobs SET repost_of = %s WHERE external_id = %s", [first, second]
    )
    harness.submit(first)
    harness.run()
    return second


def closed_with(harness, vacancy_id):
    close_applying(harness)
    return vacancy_id


def after(act):
    def prepare(harness):
        vacancy_id = publish(harness)
        act(harness)
        return vacancy_id

    return prepare


def template(harness, text=LETTER):
    body = TemplateBody(name=f"Письмо {uuid4()}", text=text)
    made, _ = letters.create_template(body, harness.person, harness.context)
    return {"letter": None, "letter_template_id": made.id}


def of_template(text=LETTER, **fields):
    return lambda harness: {**template(harness, text), **fields}


# How a situation comes about, as a function of the harness that returns the vacancy, and what else
# the request has.
SITUATIONS = {
    "open": (publish, {}),
    "kept vacancy": (lambda h: stored(h, publish(h)), {}),
    "no token": (after(spend_tokens), {}),
    "archived": (archived, {}),
    "archived and no token": (lambda h: (spend_tokens(h), archived(h))[1], {}),
    "not found": (lambda _: "999999999", {}),
    "test": (lambda h: publish(h, has_test=True, test_required=True), {}),
    "external": (lambda h: publish(h, response_url="https://example.org/jobs/1"), {}),
    "letter required": (lambda h: publish(h, response_letter_required=True), {"letter": None}),
    "letter required and there": (lambda h: publish(h, response_letter_required=True), {}),
    "employer": (lambda h: filtered(h, employers=[{"id": "77001"}]), {}),
    "title": (lambda h: filtered(h, title_words=["python"]), {}),
    "stored and filtered": (
        lambda h: stored(h, filtered(h, employers=[{"id": "77001"}])), {}
    ),
    "salary unknown": (
        lambda h: (rules(h, salary_floor={"amount": 1, "currency": "EUR"}),
                   publish(h, salary={"from": 100, "currency": "RUR"}))[1], {}
    ),
    "kept by the filters": (lambda h: filtered(h, employers=[{"id": "9"}]), {}),
    "repost skipped": (lambda h: repost(h, "skip"), {}),
    "repost asked": (lambda h: repost(h, "ask"), {}),
    "repost allowed": (lambda h: repost(h, "ask"), {"repost": "allow"}),
    "unknown resume": (publish, {"hh_resume_id": "ab" * 19}),
    "login again": (after(lose_access), {}),
    "login again and archived": (lambda h: (lose_access(h), archived(h))[1], {}),
    "applying closed": (after(close_applying), {}),
    "applying closed, no token": (
        after(lambda h: (close_applying(h), spend_tokens(h))), {}
    ),
    "applying closed and archived": (lambda h: closed_with(h, archived(h)), {}),
    "applying closed and letter required": (
        lambda h: closed_with(h, publish(h, response_letter_required=True)), {"letter": None}
    ),
    "vacancies closed": (after(close_vacancies), {}),
    "template": (lambda h: publish(h, employer=PIER), of_template()),
    "template where a letter is required": (
        lambda h: publish(h, employer=PIER, response_letter_required=True), of_template()
    ),
    "template, kept vacancy": (lambda h: stored(h, publish(h, employer=PIER)), of_template()),
    "template that lacks a value": (
        lambda h: publish(h, skills=[]), of_template("{{ skills.common | join(', ') }}")
    ),
    "placeholder left": (publish, of_template("Здравствуйте, [имя]! Я хочу у вас работать.")),
    "template, applying closed": (
        lambda h: closed_with(h, publish(h, employer=PIER)), of_template()
    ),
    "looked at always": (publish, {"review": "always"}),
    "looked at for a finding": (publish, {"review": "findings"}),
    "looked at for nothing": (
        lambda h: publish(h, employer=PIER), of_template(review="findings")
    ),
    "fit too low": (publish, {"min_fit": 100}),
    "fit too low, applying closed": (after(close_applying), {"min_fit": 100}),
    "fit too low, looked at": (publish, {"min_fit": 100, "review": "always"}),
    "fit enough": (publish, {"min_fit": 0}),
    "fit too low and no token": (after(spend_tokens), {"min_fit": 100}),
}  # fmt: skip


# These leave the world as it is for the next one: no limit, access, rule or closed method changes.
ALONE = {
    "open", "kept vacancy", "archived", "not found", "test", "external", "letter required",
    "letter required and there", "template", "template where a letter is required",
    "template, kept vacancy", "template that lacks a value", "placeholder left",
    "looked at always", "looked at for a finding", "looked at for nothing", "fit too low",
    "fit too low, looked at", "fit enough",
}  # fmt: skip


# Each of these replaces the rules of the one before.
OF_RULES = {
    "employer", "title", "stored and filtered", "salary unknown", "kept by the filters",
    "repost skipped", "repost asked", "repost allowed",
}  # fmt: skip


@pytest.mark.parametrize("names", [ALONE, OF_RULES], ids=["alone", "of rules"])
def test_dry_run_equals_the_same_requests_one_after_another(harness, names):
    assert names <= set(SITUATIONS)
    for name in SITUATIONS:
        if name in names:
            compare(harness, name)


@pytest.mark.parametrize("name", [name for name in SITUATIONS if name not in ALONE | OF_RULES])
def test_dry_run_says_what_the_same_request_comes_to(harness, name):
    compare(harness, name)


def compare(harness, name):
    """Compare what the dry run says with what comes of the request."""
    prepare, fields = SITUATIONS[name]
    vacancy_id = prepare(harness)
    fields = fields(harness) if callable(fields) else fields
    before = written(harness)
    answer = ask(harness, vacancy_id, **fields)
    assert written(harness) == before
    accepted = harness.submit(vacancy_id, **fields)
    for _ in range(8):  # a resume that was just created may become visible yet
        harness.run()
        row = harness.row(accepted)
        if row.due_at is None or row.state == "waiting_quota":
            break
        harness.world.sandbox.advance(15)
    if "no token" in name and row.state == "waiting_quota" and answer.would != "wait":
        assert accepted.next_attempt_at == gate(answer, "limits").until
        harness.world.sandbox.advance(24 * 3600)  # a limit only delays
        harness.run()
        row = harness.row(accepted)
    assert (answer.would, answer.reason) == (
        WOULD[row.state], "quota" if row.state == "waiting_quota" else row.reason,
    ), (name, answer.gates)  # fmt: skip
    assert answer.link == (row.link if answer.would in ("handoff", "needs_person") else None)
    if row.state == "submitted":
        assert (answer.hh_resume_id, answer.cover_letter) == (row.resume_id, row.letter)
        assert answer.send_at is not None


@pytest.mark.parametrize("state", ["submitted", "queued", "cancelled"])
def test_earlier_application_is_named_and_nothing_is_sent_again(harness, state):
    vacancy_id = publish(harness)
    first = harness.submit(vacancy_id)
    if state == "submitted":
        harness.run()
    if state == "cancelled":
        commands.cancel(str(first.application_id), harness.person, harness.context)
    answer = ask(harness, vacancy_id)
    expected = "already_applied" if state == "submitted" else "duplicate"
    assert (answer.would, answer.reason) == ("refuse", expected)
    assert answer.application_id == first.application_id
    again = harness.submit(vacancy_id)
    assert (again.application_id, again.state) == (first.application_id, state)


def test_key_of_another_application_is_refused_in_a_dry_run(harness):
    harness.submit(publish(harness), idempotency_key="one")
    with pytest.raises(Conflict):
        ask(harness, publish(harness), idempotency_key="one")


def test_malformed_request_is_refused_as_the_request_is(harness):
    with pytest.raises(Invalid):
        ask(harness, "https://hh.ru/vacancy/1")


def test_person_who_never_connected_is_told_so(harness):
    person = Person(uuid4(), None, Access())
    body = SubmitBody(job_external_id=publish(harness), dry_run=True)
    answer = gates.dry_run(body, person, harness.context)
    assert (answer.would, answer.reason) == ("needs_person", "reauth_required")
    assert answer.is_certain is False
    with pytest.raises(NeedsPerson):
        acceptance.accept(body, person, harness.context)


def test_gates_come_in_their_order_with_fit_and_letter(harness):
    answer = ask(harness, publish(harness, skills=["Python"]))
    assert [own.name for own in answer.gates] == list(get_args(Name))
    assert {own.result for own in answer.gates} == {"pass"}
    assert answer.is_certain
    assert answer.fit is not None
    assert answer.fit.score > 0
    assert {finding.rule for finding in answer.letter_findings} >= {"length"}
    body = SubmitBody(job_external_id=answer.job_id, cover_letter="Здравствуйте!")
    assert gates.evaluate(body, harness.person, harness.context) == answer.gates


def test_template_of_another_account_is_not_found(harness):
    with pytest.raises(NotFound):
        ask(harness, publish(harness), letter=None, letter_template_id=uuid4())


def test_hh_that_does_not_answer_leaves_gates_unknown(harness):
    vacancy_id = publish(harness)
    harness.world.sandbox.fault("server_error", path="/vacancies/")
    answer = ask(harness, vacancy_id)
    unknown = {own.name for own in answer.gates if own.result == "unknown"}
    assert unknown == {"filters", "vacancy", "resume"}
    assert (answer.would, answer.is_certain) == ("apply_now", False)
