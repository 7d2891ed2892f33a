"""The pages behind the links of e-mails: to confirm an address, and to unsubscribe.

Opening a link changes nothing, since mail programs and their scanners open links too; the button of
the page does, and so does the POST of RFC 8058, by which mail programs unsubscribe in one click.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import audit
from ullgetthejob.notifications import channel_store, rendering, tokens
from ullgetthejob.platform.context import Context  # noqa: TC001 - read as hints of routes
from ullgetthejob.platform.one_time_tokens import InvalidToken
from ullgetthejob.platform.pages import Page, Request

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.notifications.messages import Language

TEXTS: dict[str, dict[Language, tuple[str, str]]] = {
    "confirm": {
        "ru": ("Подтвердите адрес", "Нажмите кнопку, чтобы получать уведомления на этот адрес."),
        "en": ("Confirm the address", "Press the button to get notifications at this address."),
    },
    "confirmed": {
        "ru": ("Адрес подтверждён", "Уведомления будут приходить сюда."),
        "en": ("The address is confirmed", "Notifications will arrive there."),
    },
    "unsubscribe": {
        "ru": ("Отписаться", "Нажмите кнопку, чтобы больше не получать писем на этот адрес."),
        "en": ("Unsubscribe", "Press the button to get no more e-mail at this address."),
    },
    "unsubscribed": {
        "ru": ("Вы отписаны", "Больше писем на этот адрес не будет."),
        "en": ("You are unsubscribed", "No more e-mail will come to this address."),
    },
    "failed": {
        "ru": ("Не получилось", "Попробуйте ещё раз через минуту."),
        "en": ("That did not work", "Please try again in a minute."),
    },
    "invalid": {
        "ru": ("Ссылка не действует", "Она уже использована, или её время вышло."),
        "en": ("The link does not work", "It was used before, or its time is over."),
    },
}
BUTTONS: dict[str, dict[Language, str]] = {
    "confirm": {"ru": "Подтвердить", "en": "Confirm"},
    "unsubscribe": {"ru": "Отписаться", "en": "Unsubscribe"},
}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
}
GONE = 410


def show_confirmation(token: str, context: Context) -> Page:
    """Return the page with the button that confirms an address; the link stays as it is."""
    del token, context  # whether it is valid shows when it is used
    return _page("confirm", "ru")


def confirm(token: str, context: Context) -> Page:
    """Confirm the address of a link, and return the page that says so. Raises
    :class:`~ullgetthejob.platform.errors.Unavailable`."""
    context = context.with_fixed_time()
    now, connection = context.now(), context.connection
    try:
        channel_id = tokens.consume_confirmation(token, by=context.caller.request_id, now=now)
    except InvalidToken:
        return _page("invalid", "ru", status=GONE)
    row = channel_store.find(channel_id, connection=connection)
    if row is None:
        return _page("invalid", "ru", status=GONE)
    with connection.transaction():
        channel_store.activate_by_id(channel_id, row["account_id"], connection=connection, now=now)
        _record("notification_channel.confirm", row, context)
    return _page("confirmed", row["language"])


def show_unsubscribing(token: str, context: Context) -> Page:
    """Return the page with the button that unsubscribes an address."""
    row = _find(token, context)
    return (
        _page("invalid", "ru", status=GONE)
        if row is None
        else _page("unsubscribe", row["language"])
    )


def unsubscribe(token: str, context: Context) -> Page:
    """Unsubscribe the address of a link, and return the page that says so; a repetition changes
    nothing."""
    context = context.with_fixed_time()
    row = _find(token, context)
    if row is None:
        return _page("invalid", "ru", status=GONE)
    connection = context.connection
    with connection.transaction():
        disabled = channel_store.disable_by_id(
            row["id"],
            row["account_id"],
            reason="unsubscribed",
            connection=connection,
            now=context.now(),
        )
        if disabled:
            _record("notification_channel.unsubscribe", row, context)
    return _page("unsubscribed", row["language"])


def _find(token: str, context: Context) -> dict[str, Any] | None:
    channel_id: UUID | None = tokens.channel_of(token)
    if channel_id is None:
        return None
    return channel_store.find(channel_id, connection=context.connection)


def error_page(status: int, _request: Request) -> Page:
    """Return the page that says that a request failed, with the status."""
    return _page("failed", "ru", status=status)


def _page(name: str, language: Language, *, status: int = 200) -> Page:
    title, text = TEXTS[name][language]
    content = rendering.page(language, title, text, BUTTONS.get(name, {}).get(language))
    return Page(content, status=status, headers=HEADERS)


def _record(action: audit.Action, row: dict[str, Any], context: Context) -> None:
    audit.write(action, "ok", context, user_id=None, account_id=row["account_id"])
