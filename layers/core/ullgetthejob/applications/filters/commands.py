"""Reading, replacing and previewing a person's rules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

from ullgetthejob.accounts import audit
from ullgetthejob.applications.filters import evaluation, models, store

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]


def show(*, person: Person, connection: Connection) -> models.FiltersAnswer:
    """The stored rules. Raises :class:`NeedsPerson` (``filters_unreadable``)."""
    return store._read(person.account_id, connection=connection)


def replace(
    body: models.FiltersBody,
    *,
    person: Person,
    caller: Caller,
    connection: Connection,
    now: datetime,
) -> models.FiltersAnswer:
    """Store the rules; they hold for whatever goes out from now on, also for what waits already.

    Raises :class:`NeedsPerson` for a user who never connected hh.ru.
    """
    values = {
        "account_id": person.account,
        "rules": body.rules.model_dump_json(exclude_defaults=True),
        "now": now,
    }
    with connection.transaction():
        connection.execute(store.UPSERT_FILTERS, values)
        audit.write(
            "filters.replace",
            "ok",
            caller=caller,
            user_id=person.user_id,
            account_id=person.account_id,
            connection=connection,
            now=now,
        )
    return models.FiltersAnswer(rules=body.rules, updated_at=now)


def preview(
    body: models.PreviewBody, *, person: Person, connection: Connection, now: datetime
) -> models.Preview:
    """Try rules on stored vacancies; nothing is changed. Raises :class:`NeedsPerson`
    (``filters_unreadable``) when the stored ones are asked for."""
    rules = body.rules or store._read(person.account_id, connection=connection).rules
    wanted = list(dict.fromkeys(body.job_ids or ()))
    if body.job_ids is None:
        rows = connection.execute(
            store.SELECT_NEWEST_VACANCIES, {"most": models.MAX_PREVIEWED}
        ).fetchall()
        vacancies = list(store._models(rows))
    else:
        rows = connection.execute(store.SELECT_STORED_VACANCIES, {"ids": wanted}).fetchall()
        vacancies = sorted(store._models(rows), key=lambda one: wanted.index(one.id))
    week = store._week(person.account_id, rules, connection=connection, now=now)
    jobs = []
    for vacancy in vacancies:
        found = evaluation.judge(rules, vacancy, week)
        verdict = evaluation._verdict(found)
        if verdict != "drop" and vacancy.employer.id is not None:
            week.made[vacancy.employer.id] += 1
        jobs.append(
            models.PreviewedJob(
                job_id=vacancy.id,
                title=vacancy.name,
                company=vacancy.employer.name,
                verdict=verdict,
                findings=found,
            )
        )
    verdicts = Counter(one.verdict for one in jobs)
    drops = Counter(each.rule for one in jobs for each in one.findings if each.verdict == "drop")
    stored = {one.job_id for one in jobs}
    return models.Preview(
        checked=len(jobs),
        kept=verdicts["keep"],
        dropped=verdicts["drop"],
        unknown=verdicts["unknown"],
        by_rule={rule: drops[rule] for rule in get_args(models.Rule)},
        jobs=jobs,
        not_stored=[id for id in wanted if id not in stored],
    )
