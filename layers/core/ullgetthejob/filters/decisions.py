"""Decisions by a person's filters: the vacancies not to apply to, as typed rules of the account.

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

from typing import TYPE_CHECKING

from ullgetthejob.filters import models, store
from ullgetthejob.filters.evaluation import check_repost, evaluate, evaluate_in_order, to_held
from ullgetthejob.platform.errors import NeedsPerson, NotFound
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.hh.models import Vacancy
    from ullgetthejob.platform.postgres import Connection

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
    week = store.read_week(account_id, rules, connection=connection, now=now)
    for vacancy in store.read_vacancies([vacancy_id], connection=connection):
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
    applied_id = _find_applied_posting(account_id, vacancy_id, rules, connection=connection)
    return to_held(check_repost(rules.repost, applied_id))


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
    week = store.read_week(account_id, rules, connection=connection, now=now)
    stored = store.read_vacancies([vacancy_id], connection=connection)
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
            _with_policy(rules, repost),
            vacancy,
            week,
            postings.get(vacancy.id, models.Posting(vacancy.id)),
            applied,
        )
        for vacancy, repost in pairs
    }


def _find(
    account_id: UUID,
    vacancy: Vacancy,
    rules: models.Rules,
    week: models.Week,
    connection: Connection,
) -> list[models.Finding]:
    applied_id = _find_applied_posting(account_id, vacancy.id, rules, connection=connection)
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
    return _with_policy(store.read_filters(account_id, connection=connection).rules, repost)


def _with_policy(rules: models.Rules, repost: models.RepostPolicy | None) -> models.Rules:
    return rules if repost is None else rules.model_copy(update={"repost": repost})


def _find_applied_posting(
    account_id: UUID, vacancy_id: str, rules: models.Rules, *, connection: Connection
) -> str | None:
    """Return another posting of the job that the account has applied to, by what is stored of both;
    ``None`` without one, or where *rules* allow reposts."""
    if rules.repost == "allow":
        return None
    postings = store.read_postings(account_id, [vacancy_id], connection=connection)
    return postings[vacancy_id].job_id if vacancy_id in postings else None
