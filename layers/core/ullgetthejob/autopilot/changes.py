"""Changes of an autopilot: its settings are stored, and its standing campaign follows its mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.autopilot import store
from ullgetthejob.autopilot.models import to_settings

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.autopilot.models import ApplySettings
    from ullgetthejob.platform.postgres import Connection


def lock(
    saved_search_id: UUID, sent: ApplySettings | None, *, connection: Connection, now: datetime
) -> None:
    """Lock what a change of a saved search changes of its campaign, before the account: the
    campaign, and, where it may be switched on, the applications that wait in it."""
    store.lock_campaign(saved_search_id, connection=connection)
    if sent is not None and sent.mode != "off":
        store.renew_waiting(saved_search_id, connection=connection, now=now)


def check(settings: ApplySettings, account_id: UUID, *, connection: Connection) -> None:
    """Raise :class:`NotFound` for a letter template that the account does not have."""
    from ullgetthejob.letters import store as letters  # the others need no letters

    if settings.letter_template_id is not None:
        letters.find(account_id, settings.letter_template_id, connection=connection)


def change(
    search: dict[str, Any],
    sent: ApplySettings,
    *,
    is_new_query: bool,
    connection: Connection,
    now: datetime,
) -> None:
    """Change the autopilot of a saved search by the fields that were *sent*, in the caller's
    transaction, which locked the standing campaign (:func:`lock`), then the account.

    *search*: its row. *is_new_query*: whether its filters have just become these: all that they
    find is new then. Otherwise, when it is switched on, what was found before is not applied to.
    Switched off, its campaign is paused; on, it is resumed, unless the account is paused. Raises as
    :func:`check`.
    """
    stored = store.find(search["id"], connection=connection)
    before = to_settings(stored)
    settings = before.changed_by(sent)
    check(sent, search["account_id"], connection=connection)
    since_match = None
    if is_new_query:
        since_match = 0
    elif before.mode == "off" and settings.mode != "off":
        since_match = store.read_last_match(search["query_id"], connection=connection)
    store.upsert(search, settings, since_match=since_match, connection=connection, now=now)
    if before.mode != "off" and settings.mode == "off":
        store.change_campaign(
            store.UPDATE_STANDING_CAMPAIGN_OFF,
            search["id"],
            "running",
            connection=connection,
            now=now,
        )
    elif before.mode == "off" and settings.mode != "off":
        store.change_campaign(
            store.UPDATE_STANDING_CAMPAIGN_ON,
            search["id"],
            "paused",
            connection=connection,
            now=now,
        )


def forget_matches(saved_search_id: UUID, *, connection: Connection) -> None:
    """Apply to all that other filters find: their matches have numbers of their own."""
    connection.execute(store.UPDATE_SINCE_MATCH, {"saved_search_id": saved_search_id})


def cancel_campaign(saved_search_id: UUID, *, connection: Connection, now: datetime) -> None:
    """Cancel the standing campaign of a search that is deleted: nothing more of it is sent, and the
    sweeper cancels its unsent applications."""
    store.change_campaign(
        store.UPDATE_STANDING_CAMPAIGN_CANCELLED,
        saved_search_id,
        "running",
        connection=connection,
        now=now,
    )
