"""Evaluation of a person's rules on a vacancy: what each of them finds, and what follows.

Nothing is read here: the vacancy, the account's applications of the week and the posting of the job
that was applied to are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from ullgetthejob.filters import models
from ullgetthejob.filters.phrase_matching import PhraseIndex

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ullgetthejob.hh.models import Employer, Salary, Vacancy

NET_OF_100 = 87  # Russia's income tax is 13 %, whatever more is owed on the part of a high salary


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
        *check_repost(rules.repost, applied_id),
    ]


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


def check_repost(policy: models.RepostPolicy, applied_id: str | None) -> list[models.Finding]:
    """Return the finding about a vacancy of whose job another posting, *applied_id*, was applied
    to."""
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
