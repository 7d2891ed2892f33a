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

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from ullgetthejob.accounts import audit
from ullgetthejob.applications import application_states
from ullgetthejob.applications.phrase_matching import PhraseIndex, check_phrase
from ullgetthejob.platform.errors import NeedsPerson, NotFound
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.models import Employer, Salary, Vacancy
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]

# hh.ru: dictionaries work_format and schedule. Only ``remote`` is in both.
WorkFormat = Literal["ON_SITE", "REMOTE", "HYBRID", "FIELD_WORK"]
Schedule = Literal["fullDay", "shift", "flexible", "remote", "flyInFlyOut"]
Format = Literal[WorkFormat, Schedule]
# hh.ru: dictionary currency.
Currency = Literal["AZN", "BYR", "EUR", "GEL", "KGS", "KZT", "RUR", "UAH", "USD", "UZS"]
Rule = Literal[
    "current_employer", "employer", "title", "description", "salary", "format", "employer_week"
]
UNREADABLE = "filters_unreadable"
WEEK = timedelta(days=7)
NET_OF_100 = 87  # Russia's income tax is 13 %, whatever more is owed on the part of a high salary
MAX_PREVIEWED = 100
MAX_LOOKUPS = 20

SELECT_FILTERS = (
    "SELECT rules, updated_at FROM application_filters WHERE account_id = %(account_id)s"
)
UPSERT_FILTERS = """
    INSERT INTO application_filters (account_id, rules, updated_at)
    VALUES (%(account_id)s, %(rules)s::jsonb, %(now)s)
    ON CONFLICT (account_id) DO UPDATE
    SET rules = excluded.rules, updated_at = excluded.updated_at
"""
# Every application that hh.ru has or may have, made by hand or not. One that it called a repetition
# was made by hand, maybe this week, until the negotiations tell when.
SELECT_ATTEMPTS_OF_WEEK = """
    SELECT DISTINCT l.vacancy_id, j.employer_id,
           j.employer_id IS NULL AND j.vacancy IS NULL AND j.detail IS NULL AS unknown
    FROM application_attempts a
    JOIN application_ledger l ON l.id = a.ledger_id
    LEFT JOIN application_outcomes o ON o.attempt_id = a.id
    LEFT JOIN jobs j ON j.external_id = l.vacancy_id
    WHERE a.account_id = %(account_id)s AND a.at > %(since)s
      AND (coalesce(o.counts, true) OR o.outcome = 'already_applied' AND NOT EXISTS (
          SELECT FROM application_attempts b JOIN application_outcomes p ON p.attempt_id = b.id
          WHERE b.ledger_id = a.ledger_id AND p.counts
      ))
"""
SELECT_STORED_VACANCIES = """
    SELECT coalesce(detail, vacancy) AS vacancy, detail IS NOT NULL AS in_full FROM jobs
    WHERE external_id = ANY(%(ids)s) AND (vacancy IS NOT NULL OR detail IS NOT NULL)
"""
SELECT_NEWEST_VACANCIES = """
    SELECT coalesce(detail, vacancy) AS vacancy, detail IS NOT NULL AS in_full FROM jobs
    WHERE fetched_at IS NOT NULL AND NOT archived AND (vacancy IS NOT NULL OR detail IS NOT NULL)
    ORDER BY fetched_at DESC, external_id LIMIT %(most)s
"""

Phrase = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(check_phrase),
]
VacancyId = Annotated[str, Field(pattern=r"^[0-9]{1,19}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EmployerRule(_Strict):
    """An employer by its id at hh.ru, by words of its name, or either."""

    id: VacancyId | None = None
    name: Phrase | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> EmployerRule:
        if self.id is None and self.name is None:
            raise ValueError("id or name must be given")
        return self


class SalaryFloor(_Strict):
    """The least *amount* a month. *gross*: it is meant before tax.

    Compared with the most that is offered (the upper end, else the lower); offers that do not say
    are taken as before tax. Another currency, and a salary for a shift, an hour or a rotation,
    cannot be compared: the person looks.
    """

    amount: Annotated[int, Field(ge=1, le=1_000_000_000)]
    currency: Currency = "RUR"
    gross: bool = False
    allow_without_salary: bool = True


class Rules(_Strict):
    """What is dropped. Words: see :mod:`ullgetthejob.applications.phrase_matching`."""

    employers: Annotated[tuple[EmployerRule, ...], Field(max_length=200)] = ()
    title_words: Annotated[tuple[Phrase, ...], Field(max_length=100)] = ()
    description_words: Annotated[tuple[Phrase, ...], Field(max_length=100)] = ()
    salary_floor: SalaryFloor | None = None
    formats: Annotated[
        tuple[Format, ...],
        Field(max_length=9, description="wanted ones, by work format or schedule; none: all"),
    ] = ()
    current_employer: EmployerRule | None = None
    max_per_employer_per_week: Annotated[
        int | None, Field(ge=1, le=200, description="in any 7 days, made by hand or not")
    ] = None


class FiltersBody(_Strict):
    """*rules* replace the ones before, whole. *user_id*: whose, for a service without a token of
    the user."""

    rules: Rules
    user_id: str | None = None


class PreviewBody(_Strict):
    """*rules*: those to try, by default the stored ones. *job_ids*: the vacancies to try them on,
    by default those that Core saw most recently."""

    rules: Rules | None = None
    job_ids: Annotated[tuple[VacancyId, ...], Field(min_length=1, max_length=100)] | None = None
    user_id: str | None = None


class FiltersAnswer(BaseModel):
    """The account's rules; empty ones before the first PUT."""

    success: Literal[True] = True
    rules: Rules
    updated_at: AwareDatetime | None


class Finding(BaseModel):
    """What a rule says of a vacancy: ``drop``, or ``unknown`` where the vacancy lacks the fact."""

    rule: Rule
    verdict: Literal["drop", "unknown"]
    because: str = Field(description="the words, employer or fact that decided")
    found: str | None = Field(
        default=None, description="the vacancy's own words in which the rule's were found"
    )


class PreviewedJob(BaseModel):
    """``unknown``: no rule drops it, as far as the stored vacancy goes; the applier looks again."""

    job_id: str
    title: str
    company: str | None
    verdict: Literal["keep", "drop", "unknown"]
    findings: list[Finding]


class Preview(BaseModel):
    """What the rules would do, were the vacancies applied to in this order.

    *by_rule*: how many each rule drops; one vacancy may be dropped by several. *not_stored*: ids
    that Core never saw; they are judged when their turn comes.
    """

    success: Literal[True] = True
    checked: int
    kept: int
    dropped: int
    unknown: int
    by_rule: dict[Rule, int]
    jobs: list[PreviewedJob]
    not_stored: list[str]


@dataclass(frozen=True)
class Held:
    """Why an application does not go out."""

    state: application_states.State
    reason: str


@dataclass
class Week:
    """The account's applications of the last seven days: how many by employer, and the vacancies
    whose employer is not known."""

    made: Counter[str] = field(default_factory=Counter)
    unknown: set[str] = field(default_factory=set)


# ── what callers see ─────────────────────────────────────────────────────────────────────────────


def show(*, person: Person, connection: Connection) -> FiltersAnswer:
    """The stored rules. Raises :class:`NeedsPerson` (``filters_unreadable``)."""
    return _read(person.account_id, connection=connection)


def replace(
    body: FiltersBody, *, person: Person, caller: Caller, connection: Connection, now: datetime
) -> FiltersAnswer:
    """Store the rules; they hold for whatever goes out from now on, also for what waits already.

    Raises :class:`NeedsPerson` for a user who never connected hh.ru.
    """
    values = {
        "account_id": person.account,
        "rules": body.rules.model_dump_json(exclude_defaults=True),
        "now": now,
    }
    with connection.transaction():
        connection.execute(UPSERT_FILTERS, values)
        audit.write(
            "filters.replace",
            "ok",
            caller=caller,
            user_id=person.user_id,
            account_id=person.account_id,
            connection=connection,
            now=now,
        )
    return FiltersAnswer(rules=body.rules, updated_at=now)


def preview(body: PreviewBody, *, person: Person, connection: Connection, now: datetime) -> Preview:
    """Try rules on stored vacancies; nothing is changed. Raises :class:`NeedsPerson`
    (``filters_unreadable``) when the stored ones are asked for."""
    rules = body.rules or _read(person.account_id, connection=connection).rules
    wanted = list(dict.fromkeys(body.job_ids or ()))
    if body.job_ids is None:
        rows = connection.execute(SELECT_NEWEST_VACANCIES, {"most": MAX_PREVIEWED}).fetchall()
        vacancies = list(_models(rows))
    else:
        rows = connection.execute(SELECT_STORED_VACANCIES, {"ids": wanted}).fetchall()
        vacancies = sorted(_models(rows), key=lambda one: wanted.index(one.id))
    week = _week(person.account_id, rules, connection=connection, now=now)
    jobs = []
    for vacancy in vacancies:
        found = judge(rules, vacancy, week)
        verdict = _verdict(found)
        if verdict != "drop" and vacancy.employer.id is not None:
            week.made[vacancy.employer.id] += 1
        jobs.append(
            PreviewedJob(
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
    return Preview(
        checked=len(jobs),
        kept=verdicts["keep"],
        dropped=verdicts["drop"],
        unknown=verdicts["unknown"],
        by_rule={rule: drops[rule] for rule in get_args(Rule)},
        jobs=jobs,
        not_stored=[id for id in wanted if id not in stored],
    )


# ── what submit and the applier ask ──────────────────────────────────────────────────────────────


def advise(
    account_id: UUID, vacancy_id: str, *, connection: Connection, now: datetime
) -> Held | None:
    """Whether the stored vacancy shows already that a rule drops it. All else is the applier's."""
    try:
        rules = _stored_rules(account_id, connection=connection)
    except NeedsPerson:
        return None
    if rules is None:
        return None
    rows = connection.execute(SELECT_STORED_VACANCIES, {"ids": [vacancy_id]}).fetchall()
    week = _week(account_id, rules, connection=connection, now=now)
    for vacancy in _models(rows):
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
) -> Held | None:
    """Why the account does not apply to *vacancy*; ``None``: it does.

    *vacancy* in full, as hh.ru has it now. *look_up* reads another in full and stores it (raising
    :class:`NotFound` where it is gone): those of this week that were applied to by hand and whose
    employer is not known yet.
    """
    try:
        rules = _stored_rules(account_id, connection=connection)
    except NeedsPerson:
        return Held("needs_person", UNREADABLE)
    if rules is None:
        return None
    week = _week(account_id, rules, connection=connection, now=now)
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


def judge(rules: Rules, vacancy: Vacancy, week: Week) -> list[Finding]:
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


# ── the rules ────────────────────────────────────────────────────────────────────────────────────


def _employer(rule: Rule, wanted: EmployerRule | None, employer: Employer) -> list[Finding]:
    """hh.ru: an anonymous vacancy has no employer's id, and a name that says nothing."""
    if wanted is None:
        return []
    if wanted.id is not None and wanted.id == employer.id:
        return [Finding(rule=rule, verdict="drop", because=wanted.id)]
    found = None if wanted.name is None else PhraseIndex(employer.name).find(wanted.name)
    if wanted.name is not None and found is not None:
        return [Finding(rule=rule, verdict="drop", because=wanted.name, found=found)]
    if employer.id is None or not employer.name.strip():
        return [Finding(rule=rule, verdict="unknown", because="employer")]
    return []


def _employers(rules: Rules, employer: Employer) -> list[Finding]:
    found = [one for rule in rules.employers for one in _employer("employer", rule, employer)]
    dropped = [one for one in found if one.verdict == "drop"]
    return (dropped or found)[:1]


def _words(rule: Rule, phrases: Iterable[str], text: str) -> list[Finding]:
    if not phrases:
        return []
    if not text.strip():
        return [Finding(rule=rule, verdict="unknown", because=rule)]
    searched = PhraseIndex(text)
    for phrase in phrases:
        found = searched.find(phrase)
        if found is not None:
            return [Finding(rule=rule, verdict="drop", because=phrase, found=found)]
    return []


def _salary(floor: SalaryFloor | None, salary: Salary | None) -> list[Finding]:
    if floor is None:
        return []
    most = None if salary is None else salary.lower if salary.upper is None else salary.upper
    if salary is None or most is None:
        if floor.allow_without_salary:
            return []
        return [Finding(rule="salary", verdict="drop", because="no_salary")]
    if salary.mode != "MONTH":
        return [Finding(rule="salary", verdict="unknown", because="salary_mode")]
    if salary.currency != floor.currency:
        return [Finding(rule="salary", verdict="unknown", because="currency")]
    offered = most * (100 if salary.gross is False else NET_OF_100)
    wanted = floor.amount * (NET_OF_100 if floor.gross else 100)
    if offered >= wanted:
        return []
    return [Finding(rule="salary", verdict="drop", because=str(most))]


def _format(rules: Rules, vacancy: Vacancy) -> list[Finding]:
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
        said = (wanted in get_args(WorkFormat) and formats) or (
            wanted in get_args(Schedule) and schedule
        )
        if not said and not (wanted in ("REMOTE", "remote") and shown):
            return [Finding(rule="format", verdict="unknown", because=wanted)]
    return [Finding(rule="format", verdict="drop", because=", ".join(sorted(shown)))]


def _of_week(rules: Rules, employer: Employer, week: Week) -> list[Finding]:
    most = rules.max_per_employer_per_week
    if most is None:
        return []
    if employer.id is None:
        return [Finding(rule="employer_week", verdict="unknown", because="employer")]
    made = week.made[employer.id]
    if made >= most:
        return [Finding(rule="employer_week", verdict="drop", because=str(made))]
    if made + len(week.unknown) >= most:
        return [Finding(rule="employer_week", verdict="unknown", because="made_by_hand")]
    return []


def _verdict(findings: list[Finding]) -> Literal["keep", "drop", "unknown"]:
    verdicts = {one.verdict for one in findings}
    return "drop" if "drop" in verdicts else "unknown" if verdicts else "keep"


def _held(findings: list[Finding]) -> Held | None:
    dropping = next((one.rule for one in findings if one.verdict == "drop"), None)
    if dropping is not None:
        return Held("refused", f"filtered_{dropping}")
    return Held("needs_person", UNREADABLE) if findings else None


# ── what is stored ───────────────────────────────────────────────────────────────────────────────


def _read(account_id: UUID | None, *, connection: Connection) -> FiltersAnswer:
    row = connection.execute(SELECT_FILTERS, {"account_id": account_id}).fetchone()
    if row is None:
        return FiltersAnswer(rules=Rules(), updated_at=None)
    try:
        rules = Rules.model_validate(row["rules"])
    except ValidationError:
        logger.error("stored filters cannot be read", account_id=str(account_id))
        raise NeedsPerson(
            "the stored filters cannot be read: put them again", code=UNREADABLE
        ) from None
    return FiltersAnswer(rules=rules, updated_at=row["updated_at"])


def _stored_rules(account_id: UUID, *, connection: Connection) -> Rules | None:
    """``None`` where there is nothing to check."""
    rules = _read(account_id, connection=connection).rules
    return None if rules == Rules() else rules


def _week(account_id: UUID | None, rules: Rules, *, connection: Connection, now: datetime) -> Week:
    week = Week()
    if rules.max_per_employer_per_week is None or account_id is None:
        return week
    values = {"account_id": account_id, "since": now - WEEK}
    for row in connection.execute(SELECT_ATTEMPTS_OF_WEEK, values).fetchall():
        if row["unknown"]:
            week.unknown.add(row["vacancy_id"])
        elif row["employer_id"] is not None:
            week.made[row["employer_id"]] += 1
    return week


def _models(rows: Iterable[dict[str, Any]]) -> Iterable[Vacancy]:
    """Stored vacancies; one that cannot be read is as good as not stored."""
    from ullgetthejob.hh.models import Vacancy, VacancyDetail

    for row in rows:
        try:
            yield (VacancyDetail if row["in_full"] else Vacancy).model_validate(row["vacancy"])
        except ValidationError:
            logger.warning("a stored vacancy cannot be read")
