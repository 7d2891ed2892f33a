"""Wake-ups of the applier, sent by the sweeper for the accounts whose resumes are due.

Apart from the worker (:mod:`.scheduled`), since the sweeper imports nothing that calls hh.ru.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.accounts import access
from ullgetthejob.platform import queues, settings

if TYPE_CHECKING:
    from ullgetthejob.platform.context import Context

HAS_USER = "EXISTS (SELECT FROM users WHERE account_id = account.id)"
# What store.SELECT_DUE_RAISES has rows for, each part by an index of its own.
SELECT_ACCOUNTS_WITH_DUE_RAISES = f"""
    SELECT DISTINCT account_id FROM (
        (SELECT account_id FROM resume_raises AS raise JOIN accounts AS account
            ON account.id = raise.account_id
         WHERE raise.due_at <= %(now)s AND account.autopilot_paused_at IS NULL
            AND (raise.claimed_until IS NULL OR raise.claimed_until <= %(now)s)
            AND {access.READABLE} AND {HAS_USER}
         ORDER BY raise.due_at LIMIT %(most)s)
        UNION ALL
        (SELECT account_id FROM resume_raises AS raise JOIN accounts AS account
            ON account.id = raise.account_id
         WHERE raise.asked_at IS NOT NULL AND raise.claimed_until <= %(now)s
            AND (account.autopilot_paused_at IS NULL OR raise.asked_by = 'person')
            AND {access.READABLE} AND {HAS_USER}
         ORDER BY raise.claimed_until LIMIT %(most)s)
    ) AS due
"""  # noqa: S608


def notify_due(context: Context, *, most: int) -> int:
    """Notify the applier of accounts with a resume to raise or a lost call to settle, at most
    *most* of each; return how many there were."""
    values = {"now": context.now(), "most": most}
    rows = context.connection.execute(SELECT_ACCOUNTS_WITH_DUE_RAISES, values).fetchall()
    queues.notify_accounts(settings.APPLIER_QUEUE_URL, (row["account_id"] for row in rows))
    return len(rows)
