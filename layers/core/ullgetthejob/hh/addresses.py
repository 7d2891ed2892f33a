"""Addresses of hh.ru's sites and API, as people copy them.

The sites are those of any city or country that hh.ru's API serves, and their mobile forms. Only the
text is read: no address is opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_CHARS = 16_384  # 2,000 Russian letters take 12,000 characters when they are encoded
API_HOST = "api.hh.ru"
SITE = "hh.ru"
# hh.ru: the other sites that its API serves (parameter host).
COUNTRIES = ("hh.kz", "hh.uz", "hh1.az", "rabota.by", "headhunter.ge", "headhunter.kg")
UNSAFE = re.compile(r"[\\\s\x00-\x1f\x7f]")


class InvalidAddress(ValueError):
    """The text is no address of hh.ru."""


class AddressTooLong(InvalidAddress):
    """The address has more characters than any of hh.ru; the message says how many it may have."""


@dataclass(frozen=True)
class Address:
    """An address of hh.ru. *path*: without a slash at its end. *is_api*: of the API, not of a site.
    *is_country*: of another country's site."""

    path: str
    query: str
    is_api: bool
    is_country: bool


def parse(text: str) -> Address:
    """Return the address in *text*, which may lack its scheme. Raises :class:`InvalidAddress`."""
    if len(text) > MAX_CHARS:
        raise AddressTooLong(f"the address has more than {MAX_CHARS:,} characters")
    before_query = text.partition("?")[0]
    # Browsers read a backslash as a slash, and leave control characters out; where an address of
    # hh.ru names its host and path, it has neither.
    if not text or UNSAFE.search(before_query):
        raise InvalidAddress
    if "://" not in before_query:
        text = f"https://{text.removeprefix('//')}"
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        raise InvalidAddress from None
    if parts.scheme not in ("http", "https") or port not in (None, 80, 443) or "@" in parts.netloc:
        raise InvalidAddress
    is_country = any(_is_on(host, site) for site in COUNTRIES)
    if not host.isascii() or not (is_country or _is_on(host, SITE)):
        raise InvalidAddress
    return Address(parts.path.rstrip("/"), parts.query, host == API_HOST, is_country)


def _is_on(host: str, site: str) -> bool:
    return host == site or host.endswith(f".{site}")
