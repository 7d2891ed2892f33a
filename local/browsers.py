"""The refusal of requests that foreign web pages send to local services.

Any page in a developer's browser can send requests to 127.0.0.1, and can read the responses through
a host name of its own that resolves to it (DNS rebinding). Local services hold secrets and require
no authentication, so they check the sender:

* ``Host`` must be an address or a name of this machine. A rebound name is neither;
* ``Origin``, which browsers send with all but plain reads, must be a page of this machine;
* ``Sec-Fetch-Site: cross-site`` is refused, reads included, unless a person follows a link.

Programs (curl, SDKs, containers) send neither of the last two. Pages on other ports of this machine
are the developer's own.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

# Docker's and Podman's names for the machine that runs the container.
NAMES = frozenset(
    (
        "localhost",
        "host.docker.internal",
        "gateway.docker.internal",
        "host.containers.internal",
    )
)
MORE_NAMES = "LOCAL_HOST_NAMES"  # variable: other names of this machine in containers


def refusal(method: str, headers: Mapping[str, str]) -> str | None:
    """Return why a request is refused, or ``None`` when no foreign page sent it. *headers*: names
    must match in any case."""
    host = _hostname(f"//{headers.get('Host', '')}")
    if not _is_this_machine(host) and not _is_address(host):
        return "the Host is not a name of this machine"
    site = headers.get("Sec-Fetch-Site")
    if site in ("same-origin", "none"):
        return None  # set by the browser: a page cannot set it
    origin = headers.get("Origin")
    if origin is not None:
        page = _hostname(origin)
        if not page or (page != host and not _is_this_machine(page)):
            return "a page of another site sent this"
        return None
    followed = method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate"
    if site == "cross-site" and not followed:
        return "a page of another site sent this"
    return None


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Return whether a form of a page of this very server was sent. *headers*: as above."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc == headers.get("Host")


def _hostname(url: str) -> str:
    """Return the host of a URL in lower case; empty if it has none or is invalid."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_this_machine(name: str) -> bool:
    more = os.environ.get(MORE_NAMES, "").lower().split(",")
    return (
        name in NAMES
        or name.endswith(".localhost")
        or (_is_address(name) and ipaddress.ip_address(name).is_loopback)
        or (bool(name) and name in more)
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
