"""Telegram's Bot API: one call, and what its refusals mean for a channel.

The address of every call contains the bot's token. So no address is logged or kept in an error, and
the loggers of the HTTP libraries, which write addresses, stay silent here.

Source of shapes and limits: https://core.telegram.org/bots/api (``ok``, ``error_code``,
``description``, ``parameters``). Descriptions are compared where a status alone is ambiguous.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ullgetthejob.notifications.errors import ChannelGone, ChannelUnavailable, OutcomeUnknown
from ullgetthejob.platform import secrets, settings, tls
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
RETRY_AFTER_S = 30  # where Telegram does not say when to try again
REFUSED_RETRY_AFTER_S = 3600  # a message or a token that Telegram refuses: an operator must look
# 400: the chat is unknown to the bot, for good. The status of a blocked bot is 403.
GONE = ("chat not found", "peer_id_invalid", "user not found", "group is deactivated")


class Migrated(Exception):
    """The group has become a supergroup with another id."""

    def __init__(self, chat_id: int) -> None:
        super().__init__()
        self.chat_id = chat_id


class Refused(ChannelUnavailable):
    """Telegram refuses the call itself, with 400; *description*: its reason, free of our data."""

    def __init__(self, description: str) -> None:
        super().__init__(REFUSED_RETRY_AFTER_S, reason="http_400")
        self.description = description


def is_configured() -> bool:
    """Return whether this deployment has a bot."""
    return bool(settings.TELEGRAM_BOT_TOKEN())


def call(method: str, parameters: dict[str, Any], *, transport: Any = None) -> Any:
    """Call *method* and return its ``result``. *transport*: of httpx, for tests.

    Raises :class:`ChannelGone`, :class:`ChannelUnavailable` (with :class:`Refused`),
    :class:`OutcomeUnknown` where the call may have been executed, and :class:`Migrated`.
    """
    import httpx

    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    token = secrets.read(settings.TELEGRAM_BOT_TOKEN)
    if not token:
        raise ChannelUnavailable(REFUSED_RETRY_AFTER_S, reason="telegram_off")
    try:
        # A connection of its own: one that was kept may have ended while Lambda was frozen, and
        # what was sent over it would have an unknown outcome.
        with httpx.Client(
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            follow_redirects=False,
            verify=tls.context(),
            trust_env=False,
            transport=transport,
        ) as client:
            url = f"{settings.TELEGRAM_API_URL().rstrip('/')}/bot{token}/{method}"
            response = client.post(url, json=parameters)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        logger.warning("Telegram cannot be reached", method=method, error_type=_name(error))
        raise ChannelUnavailable(RETRY_AFTER_S, reason="unreachable") from None
    except httpx.HTTPError as error:
        logger.warning("Telegram's answer was lost", method=method, error_type=_name(error))
        raise OutcomeUnknown from None
    return _result(method, response)


def _name(error: Exception) -> str:
    return type(error).__name__


def _result(method: str, response: httpx.Response) -> Any:
    """Return the result of an answer, or raise the error that it stands for."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    if response.status_code == 200 and body.get("ok") is True:
        return body.get("result")
    if response.status_code == 200:
        raise OutcomeUnknown
    raise _error(method, response.status_code, body)


def _error(method: str, status: int, body: dict[str, Any]) -> Exception:
    description = str(body.get("description", ""))
    parameters = body.get("parameters")
    if not isinstance(parameters, dict):
        parameters = {}
    moved_to = parameters.get("migrate_to_chat_id")
    if status == 400 and isinstance(moved_to, int):
        return Migrated(moved_to)
    if status == 403 or (status == 400 and any(text in description.lower() for text in GONE)):
        return ChannelGone(_reason(status, description))
    if status == 429:
        retry_after = parameters.get("retry_after")
        if not isinstance(retry_after, int):
            retry_after = RETRY_AFTER_S
        return ChannelUnavailable(retry_after, reason="http_429")
    if status in (401, 404):  # the token; it may have been rotated
        secrets.refresh(settings.TELEGRAM_BOT_TOKEN)
        count("TelegramTokenRefused")
        logger.error("Telegram refuses the bot's token", status=status)
        return ChannelUnavailable(RETRY_AFTER_S, reason="token_refused")
    if status == 400:
        return Refused(description)
    logger.warning("Telegram failed", method=method, status=status)
    return ChannelUnavailable(RETRY_AFTER_S, reason=f"http_{status}")


def _reason(status: int, description: str) -> str:
    """Return why a chat is gone, as a code."""
    text = description.lower()
    if "blocked" in text:
        return "blocked"
    if "deactivated" in text:
        return "deactivated"
    return "forbidden" if status == 403 else "unknown_chat"
