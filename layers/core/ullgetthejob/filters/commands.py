"""The commands of ``/api/filters``: show, replace and preview a person's rules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from ullgetthejob.accounts import audit
from ullgetthejob.filters import evaluation, models, store

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.models import Vacancy
    from ullgetthejob.platform.context import Context


def show(person: Person, context: Context) -> models.FiltersAnswer:
    """Return the stored rules. Raises :class:`NeedsPerson` (``filters_unreadable``)."""
    return store.read_filters(person.account_id, connection=context.connection)


def replace(body: models.FiltersBody, person: Person, context: Context) -> models.FiltersAnswer:
    """Replace the rules and return them; they apply to every application that is sent from now on,
    also to those that already wait.

    Raises :class:`NeedsPerson` for a user who never connected hh.ru.
    """
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    values = {
        "account_id": person.account,
        "rules": body.rules.model_dump_json(exclude_defaults=True),
        "now": now,
    }
    with connection.transaction():
        lock(person, context)
        connection.execute(store.UPSERT_FILTERS, values)
        audit.record("filters.replace", person, context)
    return models.FiltersAnswer(rules=body.rules, updated_at=now)


def lock(person: Person, context: Context) -> None:
    """Let no other request replace the rules before the transaction that is open has ended: it is
    about to replace them by what it reads. Raises :class:`NeedsPerson` for a user who never
    connected hh.ru."""
    context.connection.execute(store.LOCK_ACCOUNT, {"account_id": person.account})


def preview(body: models.PreviewBody, person: Person, context: Context) -> models.Preview:
    """Evaluate rules on stored vacancies and return the verdicts; nothing is changed. Raises
    :class:`NeedsPerson` (``filters_unreadable``) where the stored rules are used."""
    connection, now = context.connection, context.now()
    rules = body.rules or store.read_filters(person.account_id, connection=connection).rules
    wanted = list(dict.fromkeys(body.job_ids or ()))
    if body.job_ids is None:
        rows = connection.execute(
            store.SELECT_NEWEST_VACANCIES, {"most": models.MAX_PREVIEWED}
        ).fetchall()
        vacancies = list(store.parse_vacancies(rows))
    else:
        vacancies = sorted(
            store.read_vacancies(wanted, connection=connection),
            key=lambda vacancy: wanted.index(vacancy.id),
        )
    week = store.read_week(person.account_id, rules, connection=connection, now=now)
    postings = store.read_postings(
        person.account_id, [vacancy.id for vacancy in vacancies], connection=connection
    )
    applied: dict[str, str] = {}
    jobs = [
        _preview_job(
            rules, vacancy, week, postings.get(vacancy.id, models.Posting(vacancy.id)), applied
        )
        for vacancy in vacancies
    ]
    verdicts = Counter(job.verdict for job in jobs)
    drops = Counter(
        finding.rule for job in jobs for finding in job.findings if finding.verdict == "drop"
    )
    stored = {job.job_id for job in jobs}
    return models.Preview(
        checked=len(jobs),
        kept=verdicts["keep"],
        dropped=verdicts["drop"],
        unknown=verdicts["unknown"],
        by_rule={rule: drops[rule] for rule in get_args(models.Rule)},
        jobs=jobs,
        not_stored=[job_id for job_id in wanted if job_id not in stored],
    )


def _preview_job(
    rules: models.Rules,
    vacancy: Vacancy,
    week: models.Week,
    posting: models.Posting,
    applied: dict[str, str],
) -> models.PreviewedJob:
    """Return the verdict on *vacancy*: see :func:`evaluation.evaluate_in_order`."""
    findings = evaluation.evaluate_in_order(rules, vacancy, week, posting, applied)
    return models.PreviewedJob(
        job_id=vacancy.id,
        title=vacancy.name,
        company=vacancy.employer.name,
        verdict=evaluation.combine_verdicts(findings),
        findings=findings,
    )
