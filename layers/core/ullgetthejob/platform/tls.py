"""The one TLS context of an environment: loading ~140 certificate authorities costs 20-40 ms."""

from __future__ import annotations

import ssl
from functools import cache

from ullgetthejob.platform import settings


@cache
def context() -> ssl.SSLContext:
    """Return a context that verifies servers by ``SSL_CERT_FILE`` if set, else by certifi."""
    import certifi

    return ssl.create_default_context(cafile=settings.SSL_CERT_FILE() or certifi.where())
