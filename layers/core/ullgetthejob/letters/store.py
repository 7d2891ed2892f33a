"""Storage of an account's letter templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.letters.models import MAX_PER_ACCOUNT
from ullgetthejob.platform.errors import Conflict, NotFound

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

COLUMNS = "id, name, text, created_at, updated_at"
SELECT_TEMPLATES = f"""
    SELECT {COLUMNS} FROM letter_templates WHERE account_id = %(account_id)s ORDER BY name, id
"""  # noqa: S608
SELECT_TEMPLATE = f"""
    SELECT {COLUMNS} FROM letter_templates
    WHERE account_id = %(account_id)s AND id = %(template_id)s
"""  # noqa: S608
SELECT_TEMPLATE_OF_NAME = f"""
    SELECT {COLUMNS} FROM letter_templates WHERE account_id = %(account_id)s AND name = %(name)s
"""  # noqa: S608
LOCK_ACCOUNT = "SELECT id FROM accounts WHERE id = %(account_id)s FOR UPDATE"
COUNT_TEMPLATES = """
    SELECT count(*) AS number FROM letter_templates WHERE account_id = %(account_id)s
"""
INSERT_TEMPLATE = f"""
    INSERT INTO letter_templates (account_id, name, text, created_at, updated_at)
    VALUES (%(account_id)s, %(name)s, %(text)s, %(now)s, %(now)s)
    RETURNING {COLUMNS}
"""  # noqa: S608
UPDATE_TEMPLATE = f"""
    UPDATE letter_templates SET name = %(name)s, text = %(text)s, updated_at = %(now)s
    WHERE account_id = %(account_id)s AND id = %(template_id)s
    RETURNING {COLUMNS}
"""  # noqa: S608
DELETE_TEMPLATE = """
    DELETE FROM letter_templates WHERE account_id = %(account_id)s AND id = %(template_id)s
"""


def list_all(account_id: UUID | None, *, connection: Connection) -> list[dict[str, Any]]:
    """Return the templates of an account, by name."""
    return connection.execute(SELECT_TEMPLATES, {"account_id": account_id}).fetchall()


def find(account_id: UUID | None, template_id: UUID, *, connection: Connection) -> dict[str, Any]:
    """Return a template of the account. Raises :class:`NotFound`."""
    values = {"account_id": account_id, "template_id": template_id}
    row = connection.execute(SELECT_TEMPLATE, values).fetchone()
    if row is None:
        raise not_found()
    return row


def read_text(account_id: UUID, template_id: UUID, *, connection: Connection) -> str | None:
    """Return the text of a template of the account; ``None`` if it was deleted."""
    values = {"account_id": account_id, "template_id": template_id}
    row = connection.execute(SELECT_TEMPLATE, values).fetchone()
    return str(row["text"]) if row else None


def insert(
    account_id: UUID, name: str, text: str, *, connection: Connection, now: datetime
) -> tuple[dict[str, Any], bool]:
    """Store a template in the caller's transaction; return it, and whether it is new: the same name
    and text again are the stored one. Raises :class:`Conflict`."""
    values = {"account_id": account_id, "name": name, "text": text, "now": now}
    connection.execute(LOCK_ACCOUNT, values)
    stored = connection.execute(SELECT_TEMPLATE_OF_NAME, values).fetchone()
    if stored is not None:
        if stored["text"] != text:
            raise _same_name(stored)
        return stored, False
    counted = connection.execute(COUNT_TEMPLATES, values).fetchone()
    if counted is not None and counted["number"] >= MAX_PER_ACCOUNT:
        raise Conflict(
            f"an account has at most {MAX_PER_ACCOUNT} templates", code="too_many_templates"
        )
    row = connection.execute(INSERT_TEMPLATE, values).fetchone()
    assert row is not None  # noqa: S101 - an INSERT with RETURNING
    return row, True


def update(
    account_id: UUID,
    template_id: UUID,
    name: str,
    text: str,
    *,
    connection: Connection,
    now: datetime,
) -> dict[str, Any]:
    """Replace a template in the caller's transaction, and return it. Raises :class:`NotFound`,
    :class:`Conflict`."""
    values = {
        "account_id": account_id,
        "template_id": template_id,
        "name": name,
        "text": text,
        "now": now,
    }
    connection.execute(LOCK_ACCOUNT, values)
    stored = connection.execute(SELECT_TEMPLATE_OF_NAME, values).fetchone()
    if stored is not None and stored["id"] != template_id:
        raise _same_name(stored)
    row = connection.execute(UPDATE_TEMPLATE, values).fetchone()
    if row is None:
        raise not_found()
    return row


def delete(account_id: UUID | None, template_id: UUID, *, connection: Connection) -> None:
    """Delete a template. Raises :class:`NotFound`."""
    values = {"account_id": account_id, "template_id": template_id}
    if not connection.execute(DELETE_TEMPLATE, values).rowcount:
        raise not_found()


def not_found() -> NotFound:
    """Return the error of a template that the account does not have."""
    return NotFound("there is no such template", code="template_not_found")


def _same_name(stored: dict[str, Any]) -> Conflict:
    return Conflict(
        "another template has this name", code="same_template", details={"id": str(stored["id"])}
    )
