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
from tests.harness.killing import SECRET
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

EMPLOYER = {"id": "87654321", "name": "Завод"}
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


def wait_for_yes(harness, template, **vacancy):
    """Let an application to a new *vacancy* come into review; return what the person sees of it."""
    accepted = harness.submit(
        applying.publish(harness, **vacancy), None, letter_template_id=template, review="always"
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
    return review_request(harness, "POST /api/reviews/approve", items=[item])


def review_request(harness, key, id=None, **fields):
    """Return the wake-up of a process for a request of the BFF for the route *key*."""
    event = {
        "version": "2.0",
        "routeKey": key,
        "headers": {"x-core-secret": SECRET},
        "pathParameters": {"id": str(id)},
        "body": json.dumps({"user_id": str(harness.user_id), **fields}),
        "isBase64Encoded": False,
    }
    return f"{apply_process.REVIEW}{json.dumps(event)}"


@pytest.mark.parametrize("step", apply_process.STEPS_OF_APPROVING)
def test_approval_killed_at_any_step_applies_once(harness, template, workers, step):
    review = wait_for_yes(harness, template)
    workers.kill_at(step, request_approval(harness, review), harness.world.clock.path)
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


def request_rejection(harness, *reviews, **rule):
    ids = [str(review.application_id) for review in reviews]
    return review_request(
        harness, "POST /api/reviews/reject", application_ids=ids, **(rule or {"rule": "employer"})
    )


def audited(harness, *actions):
    found = harness.connection.execute(
        "SELECT action FROM audit_log WHERE action = ANY(%s) ORDER BY id", [list(actions)]
    )
    return [row["action"] for row in found.fetchall()]


def check_rejected_once(harness, *reviews):
    """Check that *reviews* are cancelled, that the rule about their employer was made once, and
    that nothing is applied to."""
    states = [
        (row.state, row.reason)
        for row in (
            ledger.read(review.application_id, connection=harness.connection) for review in reviews
        )
    ]
    assert states == [("cancelled", "rejected")] * len(reviews)
    employers = filter_commands.show(harness.person, harness.context).rules.employers
    assert [rule.id for rule in employers] == [reviews[0].vacancy.employer_id]
    assert audited(harness, "filters.replace") == ["filters.replace"]
    assert audited(harness, "review.reject") == ["review.reject"] * len(reviews)
    told = harness.connection.execute(
        "SELECT count(*) AS events FROM events WHERE data->>'state' = 'cancelled'"
    ).fetchone()
    assert told["events"] == len(reviews)
    harness.sweep()
    harness.run()
    assert harness.posted() == []


@pytest.mark.parametrize("step", apply_process.STEPS_OF_REJECTING)
def test_rejection_killed_at_any_step_changes_nothing(harness, template, workers, step):
    review = wait_for_yes(harness, template)
    rejection = request_rejection(harness, review)
    workers.kill_at(step, rejection, harness.world.clock.path)
    assert [waiting.letter_hash for waiting in list_reviews(harness)] == [review.letter_hash]
    assert filter_commands.show(harness.person, harness.context).rules.employers == ()
    assert audited(harness, "filters.replace", "review.reject") == []
    for _ in range(2):
        reject(harness, review.application_id, rule="employer")
    check_rejected_once(harness, review)


def test_rejections_killed_after_any_effect_are_made_once(harness, template, functions):
    """Of two applications of one request each is whole, and the second goes on waiting."""
    reviews = [wait_for_yes(harness, template, employer=EMPLOYER) for _ in range(2)]
    rejection = request_rejection(harness, *reviews).replace(apply_process.REVIEW, "reviews ", 1)
    assert len(list_reviews(harness)) == 2
    effects = []
    for effect in functions.kill_after_each(lambda: rejection):
        effects.append(effect)
        assert len(list_reviews(harness)) == 2 - len(effects)
        assert audited(harness, "review.reject") == ["review.reject"] * len(effects)
    functions.call(rejection, rejection)
    check_rejected_once(harness, *reviews)


def test_rules_of_rejections_at_once_are_both_kept(harness, template, database_url):
    """Both wait for the person's rules before one of them writes."""
    reviews = [wait_for_yes(harness, template) for _ in range(3)]
    reject(harness, reviews[0].application_id, rule="title_word", title_word="стажёр")
    person, words = harness.person, ("курьер", "грузчик")

    def say_no(review, word):
        with connect(database_url) as own:
            context = make_context(own, harness.world.now, caller=CALLER, hh=harness.hh)
            body = models.RejectBody(
                application_ids=[review.application_id], rule="title_word", title_word=word
            )
            commands.reject(body, person, context)

    threads = [
        threading.Thread(target=say_no, args=each) for each in zip(reviews[1:], words, strict=True)
    ]
    with connect(database_url) as holder, holder.transaction():
        holder.execute("SELECT FROM application_filters FOR UPDATE")
        for number, thread in enumerate(threads, start=1):
            thread.start()
            until(lambda: len(waiting_sessions(harness.connection)) == number)  # noqa: B023
    for thread in threads:
        thread.join()
    kept = filter_commands.show(harness.person, harness.context).rules.title_words
    assert sorted(kept) == sorted(("стажёр", *words))


@pytest.mark.parametrize("step", apply_process.STEPS_OF_EDITING)
def test_edit_killed_at_any_step_leaves_the_letter(harness, template, workers, step):
    review = wait_for_yes(harness, template)
    letter = f"{review.letter} Пишите на anna@other.example"
    id = review.application_id
    edit = review_request(harness, "PUT /api/reviews/{id}", id=id, letter=letter)
    workers.kill_at(step, edit, harness.world.clock.path)
    assert list_reviews(harness) == [review]
    assert audited(harness, "review.edit") == []
    for _ in range(2):
        commands.edit(str(id), models.EditBody(letter=letter), harness.person, harness.context)
    (edited,) = list_reviews(harness)
    assert edited.letter == letter
    assert {finding.rule for finding in edited.findings} == {"contact"}
    assert approve(harness, review).error == "letter_changed"
    assert approve(harness, edited).error is None
    harness.run()
    harness.run()
    assert [posted["letter"] for posted in harness.posted()] == [letter]


def test_edit_killed_after_its_commit_is_whole(harness, template, functions):
    review = wait_for_yes(harness, template)
    letter, id = f"{review.letter} Пишите на anna@other.example", review.application_id
    edit = review_request(harness, "PUT /api/reviews/{id}", id=id, letter=letter)
    edit = edit.replace(apply_process.REVIEW, "reviews ", 1)
    effects = list(functions.kill_after_each(lambda: edit))
    assert "application_reviews" in effects[-1]
    functions.call(edit, edit)
    (edited,) = list_reviews(harness)
    assert edited.letter == letter
    assert {finding.rule for finding in edited.findings} == {"contact"}
    assert approve(harness, edited).error is None
    harness.run()
    assert [posted["letter"] for posted in harness.posted()] == [letter]


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
