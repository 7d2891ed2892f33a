"""Reviews on the real sandbox: letters of templates, the person's yes, and what is sent then."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.fixtures.database import waiting_sessions
from tests.fixtures.waiting import until
from tests.harness import apply_process, applying
from tests.harness.context import CALLER, make_context
from tests.harness.worker_pool import Workers
from ullgetthejob.applications import ledger, submitter
from ullgetthejob.applications.commands import cancel, confirm, retry
from ullgetthejob.applications.models import RetryBody
from ullgetthejob.applications.reviews import commands, models, store
from ullgetthejob.filters import commands as filter_commands
from ullgetthejob.letters import commands as letter_commands
from ullgetthejob.letters.models import TemplateBody
from ullgetthejob.platform.errors import Conflict, Invalid, NotFound
from ullgetthejob.rate_limits import token_bucket

SECRET = "a secret of the BFF's, long enough to be one"
TEXT = (
    "Здравствуйте! Меня заинтересовала вакансия «{{ vacancy.title }}». Буду рада рассказать о своём"
    " опыте на встрече."
)


@pytest.fixture(scope="module")
def workers_of_module(tmp_path_factory):
    with Workers(tmp_path_factory.mktemp("workers") / "log") as started:
        yield started


@pytest.fixture
def workers(workers_of_module, monkeypatch):
    """Return processes of the functions, to which the BFF may send requests."""
    monkeypatch.setenv("ORCHESTRATOR_SECRET", SECRET)
    return workers_of_module


@pytest.fixture
def template(harness):
    return make_template(harness, TEXT)


def make_template(harness, text):
    body = TemplateBody(name=str(uuid.uuid4()), text=text)
    made, _ = letter_commands.create_template(body, harness.person, harness.context)
    return made.id


def list_reviews(harness):
    return commands.list_reviews(models.ReviewQuery(), harness.person, harness.context).items


def approve(harness, review, **changes):
    approval = models.Approval(
        application_id=review.application_id, letter_hash=review.letter_hash
    ).model_copy(update=changes)
    body = models.ApproveBody(items=[approval])
    return commands.approve(body, harness.person, harness.context).items[0]


def reject(harness, *ids, **fields):
    body = models.RejectBody(application_ids=list(ids), **fields)
    return commands.reject(body, harness.person, harness.context).items


def wait_for_yes(harness, template, **fields):
    """Let an application come into review; return what the person sees of it."""
    accepted = harness.submit(
        applying.publish(harness), None, letter_template_id=template, review="always", **fields
    )
    harness.run()
    assert harness.row(accepted).state == "review"
    return list_reviews(harness)[-1]


def test_letter_of_a_template_is_sent(harness, template):
    vacancy = applying.publish(harness)
    accepted = harness.submit(vacancy, None, letter_template_id=template, review="findings")
    harness.run()
    row = harness.row(accepted)
    (posted,) = harness.posted()
    assert (row.state, posted["letter"]) == ("submitted", row.letter)
    assert "«Python-разработчик»" in posted["letter"]
    assert 0 <= row.fit <= 100


def test_review_shows_what_is_sent_after_the_yes(harness, template):
    review = wait_for_yes(harness, template)
    assert harness.posted() == []
    assert (review.reason, review.vacancy.title) == ("review_asked_for", "Python-разработчик")
    assert review.fit.reasons
    assert review.resume_title
    assert approve(harness, review).state == "queued"
    harness.run()
    (posted,) = harness.posted()
    assert posted["letter"] == review.letter
    assert list_reviews(harness) == []


def test_second_approval_applies_once(harness, template):
    review = wait_for_yes(harness, template)
    assert [approve(harness, review).error for _ in range(2)] == [None, None]
    harness.run()
    again = approve(harness, review)
    assert (again.state, again.error) == ("submitted", None)
    harness.run()
    assert len(harness.posted()) == 1


def request_approval(harness, review):
    """Return the request of the BFF with which the person says yes."""
    item = {"application_id": str(review.application_id), "letter_hash": review.letter_hash}
    return {
        "version": "2.0",
        "routeKey": "POST /api/reviews/approve",
        "headers": {"x-core-secret": SECRET},
        "body": json.dumps({"user_id": str(harness.user_id), "items": [item]}),
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize("step", apply_process.STEPS_OF_APPROVING)
def test_approval_killed_at_any_step_applies_once(harness, template, workers, step):
    review = wait_for_yes(harness, template)
    request = f"{apply_process.REVIEW}{json.dumps(request_approval(harness, review))}"
    workers.kill_at(step, request, harness.world.clock.path)
    is_committed = step == "the yes is committed"
    row = ledger.read(review.application_id, connection=harness.connection)
    assert row.state == ("queued" if is_committed else "review")
    assert harness.sweep().notified == is_committed  # the wake-up was lost
    assert [approve(harness, review).error for _ in range(2)] == [None, None]
    harness.run()
    harness.run()
    assert [posted["letter"] for posted in harness.posted()] == [review.letter]


def test_submitter_killed_during_the_examination_shows_it_once(harness, template, workers):
    harness.submit(applying.publish(harness), None, letter_template_id=template, review="always")
    workers.kill_at(apply_process.EXAMINED, harness.account_id, harness.world.clock.path)
    harness.world.sandbox.advance(submitter.LEASE_S + 1)
    harness.run()
    (review,) = list_reviews(harness)
    events = harness.connection.execute(
        "SELECT count(*) AS told FROM events WHERE data->>'state' = 'review'"
    ).fetchone()
    assert events["told"] == 1
    approve(harness, review)
    harness.run()
    assert [posted["letter"] for posted in harness.posted()] == [review.letter]


@pytest.mark.parametrize("first", ["approve", "reject"])
def test_of_yes_and_no_at_once_exactly_one_wins(harness, template, database_url, first):
    """Both wait for the row, in either order, before one of them gets it."""
    review = wait_for_yes(harness, template)
    answers = {}

    def answer(act):
        with connect(database_url) as own:
            context = make_context(own, harness.world.now, caller=CALLER, hh=harness.hh)
            answers[act.__name__] = act(context)

    def say_yes(context):
        item = models.Approval(application_id=review.application_id, letter_hash=review.letter_hash)
        return commands.approve(models.ApproveBody(items=[item]), person, context).items[0]

    def say_no(context):
        body = models.RejectBody(application_ids=[review.application_id])
        return commands.reject(body, person, context).items[0]

    person = harness.person
    acts = [say_yes, say_no] if first == "approve" else [say_no, say_yes]
    threads = [threading.Thread(target=answer, args=(act,)) for act in acts]
    with connect(database_url) as holder, holder.transaction():
        holder.execute(
            "SELECT FROM application_ledger WHERE id = %s FOR UPDATE", (review.application_id,)
        )
        for number, thread in enumerate(threads, start=1):
            thread.start()
            until(lambda: len(waiting_sessions(harness.connection)) == number)  # noqa: B023
    for thread in threads:
        thread.join()
    row = ledger.read(review.application_id, connection=harness.connection)
    won = {"queued": "say_yes", "cancelled": "say_no"}[row.state]
    assert {name: found.error is None for name, found in answers.items()} == {
        "say_yes": won == "say_yes",
        "say_no": won == "say_no",
    }
    harness.run()
    assert len(harness.posted()) == (won == "say_yes")


def connect(database_url):
    """Open another connection, as another function does."""
    return psycopg.connect(database_url, autocommit=True, row_factory=dict_row)


def test_approval_of_another_text_is_refused(harness, template):
    review = wait_for_yes(harness, template)
    answer = approve(harness, review, letter_hash="0" * 64)
    assert (answer.state, answer.error) == ("review", "letter_changed")
    unknown = approve(harness, review, application_id=uuid.uuid4())
    assert (unknown.state, unknown.error) == (None, "application_not_found")


def test_edited_letter_is_sent(harness, template):
    review = wait_for_yes(harness, template)
    edited = commands.edit(
        str(review.application_id),
        models.EditBody(letter=f"{review.letter} Пишите на anna@other.example"),
        harness.person,
        harness.context,
    )
    assert {finding.rule for finding in edited.findings} == {"contact"}
    assert approve(harness, review).error == "letter_changed"
    assert approve(harness, edited).error is None
    harness.run()
    (posted,) = harness.posted()
    assert posted["letter"] == edited.letter
    with pytest.raises(Conflict):
        commands.edit(
            str(review.application_id),
            models.EditBody(letter="Поздно"),
            harness.person,
            harness.context,
        )


def test_findings_stop_a_letter(harness):
    vacancy = applying.publish(harness)
    letter = (
        "Здравствуйте, [Название компании]! Я пятнадцать лет руководила отделом из 240 человек."
    )
    accepted = harness.submit(vacancy, letter, review="findings")
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.reason) == ("review", "letter_findings")
    rules = {finding.rule for finding in list_reviews(harness)[0].findings}
    assert {"placeholder", "number"} <= rules


def test_letter_with_a_hole_is_never_sent(harness):
    holed = make_template(harness, TEXT + " [Название компании]")
    accepted = harness.submit(applying.publish(harness), None, letter_template_id=holed)
    harness.run()
    assert (harness.row(accepted).state, harness.posted()) == ("review", [])


def test_deleted_template_leaves_the_letter_to_the_person(harness, template):
    accepted = harness.submit(applying.publish(harness), None, letter_template_id=template)
    letter_commands.delete_template(str(template), harness.person, harness.context)
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.reason, row.letter) == ("review", "template_not_found", None)


def test_unknown_template_is_not_accepted(harness, template):
    with pytest.raises(NotFound):
        harness.submit(applying.publish(harness), None, letter_template_id=uuid.uuid4())
    with pytest.raises(Invalid):
        harness.submit(applying.publish(harness), "Письмо", letter_template_id=template)


def test_fit_below_the_least_spends_no_token(harness):
    accepted = harness.submit(applying.publish(harness), min_fit=100)
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.reason) == ("refused", "filtered_fit")
    assert row.fit < 100
    assert harness.posted() == []
    harness.submit(applying.publish(harness), min_fit=0)
    harness.run()
    assert len(harness.posted()) == 1


def test_changed_vacancy_is_shown_again(harness, template):
    review = wait_for_yes(harness, template)
    approve(harness, review)
    harness.connection.execute(
        "UPDATE application_reviews SET vacancy_digest = 'another' WHERE ledger_id = %s",
        [review.application_id],
    )
    harness.run()
    again = list_reviews(harness)[0]
    assert (again.reason, again.letter) == ("vacancy_changed", review.letter)
    assert harness.posted() == []
    approve(harness, again)
    harness.run()
    assert len(harness.posted()) == 1


def test_rejected_application_is_cancelled_once(harness, template):
    review = wait_for_yes(harness, template)
    first, second = reject(harness, review.application_id, review.application_id)
    assert (first.state, second.state, second.error) == ("cancelled", "cancelled", None)
    assert approve(harness, review).error == "wrong_state"
    harness.run()
    assert harness.posted() == []


def test_rejection_becomes_a_rule(harness, template):
    reviews = [wait_for_yes(harness, template) for _ in range(2)]
    reject(harness, reviews[0].application_id, rule="employer")
    reject(harness, reviews[1].application_id, rule="title_word", title_word="разработчик")
    rules = filter_commands.show(harness.person, harness.context).rules
    assert [rule.id for rule in rules.employers] == [reviews[0].vacancy.employer_id]
    assert rules.title_words == ("разработчик",)
    with pytest.raises(Invalid):
        reject(harness, reviews[0].application_id, rule="title_word")


def test_review_is_confirmed_or_cancelled_but_not_retried(harness, template):
    first, second = (wait_for_yes(harness, template) for _ in range(2))
    person, context = harness.person, harness.context
    with pytest.raises(Conflict):
        retry(str(first.application_id), RetryBody(), person, context)
    assert confirm(str(first.application_id), person, context).application.state == "submitted"
    assert cancel(str(second.application_id), person, context).application.state == "cancelled"


def test_review_expires_after_seven_days(harness, template):
    review = wait_for_yes(harness, template)
    assert review.expires_at - harness.world.now() > timedelta(days=6, hours=23)
    harness.world.sandbox.advance(7 * 86_400 - 60)
    harness.sweep()
    assert len(list_reviews(harness)) == 1
    harness.world.sandbox.advance(120)
    harness.sweep()
    row = ledger.read(review.application_id, connection=harness.connection)
    assert (row.state, row.reason) == ("expired", "review_expired")


def test_pending_of_the_bff_does_not_bypass_the_review(harness, template):
    review = wait_for_yes(harness, template)
    row = ledger.read(review.application_id, connection=harness.connection)
    harness.connection.execute(
        "UPDATE applications SET status = 'pending' WHERE id = %s", [row.application_id]
    )
    harness.sweep()
    harness.run()
    assert harness.posted() == []
    assert len(list_reviews(harness)) == 1


def test_reviews_are_of_their_person_alone(harness, quiet_world, template):
    review = wait_for_yes(harness, template)
    other = applying.ApplyHarness(quiet_world, "timur")
    assert list_reviews(other) == []
    assert approve(other, review).error == "application_not_found"
    assert reject(other, review.application_id)[0].error == "application_not_found"
    assert ledger.read(review.application_id, connection=harness.connection).state == "review"


def test_limit_delays_what_is_sent_not_what_is_reviewed(harness, template):
    for number in range(21):
        token_bucket.acquire(
            "submit", harness.account_id, spend_id=f"spent-{number}", now=harness.world.now()
        )
    review = wait_for_yes(harness, template)
    approve(harness, review)
    harness.run()
    row = ledger.read(review.application_id, connection=harness.connection)
    assert (row.state, harness.posted()) == ("waiting_quota", [])
    harness.world.sandbox.advance(460)
    harness.run()
    assert [posted["letter"] for posted in harness.posted()] == [review.letter]


def test_approved_application_is_sent_with_the_shown_resume(harness, template):
    review = wait_for_yes(harness, template)
    approve(harness, review)
    row = ledger.read(review.application_id, connection=harness.connection)
    assert row.wanted_resume_id == review.resume_id


def test_letter_of_a_template_lies_in_the_handoff(harness, template):
    harness.world.sandbox.fault(
        "withdrawn", path="/negotiations", status=410, body="json", method="POST"
    )
    first = harness.submit(applying.publish(harness), None, letter_template_id=template)
    harness.run()
    assert harness.row(first).state == "handoff"
    fields = {"letter_template_id": template, "review": "always"}
    handed = harness.submit(applying.publish(harness), None, **fields)
    unfit = harness.submit(applying.publish(harness), None, min_fit=100, **fields)
    harness.run()
    row = harness.row(handed)
    assert (row.state, row.reason) == ("handoff", "hh_closed")
    assert "«Python-разработчик»" in row.letter
    assert (harness.row(unfit).state, harness.row(unfit).reason) == ("refused", "filtered_fit")


def test_handoff_has_the_letter_where_resumes_are_unreadable(harness, template):
    harness.world.sandbox.control("POST", "/mode", {"mode": "closed"})
    vacancy = applying.publish(harness)
    accepted = harness.submit(vacancy, None, letter_template_id=template, review="findings")
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.reason) == ("handoff", "hh_closed")
    assert "«Python-разработчик»" in row.letter


def test_missing_letter_is_written_before_the_yes(harness, template):
    harness.submit(applying.publish(harness), None, letter_template_id=template)
    letter_commands.delete_template(str(template), harness.person, harness.context)
    harness.run()
    (review,) = list_reviews(harness)
    assert approve(harness, review).error == "letter_missing"
    edited = commands.edit(
        str(review.application_id),
        models.EditBody(letter="Здравствуйте! Мне интересна эта вакансия, расскажу при встрече."),
        harness.person,
        harness.context,
    )
    assert approve(harness, edited).error is None
    harness.run()
    assert [posted["letter"] for posted in harness.posted()] == [edited.letter]


def test_second_request_leaves_the_letter_in_review(harness, template):
    review = wait_for_yes(harness, template)
    again = harness.submit(review.vacancy.job_id, "Другое письмо")
    assert again.status == "review"
    assert list_reviews(harness)[0].letter_hash == review.letter_hash


def test_letter_sent_unseen_is_not_approved_by_its_person(harness, template):
    accepted = harness.submit(applying.publish(harness), None, letter_template_id=template)
    harness.run()
    review = store.read(accepted.application_id, connection=harness.connection)
    assert review.allows_letter(harness.row(accepted).letter)
    assert not review.was_approved
