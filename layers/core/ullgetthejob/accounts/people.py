"""People: a user (the BFF's session, subject of a JWT), and the hh.ru account behind it.

One query reads both, and whether the token that was sent is still valid: it is revoked when it is
older than ``users.tokens_valid_from``, or its user no longer exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access, session_tokens
from ullgetthejob.accounts.access import Access
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.authentication import invalid_token
from ullgetthejob.platform.errors import NotFound

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.accounts.session_tokens import Identity

SELECT_USER_WITH_ACCOUNT = """
    SELECT u.id AS user_id, u.tokens_valid_from, a.id AS account_id, a.access_state,
           a.access_reason, a.access_changed_at, a.access_until, a.captcha_url, a.access_tries
    FROM users u LEFT JOIN accounts a ON a.id = u.account_id
    WHERE u.id = %(user_id)s
"""

SELECT_ACCOUNT = """
    SELECT id AS account_id, access_state, access_reason, access_changed_at, access_until,
           captcha_url, access_tries
    FROM accounts WHERE id = %(account_id)s
"""


@dataclass(frozen=True)
class Person:
    """A user and its account; ``None`` before the first login at hh.ru."""

    user_id: UUID
    account_id: UUID | None
    access: Access

    @property
    def owner_id(self) -> UUID:
        """Return the owner of the buckets and counts: the account, or the user while it has
        none."""
        return self.account_id or self.user_id

    @property
    def account(self) -> UUID:
        """Return the account's id. Raises :class:`NeedsPerson` for a user who never connected
        hh.ru."""
        if self.account_id is None:
            raise access.needs_person(self.access)
        return self.account_id

    @property
    def connected(self) -> bool:
        """Return whether Core has tokens that, as far as it knows, hh.ru accepts."""
        return self.account_id is not None and self.access.state != "reauth_required"


def find_by_token(token: str) -> Person:
    """Return the person of a JWT. Raises :class:`Unauthorized` (``invalid_token``), also when it
    was revoked or the user no longer exists."""
    return find_by_identity(session_tokens.verify(token, now=clock.now()))


def find_by_identity(identity: Identity) -> Person:
    """Return the person of an identity that was proven. Raises as :func:`find_by_token` does."""
    row = _select_user(identity.user_id)
    if row is None:
        raise invalid_token()
    valid_from = row["tokens_valid_from"]
    if valid_from is not None and identity.issued_at < valid_from:
        raise invalid_token()
    return _person(row)


def find_by_id(user_id: UUID) -> Person:
    """Return the person of a user's id. Raises :class:`NotFound` (``user_not_found``)."""
    row = _select_user(user_id)
    if row is None:
        raise NotFound("there is no such user", code="user_not_found")
    return _person(row)


def find_or_unknown(user_id: UUID) -> Person:
    """Return the person of a user's id; for one that Core does not know (yet), a person without an
    account."""
    row = _select_user(user_id)
    return Person(user_id, None, Access()) if row is None else _person(row)


def find_by_account(account_id: UUID, *, user_id: UUID) -> Person:
    """Return the person of an account, for background work that *user_id* requested.

    Raises :class:`NotFound` (``account_not_found``).
    """
    with postgres.session() as connection:
        row = connection.execute(SELECT_ACCOUNT, {"account_id": account_id}).fetchone()
    if row is None:
        raise NotFound("there is no such account", code="account_not_found")
    return _person({**row, "user_id": user_id})


def _select_user(user_id: UUID) -> dict[str, Any] | None:
    with postgres.session() as connection:
        return connection.execute(SELECT_USER_WITH_ACCOUNT, {"user_id": user_id}).fetchone()


def _person(row: dict[str, Any]) -> Person:
    if row["account_id"] is None:
        return Person(row["user_id"], None, Access())
    return Person(row["user_id"], row["account_id"], Access.of(row))
