"""The SMTP server: it accepts every e-mail and keeps it."""

from __future__ import annotations

import asyncio
import re
from email import message_from_bytes, policy
from functools import partial
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from email.message import EmailMessage

    from aiosmtpd.smtp import Envelope, Session

    from local.receivers.state import Receivers

LARGEST_BYTES = 10 * 1024 * 1024
_URL = re.compile(r"https?://[^\s<>\"]+")


class Catcher:
    """aiosmtpd's handler: keeps what it receives, unless a fault is switched on."""

    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        """Accept a recipient."""
        fault = self._receivers.take_fault("smtp_busy", "smtp_refused")
        if fault is not None and fault.kind == "smtp_busy":
            return "451 4.3.0 Try again later"
        if fault is not None:
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep an e-mail."""
        content = envelope.content
        assert isinstance(content, bytes)  # noqa: S101 - decode_data is off
        self._receivers.store.add_email(
            envelope.mail_from or "", list(envelope.rcpt_tos), content, self._receivers.now()
        )
        return "250 OK"


async def serve(receivers: Receivers, host: str, port: int) -> asyncio.Server:
    """Listen for e-mails."""
    factory = partial(
        SMTP,
        Catcher(receivers),
        data_size_limit=LARGEST_BYTES,
        enable_SMTPUTF8=True,
        hostname="localhost",
        ident="UllGetTheJob local receiver",
    )
    return await asyncio.get_running_loop().create_server(factory, host, port)


def describe(
    email_id: int, at: int, sender: str, recipients: list[str], content: bytes
) -> dict[str, Any]:
    """Return an e-mail as people read it: subject, text, links and all headers."""
    message: EmailMessage = message_from_bytes(content, policy=policy.default)
    text, html = (_body(message, kind) for kind in ("plain", "html"))
    found = [*_URL.findall(text), *_hrefs(html)]
    return {
        "id": email_id,
        "at": at,
        "from": sender,
        "to": recipients,
        "subject": str(message.get("Subject", "")),
        "headers": [[name, str(value)] for name, value in message.items()],
        "text": text,
        "html": html,
        "links": list(dict.fromkeys(found)),
    }


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    try:
        return "" if part is None else str(part.get_content())
    except (LookupError, ValueError):  # an unknown charset
        return ""


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "href" and value]


def _hrefs(html: str) -> list[str]:
    parser = _Links()
    parser.feed(html)
    return parser.found
