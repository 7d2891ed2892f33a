"""The one TLS context of an environment: loading ~140 certificate authorities costs 20-40 ms."""

from __future__ import annotations

import ssl
from functools import cache

from ullgetthejob.platform import settings


@cache
def context() -> ssl.SSLContext:
    """Verifies servers against ``SSL_CERT_FILE`` where it is set, else certifi's authorities."""
    import certifi

    return ssl.create_default_context(cafile=settings.text("SSL_CERT_FILE", certifi.where()))
