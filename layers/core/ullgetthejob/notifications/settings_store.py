"""Storage of the settings of an account's notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from ullgetthejob.notifications.preferences import Preferences
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

SELECT_SETTINGS = """
    SELECT settings FROM notification_settings WHERE account_id = %(account_id)s
"""
UPSERT_SETTINGS = """
    INSERT INTO notification_settings (account_id, settings, updated_at)
    VALUES (%(account_id)s, %(settings)s::jsonb, %(now)s)
    ON CONFLICT (account_id) DO UPDATE
    SET settings = excluded.settings, updated_at = excluded.updated_at
"""
UPDATE_CHANNELS_LANGUAGE = """
    UPDATE notification_channels SET language = %(language)s WHERE account_id = %(account_id)s
"""


def read(account_id: UUID | None, *, connection: Connection) -> Preferences:
    """Return the settings of an account: the default ones where it has none, or some that cannot
    be read."""
    row = connection.execute(SELECT_SETTINGS, {"account_id": account_id}).fetchone()
    if row is None:
        return Preferences()
    try:
        return Preferences.model_validate(row["settings"])
    except ValidationError:  # of a later release, or a time zone that was abolished
        logger.error("the settings of notifications cannot be read", account_id=str(account_id))
        return Preferences()


def replace(
    account_id: UUID, preferences: Preferences, *, connection: Connection, now: datetime
) -> None:
    """Store the settings in the caller's transaction; all channels get their language."""
    values = {
        "account_id": account_id,
        "settings": preferences.model_dump_json(),
        "language": preferences.language,
        "now": now,
    }
    connection.execute(UPSERT_SETTINGS, values)
    connection.execute(UPDATE_CHANNELS_LANGUAGE, values)
