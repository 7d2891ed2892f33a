"""Acceptance of an application: the request is checked as far as possible, the ledger's row
committed, the submitter notified.

Repeatable: the same key, or the same account and vacancy, is answered with the first application
again. Another letter then replaces the first one while nothing was sent with that; what else is
different (the resume) stays as it was first requested. A key of the caller's own that comes with
another content is a :class:`Conflict`.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ullgetthejob.accounts import audit, method_status
from ullgetthejob.applications import (
    application_states,
    applying,
    deferral,
    ledger,
    projection,
    resume_creation,
)
from ullgetthejob.applications.application import COLUMNS, FIELDS, Application, vacancy_url
from ullgetthejob.filters import evaluation
from ullgetthejob.filters.models import RepostPolicy
from ullgetthejob.hh import resume_fields
from ullgetthejob.platform import queues, tracing
from ullgetthejob.platform.errors import Conflict, Invalid, Unavailable
from ullgetthejob.platform.telemetry import count
from ullgetthejob.rate_limits import availability

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.filters.models import Held
    from ullgetthejob.platform.context import Context

    Connection = psycopg.Connection[dict[str, Any]]

VACANCY_ID = re.compile(r"[0-9]{1,19}")
RESUME_ID = re.compile(r"[0-9a-f]{1,64}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
PHONE = re.compile(r"\+?7[0-9]{10}")
SPACING = re.compile(r"[\s()-]")

# What an answer says of a state; of all others it says "processing".
STATUSES: dict[
    application_states.State, Literal["waiting_quota", "refused", "handoff", "review"]
] = {
    "waiting_quota": "waiting_quota",
    "refused": "refused",
    "handoff": "handoff",
    "review": "review",
}
MESSAGES: dict[application_states.State, str] = {
    "waiting_quota": "the application is sent when the limits allow it",
    "refused": "the application is not sent",
    "review": "the application waits for your yes",
    "handoff": "hh.ru leaves the last step to you: apply at the link, then confirm it",
}
# Fields of a request that belong to its content where they are not the default.
OPTIONAL = {"repost", "letter_template_id", "review", "min_fit"}
SELECT_IDEMPOTENCY_KEY = (
    "SELECT request_hash, ledger_id FROM application_keys WHERE (account_id, key) = (%s, %s)"
)
INSERT_IDEMPOTENCY_KEY = """
    INSERT INTO application_keys (account_id, key, request_hash, ledger_id, created_at)
    VALUES (%(account_id)s, %(key)s, %(request_hash)s, %(id)s, %(now)s) ON CONFLICT DO NOTHING
"""
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
SELECT_APPLICATION_OF_VACANCY = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND vacancy_id = %(vacancy_id)s
"""  # noqa: S608


class Cv(BaseModel):
    """The CV as the BFF customised it. hh.ru gets one of the person's own resumes, or, if one is to
    be created, a copy with the content of the CV."""

    model_config = ConfigDict(extra="allow")

    email: str | None = None
    phone: str | None = None
    hh_resume_id: str | None = None


class SubmitBody(BaseModel):
    """The request of the BFF. *create_resume*: a resume is created from the CV, as a copy of the
    person's resume *hh_resume_id*. *repost*: whether to apply if this is another posting of a job
    that was applied to; by default as the rules of ``/api/filters`` say. *letter_template_id*: the
    letter is made of this template, when vacancy and resume are known. *review*: whether the person
    looks before it is sent: always, if the check of the letter finds something, or never.
    *min_fit*: below this fit (0 to 100) the application is refused. *user_id*: for a service
    without a token of the user."""

    job_external_id: str
    cover_letter: str | None = None
    letter_template_id: UUID | None = None
    review: application_states.ReviewPolicy = "never"
    min_fit: Annotated[int, Field(ge=0, le=100)] | None = None
    customized_cv: Cv | None = None
    hh_resume_id: str | None = None
    create_resume: bool = False
    repost: RepostPolicy | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    user_id: str | None = None

    def check(self) -> None:
        """Raise :class:`Invalid` with one of the codes that the BFF translates."""
        if not VACANCY_ID.fullmatch(self.job_external_id):
            raise _invalid("job_external_id", "must be the id of a vacancy at hh.ru")
        if len(self.cover_letter or "") > ledger.MAX_LETTER_CHARS:
            raise _invalid(
                "cover_letter", f"must not be longer than {ledger.MAX_LETTER_CHARS} characters"
            )
        if self.letter is not None and self.letter_template_id is not None:
            raise _invalid("letter_template_id", "excludes cover_letter")
        if self.resume_id is not None and not RESUME_ID.fullmatch(self.resume_id):
            raise _invalid("hh_resume_id", "must be the id of a resume at hh.ru")
        if self.create_resume and self.customized_cv is None:
            raise _invalid("customized_cv", "must be given for a resume to be created from it")
        if self.customized_cv is not None:
            if not EMAIL.fullmatch(self.customized_cv.email or ""):
                raise _field_error(
                    "customized_cv.email", "must be an e-mail address", code="missing_email"
                )
            if not PHONE.fullmatch(SPACING.sub("", self.customized_cv.phone or "")):
                raise _field_error(
                    "customized_cv.phone", "must be +7 and ten digits", code="missing_phone"
                )

    @property
    def resume_id(self) -> str | None:
        """Return the id of the requested resume, from the body or from its CV."""
        return self.hh_resume_id or (self.customized_cv and self.customized_cv.hh_resume_id) or None

    @property
    def new_resume(self) -> dict[str, Any] | None:
        """Return the fields of the resume to create; ``None`` if none is to be created."""
        if not self.create_resume or self.customized_cv is None:
            return None
        return resume_fields.changes(self.customized_cv.model_extra or {})

    @property
    def letter(self) -> str | None:
        """Return the letter; ``None`` if it is empty or white space."""
        return (self.cover_letter or "").strip() or None


class Submitted(BaseModel):
    """An application that was accepted, now or before. ``refused``: it is not sent; *reason* says
    why (``filtered_…``: a rule of the person's own), and ``retry`` evaluates the rules again.
    ``handoff``: hh.ru does not let Core send it; the person does, at *link*, and confirms it.
    *idempotency_key*: the caller's own, else one made of account and vacancy."""

    success: Literal[True] = True
    status: Literal["processing", "waiting_quota", "refused", "handoff", "review"]
    state: application_states.State
    reason: str | None
    job_id: str
    application_id: UUID
    idempotency_key: str
    next_attempt_at: AwareDatetime | None
    link: str | None = Field(description="where the person does the last step, if that is left")
    message: str


def accept(body: SubmitBody, person: Person, context: Context) -> Submitted:
    """Accept an application and notify the submitter. Raises :class:`Invalid`, :class:`Conflict`;
    :class:`NeedsPerson` for a user who never connected hh.ru."""
    context = context.with_fixed_time()
    now = context.now()
    own_key = body.idempotency_key or context.caller.idempotency_key
    is_closed = _is_closed(body, person, context)
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
    return _answer(application, own_key or f"{person.account_id}:{body.job_external_id}")


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
    if body.letter_template_id is not None:
        from ullgetthejob.letters import store as letter_templates  # most have no template

        letter_templates.find(person.account, body.letter_template_id, connection=connection)
    held = evaluation.advise(person.account, body.job_external_id, connection=connection, now=now)
    if is_closed is None:
        is_closed = _is_closed(body, person, context)
    # Where the vacancy is not known enough for the filters, the submitter looks first.
    is_handed_off = (
        held is None
        and is_closed
        and evaluation.keeps_stored(
            person.account,
            body.job_external_id,
            repost=body.repost,
            connection=connection,
            now=now,
        )
    )
    values = {
        "account_id": person.account,
        "user_id": person.user_id,
        "key": key,
        "workflow_id": workflow_id,
        "queue_item_id": queue_item_id,
        "trace_id": tracing.trace_id(),
        **_initial_values(body, wait, held, now, is_handed_off=is_handed_off),
    }
    earlier = _find_by_key(values, connection=connection)
    inserted = None if earlier else _insert(values, context)
    if inserted is not None:
        ledger.announce(inserted, None, connection=connection)
        count("ApplicationsAccepted" if held is None else "ApplicationsFiltered")
        return inserted, True
    with connection.transaction():
        outcome = "repeated"
        if earlier is None:
            earlier, outcome = _repeat(values, connection=connection, now=now)
        audit.write(
            "submit", outcome, context, user_id=person.user_id, account_id=person.account_id
        )
    return earlier, False


def _is_closed(body: SubmitBody, person: Person, context: Context) -> bool:
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
        "letter": body.letter,
        "resume_id": body.resume_id,
        "repost": body.repost,
        "letter_template_id": body.letter_template_id,
        "review": body.review,
        "min_fit": body.min_fit,
        "request_hash": _request_hash(body),
        "state": state,
        "reason": reason,
        "link": vacancy_url(body.job_external_id) if is_handed_off else None,
        "due_at": None if held else wait or now,
        "expires_at": (wait or now) + ledger.APPLICATION_TTL,
        "new_resume": None if is_final else resume_creation.to_stored(body.new_resume),
    }


def _find_by_key(values: dict[str, Any], *, connection: Connection) -> Application | None:
    """Return the application that came with the caller's own key before. Raises
    :class:`Conflict` where its content was another."""
    if values["key"] is None:
        return None
    seen = connection.execute(
        SELECT_IDEMPOTENCY_KEY, [values["account_id"], values["key"]]
    ).fetchone()
    if seen is None:
        return None
    if bytes(seen["request_hash"]) != values["request_hash"]:
        raise Conflict("this idempotency key came with another application")
    return ledger.read(seen["ledger_id"], connection=connection)


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


def _repeat(
    values: dict[str, Any], *, connection: Connection, now: datetime
) -> tuple[Application, Literal["repeated", "letter_replaced"]]:
    """Return the account's application to this vacancy, with the letter of this request if it may
    still be replaced, and the outcome of the request."""
    row = connection.execute(SELECT_APPLICATION_OF_VACANCY, values).fetchone()
    assert row is not None  # noqa: S101 - the row that the INSERT conflicted with
    first = Application(**row)
    if values["key"] is not None:
        connection.execute(INSERT_IDEMPOTENCY_KEY, {**values, "id": first.id, "now": now})
    if values["queue_item_id"] not in (None, first.queue_item_id):
        return first, "repeated"  # another item of a campaign: the item fails
    replaced = ledger.replace_letter(first, values["letter"], connection=connection, now=now)
    return (replaced, "letter_replaced") if replaced else (first, "repeated")


def _next_allowed_at(person: Person, context: Context) -> datetime | None:
    """Return when the application may be sent, if not now. An estimate for the answer: the
    submitter decides."""
    if person.account_id is None:
        return None
    connection, now = context.connection, context.now()
    try:
        allowed_at = availability.next_allowed_at(
            person.account_id, person.access, connection=connection, now=now
        )
    except Unavailable:
        return None
    if allowed_at is None:
        return None
    last = deferral.last_deferred_at(person.account_id, connection=connection)
    return max(allowed_at, last + availability.token_interval()) if last else allowed_at


def _answer(application: Application, key: str) -> Submitted:
    state = application.state
    waits = state == "waiting_quota"
    return Submitted(
        status=STATUSES.get(state, "processing"),
        state=state,
        reason=application.reason,
        job_id=application.vacancy_id,
        application_id=application.id,
        idempotency_key=key,
        next_attempt_at=application.due_at if waits else None,
        link=application.link if state in application_states.NEEDS_PERSON else None,
        message=MESSAGES.get(state, "accepted"),
    )


def _request_hash(body: SubmitBody) -> bytes:
    content: list[Any] = [body.job_external_id, body.letter, body.resume_id]
    if body.create_resume:
        content.append(body.new_resume)
    optional = body.model_dump(mode="json", include=OPTIONAL, exclude_defaults=True)
    if optional:
        content.append(optional)
    return hashlib.sha256(json.dumps(content).encode()).digest()


def _invalid(field: str, text: str) -> Invalid:
    error = _field_error(field, text, code="bad_arguments")
    error.details = {**(error.details or {}), "description": f"{field} {text}"}
    return error


def _field_error(field: str, text: str, *, code: str) -> Invalid:
    error = Invalid.field(field, text)
    error.code = code
    return error
