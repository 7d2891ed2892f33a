"""Acceptance of an application: the request is checked as far as possible, the ledger's row
committed, the submitter notified.

Repeatable: the same key, or the same account and vacancy, is answered with the first application
again. Another letter then replaces the first one while nothing was sent with that; what else is
different (the resume) stays as it was first requested. A key of the caller's own that comes with
another content is a :class:`Conflict`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ullgetthejob.accounts import audit, method_status
from ullgetthejob.applications import (
    application_states,
    applying,
    deferral,
    idempotency,
    ledger,
    projection,
    resume_creation,
)
from ullgetthejob.applications.application import COLUMNS, FIELDS, Application, vacancy_url
from ullgetthejob.applications.submission import Submitted
from ullgetthejob.filters import decisions
from ullgetthejob.platform import queues, tracing
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.telemetry import count
from ullgetthejob.rate_limits import availability

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.submission import SubmitBody
    from ullgetthejob.filters.models import Held
    from ullgetthejob.platform.context import Context

# One statement for the row, what the BFF reads, the caller's own key, the records of it and the
# event.
INSERT_APPLICATION = f"""
    WITH changed AS (
        INSERT INTO application_ledger (account_id, user_id, vacancy_id, application_id, state,
                                        reason, due_at, expires_at, letter, wanted_resume_id,
                                        created_at, updated_at, workflow_id, queue_item_id,
                                        new_resume, trace_id, repost, link, letter_template_id,
                                        review, min_fit)
        VALUES (%(account_id)s, %(user_id)s, %(vacancy_id)s, %(application_id)s, %(state)s,
                %(reason)s, %(due_at)s, %(expires_at)s, %(letter)s, %(resume_id)s, %(now)s, %(now)s,
                %(workflow_id)s, %(queue_item_id)s, %(new_resume)s::jsonb, %(trace_id)s,
                %(repost)s, %(link)s, %(letter_template_id)s, %(review)s, %(min_fit)s)
        ON CONFLICT (account_id, vacancy_id) DO NOTHING
        RETURNING {COLUMNS}, {ledger.EVENT}
    ), {projection.INSERTED}, keyed AS (
        INSERT INTO application_keys (account_id, key, request_hash, ledger_id, created_at)
        SELECT account_id, %(key)s, %(request_hash)s, id, %(now)s
        FROM changed WHERE %(key)s::text IS NOT NULL ON CONFLICT DO NOTHING
    ), {audit.AUDITED},
    {ledger.compose_record("inserted")}
    SELECT {FIELDS} FROM changed
"""  # noqa: S608


def accept(body: SubmitBody, person: Person, context: Context) -> Submitted:
    """Accept an application and notify the submitter. Raises :class:`Invalid`, :class:`Conflict`;
    :class:`NeedsPerson` for a user who never connected hh.ru."""
    context = context.with_fixed_time()
    now = context.now()
    own_key = body.idempotency_key or context.caller.idempotency_key
    is_closed = is_applying_closed(body, person, context)
    application, _ = create_application(
        body,
        person,
        context,
        key=own_key,
        # No limit delays what is handed off, or reviewed first.
        wait=None if is_closed or body.review == "always" else _next_allowed_at(person, context),
        is_closed=is_closed,
    )
    if application.due_at is not None and application.due_at <= now:
        queues.notify(ledger.QUEUE, {"account_id": str(person.account_id)})
    return Submitted.of(application, own_key or f"{person.account_id}:{body.job_external_id}")


def create_application(
    body: SubmitBody,
    person: Person,
    context: Context,
    *,
    key: str | None,
    wait: datetime | None,
    is_closed: bool | None = None,
    workflow_id: UUID | None = None,
    queue_item_id: UUID | None = None,
) -> tuple[Application, bool]:
    """Return the application's row of the ledger, and whether it is new; the submitter is not
    notified.

    Where hh.ru does not let Core apply, and the filters certainly keep the vacancy, the application
    is handed off at once. *key*: the caller's own, if it has one. *wait*: when the limits let it be
    sent, if not at once. *is_closed*: whether hh.ru lets Core apply, if that was asked already.
    *workflow_id*, *queue_item_id*: the campaign that it is part of, and its item. Raises as
    :func:`accept` does.
    """
    body.check()
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    _require_template(body, person, context)
    held = decisions.advise(person.account, body.job_external_id, connection=connection, now=now)
    if is_closed is None:
        is_closed = is_applying_closed(body, person, context)
    is_handed_off = held is None and is_closed and _is_kept_for_certain(body, person, context)
    values = {
        "account_id": person.account,
        "user_id": person.user_id,
        "key": key,
        "workflow_id": workflow_id,
        "queue_item_id": queue_item_id,
        "trace_id": tracing.trace_id(),
        **_initial_values(body, wait, held, now, is_handed_off=is_handed_off),
    }
    earlier = idempotency.find_by_key(values, connection=connection)
    inserted = None if earlier else _insert(values, context)
    if inserted is None:
        return _repeat(earlier, values, person, context), False
    ledger.announce(inserted, None, connection=connection)
    count("ApplicationsAccepted" if held is None else "ApplicationsFiltered")
    return inserted, True


def _require_template(body: SubmitBody, person: Person, context: Context) -> None:
    """Raise :class:`NotFound` for a letter template that the account does not have."""
    if body.letter_template_id is not None:
        from ullgetthejob.letters import store as letter_templates  # most have no template

        letter_templates.find(
            person.account, body.letter_template_id, connection=context.connection
        )


def _is_kept_for_certain(body: SubmitBody, person: Person, context: Context) -> bool:
    """Return whether the account's filters certainly keep the vacancy; where it is not known enough
    for them, the submitter looks first."""
    return decisions.keeps_stored(
        person.account,
        body.job_external_id,
        repost=body.repost,
        connection=context.connection,
        now=context.now(),
    )


def _repeat(
    earlier: Application | None, values: dict[str, Any], person: Person, context: Context
) -> Application:
    """Return the application of a repeated request, and write the audit log. *earlier*: the one
    that came with the caller's own key."""
    connection, outcome = context.connection, "repeated"
    with connection.transaction():
        if earlier is None:
            earlier, outcome = idempotency.repeat(values, connection=connection, now=context.now())
        audit.record("submit", person, context, outcome=outcome)
    return earlier


def is_applying_closed(body: SubmitBody, person: Person, context: Context) -> bool:
    """Return whether hh.ru does not let Core apply for the person."""
    return person.account_id is not None and applying.is_closed(
        person.account_id,
        wanted_resume_id=body.resume_id,
        connection=context.connection,
        now=context.now(),
    )


def _initial_values(
    body: SubmitBody,
    wait: datetime | None,
    held: Held | None,
    now: datetime,
    *,
    is_handed_off: bool,
) -> dict[str, Any]:
    """Return what the row has of the request, and the state in which it is inserted."""
    state: application_states.State = "queued" if wait is None else "waiting_quota"
    reason = None
    if held is not None:
        state, reason = held.state, held.reason
    elif is_handed_off:
        state, reason, wait = "handoff", method_status.CLOSED_CODE, None
    is_final = application_states.is_final(state)
    return {
        "vacancy_id": body.job_external_id,
        **body.ledger_values,
        "request_hash": body.content_hash,
        "state": state,
        "reason": reason,
        "link": vacancy_url(body.job_external_id) if is_handed_off else None,
        "due_at": None if held else wait or now,
        "expires_at": (wait or now) + ledger.APPLICATION_TTL,
        "new_resume": None if is_final else resume_creation.to_stored(body.new_resume),
    }


def _insert(values: dict[str, Any], context: Context) -> Application | None:
    """Insert the application and return its row; ``None`` where the account has one to this
    vacancy."""
    values = {
        **values,
        **audit.values_of("submit", "accepted", context),
        **ledger.event_values(context.now()),
        "application_id": uuid4(),
    }
    row = context.connection.execute(INSERT_APPLICATION, values).fetchone()
    return Application(**row) if row else None


def _next_allowed_at(person: Person, context: Context) -> datetime | None:
    """Return when the application may be sent, if not now or unknown."""
    try:
        return estimate_send_time(person, context)
    except Unavailable:
        return None


def estimate_send_time(person: Person, context: Context) -> datetime | None:
    """Return when an application that is accepted now may be sent, ``None``: at once. An estimate:
    the submitter decides. Raises :class:`Unavailable`."""
    if person.account_id is None:
        return None
    connection, now = context.connection, context.now()
    allowed_at = availability.next_allowed_at(
        person.account_id, person.access, connection=connection, now=now
    )
    if allowed_at is None:
        return None
    last = deferral.last_deferred_at(person.account_id, connection=connection)
    return max(allowed_at, last + availability.token_interval()) if last else allowed_at
