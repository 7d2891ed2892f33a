"""Where webhooks may be sent: public addresses alone, so that a person cannot make Core call what
lies inside its network, or itself (server-side request forgery).

A name is resolved by Core, each of its addresses is checked, and the connection is made to an
address that was checked: a name that resolves to another address a moment later gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ullgetthejob.notifications.models import MAX_URL_CHARS
from ullgetthejob.platform import settings

if TYPE_CHECKING:
    from urllib.parse import SplitResult

DNS_TIMEOUT_S = 3
# Addresses in which an IPv4 address is embedded, which a gateway may translate to a private one.
TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("2002::/16"), ip_network("::/96"))


class AddressRefused(Exception):
    """The URL cannot be a webhook's. *reason*: a sentence without the URL."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NameUnknown(Exception):
    """The name of the host has no address at the moment."""


def check_url(url: str) -> SplitResult:
    """Return the parts of a URL whose form is that of a webhook's. Raises
    :class:`AddressRefused`."""
    if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise AddressRefused(f"must be a URL of at most {MAX_URL_CHARS} ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("must be a URL") from None
    schemes = ("https", "http") if _allows_any() else ("https",)
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise AddressRefused("must be an https URL")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("must not have a user or a password")
    if parts.fragment:
        raise AddressRefused("must not have a fragment")
    return parts


async def resolve(parts: SplitResult) -> list[str]:
    """Return the addresses of the URL's host, all of which are public; those of IPv4 first.

    Raises :class:`AddressRefused`, :class:`NameUnknown`.
    """
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(DNS_TIMEOUT_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        raise NameUnknown from None
    addresses = [str(address[0]) for *_, address in found]
    if not addresses:
        raise NameUnknown
    if not _allows_any() and not all(is_public(address) for address in addresses):
        raise AddressRefused("must not lead to a private address")
    return sorted(dict.fromkeys(addresses), key=lambda address: ":" in address)


def is_public(text: str) -> bool:
    """Return whether an IP address is one of the public internet."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif any(address in network for network in TRANSLATED):
            return False
    return address.is_global and not address.is_multicast


def _allows_any() -> bool:
    return settings.WEBHOOK_ADDRESSES() == "any"
