"""Composing: a planned notification becomes the message of a channel, when it is sent.

What has changed since it was planned counts: an application that its person has dealt with is not
told of any more, and a link to the handoff page, which ends after an hour, is made now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.applications.application import NEGOTIATIONS_URL, vacancy_url
from ullgetthejob.handoff import links
from ullgetthejob.notifications import rendering, tokens
from ullgetthejob.notifications.messages import Button, Message
from ullgetthejob.platform import settings

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    import psycopg

    from ullgetthejob.notifications.messages import Language
    from ullgetthejob.notifications.recipient import Recipient
    from ullgetthejob.platform.context import Context

    Connection = psycopg.Connection[dict[str, Any]]

# The states in which an application still waits for its person, by kind.
WAITING = {"review": ("review",), "waits_for_you": ("handoff", "needs_person")}
NEEDS_LINK = frozenset({"waits_for_you", "review", "trouble", "link"})
MAX_BUTTONS = 5  # pairs of approve and skip
LABELS: dict[str, dict[Language, str]] = {
    "approve": {"ru": "Отправить", "en": "Send"},
    "skip": {"ru": "Пропустить", "en": "Skip"},
    "open": {"ru": "Открыть", "en": "Open"},
    "open_hh": {"ru": "Открыть hh.ru", "en": "Open hh.ru"},
    "confirm": {"ru": "Подтвердить адрес", "en": "Confirm the address"},
}

SELECT_JOB_NAMES = """
    SELECT external_id, title, company FROM jobs WHERE external_id = ANY(%(ids)s)
"""
SELECT_STATES_OF_APPLICATIONS = """
    SELECT id::text AS id, state FROM application_ledger
    WHERE account_id = %(account_id)s AND id = ANY(%(ids)s::uuid[])
"""
SELECT_LATEST_USER = """
    SELECT id FROM users WHERE account_id = %(account_id)s ORDER BY inserted_at DESC, id LIMIT 1
"""


def compose(row: dict[str, Any], recipient: Recipient, context: Context) -> Message | None:
    """Return the message of a row of ``notifications``; ``None`` if there is nothing left to tell.

    Raises :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    kind, language, content = row["kind"], recipient.language, row["content"]
    connection = context.connection
    items = [dict(data) for _, data in content.get("facts", [])]
    if kind in WAITING:
        items = _still_waiting(items, WAITING[kind], recipient.account_id, connection=connection)
        if not items:
            return None
    _name_jobs(items, connection=connection)
    hidden = content.get("count", 0) - len(content.get("facts", []))
    count = len(items) + hidden
    values = {"items": items, "count": count, "counts": content.get("counts", {})}
    subject, text = rendering.render(kind, language, values)
    data = {"kind": kind, "at": context.now().isoformat(), **values}
    return Message(
        id=row["id"],
        kind=kind,
        language=language,
        subject=subject,
        text=text,
        buttons=_buttons(kind, items, recipient, context),
        data=data,
    )


def _still_waiting(
    items: list[dict[str, Any]],
    states: Collection[str],
    account_id: UUID,
    *,
    connection: Connection,
) -> list[dict[str, Any]]:
    values = {"account_id": account_id, "ids": [item["application_id"] for item in items]}
    rows = connection.execute(SELECT_STATES_OF_APPLICATIONS, values).fetchall()
    waiting = {row["id"] for row in rows if row["state"] in states}
    return [item for item in items if item["application_id"] in waiting]


def _name_jobs(items: list[dict[str, Any]], *, connection: Connection) -> None:
    """Give the items title, company and address of their vacancies."""
    about_jobs = [item for item in items if item.get("job_id")]
    unnamed = [item["job_id"] for item in about_jobs if "title" not in item]
    rows = connection.execute(SELECT_JOB_NAMES, {"ids": unnamed}).fetchall() if unnamed else []
    by_id = {row["external_id"]: row for row in rows}
    for item in about_jobs:
        row = by_id.get(item["job_id"], {})
        item.setdefault("title", row.get("title"))
        item.setdefault("company", row.get("company"))
        item["url"] = vacancy_url(item["job_id"])


def _buttons(
    kind: str, items: list[dict[str, Any]], recipient: Recipient, context: Context
) -> tuple[Button, ...]:
    """Return the buttons; for a webhook none, since a link opens the person's page to whoever has
    it."""
    if recipient.kind == "webhook":
        return ()
    language, buttons = recipient.language, []
    if kind == "confirmation":
        url = tokens.confirmation_url(recipient.channel_id, now=context.now())
        return (Button(LABELS["confirm"][language], url=url),)
    if kind == "review":
        for item in items[:MAX_BUTTONS]:
            for action in ("approve", "skip"):
                label = LABELS[action][language]
                if len(items) > 1:
                    label = f"{label}: {rendering.short(item['title'] or item['job_id'])}"
                buttons.append(Button(label, action=f"{action}:{item['application_id']}"))
    if kind in NEEDS_LINK and (link := _handoff_link(recipient.account_id, context)):
        buttons.append(Button(LABELS["open"][language], url=link))
    if kind in ("invitation", "message"):
        buttons.append(Button(LABELS["open_hh"][language], url=NEGOTIATIONS_URL))
    if kind in ("refusal", "new_vacancies") and len(items) == 1:
        buttons.append(Button(LABELS["open_hh"][language], url=items[0]["url"]))
    return tuple(buttons)


def _handoff_link(account_id: UUID, context: Context) -> str | None:
    """Return a new link to the handoff page, ``None`` without an address of Core's or a user."""
    if not settings.PUBLIC_URL():
        return None
    values = {"account_id": account_id}
    user = context.connection.execute(SELECT_LATEST_USER, values).fetchone()
    if user is None:
        return None
    return links.create(account_id, user_id=user["id"], now=context.now())
