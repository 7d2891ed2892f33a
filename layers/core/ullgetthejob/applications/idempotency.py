"""Requests that came before: with the same key of the caller's own, or to the same vacancy.

A key belongs to an account, and to one content: with another content it is a :class:`Conflict`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ullgetthejob.applications import ledger
from ullgetthejob.applications.application import COLUMNS, Application
from ullgetthejob.platform.errors import Conflict

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.applications.submission import SubmitBody
    from ullgetthejob.platform.postgres import Connection

SELECT_IDEMPOTENCY_KEY = (
    "SELECT request_hash, ledger_id FROM application_keys WHERE (account_id, key) = (%s, %s)"
)
INSERT_IDEMPOTENCY_KEY = """
    INSERT INTO application_keys (account_id, key, request_hash, ledger_id, created_at)
    VALUES (%(account_id)s, %(key)s, %(request_hash)s, %(id)s, %(now)s) ON CONFLICT DO NOTHING
"""
SELECT_APPLICATION_OF_VACANCY = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND vacancy_id = %(vacancy_id)s
"""  # noqa: S608


def find_earlier(
    body: SubmitBody, account_id: UUID, *, key: str | None, connection: Connection
) -> Application | None:
    """Return the application with which this request would be answered: of the same *key*, else to
    the same vacancy; ``None`` if a new one would be accepted. Raises :class:`Conflict`."""
    values = {
        "account_id": account_id,
        "vacancy_id": body.job_external_id,
        "key": key,
        "request_hash": body.content_hash,
    }
    return find_by_key(values, connection=connection) or _find_of_vacancy(
        values, connection=connection
    )


def find_by_key(values: dict[str, Any], *, connection: Connection) -> Application | None:
    """Return the application that came with the caller's own key before. Raises
    :class:`Conflict` where its content was another."""
    if values["key"] is None:
        return None
    seen = connection.execute(
        SELECT_IDEMPOTENCY_KEY, [values["account_id"], values["key"]]
    ).fetchone()
    if seen is None:
        return None
    if bytes(seen["request_hash"]) != values["request_hash"]:
        raise Conflict("this idempotency key came with another application")
    return ledger.read(seen["ledger_id"], connection=connection)


def repeat(
    values: dict[str, Any], *, connection: Connection, now: datetime
) -> tuple[Application, Literal["repeated", "letter_replaced"]]:
    """Return the account's application to this vacancy, with the letter of this request if it may
    still be replaced, and the outcome of the request."""
    first = _find_of_vacancy(values, connection=connection)
    assert first is not None  # noqa: S101 - the row that the INSERT conflicted with
    if values["key"] is not None:
        connection.execute(INSERT_IDEMPOTENCY_KEY, {**values, "id": first.id, "now": now})
    if values["queue_item_id"] not in (None, first.queue_item_id):
        return first, "repeated"  # another item of a campaign: the item fails
    replaced = ledger.replace_letter(first, values["letter"], connection=connection, now=now)
    return (replaced, "letter_replaced") if replaced else (first, "repeated")


def reason_of_duplicate(earlier: Application) -> str:
    """Return why a request gets no application beside the *earlier* one."""
    return "already_applied" if earlier.state == "submitted" else "duplicate"


def _find_of_vacancy(values: dict[str, Any], *, connection: Connection) -> Application | None:
    row = connection.execute(SELECT_APPLICATION_OF_VACANCY, values).fetchone()
    return Application(**row) if row else None
