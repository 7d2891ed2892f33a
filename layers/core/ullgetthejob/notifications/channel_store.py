"""Storage of an account's channels.

Address and secret of a channel are encrypted with KMS, in the context of the channel's id. A
channel is found by a digest of its address, keyed with the secret that signs Core's tokens, and the
person recognises it by its *hint*, in which most of the address is left out.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from ullgetthejob.platform import encryption, secrets, settings

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from ullgetthejob.notifications.messages import Language

    Connection = psycopg.Connection[dict[str, Any]]

ChannelKind = Literal["email", "telegram", "webhook"]
CHANNEL_KINDS: tuple[ChannelKind, ...] = ("email", "telegram", "webhook")
PURPOSE = b"ullgetthejob notification address "

# The first channel of an account begins the planning with the next event.
UPDATE_ACCOUNT_PLANNED = """
    UPDATE accounts SET planned_seq = coalesce(planned_seq, last_event_seq)
    WHERE id = %(account_id)s RETURNING last_event_seq
"""
SELECT_CHANNEL_OF_ADDRESS = """
    SELECT id, state FROM notification_channels
    WHERE account_id = %(account_id)s AND kind = %(kind)s AND address_digest = ANY(%(digests)s)
"""
INSERT_CHANNEL = """
    INSERT INTO notification_channels (
        id, account_id, kind, address, address_digest, hint, secret, language, state, since_seq,
        created_at, changed_at
    )
    VALUES (
        %(id)s, %(account_id)s, %(kind)s, %(address)s, %(digest)s, %(hint)s, %(secret)s,
        %(language)s, %(state)s, %(since_seq)s, %(now)s, %(now)s
    )
"""
UPDATE_CHANNEL_ACTIVE = """
    UPDATE notification_channels
    SET state = 'active', reason = NULL, language = %(language)s, since_seq = %(since_seq)s,
        address_digest = %(digest)s, changed_at = %(now)s
    WHERE id = %(id)s AND state <> 'active'
"""
LOCK_ACCOUNTS_OF_ADDRESS = """
    SELECT id FROM accounts
    WHERE id IN (
        SELECT account_id FROM notification_channels
        WHERE kind = %(kind)s AND address_digest = ANY(%(digests)s)
    )
    ORDER BY id FOR UPDATE
"""
UPDATE_CHANNELS_DISABLED = """
    UPDATE notification_channels
    SET state = 'disabled', reason = %(reason)s, changed_at = %(now)s
    WHERE kind = %(kind)s AND address_digest = ANY(%(digests)s) AND state <> 'disabled'
"""
# Without an active channel nothing is planned.
UPDATE_ACCOUNTS_UNPLANNED = """
    UPDATE accounts SET planned_seq = NULL
    WHERE id = ANY(%(account_ids)s) AND planned_seq IS NOT NULL AND NOT EXISTS (
        SELECT FROM notification_channels c WHERE c.account_id = accounts.id AND c.state = 'active'
    )
"""


def activate(
    account_id: UUID,
    kind: ChannelKind,
    address: str,
    *,
    language: Language,
    connection: Connection,
    now: datetime,
) -> UUID:
    """Store an address that its owner has proved, or activate it again, and return the channel's
    id; what happens from now on is told there. One that is active stays as it is.

    Raises :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    with connection.transaction():
        since_seq = start_planning(account_id, connection=connection)
        values = {
            "account_id": account_id,
            "kind": kind,
            "digests": digests(address),
            "digest": digests(address)[0],
            "language": language,
            "since_seq": since_seq,
            "now": now,
        }
        found = connection.execute(SELECT_CHANNEL_OF_ADDRESS, values).fetchone()
        if found is not None:
            connection.execute(UPDATE_CHANNEL_ACTIVE, {**values, "id": found["id"]})
            return UUID(str(found["id"]))
        return insert(account_id, kind, address, language, "active", since_seq, connection, now)


def insert(
    account_id: UUID,
    kind: ChannelKind,
    address: str,
    language: Language,
    state: str,
    since_seq: int,
    connection: Connection,
    now: datetime,
    secret: str | None = None,
) -> UUID:
    """Store a new channel in the caller's transaction, and return its id."""
    channel_id = uuid4()
    values = {
        "id": channel_id,
        "account_id": account_id,
        "kind": kind,
        "address": encrypt(channel_id, address),
        "digest": digests(address)[0],
        "hint": hint_of(kind, address),
        "secret": None if secret is None else encrypt(channel_id, secret),
        "language": language,
        "state": state,
        "since_seq": since_seq,
        "now": now,
    }
    connection.execute(INSERT_CHANNEL, values)
    return channel_id


def start_planning(account_id: UUID, *, connection: Connection) -> int:
    """Lock the account, let its events be planned from now on, and return the seq of the last."""
    row = connection.execute(UPDATE_ACCOUNT_PLANNED, {"account_id": account_id}).fetchone()
    assert row is not None  # noqa: S101 - channels belong to an existing account
    return int(row["last_event_seq"])


def disable(
    kind: ChannelKind, address: str, *, reason: str, connection: Connection, now: datetime
) -> int:
    """Disable the channels with this address, of all accounts, and return how many there were.

    *reason*: a snake_case word that the person is shown, such as ``blocked``.
    """
    values = {"kind": kind, "digests": digests(address), "reason": reason, "now": now}
    with connection.transaction():
        rows = connection.execute(LOCK_ACCOUNTS_OF_ADDRESS, values).fetchall()
        disabled = connection.execute(UPDATE_CHANNELS_DISABLED, values).rowcount
        account_ids = [row["id"] for row in rows]
        connection.execute(UPDATE_ACCOUNTS_UNPLANNED, {"account_ids": account_ids})
    return disabled


def encrypt(channel_id: UUID, text: str) -> str:
    """Encrypt an address or a secret of the channel. Raises :class:`Unavailable`."""
    return encryption.encrypt(text, _encryption_context(channel_id))


def decrypt(channel_id: UUID, ciphertext: str) -> str:
    """Return what :func:`encrypt` was given. Raises :class:`encryption.Undecryptable`,
    :class:`Unavailable`."""
    return encryption.decrypt(ciphertext, _encryption_context(channel_id))


def _encryption_context(channel_id: UUID) -> dict[str, str]:
    return {"notification_channel": str(channel_id)}


def digests(address: str) -> list[bytes]:
    """Return the digest of an address under the signing secret, and under the one before its
    rotation."""
    keys = (
        secrets.require(settings.SECRET_KEY_BASE),
        secrets.read(settings.SECRET_KEY_BASE_PREVIOUS),
    )
    return [hmac.digest(key.encode(), PURPOSE + address.encode(), "sha256") for key in keys if key]


def hint_of(kind: ChannelKind, address: str) -> str:
    """Return by what the person recognises an address: ``a…@example.org``, the host of a webhook,
    the last digits of a chat."""
    if kind == "email":
        local, _, domain = address.rpartition("@")
        return f"{local[:1]}…@{domain}"
    if kind == "webhook":
        return urlsplit(address).hostname or ""
    return f"…{address[-3:]}"
