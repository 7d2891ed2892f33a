"""The commands of ``/api/reviews``: list, approve, edit and reject what waits for a person's yes.

An approval is of one text: it names the letter's hash. It is repeatable, and does not apply twice:
the row of the ledger is locked, and moves on once. What is approved is sent with that letter if the
vacancy is what it was; else it waits for the person again. Without an answer it expires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import AwareDatetime, ValidationError

from ullgetthejob.accounts import access, audit, resumes
from ullgetthejob.applications import application_states, ledger
from ullgetthejob.applications.application import COLUMNS, Application
from ullgetthejob.applications.lookup import find, wrong_state
from ullgetthejob.applications.reviews import examination, models, store
from ullgetthejob.filters import commands as filter_commands
from ullgetthejob.filters.models import EmployerRule, FiltersBody, Rules
from ullgetthejob.letters.checking import check
from ullgetthejob.platform import paging, queues
from ullgetthejob.platform.errors import Conflict, Invalid, NotFound
from ullgetthejob.vacancies import reading

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.letters.checking import Finding
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

_LEDGER = ", ".join(f"l.{column.strip()}" for column in COLUMNS.split(","))
SELECT_REVIEWS = f"""
    SELECT {_LEDGER}, r.content FROM application_ledger l
    LEFT JOIN application_reviews r ON r.ledger_id = l.id
    WHERE l.account_id = %(account_id)s AND l.state = 'review'
        AND (%(after_id)s::uuid IS NULL
             OR (l.created_at, l.id) > (%(after_created_at)s, %(after_id)s))
    ORDER BY l.created_at, l.id LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608
KEYSET = paging.Keyset(tuple[AwareDatetime, UUID], "created_at", "id")
SELECT_REVIEW_CONTENT = "SELECT content FROM application_reviews WHERE ledger_id = %(id)s"


def list_reviews(query: models.ReviewQuery, person: Person, context: Context) -> models.Reviews:
    """Return a page of what waits for the person's yes, the oldest first."""
    values = {"account_id": person.account_id, **KEYSET.values(query)}
    found = context.connection.execute(SELECT_REVIEWS, values).fetchall()
    rows, next_cursor = KEYSET.split(found, query)
    return models.Reviews(
        items=[models.Review(**_to_answer(row)) for row in rows],
        page=query.page,
        per_page=query.per_page,
        next_cursor=next_cursor,
    )


def approve(body: models.ApproveBody, person: Person, context: Context) -> models.AnsweredAll:
    """Let applications be sent with the letters that the person has seen. Each is answered for
    itself. Raises :class:`NeedsPerson` while hh.ru wants a login or a captcha."""
    context = context.with_fixed_time()
    access.require(person.access, now=context.now())
    answers = [_approve(item, person, context) for item in body.items]
    if any(answer.error is None for answer in answers):
        queues.notify(ledger.QUEUE, {"account_id": str(person.account_id)})
    return models.AnsweredAll(items=answers)


def reject(body: models.RejectBody, person: Person, context: Context) -> models.AnsweredAll:
    """Cancel applications, and store the rule that drops such vacancies from now on. Raises
    :class:`Invalid` for a rule without its word."""
    context = context.with_fixed_time()
    if (body.rule == "title_word") != (body.title_word is not None):
        raise Invalid.field("title_word", "belongs to the rule title_word")
    answers = []
    for application_id in body.application_ids:
        with context.connection.transaction():
            answers.append(_reject(application_id, body, person, context))
    return models.AnsweredAll(items=answers)


def edit(
    application_id: str, body: models.EditBody, person: Person, context: Context
) -> models.OneReview:
    """Replace the letter of what waits for a yes, and check it again. Raises :class:`NotFound`;
    :class:`Conflict` for what does not wait for a yes; what hh.ru raises, with the letter as it
    was."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    letter = body.letter.strip()
    if not letter:
        raise Invalid.field("letter", "must not be empty")
    application = _find_waiting(application_id, person, context)
    findings = _check(letter, application, person, context)
    with connection.transaction():
        application = _find_waiting(application_id, person, context)
        ledger.replace_letter(
            application, letter, connection=connection, now=now, states=["review"]
        )
        store.replace_findings(
            application.id, models.finding_rows(findings), connection=connection, now=now
        )
        audit.record("review.edit", person, context)
        content = _read_content(application.id, connection)
        row = {**vars(_find_waiting(application_id, person, context)), "content": content}
    return models.OneReview(**_to_answer(row))


def _approve(item: models.Approval, person: Person, context: Context) -> models.Answered:
    connection, now = context.connection, context.now()
    with connection.transaction():
        try:
            application = find(item.application_id, person, connection, locks=True)
        except NotFound as error:
            return _refuse(item.application_id, None, error.code)
        letter_hash = examination.hash_letter(application.letter).hex()
        if application.state != "review":
            return _answer_again(item, application, letter_hash, connection)
        if letter_hash != item.letter_hash:
            return _refuse(item.application_id, application, "letter_changed")
        if application.letter is None and application.letter_template_id is not None:
            return _refuse(item.application_id, application, "letter_missing")
        store.approve(
            application,
            expires_at=now + ledger.APPLICATION_TTL,
            connection=connection,
            now=now,
        )
        moved = ledger.transition(
            application.id,
            "queued",
            source=["review"],
            reason="approved",
            due_at=now,
            connection=connection,
            now=now,
        )
        audit.record("review.approve", person, context)
    return models.Answered(application_id=item.application_id, state=moved.state)


def _answer_again(
    item: models.Approval, application: Application, letter_hash: str, connection: Connection
) -> models.Answered:
    """Answer an approval of what does not wait for one: repeated, or of something else."""
    review = store.read(application.id, connection=connection)
    was_approved = review is not None and review.allows_letter(application.letter)
    is_under_way = application.state not in application_states.HELD
    if was_approved and is_under_way and letter_hash == item.letter_hash:
        return models.Answered(application_id=item.application_id, state=application.state)
    return _refuse(item.application_id, application, "wrong_state")


def _reject(
    application_id: UUID, body: models.RejectBody, person: Person, context: Context
) -> models.Answered:
    connection, now = context.connection, context.now()
    try:
        application = find(application_id, person, connection, locks=True)
    except NotFound as error:
        return _refuse(application_id, None, error.code)
    if application.state == "review":
        _add_rule(application, body, person, context)
        application = ledger.transition(
            application.id,
            "cancelled",
            source=["review"],
            reason="rejected",
            connection=connection,
            now=now,
        )
        audit.record("review.reject", person, context)
    elif (application.state, application.reason) != ("cancelled", "rejected"):
        return _refuse(application_id, application, "wrong_state")
    return models.Answered(application_id=application_id, state=application.state)


def _add_rule(
    application: Application, body: models.RejectBody, person: Person, context: Context
) -> None:
    """Add the rule to the person's filters, unless they have it. An anonymous employer, who has no
    id, makes no rule. Raises :class:`Conflict` (``too_many_rules``), :class:`NeedsPerson`."""
    if body.rule is None:
        return
    filter_commands.lock(person, context)
    rules = filter_commands.show(person, context).rules
    changed: dict[str, Any] = {}
    if body.rule == "title_word" and body.title_word not in rules.title_words:
        changed["title_words"] = (*rules.title_words, body.title_word)
    if body.rule == "employer":
        vacancy = (_read_content(application.id, context.connection) or {}).get("vacancy") or {}
        known = {employer.id for employer in rules.employers}
        employer_id = vacancy.get("employer_id")
        if employer_id is not None and employer_id not in known:
            changed["employers"] = (*rules.employers, EmployerRule(id=employer_id))
    if changed:
        try:
            replaced = Rules.model_validate({**dict(rules), **changed})
        except ValidationError:
            raise Conflict("there are too many rules of this kind", code="too_many_rules") from None
        filter_commands.replace(FiltersBody(rules=replaced), person, context)


def _check(
    letter: str, application: Application, person: Person, context: Context
) -> list[Finding]:
    """Return what the check finds in the letter. Raises hh.ru's errors, where it does not show
    vacancy or resume: an edited letter is never unchecked."""
    vacancy = reading.read_detail(application.vacancy_id, context)
    found = resumes.read_in_full(person, context, resume_id=application.resume_id)
    return check(letter, found[0], vacancy)


def _find_waiting(application_id: str, person: Person, context: Context) -> Application:
    """Return an application that waits for a yes. Raises :class:`NotFound`, :class:`Conflict`."""
    application = find(application_id, person, context.connection, locks=True)
    if application.state != "review":
        raise wrong_state(application, "does not wait for a yes")
    return application


def _read_content(ledger_id: UUID, connection: Connection) -> dict[str, Any] | None:
    row = connection.execute(SELECT_REVIEW_CONTENT, {"id": ledger_id}).fetchone()
    return row["content"] if row else None


def _refuse(application_id: UUID, application: Application | None, error: str) -> models.Answered:
    state = application.state if application else None
    return models.Answered(application_id=application_id, state=state, error=error)


def _to_answer(row: dict[str, Any]) -> dict[str, Any]:
    content = row["content"] or {}
    return {
        "application_id": row["id"],
        "reason": row["reason"],
        "vacancy": content.get("vacancy"),
        "letter": row["letter"],
        "letter_hash": examination.hash_letter(row["letter"]).hex(),
        "resume_id": row["resume_id"],
        "resume_title": content.get("resume_title"),
        "fit": content.get("fit"),
        "findings": content.get("findings") or [],
        "workflow_id": row["workflow_id"],
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
    }
