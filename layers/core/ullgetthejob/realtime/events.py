"""The event log of an account: what its sockets are told, in order and without a gap.

``seq`` rises by one an account. It is given out under the lock of the account's row, in the
transaction that made the fact: a later fact has a later number, and no number goes missing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

Type = Literal["application.updated"]

APPEND = """
    WITH next AS (
        UPDATE accounts SET last_event_seq = last_event_seq + 1
        WHERE id = %(account_id)s RETURNING last_event_seq AS seq
    )
    INSERT INTO events (account_id, seq, at, type, data)
    SELECT %(account_id)s, seq, %(at)s, %(type)s, %(data)s::jsonb FROM next
"""


def append(
    account_id: UUID, type: Type, data: dict[str, Any], *, connection: Connection, now: datetime
) -> None:
    """Write one event, in the transaction that *connection* is in. *data* holds no secret and
    nothing of another account."""
    text = json.dumps(data, ensure_ascii=False)
    connection.execute(APPEND, {"account_id": account_id, "at": now, "type": type, "data": text})
