"""Which requests a web page elsewhere has made: local services refuse those.

Whatever a developer's browser shows can send requests to 127.0.0.1, and can read the answers by a
name of its own that it lets point there (DNS rebinding). Local services hold secrets and obey
everybody, so they look at who is asking:

* ``Host`` must be an address or a name of this machine. A rebound name is neither;
* ``Origin``, which browsers send with everything but plain reading, must be a page of this machine;
* ``Sec-Fetch-Site: cross-site`` is refused, reading included, unless a person follows a link.

Programs (curl, SDKs, containers) send neither of the last two. Pages of other ports of this machine
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
MORE_NAMES = "LOCAL_HOST_NAMES"  # variable: others that containers know this machine by


def refusal(method: str, headers: Mapping[str, str]) -> str | None:
    """Why a request is refused; ``None`` when no page elsewhere has made it. *headers* are looked
    up in any case of their names."""
    host = _hostname(f"//{headers.get('Host', '')}")
    if not _is_this_machine(host) and not _is_address(host):
        return "the Host is not a name of this machine"
    site = headers.get("Sec-Fetch-Site")
    if site in ("same-origin", "none"):
        return None  # no page can set it: the browser has
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


def _hostname(url: str) -> str:
    """The host of a URL, in lower case; empty if it has none or cannot be read."""
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
