"""Applications without an answer, with what the person could do: Core writes no message itself."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import AwareDatetime

from ullgetthejob.applications.application import vacancy_url
from ullgetthejob.hh import method_access
from ullgetthejob.platform import paging
from ullgetthejob.statistics import store
from ullgetthejob.statistics.models import Silent, SilentPage, SilentQuery, Suggestion

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context

KEYSET = paging.Keyset(tuple[AwareDatetime, UUID], "submitted_at", "id")
DAY = timedelta(days=1)

# Constructed without the validator, which is not built while a function starts.
CLOSED = Suggestion.model_construct(
    ru="Вакансия закрыта: ответа можно не ждать.",
    en="The vacancy is closed: there is no need to wait for an answer.",
)
UNKNOWN = Suggestion.model_construct(
    ru="hh.ru не показывает Core ответы работодателей: посмотрите сами на hh.ru.",
    en="hh.ru does not show Core what employers answer: look there yourself.",
)
SEEN = Suggestion.model_construct(
    ru="Отклик посмотрели и не ответили: можно один раз коротко написать работодателю на hh.ru.",
    en="It was seen and not answered: you can write to the employer on hh.ru, briefly and once.",
)
UNSEEN = Suggestion.model_construct(
    ru="Отклик не открывали: напоминание вряд ли прочтут, время лучше потратить на новые отклики.",
    en="Nobody has opened it: a reminder would hardly be read, new applications are a better use "
    "of your time.",
)


def list_silent(query: SilentQuery, person: Person, context: Context) -> SilentPage:
    """Return a page of the applications that were sent *days* ago or earlier and have no answer.
    Raises :class:`Invalid` for a cursor that is none."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    own = {"account_id": person.account_id, "sent_before": now - query.days * DAY}
    found = connection.execute(store.SELECT_SILENT, {**own, **KEYSET.values(query)}).fetchall()
    rows, next_cursor = KEYSET.split(found, query)
    counted = None
    if query.cursor is None:
        counted = connection.execute(store.COUNT_SILENT, own).fetchone()
    is_closed = method_access.is_closed(
        "negotiations", person.account_id, connection=connection, now=now
    )
    return SilentPage(
        items=[_item(row, now, is_closed=is_closed) for row in rows],
        found=counted["found"] if counted else None,
        unknowable=is_closed,
        page=query.page,
        per_page=query.per_page,
        next_cursor=next_cursor,
    )


def suggest(*, is_closed: bool, is_vacancy_closed: bool, is_seen: bool) -> Suggestion:
    """Return what the person could do. *is_closed*: hh.ru lets Core read no negotiations."""
    if is_closed:
        return UNKNOWN
    if is_vacancy_closed:
        return CLOSED
    return SEEN if is_seen else UNSEEN


def _item(row: dict[str, Any], now: datetime, *, is_closed: bool) -> Silent:
    is_seen = row["first_seen_at"] is not None
    suggestion = suggest(
        is_closed=is_closed, is_vacancy_closed=bool(row["is_closed"]), is_seen=is_seen
    )
    return Silent(
        application_id=row["id"],
        job_id=row["vacancy_id"],
        title=row["title"],
        company=row["company"],
        by_hand=row["by_hand"],
        submitted_at=row["submitted_at"],
        days=(now - row["submitted_at"]) // DAY,
        seen=is_seen,
        seen_at=row["first_seen_at"],
        vacancy_closed=bool(row["is_closed"]),
        link=vacancy_url(row["vacancy_id"]),
        suggestion=suggestion,
    )
