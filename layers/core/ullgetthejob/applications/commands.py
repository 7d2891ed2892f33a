"""The commands of ``/api/applications``: list, read, confirm, cancel and retry applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID

from pydantic import AwareDatetime

from ullgetthejob.accounts import access, audit
from ullgetthejob.applications import application_states, attempts, ledger, models
from ullgetthejob.applications.application import COLUMNS, Application
from ullgetthejob.applications.lookup import find, wrong_state
from ullgetthejob.filters import models as filter_models
from ullgetthejob.filters import store
from ullgetthejob.hh import method_access
from ullgetthejob.platform import paging, queues

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context

    Connection = psycopg.Connection[dict[str, Any]]

SELECT_APPLICATIONS = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND (%(state)s::text IS NULL OR state = %(state)s)
        AND (%(after_id)s::uuid IS NULL OR (created_at, id) < (%(after_created_at)s, %(after_id)s))
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608
KEYSET = paging.Keyset(tuple[AwareDatetime, UUID], "created_at", "id")
COUNT_APPLICATIONS = """
    SELECT count(*) AS found FROM application_ledger
    WHERE account_id = %(account_id)s AND (%(state)s::text IS NULL OR state = %(state)s)
"""
# With what was written in the conversation, but for the application itself.
SELECT_HISTORY = """
    SELECT at, state, reason, NULL::uuid AS message_id, id AS step
    FROM application_history WHERE ledger_id = %(id)s
    UNION ALL
    SELECT created_at, 'submitted', CASE author WHEN 'employer' THEN 'message' ELSE 'reply' END,
           id, NULL
    FROM application_messages
    WHERE ledger_id = %(id)s AND state IN ('received', 'sent')
      AND hh_state IS DISTINCT FROM 'response'
    ORDER BY at, step
"""
UPDATE_APPLICATION_RETRIED = """
    UPDATE application_ledger
    SET letter = %(letter)s, expires_at = %(expires_at)s, repost = coalesce(%(repost)s, repost)
    WHERE id = %(id)s
"""
UPDATE_APPLICATION_REPOST = f"""
    UPDATE application_ledger SET repost = %(repost)s WHERE id = %(id)s AND state = ANY(%(states)s)
    RETURNING {COLUMNS}
"""  # noqa: S608
# The person made it on hh.ru.
UPDATE_APPLICATION_BY_HAND = "UPDATE application_ledger SET by_hand = true WHERE id = %(id)s"


def list_applications(
    query: models.ApplicationQuery, person: Person, context: Context
) -> models.Applications:
    """Return a page of the applications of the person's account, from whichever session."""
    own = {"account_id": person.account_id, "state": query.state}
    values = {**own, **KEYSET.values(query)}
    found = context.connection.execute(SELECT_APPLICATIONS, values).fetchall()
    rows, next_cursor = KEYSET.split(found, query)
    counted = None
    if query.cursor is None:
        counted = context.connection.execute(COUNT_APPLICATIONS, own).fetchone()
    is_closed = _is_reading_closed(person, context)
    return models.Applications(
        items=[_answer(Application(**row), is_closed=is_closed) for row in rows],
        found=counted["found"] if counted else None,
        page=query.page,
        per_page=query.per_page,
        next_cursor=next_cursor,
    )


def read_application(
    application_id: str, person: Person, context: Context
) -> models.ApplicationWithHistory:
    """Return an application with its history. Raises :class:`NotFound` also for another
    account's."""
    application = find(application_id, person, context.connection)
    history = context.connection.execute(SELECT_HISTORY, {"id": application.id}).fetchall()
    answer = _to_answer(application, person, context).application
    answer.history = [models.HistoryStep(**step) for step in history]
    if application.reason in (filter_models.REPOST, filter_models.FILTERED_REPOST):
        answer.applied_posting = _find_applied_posting(application, context.connection)
    return models.ApplicationWithHistory(application=answer)


def confirm(application_id: str, person: Person, context: Context) -> models.ApplicationWithHistory:
    """Record that the person did the last step on hh.ru. Raises :class:`NotFound`;
    :class:`Conflict` where no step was left to the person."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    application = find(application_id, person, connection)
    if application.state == "submitted":
        return _to_answer(application, person, context)
    if application.state not in application_states.NEEDS_PERSON:
        raise wrong_state(application, "cannot be confirmed")
    with connection.transaction():
        connection.execute(UPDATE_APPLICATION_BY_HAND, {"id": application.id})
        attempts.record_by_hand(application, now, connection=connection, now=now)
        moved = _transition(
            application, "submitted", connection, now, reason="by_hand", submitted_at=now
        )
        audit.record("application.confirm", person, context)
    return _to_answer(moved, person, context)


def cancel(application_id: str, person: Person, context: Context) -> models.ApplicationWithHistory:
    """Cancel an application before it is sent. Raises :class:`NotFound`; :class:`Conflict` when it
    was sent."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    application = find(application_id, person, connection)
    if application.state == "cancelled":
        return _to_answer(application, person, context)
    if application.state not in application_states.ALLOWED_SOURCES["cancelled"]:
        raise wrong_state(application, "cannot be cancelled")
    with connection.transaction():
        moved = _transition(application, "cancelled", connection, now)
        audit.record("application.cancel", person, context)
    return _to_answer(moved, person, context)


def retry(
    application_id: str, body: models.RetryBody, person: Person, context: Context
) -> models.ApplicationWithHistory:
    """Retry an application of which hh.ru created nothing, optionally with another letter.

    An application that waits is returned as it is, with the new letter. One whose person was asked
    about a repost is sent: the command is the yes. Raises :class:`NotFound`; :class:`Conflict` for
    one that hh.ru has, or may have; :class:`NeedsPerson`.
    """
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    access.require(person.access, now=now)
    application = find(application_id, person, connection)
    new_letter = (body.cover_letter or "").strip() or None
    if application.state in application_states.WAITING:
        if body.repost is not None:
            application = _set_repost(application, body.repost, connection)
        replaced = ledger.replace_letter(application, new_letter, connection=connection, now=now)
        return _to_answer(replaced or application, person, context)
    if application.state not in application_states.RETRYABLE:
        raise wrong_state(application, "cannot be tried again")
    letter = new_letter or application.letter
    is_asked = (application.state, application.reason) == ("needs_person", filter_models.REPOST)
    values = {
        "id": application.id,
        "letter": letter,
        "expires_at": now + ledger.APPLICATION_TTL,
        "repost": body.repost or ("allow" if is_asked else None),
    }
    with connection.transaction():
        connection.execute(UPDATE_APPLICATION_RETRIED, values)
        ledger.detach_campaign(application.id, connection=connection)
        moved = _transition(application, "queued", connection, now, reason="retried", due_at=now)
        audit.record("application.retry", person, context)
    queues.notify(ledger.QUEUE, {"account_id": str(application.account_id)})
    return _to_answer(moved, person, context)


def _to_answer(
    application: Application, person: Person, context: Context
) -> models.ApplicationWithHistory:
    is_closed = _is_reading_closed(person, context)
    return models.ApplicationWithHistory(application=_answer(application, is_closed=is_closed))


def _set_repost(
    application: Application, repost: filter_models.RepostPolicy, connection: Connection
) -> Application:
    """Set the policy of an application that waits, and return its row; one that was begun in the
    meantime stays as it is."""
    values = {
        "id": application.id,
        "repost": repost,
        "states": list(application_states.WAITING),
    }
    row = connection.execute(UPDATE_APPLICATION_REPOST, values).fetchone()
    return Application(**row) if row else application


def _find_applied_posting(
    application: Application, connection: Connection
) -> models.AppliedPosting | None:
    """Return the application to another posting of the job; ``None`` where there is none by now."""
    postings = store.read_postings(
        application.account_id, [application.vacancy_id], connection=connection
    )
    found = postings.get(application.vacancy_id)
    if found is None or found.application_id is None or found.job_id is None:
        return None
    return models.AppliedPosting(
        application_id=found.application_id, job_id=found.job_id, submitted_at=found.submitted_at
    )


def _transition(
    application: Application,
    state: application_states.State,
    connection: Connection,
    now: datetime,
    **columns: Any,
) -> Application:
    try:
        return ledger.transition(
            application.id,
            state,
            source=[application.state],
            connection=connection,
            now=now,
            **columns,
        )
    except ledger.ConcurrentUpdate:
        raise wrong_state(application, "cannot be changed") from None


def _answer(application: Application, *, is_closed: bool) -> models.ApplicationAnswer:
    return models.ApplicationAnswer(
        application_id=application.id,
        job_id=application.vacancy_id,
        state=application.state,
        reason=application.reason,
        next_attempt_at=application.due_at if application.state == "waiting_quota" else None,
        submitted_at=application.submitted_at,
        negotiation_id=application.negotiation_id,
        resume_id=application.resume_id,
        resume_reason=application.resume_reason,
        cover_letter=application.letter,
        link=application.link,
        by_hand=application.by_hand,
        hh_state=application.hh_state,
        viewed=application.hh_viewed,
        unknowable=_list_unknowable(application, is_closed=is_closed),
        created_at=application.created_at,
        repost=application.repost,
    )


def _list_unknowable(application: Application, *, is_closed: bool) -> list[models.Unknowable]:
    """Return what Core cannot know of the application. *is_closed*: hh.ru lets it read no
    negotiations."""
    if not is_closed or application.state not in ("submitted", "handoff", "uncertain"):
        return []
    if application.state == "submitted":
        return ["viewed", "hh_state"]
    return [*get_args(models.Unknowable)]


def _is_reading_closed(person: Person, context: Context) -> bool:
    return method_access.is_closed(
        "negotiations", person.account_id, connection=context.connection, now=context.now()
    )
