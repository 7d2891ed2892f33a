"""Storage of an account's channels.

Address and secret of a channel are encrypted with KMS, in the context of the channel's id. A
channel is found by a digest of its address, keyed with the secret that signs Core's tokens, and the
person recognises it by its *hint*, in which most of the address is left out.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from ullgetthejob.notifications.recipient import Recipient
from ullgetthejob.platform import encryption, postgres, secrets, settings
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.notifications.messages import Language
    from ullgetthejob.notifications.preferences import ChannelKind
    from ullgetthejob.platform.postgres import Connection

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
    SET state = 'active', reason = NULL, language = coalesce(%(language)s, language),
        since_seq = %(since_seq)s, changed_at = %(now)s
    WHERE id = %(id)s AND state <> 'active'
"""
SELECT_CHANNELS_OF_ADDRESS = """
    SELECT id, account_id FROM notification_channels
    WHERE kind = %(kind)s AND address_digest = ANY(%(digests)s) AND state <> 'disabled'
    ORDER BY account_id, id
"""
LOCK_ACCOUNT_OF_CHANNEL = """
    SELECT last_event_seq FROM accounts WHERE id = %(account_id)s FOR NO KEY UPDATE
"""
UPDATE_CHANNEL_UNCONFIRMED = """
    UPDATE notification_channels SET state = 'unconfirmed', reason = NULL, changed_at = %(now)s
    WHERE id = %(id)s AND state = 'disabled'
"""
UPDATE_CHANNEL_DISABLED = """
    UPDATE notification_channels
    SET state = 'disabled', reason = %(reason)s, changed_at = %(now)s
    WHERE id = %(id)s AND state <> 'disabled' RETURNING kind
"""
UPDATE_NOTIFICATIONS_CANCELLED = """
    UPDATE notifications SET state = 'cancelled', error = %(reason)s, ended_at = %(now)s
    WHERE channel_id = %(id)s AND state = 'waiting'
"""
# Without an active channel nothing is planned.
UPDATE_ACCOUNT_UNPLANNED = """
    UPDATE accounts SET planned_seq = NULL
    WHERE id = %(account_id)s AND planned_seq IS NOT NULL AND NOT EXISTS (
        SELECT FROM notification_channels c WHERE c.account_id = accounts.id AND c.state = 'active'
    )
"""
CHANNEL_COLUMNS = "id, kind, hint, language, state, reason, created_at, changed_at"
SELECT_CHANNELS = f"""
    SELECT {CHANNEL_COLUMNS} FROM notification_channels
    WHERE account_id = %(account_id)s ORDER BY created_at, id
"""  # noqa: S608
SELECT_CHANNEL = """
    SELECT id, account_id, kind, address, address_digest, secret, previous_secret,
           previous_secret_until, language, state
    FROM notification_channels WHERE id = %(id)s
"""
UPDATE_CHANNEL_ADDRESS = """
    UPDATE notification_channels
    SET address = %(address)s, address_digest = %(digest)s WHERE id = %(id)s
"""
UPDATE_CHANNEL_ROTATED = """
    UPDATE notification_channels
    SET previous_secret = secret, previous_secret_until = %(until)s, secret = %(secret)s
    WHERE id = %(id)s AND secret IS NOT DISTINCT FROM %(replaced)s
"""
DELETE_CHANNEL = "DELETE FROM notification_channels WHERE id = %(id)s"


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
    with postgres.atomic(connection):
        since_seq = lock_account(account_id, connection=connection)
        found = find_by_address(account_id, kind, address, connection=connection)
        channel_id: UUID = (
            insert(account_id, kind, address, language, "unconfirmed", since_seq, connection, now)
            if found is None
            else found["id"]
        )
        activate_by_id(channel_id, account_id, connection=connection, now=now, language=language)
    return channel_id


def activate_by_id(
    channel_id: UUID,
    account_id: UUID,
    *,
    connection: Connection,
    now: datetime,
    language: Language | None = None,
) -> None:
    """Activate a channel, unless it is active, in the caller's transaction: what happens from now
    on is told there."""
    row = connection.execute(UPDATE_ACCOUNT_PLANNED, {"account_id": account_id}).fetchone()
    assert row is not None  # noqa: S101 - channels belong to an existing account
    values = {
        "id": channel_id,
        "language": language,
        "since_seq": row["last_event_seq"],
        "now": now,
    }
    connection.execute(UPDATE_CHANNEL_ACTIVE, values)


def unconfirm(channel_id: UUID, *, connection: Connection, now: datetime) -> None:
    """Let a channel that is disabled wait for its owner's confirmation again."""
    connection.execute(UPDATE_CHANNEL_UNCONFIRMED, {"id": channel_id, "now": now})


def lock_account(account_id: UUID, *, connection: Connection) -> int:
    """Lock the account's row in the caller's transaction, and return the seq of its last event."""
    row = connection.execute(LOCK_ACCOUNT_OF_CHANNEL, {"account_id": account_id}).fetchone()
    assert row is not None  # noqa: S101 - the caller's person has this account
    return int(row["last_event_seq"])


def find_by_address(
    account_id: UUID, kind: ChannelKind, address: str, *, connection: Connection
) -> dict[str, Any] | None:
    """Return id and state of the account's channel with this address, ``None`` if it has none."""
    values = {"account_id": account_id, "kind": kind, "digests": digests(address)}
    return connection.execute(SELECT_CHANNEL_OF_ADDRESS, values).fetchone()


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


def disable(
    kind: ChannelKind, address: str, *, reason: str, connection: Connection, now: datetime
) -> int:
    """Disable the channels with this address, of all accounts, and return how many there were.

    *reason*: a snake_case word that the person is shown, such as ``blocked``.
    """
    values = {"kind": kind, "digests": digests(address)}
    rows = connection.execute(SELECT_CHANNELS_OF_ADDRESS, values).fetchall()
    return sum(
        disable_by_id(row["id"], row["account_id"], reason=reason, connection=connection, now=now)
        for row in rows
    )


def disable_by_id(
    channel_id: UUID, account_id: UUID, *, reason: str, connection: Connection, now: datetime
) -> bool:
    """Disable a channel, cancel what waits for it, and append the event ``channel.updated``, by
    which its person is told elsewhere; return whether it was not disabled yet."""
    values = {"id": channel_id, "account_id": account_id, "reason": reason, "now": now}
    with postgres.atomic(connection):
        connection.execute(LOCK_ACCOUNT_OF_CHANNEL, values)
        disabled = connection.execute(UPDATE_CHANNEL_DISABLED, values).fetchone()
        if disabled is None:
            return False
        connection.execute(UPDATE_NOTIFICATIONS_CANCELLED, values)
        connection.execute(UPDATE_ACCOUNT_UNPLANNED, values)
        data = {
            "channel_id": str(channel_id),
            "kind": disabled["kind"],
            "state": "disabled",
            "reason": reason,
        }
        event_log.append(account_id, "channel.updated", data, connection=connection, now=now)
    return True


def delete(channel_id: UUID, account_id: UUID, *, connection: Connection, now: datetime) -> None:
    """Delete a channel in the caller's transaction; what waits for it is cancelled."""
    values = {"id": channel_id, "account_id": account_id, "reason": "deleted", "now": now}
    connection.execute(LOCK_ACCOUNT_OF_CHANNEL, values)
    connection.execute(UPDATE_NOTIFICATIONS_CANCELLED, values)
    connection.execute(DELETE_CHANNEL, values)
    connection.execute(UPDATE_ACCOUNT_UNPLANNED, values)


def list_all(account_id: UUID | None, *, connection: Connection) -> list[dict[str, Any]]:
    """Return the channels of an account, without addresses and secrets."""
    return connection.execute(SELECT_CHANNELS, {"account_id": account_id}).fetchall()


def find(channel_id: UUID, *, connection: Connection) -> dict[str, Any] | None:
    """Return a channel with its ciphertexts, ``None`` if there is none."""
    return connection.execute(SELECT_CHANNEL, {"id": channel_id}).fetchone()


def rotate_secret(
    row: dict[str, Any], secret: str, *, until: datetime, connection: Connection
) -> bool:
    """Replace the secret of a webhook's row; the one before signs beside it *until*. Return whether
    the row still had its secret."""
    values = {
        "id": row["id"],
        "secret": encrypt(row["id"], secret),
        "replaced": row["secret"],
        "until": until,
    }
    return connection.execute(UPDATE_CHANNEL_ROTATED, values).rowcount > 0


def decrypt_recipient(row: dict[str, Any], *, connection: Connection, now: datetime) -> Recipient:
    """Return the recipient of a row of :func:`find`. An address under the previous KMS key, or the
    previous signing secret's digest, is stored again under the present one.

    Raises :class:`encryption.Undecryptable`, :class:`Unavailable`.
    """
    context = _encryption_context(row["id"])
    address = encryption.decrypt_with_key_info(row["address"], context)
    digest = digests(address.text)[0]
    if address.by_previous_key or bytes(row["address_digest"]) != digest:
        values = {"id": row["id"], "address": encrypt(row["id"], address.text), "digest": digest}
        connection.execute(UPDATE_CHANNEL_ADDRESS, values)
    until = row["previous_secret_until"]
    stored = [row["secret"], row["previous_secret"] if until and until > now else None]
    return Recipient(
        channel_id=row["id"],
        account_id=row["account_id"],
        kind=row["kind"],
        address=address.text,
        language=row["language"],
        secrets=tuple(decrypt(row["id"], text) for text in stored if text),
    )


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
