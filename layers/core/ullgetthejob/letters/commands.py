"""The commands of ``/api/letters``: templates, preview and check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from ullgetthejob.accounts import audit, resumes
from ullgetthejob.fit.profile import profile_of
from ullgetthejob.fit.scoring import score_best
from ullgetthejob.letters import models, store
from ullgetthejob.letters.checking import check
from ullgetthejob.letters.placeholders import MEANINGS, context_of
from ullgetthejob.letters.rendering import render, require_valid
from ullgetthejob.platform.errors import Invalid
from ullgetthejob.vacancies import reading

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.models import VacancyDetail
    from ullgetthejob.platform.context import Context


def list_templates(person: Person, context: Context) -> models.Templates:
    """Return the templates of the person's account, and the placeholders that there are."""
    rows = store.list_all(person.account_id, connection=context.connection)
    items = [models.Template(**row) for row in rows]
    return models.Templates(items=items, placeholders=MEANINGS)


def create_template(
    body: models.TemplateBody, person: Person, context: Context
) -> tuple[models.OneTemplate, bool]:
    """Store a template; return it, and whether it is new.

    Raises :class:`TemplateInvalid`; :class:`Conflict` (``same_template``, ``too_many_templates``);
    :class:`NeedsPerson` for a user who never connected hh.ru.
    """
    context = context.with_fixed_time()
    connection, account_id = context.connection, person.account
    require_valid(body.text)
    with connection.transaction():
        row, is_new = store.insert(
            account_id, body.name, body.text, connection=connection, now=context.now()
        )
        if is_new:
            audit.record("letter_template.create", person, context)
    return models.OneTemplate(**row), is_new


def replace_template(
    template_id: str, body: models.TemplateBody, person: Person, context: Context
) -> models.OneTemplate:
    """Replace a template, and return it. Raises as :func:`create_template`, and :class:`NotFound`
    (``template_not_found``)."""
    context = context.with_fixed_time()
    connection, account_id, wanted = context.connection, person.account, _parse_id(template_id)
    require_valid(body.text)
    with connection.transaction():
        row = store.update(
            account_id, wanted, body.name, body.text, connection=connection, now=context.now()
        )
        audit.record("letter_template.change", person, context)
    return models.OneTemplate(**row)


def delete_template(template_id: str, person: Person, context: Context) -> models.TemplateDeleted:
    """Delete a template. Raises :class:`NotFound` (``template_not_found``)."""
    context = context.with_fixed_time()
    connection, wanted = context.connection, _parse_id(template_id)
    with connection.transaction():
        store.delete(person.account_id, wanted, connection=connection)
        audit.record("letter_template.delete", person, context)
    return models.TemplateDeleted()


def preview(body: models.PreviewBody, person: Person, context: Context) -> models.Previewed:
    """Return the letter that a template makes for a vacancy, with what the check finds in it;
    nothing is stored or sent.

    Raises :class:`Invalid` unless it has one of both texts, :class:`TemplateInvalid`,
    :class:`ValueMissing`, :class:`NotFound`, :class:`NeedsPerson`, and hh.ru's errors.
    """
    text = _text_of(body, person, context)
    require_valid(text)
    vacancy, resume = _read(body.job_id, body.resume_id, person, context)
    letter = render(text, context_of(resume, vacancy))
    return models.Previewed(
        letter=letter, findings=check(letter, resume, vacancy), resume_id=resume["id"]
    )


def _text_of(body: models.PreviewBody, person: Person, context: Context) -> str:
    """Return the text to render. Raises :class:`Invalid`, :class:`NotFound`."""
    if body.template_id is not None and body.text is None:
        stored = store.find(person.account_id, body.template_id, connection=context.connection)
        return str(stored["text"])
    if body.text is None or body.template_id is not None:
        raise Invalid.field("text", "must be given, or template_id instead")
    return body.text


def check_letter(body: models.CheckBody, person: Person, context: Context) -> models.Checked:
    """Return what the rules find in a letter. Raises :class:`NotFound`, :class:`NeedsPerson`, and
    hh.ru's errors."""
    vacancy, resume = _read(body.job_id, body.resume_id, person, context)
    findings = check(body.letter, resume, vacancy)
    return models.Checked(findings=findings, resume_id=resume["id"])


def _read(
    job_id: str, resume_id: str | None, person: Person, context: Context
) -> tuple[VacancyDetail, dict[str, Any]]:
    """Return the vacancy, and the resume: of *resume_id*, else the one that fits best."""
    found = resumes.read_in_full(person, context, resume_id=resume_id)
    vacancy = reading.read_detail(job_id, context)
    by_id = {resume["id"]: resume for resume in found}
    profiles = {found_id: profile_of(resume) for found_id, resume in by_id.items()}
    best, _ = score_best(profiles, vacancy, now=context.now())
    return vacancy, by_id[best]


def _parse_id(template_id: str) -> UUID:
    try:
        return UUID(template_id)
    except ValueError:
        raise store.not_found() from None
