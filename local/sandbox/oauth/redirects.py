"""The addresses that hh.ru redirects to, and the parameters that it adds to them."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit


def admits(registered: str, requested: str) -> bool:
    """Return whether *requested* fits the address that the application registered.

    hh.ru: its subdomains, deeper paths and additional parameters fit; another scheme, domain or
    port, and a path that only begins with the same letters, do not.
    """
    if not requested.isascii() or not requested.isprintable() or set(requested) & set(" \\"):
        return False
    try:
        ours, theirs = urlsplit(registered), urlsplit(requested)
        ports = ours.port, theirs.port
    except ValueError:
        return False
    host, wanted = theirs.hostname or "", ours.hostname or ""
    if theirs.scheme != ours.scheme or ports[0] != ports[1]:
        return False
    if (
        "@" in theirs.netloc
        or "#" in requested
        or (host != wanted and not host.endswith(f".{wanted}"))
    ):
        return False
    path = unquote(theirs.path)
    if {".", ".."} & set(path.replace("\\", "/").split("/")):
        return False
    root = ours.path.rstrip("/")
    if path.rstrip("/") != root and not path.startswith(f"{root}/"):
        return False
    return set(parse_qsl(ours.query)) <= set(parse_qsl(theirs.query))


def with_query(address: str, **parameters: str | None) -> str:
    """Return *address* with *parameters* (but ``None``) after those that it has."""
    parts = urlsplit(address)
    given = [(name, value) for name, value in parameters.items() if value is not None]
    query = "&".join(filter(None, (parts.query, urlencode(given))))
    return urlunsplit(parts._replace(query=query))
