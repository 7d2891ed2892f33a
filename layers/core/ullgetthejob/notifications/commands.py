"""The commands of ``/api/notifications``: settings and channels of a person."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from ullgetthejob.accounts import audit
from ullgetthejob.notifications import (
    channel_store,
    models,
    planner,
    settings_store,
    signatures,
    wake_up,
)
from ullgetthejob.platform import postgres, settings
from ullgetthejob.platform.errors import Conflict, Invalid, NotFound, TooManyRequests

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

RECENT = 50
SECRET_OVERLAP = timedelta(days=1)
DAY = timedelta(days=1)
MAX_CONFIRMATIONS = 5  # e-mails a day to addresses that nobody has confirmed
MAX_TESTS = 20  # a day

SELECT_RECENT_NOTIFICATIONS = """
    SELECT id, channel_id, channel_kind, kind, state, attempts, error, created_at, due_at, ended_at
    FROM notifications WHERE account_id = %(account_id)s
    ORDER BY created_at DESC, id DESC LIMIT %(most)s
"""
COUNT_NOTIFICATIONS_ASKED_FOR = """
    SELECT count(*) AS number FROM notifications
    WHERE account_id = %(account_id)s AND created_at > %(since)s AND kind = %(kind)s
"""


def show_settings(person: Person, context: Context) -> models.Settings:
    """Return the settings, the channels and the latest notifications of the person's account."""
    account_id, connection = person.account_id, context.connection
    values = {"account_id": account_id, "most": RECENT}
    recent = connection.execute(SELECT_RECENT_NOTIFICATIONS, values).fetchall()
    return models.Settings(
        settings=settings_store.read(account_id, connection=connection).complete(),
        channels=list_channels(person, context).items,
        recent=[models.Notification(**row) for row in recent],
    )


def replace_settings(
    body: models.SettingsBody, person: Person, context: Context
) -> models.Settings:
    """Store the settings and return them. Raises :class:`NeedsPerson` for a user who never
    connected hh.ru."""
    context = context.with_fixed_time()
    with context.connection.transaction():
        settings_store.replace(
            person.account, body.preferences, connection=context.connection, now=context.now()
        )
        audit.record("notification_settings.replace", person, context)
    return show_settings(person, context)


def list_channels(person: Person, context: Context) -> models.Channels:
    """Return the channels of the person's account."""
    rows = channel_store.list_all(person.account_id, connection=context.connection)
    return models.Channels(items=[models.channel_of(row) for row in rows])


def add_channel(
    body: models.ChannelBody, person: Person, context: Context
) -> tuple[models.OneChannel, bool]:
    """Add a channel, and return it and whether it is new. A webhook is active at once; an e-mail
    address is sent a link first, with which its owner confirms it.

    An address that the account has already is the same channel; a disabled webhook is active again,
    and any other e-mail address than an active one gets a new link.

    Raises :class:`Invalid` for an address that cannot be one; :class:`Conflict`
    (``too_many_channels``, ``email_off``); :class:`TooManyRequests`; :class:`NeedsPerson`;
    :class:`Unavailable`.
    """
    context = context.with_fixed_time()
    account_id = person.account
    address = _checked_address(body)
    secret = signatures.new_secret() if body.kind == "webhook" else None
    connection, now = context.connection, context.now()
    with connection.transaction():
        since_seq = channel_store.lock_account(account_id, connection=connection)
        language = body.language or settings_store.read(account_id, connection=connection).language
        found = channel_store.find_by_address(account_id, body.kind, address, connection=connection)
        if found is None:
            _require_room(account_id, connection)
            new = (account_id, body.kind, address, language, "unconfirmed", since_seq)
            channel_id = channel_store.insert(*new, connection, now, secret)
        else:
            channel_id = found["id"]
        if body.kind == "webhook":
            channel_store.activate_by_id(
                channel_id, account_id, connection=connection, now=context.now()
            )
        elif found is None or found["state"] != "active":
            channel_store.unconfirm(channel_id, connection=connection, now=now)
            _plan("confirmation", channel_id, "email", MAX_CONFIRMATIONS, person, context)
        if found is None:
            audit.record("notification_channel.create", person, context)
    shown = _channel(channel_id, person, context)
    return models.OneChannel(
        **shown.model_dump(), secret=secret if found is None else None
    ), found is None


def delete_channel(channel_id: str, person: Person, context: Context) -> models.Done:
    """Delete a channel. Raises :class:`NotFound` (``channel_not_found``)."""
    context = context.with_fixed_time()
    with context.connection.transaction():
        channel = _channel(_parse_id(channel_id), person, context)
        channel_store.delete(
            channel.id, person.account, connection=context.connection, now=context.now()
        )
        audit.record("notification_channel.delete", person, context)
    return models.Done()


def test_channel(channel_id: str, person: Person, context: Context) -> models.TestPlanned:
    """Send a message that tests a channel. Raises :class:`NotFound`; :class:`Conflict`
    (``channel_not_active``); :class:`TooManyRequests`."""
    context = context.with_fixed_time()
    with context.connection.transaction():
        channel = _channel(_parse_id(channel_id), person, context)
        if channel.state != "active":
            raise Conflict("the channel is not active", code="channel_not_active")
        planned = _plan("test", channel.id, channel.kind, MAX_TESTS, person, context)
    return models.TestPlanned(notification_id=planned)


def rotate_secret(channel_id: str, person: Person, context: Context) -> models.NewSecret:
    """Replace the secret of a webhook; for a day both sign. Raises :class:`NotFound`,
    :class:`Conflict` (``no_secret``), :class:`Unavailable`."""
    context = context.with_fixed_time()
    connection = context.connection
    channel = _channel(_parse_id(channel_id), person, context)
    row = channel_store.find(channel.id, connection=connection)
    if row is None:
        raise _not_found()
    if row["secret"] is None:
        raise Conflict("the channel has no secret", code="no_secret")
    secret, until = signatures.new_secret(), context.now() + SECRET_OVERLAP
    with connection.transaction():
        if not channel_store.rotate_secret(row, secret, until=until, connection=connection):
            raise Conflict("the secret was replaced at the same time", code="wrong_state")
        audit.record("notification_channel.rotate_secret", person, context)
    return models.NewSecret(secret=secret, previous_secret_until=until)


def _checked_address(body: models.ChannelBody) -> str:
    """Return the address of a channel. Raises :class:`Invalid`, :class:`Conflict`."""
    if body.kind == "email":
        if not (settings.EMAIL_FROM() and settings.PUBLIC_URL()):
            raise Conflict("e-mail is not configured: EMAIL_FROM and PUBLIC_URL", code="email_off")
        local, _, domain = (body.address or "").rpartition("@")
        return f"{local}@{domain.lower()}"
    import asyncio

    from ullgetthejob.notifications import egress

    url = body.url or ""
    try:
        asyncio.run(egress.resolve(egress.check_url(url)))
    except egress.AddressRefused as error:
        raise Invalid.field("url", error.reason) from None
    except egress.NameUnknown:
        raise Invalid.field("url", "must have a host whose name has an address") from None
    return url


def _require_room(account_id: UUID, connection: Connection) -> None:
    if len(channel_store.list_all(account_id, connection=connection)) >= models.MAX_CHANNELS:
        raise Conflict(
            f"an account has at most {models.MAX_CHANNELS} channels", code="too_many_channels"
        )


def _plan(
    kind: str, channel_id: UUID, channel_kind: str, most: int, person: Person, context: Context
) -> UUID:
    """Plan a message that the person asked for, unless there were *most* in the last day. Raises
    :class:`TooManyRequests`."""
    connection, now, account_id = context.connection, context.now(), person.account
    values = {"account_id": account_id, "since": now - DAY, "kind": kind}
    counted = connection.execute(COUNT_NOTIFICATIONS_ASKED_FOR, values).fetchone()
    if counted is not None and counted["number"] >= most:
        raise TooManyRequests(
            f"an account is sent at most {most} of these a day",
            code="too_many_messages",
            retry_after_s=3600,
        )
    planned = planner.insert(
        account_id, channel_id, channel_kind, kind, connection=connection, now=now
    )
    key = (wake_up.QUEUE, account_id)
    postgres.after_commit(connection, key, lambda: wake_up.notify(account_id))
    return planned


def _channel(channel_id: UUID, person: Person, context: Context) -> models.Channel:
    """Return a channel of the person's account. Raises :class:`NotFound`."""
    for channel in list_channels(person, context).items:
        if channel.id == channel_id:
            return channel
    raise _not_found()


def _parse_id(channel_id: str) -> UUID:
    try:
        return UUID(channel_id)
    except ValueError:
        raise _not_found() from None


def _not_found() -> NotFound:
    return NotFound("there is no such channel", code="channel_not_found")
