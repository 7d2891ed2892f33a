"""The credentials with which requests to AWS are signed.

Lambda sets them as variables; with SnapStart, and in containers, it names an endpoint that returns
temporary ones instead. Both are read in the order of AWS's SDKs, variables first:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from ullgetthejob.platform import settings, tls

TIMEOUT_S = 2
# Fetched again so long before they expire; until they expire, a failure leaves them in use.
EARLY = timedelta(minutes=5)
# Without TLS the token goes to this machine, or to the addresses of ECS and EKS, alone.
PLAIN_HOSTS = ("localhost", "127.0.0.1", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23")


class CredentialsUnavailable(OSError):
    """There are no credentials. The message quotes neither a token nor an answer."""


@dataclass(frozen=True)
class Credentials:
    """An access key, its secret and its session *token*, empty for a lasting key; *expires_at*:
    ``None`` if they come from variables."""

    access_key: str
    secret: str
    token: str = ""
    expires_at: datetime | None = None

    def last(self, now: datetime, margin: timedelta = timedelta(0)) -> bool:
        """Return whether they are valid for *margin* longer."""
        return self.expires_at is None or now + margin < self.expires_at


def current() -> Credentials:
    """Return valid credentials. Raises :class:`CredentialsUnavailable`, and
    :class:`~ullgetthejob.platform.settings.SettingMissing` if nothing names any."""
    access_key = settings.AWS_ACCESS_KEY_ID.get()
    if access_key or not settings.AWS_CONTAINER_CREDENTIALS_FULL_URI():
        return Credentials(
            access_key or settings.AWS_ACCESS_KEY_ID(),
            settings.AWS_SECRET_ACCESS_KEY(),
            settings.AWS_SESSION_TOKEN(),
        )
    return _container.current(settings.AWS_CONTAINER_CREDENTIALS_FULL_URI())


class _Container:
    """The credentials of the endpoint, shared by all threads; one of them fetches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Credentials] = {}  # by address

    def current(self, address: str) -> Credentials:
        known = self._found.get(address)
        if known and known.last(datetime.now(UTC), EARLY):  # AWS compares it with real time
            return known
        with self._lock:
            known = self._found.get(address)
            now = datetime.now(UTC)
            if known and known.last(now, EARLY):
                return known
            try:
                self._found[address] = fetched = _fetch(address)
            except CredentialsUnavailable:
                if known and known.last(now):
                    return known
                raise
            return fetched

    def forget(self) -> None:
        self._found.clear()


_container = _Container()
forget = _container.forget


def _fetch(address: str) -> Credentials:
    url = urlsplit(address)
    host = url.hostname or ""
    headers = {"accept": "application/json"}
    if token := _authorization():
        headers["authorization"] = token
    if url.scheme == "http" and host in PLAIN_HOSTS:
        connection = http.client.HTTPConnection(host, url.port, timeout=TIMEOUT_S)
    elif url.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, url.port, timeout=TIMEOUT_S, context=tls.context()
        )
    else:
        raise CredentialsUnavailable("the endpoint of credentials is neither local nor encrypted")
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        status, body = response.status, response.read()
    except (http.client.HTTPException, OSError) as error:
        kind = type(error).__name__
        raise CredentialsUnavailable(f"the endpoint of credentials: {kind}") from None
    finally:
        connection.close()
    if status != http.client.OK:
        raise CredentialsUnavailable(f"the endpoint of credentials answered {status}")
    return _parse(body)


def _authorization() -> str:
    """Return the token for the endpoint: of the file, which is replaced while it runs, else of the
    variable; empty without either."""
    file = settings.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE()
    if not file:
        token = settings.AWS_CONTAINER_AUTHORIZATION_TOKEN()
    else:
        try:
            token = Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise CredentialsUnavailable("the file with the token cannot be read") from None
    if "\r" in token or "\n" in token:
        raise CredentialsUnavailable("the token for the endpoint of credentials has a line break")
    return token


def _parse(body: bytes) -> Credentials:
    try:
        content = json.loads(body)
        expires_at = datetime.fromisoformat(str(content["Expiration"]).replace("Z", "+00:00"))
        if expires_at.tzinfo is None:
            expires_at = expires_at.replace(tzinfo=UTC)
        key, secret = str(content["AccessKeyId"]), str(content["SecretAccessKey"])
        return Credentials(key, secret, str(content.get("Token") or ""), expires_at)
    except (ValueError, KeyError, TypeError):
        raise CredentialsUnavailable("the endpoint returned no credentials") from None
