"""Where hh.ru lets people be sent back to, and how what it has to say is put into that address."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit


def admits(registered: str, asked: str) -> bool:
    """hh.ru's rule: the registered address, its subdomains, deeper paths and extra query.

    Another scheme, domain or port, and a path that only begins with the same letters, are refused.
    """
    if not asked.isascii() or not asked.isprintable() or set(asked) & set(" \\"):
        return False
    try:
        ours, theirs = urlsplit(registered), urlsplit(asked)
        ports = ours.port, theirs.port
    except ValueError:
        return False
    host, wanted = theirs.hostname or "", ours.hostname or ""
    if theirs.scheme != ours.scheme or ports[0] != ports[1]:
        return False
    if "@" in theirs.netloc or "#" in asked or (host != wanted and not host.endswith(f".{wanted}")):
        return False
    path = unquote(theirs.path)
    if {".", ".."} & set(path.replace("\\", "/").split("/")):
        return False
    root = ours.path.rstrip("/")
    if path.rstrip("/") != root and not path.startswith(f"{root}/"):
        return False
    return set(parse_qsl(ours.query)) <= set(parse_qsl(theirs.query))


def with_query(address: str, **parameters: str | None) -> str:
    """*address* with the parameters that are given, after those it has."""
    parts = urlsplit(address)
    given = [(name, value) for name, value in parameters.items() if value is not None]
    query = "&".join(filter(None, (parts.query, urlencode(given))))
    return urlunsplit(parts._replace(query=query))
