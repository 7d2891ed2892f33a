"""The kinds of channels: a module each, with ``send(message, address, *, context) -> None``.

``send`` returns when the channel has accepted the message, and raises the errors of
:mod:`ullgetthejob.notifications.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ullgetthejob.notifications.messages import Message
    from ullgetthejob.notifications.recipient import Recipient
    from ullgetthejob.platform.context import Context


def send(message: Message, recipient: Recipient, *, context: Context) -> None:
    """Send a message by the recipient's kind of channel. Raises the errors of
    :mod:`ullgetthejob.notifications.errors`."""
    match recipient.kind:
        case "webhook":
            from ullgetthejob.notifications.channels import webhook  # imports httpx

            webhook.send(message, recipient, context=context)
        case "email":
            from ullgetthejob.notifications.channels import email

            email.send(message, recipient, context=context)
        case "telegram":
            from ullgetthejob.notifications.channels import telegram

            telegram.send(message, recipient, context=context)
