"""E-mail, by SMTP where ``SMTP_URL`` is set, else by Amazon SES (API v2).

The Message-ID is made of the notification's id, the same in each attempt: mail programs show an
e-mail that came twice once. (SES sets one of its own.) Each e-mail to a confirmed address can be
unsubscribed from in one click, by the header of RFC 8058 and by a link in its text.
"""

from __future__ import annotations

import base64
import smtplib
import ssl
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ullgetthejob.notifications import rendering, tokens
from ullgetthejob.notifications.errors import ChannelGone, ChannelUnavailable, OutcomeUnknown
from ullgetthejob.platform import aws, secrets, settings, tls

if TYPE_CHECKING:
    from ullgetthejob.notifications.messages import Message
    from ullgetthejob.notifications.recipient import Recipient
    from ullgetthejob.platform.context import Context

TIMEOUT_S = 10
# RFC 5321: no such mailbox, or none that this server takes mail for.
NO_MAILBOX = frozenset({550, 551, 553})
OK, WILL_FORWARD = 250, 251
LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
# SES: for now, at its own side or beyond the account's quota. What else it refuses needs the
# operator, and is tried again as well: no e-mail is lost while they mend it.
SES_UNKNOWN = "Unreachable"


def send(message: Message, address: Recipient, *, context: Context) -> None:
    """Send a message as an e-mail. Raises :class:`ChannelGone`, :class:`ChannelUnavailable`,
    :class:`OutcomeUnknown`."""
    mail = compose(message, address, context=context)
    url = secrets.read(settings.SMTP_URL)
    if url:
        _send_by_smtp(mail, address.address, url)
    elif settings.EMAIL_FROM():
        _send_by_ses(mail, address.address)
    else:
        raise ChannelUnavailable(reason="email_off")


def compose(message: Message, address: Recipient, *, context: Context) -> EmailMessage:
    """Return the e-mail of a message: plain text, and the same as HTML."""
    sender = settings.EMAIL_FROM()
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = sender
    mail["To"] = address.address
    mail["Subject"] = " ".join(message.subject.split())
    mail["Date"] = format_datetime(context.now())
    mail["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2].strip(' >')}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer by a machine
    unsubscribe = None
    if message.kind != "confirmation":
        unsubscribe = tokens.unsubscribe_url(address.channel_id)
        mail["List-Unsubscribe"] = f"<{unsubscribe}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(rendering.email_text(message, unsubscribe), cte="base64")
    mail.add_alternative(rendering.email_html(message, unsubscribe), subtype="html", cte="base64")
    return mail


def _send_by_smtp(mail: EmailMessage, recipient: str, url: str) -> None:
    address = urlsplit(url)
    host, is_tls = address.hostname or "", address.scheme == "smtps"
    try:
        if is_tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, address.port or 465, timeout=TIMEOUT_S, context=tls.context()
            )
        else:
            server = smtplib.SMTP(host, address.port or 587, timeout=TIMEOUT_S)
    except (OSError, smtplib.SMTPException) as error:
        raise ChannelUnavailable(reason=f"smtp_{type(error).__name__.lower()}") from None
    try:
        sender = _open_envelope(server, mail, address.username, address.password, host, is_tls)
        _deliver(server, sender, recipient, mail.as_bytes())
    finally:
        server.close()


def _open_envelope(
    server: smtplib.SMTP,
    mail: EmailMessage,
    user: str | None,
    password: str | None,
    host: str,
    is_tls: bool,
) -> str:
    """Greet the server, encrypted unless it runs on this machine; return the sender's address."""
    try:
        server.ehlo()
        if not is_tls and (host not in LOCAL_HOSTS or server.has_extn("starttls")):
            server.starttls(context=tls.context())
            server.ehlo()
        if user:
            server.login(unquote(user), unquote(password or ""))
    except (OSError, ssl.SSLError, smtplib.SMTPException) as error:
        raise ChannelUnavailable(reason=f"smtp_{type(error).__name__.lower()}") from None
    return str(mail["From"].addresses[0].addr_spec)


def _deliver(server: smtplib.SMTP, sender: str, recipient: str, content: bytes) -> None:
    try:
        code, _ = server.mail(sender)
        if code != OK:
            raise ChannelUnavailable(reason=f"smtp_{code}")
        code, _ = server.rcpt(recipient)
    except (OSError, smtplib.SMTPException) as error:
        raise ChannelUnavailable(reason=f"smtp_{type(error).__name__.lower()}") from None
    if code in NO_MAILBOX:
        raise ChannelGone("address_refused")
    if code not in (OK, WILL_FORWARD):
        raise ChannelUnavailable(reason=f"smtp_{code}")
    try:
        code, _ = server.data(content)
    except smtplib.SMTPDataError as error:  # before any of it was sent
        raise ChannelUnavailable(reason=f"smtp_{error.smtp_code}") from None
    except (OSError, smtplib.SMTPException):
        raise OutcomeUnknown from None
    if code != OK:
        raise ChannelUnavailable(reason=f"smtp_{code}")


def _send_by_ses(mail: EmailMessage, recipient: str) -> None:
    request = {
        "FromEmailAddress": str(mail["From"].addresses[0]),
        "Destination": {"ToAddresses": [recipient]},
        "Content": {"Raw": {"Data": base64.b64encode(mail.as_bytes()).decode()}},
    }
    try:
        aws.call("sesv2", "SendEmail", request)
    except aws.AwsError as error:
        if error.code == SES_UNKNOWN:
            raise OutcomeUnknown from None
        raise ChannelUnavailable(reason=f"ses_{error.code}") from None
