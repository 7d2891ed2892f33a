"""Filters: the vacancies that a person does not want to apply to, as typed rules of the account.

They are asked twice. ``submit`` refuses at once what the stored vacancy shows; it only advises. The
applier decides, with the vacancy as hh.ru has it now, under the account's lease and before a token
is spent: what a rule drops becomes ``refused`` (``filtered_<rule>``). Fail closed: where a rule
cannot be read, or a vacancy lacks what the rule asks about, the application becomes
``needs_person`` (``filters_unreadable``) and the person looks.

There is no way past one's own rules: they are one PUT away, after which ``retry`` asks them anew.
A flag would have to be remembered through every wait, and "never to my employer" would mean less.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from ullgetthejob.applications.filters import models, store
from ullgetthejob.applications.filters.phrase_matching import PhraseIndex
from ullgetthejob.platform.errors import NeedsPerson, NotFound
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    import psycopg

    from ullgetthejob.hh.models import Employer, Salary, Vacancy

    Connection = psycopg.Connection[dict[str, Any]]

UNREADABLE = "filters_unreadable"
WEEK = timedelta(days=7)
NET_OF_100 = 87  # Russia's income tax is 13 %, whatever more is owed on the part of a high salary
MAX_LOOKUPS = 20


def advise(
    account_id: UUID, vacancy_id: str, *, connection: Connection, now: datetime
) -> models.Held | None:
    """Whether the stored vacancy shows already that a rule drops it. All else is the applier's."""
    try:
        rules = store._stored_rules(account_id, connection=connection)
    except NeedsPerson:
        return None
    if rules is None:
        return None
    rows = connection.execute(store.SELECT_STORED_VACANCIES, {"ids": [vacancy_id]}).fetchall()
    week = store._week(account_id, rules, connection=connection, now=now)
    for vacancy in store._models(rows):
        held = _held(judge(rules, vacancy, week))
        if held is not None and held.state == "refused":
            return held
    return None


def decide(
    account_id: UUID,
    vacancy: Vacancy,
    *,
    look_up: Callable[[str], Vacancy],
    connection: Connection,
    now: datetime,
) -> models.Held | None:
    """Why the account does not apply to *vacancy*; ``None``: it does.

    *vacancy* in full, as hh.ru has it now. *look_up* reads another in full and stores it (raising
    :class:`NotFound` where it is gone): those of this week that were applied to by hand and whose
    employer is not known yet.
    """
    try:
        rules = store._stored_rules(account_id, connection=connection)
    except NeedsPerson:
        return models.Held("needs_person", UNREADABLE)
    if rules is None:
        return None
    week = store._week(account_id, rules, connection=connection, now=now)
    for id in sorted(week.unknown, reverse=True)[:MAX_LOOKUPS]:
        try:
            employer = look_up(id).employer
        except NotFound:
            continue
        week.unknown.remove(id)
        if employer.id is not None:
            week.made[employer.id] += 1
    held = _held(judge(rules, vacancy, week))
    if held is not None:
        count("ApplicationsFiltered")
    return held


def judge(rules: models.Rules, vacancy: Vacancy, week: models.Week) -> list[models.Finding]:
    """What each of *rules* that does not keep *vacancy* says, in their fixed order."""
    return [
        *_employer("current_employer", rules.current_employer, vacancy.employer),
        *_employers(rules, vacancy.employer),
        *_words("title", rules.title_words, vacancy.name),
        *_words("description", rules.description_words, getattr(vacancy, "description", "")),
        *_salary(rules.salary_floor, vacancy.salary),
        *_format(rules, vacancy),
        *_of_week(rules, vacancy.employer, week),
    ]


def _employer(
    rule: models.Rule, wanted: models.EmployerRule | None, employer: Employer
) -> list[models.Finding]:
    """hh.ru: an anonymous vacancy has no employer's id, and a name that says nothing."""
    if wanted is None:
        return []
    if wanted.id is not None and wanted.id == employer.id:
        return [models.Finding(rule=rule, verdict="drop", because=wanted.id)]
    found = None if wanted.name is None else PhraseIndex(employer.name).find(wanted.name)
    if wanted.name is not None and found is not None:
        return [models.Finding(rule=rule, verdict="drop", because=wanted.name, found=found)]
    if employer.id is None or not employer.name.strip():
        return [models.Finding(rule=rule, verdict="unknown", because="employer")]
    return []


def _employers(rules: models.Rules, employer: Employer) -> list[models.Finding]:
    found = [one for rule in rules.employers for one in _employer("employer", rule, employer)]
    dropped = [one for one in found if one.verdict == "drop"]
    return (dropped or found)[:1]


def _words(rule: models.Rule, phrases: Iterable[str], text: str) -> list[models.Finding]:
    if not phrases:
        return []
    if not text.strip():
        return [models.Finding(rule=rule, verdict="unknown", because=rule)]
    searched = PhraseIndex(text)
    for phrase in phrases:
        found = searched.find(phrase)
        if found is not None:
            return [models.Finding(rule=rule, verdict="drop", because=phrase, found=found)]
    return []


def _salary(floor: models.SalaryFloor | None, salary: Salary | None) -> list[models.Finding]:
    if floor is None:
        return []
    most = None if salary is None else salary.lower if salary.upper is None else salary.upper
    if salary is None or most is None:
        if floor.allow_without_salary:
            return []
        return [models.Finding(rule="salary", verdict="drop", because="no_salary")]
    if salary.mode != "MONTH":
        return [models.Finding(rule="salary", verdict="unknown", because="salary_mode")]
    if salary.currency != floor.currency:
        return [models.Finding(rule="salary", verdict="unknown", because="currency")]
    offered = most * (100 if salary.gross is False else NET_OF_100)
    wanted = floor.amount * (NET_OF_100 if floor.gross else 100)
    if offered >= wanted:
        return []
    return [models.Finding(rule="salary", verdict="drop", because=str(most))]


def _format(rules: models.Rules, vacancy: Vacancy) -> list[models.Finding]:
    """hh.ru shows formats in one of two dictionaries or in both; a wanted one that the vacancy's
    dictionary cannot say is not known."""
    if not rules.formats:
        return []
    formats = {entry.id for entry in vacancy.work_format}
    schedule = {vacancy.schedule.id} if vacancy.schedule else set()
    shown = formats | schedule
    if shown & {"REMOTE", "remote"}:
        shown |= {"REMOTE", "remote"}
    if shown & set(rules.formats):
        return []
    for wanted in rules.formats:
        said = (wanted in get_args(models.WorkFormat) and formats) or (
            wanted in get_args(models.Schedule) and schedule
        )
        if not said and not (wanted in ("REMOTE", "remote") and shown):
            return [models.Finding(rule="format", verdict="unknown", because=wanted)]
    return [models.Finding(rule="format", verdict="drop", because=", ".join(sorted(shown)))]


def _of_week(rules: models.Rules, employer: Employer, week: models.Week) -> list[models.Finding]:
    most = rules.max_per_employer_per_week
    if most is None:
        return []
    if employer.id is None:
        return [models.Finding(rule="employer_week", verdict="unknown", because="employer")]
    made = week.made[employer.id]
    if made >= most:
        return [models.Finding(rule="employer_week", verdict="drop", because=str(made))]
    if made + len(week.unknown) >= most:
        return [models.Finding(rule="employer_week", verdict="unknown", because="made_by_hand")]
    return []


def _verdict(findings: list[models.Finding]) -> Literal["keep", "drop", "unknown"]:
    verdicts = {one.verdict for one in findings}
    return "drop" if "drop" in verdicts else "unknown" if verdicts else "keep"


def _held(findings: list[models.Finding]) -> models.Held | None:
    dropping = next((one.rule for one in findings if one.verdict == "drop"), None)
    if dropping is not None:
        return models.Held("refused", f"filtered_{dropping}")
    return models.Held("needs_person", UNREADABLE) if findings else None
