"""Evaluation of a person's filters: the vacancies not to apply to, as typed rules of the account.

They are evaluated twice. ``submit`` refuses at once what the stored vacancy shows; it only advises.
The submitter decides, with the vacancy as hh.ru has it now, under the account's lease and before a
token is spent: an application that a rule drops becomes ``refused`` (``filtered_<rule>``). They
fail closed: where a rule cannot be read, or a vacancy lacks the fact that a rule needs, the
application becomes ``needs_person`` (``filters_unreadable``) and the person decides.

Another posting of a job that was applied to (:mod:`ullgetthejob.vacancies.reposts`) is a matter of
``repost``: ``skip`` drops it (``filtered_repost``), ``ask`` leaves it to the person
(``needs_person``, ``repost``), whose ``retry`` is the yes, ``allow`` is no rule. Only the submitter
evaluates it, since links by excerpts alone may be wrong. An application may have a policy of its
own, which precedes that of the rules.

No request can override the other rules: a PUT changes them, after which ``retry`` evaluates them
again. A flag would have to be stored through every wait, and would weaken "never to my employer".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from ullgetthejob.filters import models, store
from ullgetthejob.filters.phrase_matching import PhraseIndex
from ullgetthejob.platform.errors import NeedsPerson, NotFound
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.hh.models import Employer, Salary, Vacancy

    Connection = psycopg.Connection[dict[str, Any]]

NET_OF_100 = 87  # Russia's income tax is 13 %, whatever more is owed on the part of a high salary
MAX_LOOKUPS = 20


def advise(
    account_id: UUID, vacancy_id: str, *, connection: Connection, now: datetime
) -> models.Held | None:
    """Return the refusal of a vacancy that a rule drops by what is stored of it, else ``None``: the
    submitter decides about all others."""
    try:
        rules = store.read_filters(account_id, connection=connection).rules
    except NeedsPerson:
        return None
    if not rules.has_any():
        return None
    rows = connection.execute(store.SELECT_STORED_VACANCIES, {"ids": [vacancy_id]}).fetchall()
    week = store.read_week(account_id, rules, connection=connection, now=now)
    for vacancy in store.parse_vacancies(rows):
        held = to_held(evaluate(rules, vacancy, week))
        if held is not None and held.state == "refused":
            return held
    return None


def hold_repost(
    account_id: UUID,
    vacancy_id: str,
    *,
    repost: models.RepostPolicy | None,
    connection: Connection,
) -> models.Held | None:
    """Return why the account does not apply to a vacancy that is another posting of a job that it
    has applied to, by what is stored of both; ``None`` if it is none, or the policy allows it."""
    try:
        rules = _read_rules(account_id, repost, connection)
    except NeedsPerson:
        return models.Held("needs_person", models.UNREADABLE)
    applied_id = find_applied_posting(account_id, vacancy_id, rules, connection=connection)
    return to_held(_check_repost(rules.repost, applied_id))


def keeps_stored(
    account_id: UUID,
    vacancy_id: str,
    *,
    repost: models.RepostPolicy | None,
    connection: Connection,
    now: datetime,
) -> bool:
    """Return whether the account's rules keep a vacancy for certain, by what is stored of it: it is
    no repost that they hold back, and they need no more of it than what is stored."""
    if hold_repost(account_id, vacancy_id, repost=repost, connection=connection) is not None:
        return False
    rules = _read_rules(account_id, repost, connection)
    if not rules.has_any():
        return True
    rows = connection.execute(store.SELECT_STORED_VACANCIES, {"ids": [vacancy_id]}).fetchall()
    week = store.read_week(account_id, rules, connection=connection, now=now)
    stored = list(store.parse_vacancies(rows))
    return bool(stored) and not any(evaluate(rules, vacancy, week) for vacancy in stored)


def decide(
    account_id: UUID,
    vacancy: Vacancy,
    *,
    repost: models.RepostPolicy | None,
    look_up: Callable[[str], Vacancy],
    connection: Connection,
    now: datetime,
) -> models.Held | None:
    """Return why the account does not apply to *vacancy*; ``None`` if it does.

    *vacancy*: in full, as hh.ru has it now, and stored. *repost*: the application's own policy, if
    it has one. *look_up* reads another vacancy in full and stores it
    (raises :class:`NotFound` where it was deleted): for those of this week that were applied to by
    hand and whose employer is not known yet.
    """
    try:
        rules = _read_rules(account_id, repost, connection)
    except NeedsPerson:
        return models.Held("needs_person", models.UNREADABLE)
    week = store.read_week(account_id, rules, connection=connection, now=now)
    for vacancy_id in sorted(week.unknown, reverse=True)[:MAX_LOOKUPS]:
        try:
            employer = look_up(vacancy_id).employer
        except NotFound:
            continue
        week.unknown.remove(vacancy_id)
        if employer.id is not None:
            week.made[employer.id] += 1
    held = to_held(_find(account_id, vacancy, rules, week, connection))
    if held is not None:
        count("ApplicationsFiltered")
    return held


def preview(
    account_id: UUID,
    vacancy: Vacancy,
    *,
    repost: models.RepostPolicy | None,
    connection: Connection,
    now: datetime,
) -> list[models.Finding]:
    """Return what the rules find about a stored *vacancy*, for :func:`to_held`: as :func:`decide`,
    by what is stored of the week. Raises :class:`NeedsPerson` (``filters_unreadable``)."""
    rules = _read_rules(account_id, repost, connection)
    week = store.read_week(account_id, rules, connection=connection, now=now)
    return _find(account_id, vacancy, rules, week, connection)


def preview_in_order(
    account_id: UUID,
    wanted: Iterable[tuple[Vacancy, models.RepostPolicy | None]],
    *,
    connection: Connection,
    now: datetime,
) -> dict[str, list[models.Finding]]:
    """Return what the rules find about stored vacancies, by their ids, as if they were applied to
    in this order; each with the policy of its application. Raises :class:`NeedsPerson`
    (``filters_unreadable``)."""
    pairs = list(wanted)
    rules = store.read_filters(account_id, connection=connection).rules
    week = store.read_week(account_id, rules, connection=connection, now=now)
    ids = [vacancy.id for vacancy, _ in pairs]
    postings = store.read_postings(account_id, ids, connection=connection)
    applied: dict[str, str] = {}
    return {
        vacancy.id: evaluate_in_order(
            rules if repost is None else rules.model_copy(update={"repost": repost}),
            vacancy,
            week,
            postings.get(vacancy.id, models.Posting(vacancy.id)),
            applied,
        )
        for vacancy, repost in pairs
    }


def evaluate_in_order(
    rules: models.Rules,
    vacancy: Vacancy,
    week: models.Week,
    posting: models.Posting,
    applied: dict[str, str],
) -> list[models.Finding]:
    """Return the findings about *vacancy*, one of several that are applied to in their order. One
    that is not dropped counts in *week*; one that is kept, in *applied*: the posting that was
    applied to, by its job."""
    applied_id = posting.job_id or applied.get(posting.original_id)
    findings = evaluate(rules, vacancy, week, applied_id=applied_id)
    verdict = combine_verdicts(findings)
    if verdict != "drop" and vacancy.employer.id is not None:
        week.made[vacancy.employer.id] += 1
    if verdict == "keep":
        applied.setdefault(posting.original_id, vacancy.id)
    return findings


def _find(
    account_id: UUID,
    vacancy: Vacancy,
    rules: models.Rules,
    week: models.Week,
    connection: Connection,
) -> list[models.Finding]:
    applied_id = find_applied_posting(account_id, vacancy.id, rules, connection=connection)
    return evaluate(rules, vacancy, week, applied_id=applied_id)


def has_rules(account_id: UUID, *, connection: Connection) -> bool:
    """Return whether the account has rules, also unreadable ones, which need the vacancy as hh.ru
    has it now."""
    try:
        return store.read_filters(account_id, connection=connection).rules.has_any()
    except NeedsPerson:
        return True


def _read_rules(
    account_id: UUID, repost: models.RepostPolicy | None, connection: Connection
) -> models.Rules:
    """Return the account's rules, with the application's own policy *repost* if it has one. Raises
    :class:`NeedsPerson` (``filters_unreadable``)."""
    rules = store.read_filters(account_id, connection=connection).rules
    return rules if repost is None else rules.model_copy(update={"repost": repost})


def find_applied_posting(
    account_id: UUID, vacancy_id: str, rules: models.Rules, *, connection: Connection
) -> str | None:
    """Return another posting of the job that the account has applied to, by what is stored of both;
    ``None`` without one, or where *rules* allow reposts."""
    if rules.repost == "allow":
        return None
    postings = store.read_postings(account_id, [vacancy_id], connection=connection)
    return postings[vacancy_id].job_id if vacancy_id in postings else None


def evaluate(
    rules: models.Rules, vacancy: Vacancy, week: models.Week, *, applied_id: str | None = None
) -> list[models.Finding]:
    """Return the finding of each of *rules* that does not keep *vacancy*, in their fixed order.

    *applied_id*: another posting of the job that the account has applied to, if there is one.
    """
    return [
        *_check_employer("current_employer", rules.current_employer, vacancy.employer),
        *_check_employers(rules, vacancy.employer),
        *_check_words("title", rules.title_words, vacancy.name),
        *_check_words("description", rules.description_words, getattr(vacancy, "description", "")),
        *_check_salary(rules.salary_floor, vacancy.salary),
        *_check_format(rules, vacancy),
        *_check_week(rules, vacancy.employer, week),
        *_check_repost(rules.repost, applied_id),
    ]


def _check_employer(
    rule: models.Rule, unwanted: models.EmployerRule | None, employer: Employer
) -> list[models.Finding]:
    """Return the finding of a rule about an employer. hh.ru: an anonymous vacancy has no employer's
    id, and a name that does not identify the employer."""
    if unwanted is None:
        return []
    if unwanted.id is not None and unwanted.id == employer.id:
        return [models.Finding(rule=rule, verdict="drop", because=unwanted.id)]
    found = None if unwanted.name is None else PhraseIndex(employer.name).find(unwanted.name)
    if unwanted.name is not None and found is not None:
        return [models.Finding(rule=rule, verdict="drop", because=unwanted.name, found=found)]
    if employer.id is None or not employer.name.strip():
        return [models.Finding(rule=rule, verdict="unknown", because="employer")]
    return []


def _check_employers(rules: models.Rules, employer: Employer) -> list[models.Finding]:
    findings = [
        finding
        for rule in rules.employers
        for finding in _check_employer("employer", rule, employer)
    ]
    dropping = [finding for finding in findings if finding.verdict == "drop"]
    return (dropping or findings)[:1]


def _check_words(rule: models.Rule, phrases: Iterable[str], text: str) -> list[models.Finding]:
    if not phrases:
        return []
    if not text.strip():
        return [models.Finding(rule=rule, verdict="unknown", because=rule)]
    index = PhraseIndex(text)
    for phrase in phrases:
        found = index.find(phrase)
        if found is not None:
            return [models.Finding(rule=rule, verdict="drop", because=phrase, found=found)]
    return []


def _check_salary(floor: models.SalaryFloor | None, salary: Salary | None) -> list[models.Finding]:
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


def _check_format(rules: models.Rules, vacancy: Vacancy) -> list[models.Finding]:
    """Return the finding of the rule about formats. hh.ru gives formats in one of two dictionaries
    or in both; where the vacancy's dictionary has no entry for a wanted format, it is unknown."""
    if not rules.formats:
        return []
    formats = {entry.id for entry in vacancy.work_format}
    schedule = {vacancy.schedule.id} if vacancy.schedule else set()
    offered = formats | schedule
    if offered & {"REMOTE", "remote"}:
        offered |= {"REMOTE", "remote"}
    if offered & set(rules.formats):
        return []
    for wanted in rules.formats:
        is_known = (wanted in get_args(models.WorkFormat) and formats) or (
            wanted in get_args(models.Schedule) and schedule
        )
        if not is_known and not (wanted in ("REMOTE", "remote") and offered):
            return [models.Finding(rule="format", verdict="unknown", because=wanted)]
    return [models.Finding(rule="format", verdict="drop", because=", ".join(sorted(offered)))]


def _check_week(rules: models.Rules, employer: Employer, week: models.Week) -> list[models.Finding]:
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


def _check_repost(policy: models.RepostPolicy, applied_id: str | None) -> list[models.Finding]:
    if applied_id is None or policy == "allow":
        return []
    verdict: Literal["drop", "unknown"] = "drop" if policy == "skip" else "unknown"
    return [models.Finding(rule="repost", verdict=verdict, because=applied_id)]


def combine_verdicts(findings: list[models.Finding]) -> Literal["keep", "drop", "unknown"]:
    """Return the verdict on a vacancy of which the rules have these findings."""
    verdicts = {finding.verdict for finding in findings}
    return "drop" if "drop" in verdicts else "unknown" if verdicts else "keep"


def to_held(findings: list[models.Finding]) -> models.Held | None:
    """Return the state and reason of an application whose vacancy has these findings; ``None`` if
    it is sent."""
    dropped_by = next((finding.rule for finding in findings if finding.verdict == "drop"), None)
    if dropped_by is not None:
        return models.Held("refused", f"filtered_{dropped_by}")
    if not findings:
        return None
    is_asked = all(finding.rule == "repost" for finding in findings)
    return models.Held("needs_person", models.REPOST if is_asked else models.UNREADABLE)
