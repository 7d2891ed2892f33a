"""Filters of announcements: what a person's rules drop is not announced by a saved search.

A vacancy is judged once for an account: when a run brings it, by the rules of that moment and by
what is stored of it then, which is an excerpt if it was not read in full yet. A rule that cannot be
evaluated by that (the words of a description, an anonymous employer) drops nothing here; nor does
the limit of an employer's week, which passes. Later changes, of the rules or of the vacancy,
neither announce it nor take it back; another posting of the job is judged by itself.

Rules that cannot be read drop nothing: everything is announced. Where an application fails closed,
a vacancy that is not announced would be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.filters import evaluation, models, store
from ullgetthejob.platform.errors import NeedsPerson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

BATCH = 200  # vacancies in memory at once: a full text may have 100 KB


def find_dropped(
    account_id: UUID, vacancy_ids: Sequence[str], *, connection: Connection
) -> dict[str, models.Rule]:
    """Return the rule of the account that drops each of *vacancy_ids*, without those that none
    drops."""
    if not vacancy_ids:
        return {}
    try:
        rules = store.read_filters(account_id, connection=connection).rules
    except NeedsPerson:
        return {}
    rules = rules.model_copy(update={"max_per_employer_per_week": None})
    dropped: dict[str, models.Rule] = {}
    if rules.repost == "skip":
        postings = store.read_postings(account_id, list(vacancy_ids), connection=connection)
        dropped = {id: "repost" for id, posting in postings.items() if posting.job_id is not None}
    if not rules.has_any():
        return dropped
    for start in range(0, len(vacancy_ids), BATCH):
        batch = vacancy_ids[start : start + BATCH]
        for vacancy in store.read_vacancies(batch, connection=connection):
            findings = evaluation.evaluate(rules, vacancy, models.Week())
            rule = next((found.rule for found in findings if found.verdict == "drop"), None)
            if rule is not None:
                dropped[vacancy.id] = rule
    return dropped
