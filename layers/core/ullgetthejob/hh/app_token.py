"""The application token: one for all functions, needed for every search.

It is ``HH_ACCESS_TOKEN`` when set, else one of hh.ru's client_credentials grant. hh.ru: such a
token is valid until the next one is requested, which revokes it, and one may be requested every
five minutes. So it is stored once, encrypted, in Postgres (``hh_app_tokens``), and renewed only
when hh.ru has refused it, by the worker that holds the lease. ``requested_at`` is committed before
the request to hh.ru: a crash between its response and our commit loses that token, which costs a
wait of at most five minutes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from ullgetthejob.hh.errors import (
    HHAppTokenMissing,
    HHBusy,
    HHForbidden,
    HHMisconfigured,
    HHRegionBlocked,
    HHUnavailable,
)
from ullgetthejob.platform import clock, encryption, leases, postgres, secrets, settings
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ullgetthejob.platform.postgres import Connection

COOLDOWN = timedelta(minutes=5)
LEASE_S = 30

SELECT_APP_TOKEN = (
    "SELECT access_token, requested_at FROM hh_app_tokens WHERE client_id = %(client_id)s"  # noqa: S105
)
UPSERT_APP_TOKEN_REQUEST = """
    INSERT INTO hh_app_tokens (client_id, requested_at) VALUES (%(client_id)s, %(now)s)
    ON CONFLICT (client_id) DO UPDATE SET requested_at = excluded.requested_at
"""  # noqa: S105
UPDATE_APP_TOKEN_REQUEST_CLEARED = (
    "UPDATE hh_app_tokens SET requested_at = NULL WHERE client_id = %(client_id)s"  # noqa: S105
)
UPDATE_APP_TOKEN = """
    UPDATE hh_app_tokens SET access_token = %(token)s, obtained_at = %(now)s
    WHERE client_id = %(client_id)s
"""  # noqa: S105


class TokenSource(Protocol):
    """A source of access tokens for a client: the application's or a person's."""

    def current(self) -> str:
        """Return the token to send. Raises an error of its own if there is none."""

    def renewed(self, refused: str, reason: str | None, /) -> str:
        """Return another token, after hh.ru refused *refused* with *reason* (see
        :class:`~ullgetthejob.hh.errors.HHTokenRefused`). Raises if there is none."""


class AppToken:
    """The token of the application that ``HH_CLIENT_ID`` and ``HH_CLIENT_SECRET`` name.

    *exchange* requests a token from hh.ru: ``(client_id, client_secret) -> access token``.
    """

    def __init__(self, exchange: Callable[[str, str], str]) -> None:
        self._exchange = exchange
        self._cached: str | None = None

    def current(self) -> str:
        """Return the token to send. Raises :class:`HHAppTokenMissing`."""
        configured = secrets.read(settings.HH_ACCESS_TOKEN)
        if configured:
            return configured
        if self._cached is None:
            self._cached = self._read_stored() or self._obtain(refused=None)
        return self._cached

    def renewed(self, refused: str, _reason: str | None = None, /) -> str:
        """Return another token than *refused*. Raises :class:`HHAppTokenMissing`."""
        if secrets.read(settings.HH_ACCESS_TOKEN):
            if secrets.refresh(settings.HH_ACCESS_TOKEN):
                return self.current()
            raise _missing("hh.ru refuses the token in HH_ACCESS_TOKEN", COOLDOWN)
        self._cached = None
        stored = self._read_stored()
        self._cached = stored if stored not in (None, refused) else self._obtain(refused)
        return str(self._cached)

    def _read_stored(self) -> str | None:
        client_id, _ = self._application()
        with postgres.session() as connection:
            row = connection.execute(SELECT_APP_TOKEN, {"client_id": client_id}).fetchone()
        if row is None or row["access_token"] is None:
            return None
        try:
            return encryption.decrypt(row["access_token"], {"client_id": client_id})
        except encryption.Undecryptable:  # the key was replaced: the same as no token
            logger.warning("the application token cannot be decrypted")
            return None

    def _obtain(self, refused: str | None) -> str:
        lease = leases.acquire("hh-app-token", seconds=LEASE_S, now=clock.now())
        if lease is None:
            raise _missing("hh.ru's access token is being renewed", timedelta(seconds=2))
        try:
            stored = self._read_stored()  # another worker may have renewed it before our lease
            return stored if stored not in (None, refused) else self._request_token(clock.now())
        finally:
            lease.release()

    def _request_token(self, now: datetime) -> str:
        client_id, _ = self._application()
        with postgres.session() as connection:
            return self._request_token_for(client_id, connection, now)

    def _request_token_for(self, client_id: str, connection: Connection, now: datetime) -> str:
        key = {"client_id": client_id, "now": now}
        row = connection.execute(SELECT_APP_TOKEN, key).fetchone()
        if row and row["requested_at"] and now < row["requested_at"] + COOLDOWN:
            wait = row["requested_at"] + COOLDOWN - now
            raise _missing("hh.ru gives a new access token every five minutes", wait)
        connection.execute(UPSERT_APP_TOKEN_REQUEST, key)
        try:
            token = self._exchange_credentials()
        except (
            HHBusy,
            HHForbidden,
            HHMisconfigured,
            HHRegionBlocked,
            HHUnavailable,
        ) as error:
            if not error.may_have_acted:
                connection.execute(UPDATE_APP_TOKEN_REQUEST_CLEARED, key)
            raise
        encrypted = encryption.encrypt(token, {"client_id": client_id})
        connection.execute(UPDATE_APP_TOKEN, {**key, "token": encrypted})
        logger.info("application token obtained")
        count("HhAppTokenObtained")
        return token

    def _exchange_credentials(self) -> str:
        try:
            return self._exchange(*self._application())
        except HHMisconfigured:
            # The application's secret may have been rotated; the refused call had no effect.
            if not secrets.refresh(settings.HH_CLIENT_SECRET):
                raise
            return self._exchange(*self._application())

    @staticmethod
    def _application() -> tuple[str, str]:
        client_id = secrets.read(settings.HH_CLIENT_ID)
        client_secret = secrets.read(settings.HH_CLIENT_SECRET)
        if not client_id or not client_secret:
            count("HhAppTokenMissing")
            raise HHAppTokenMissing(
                "Core has no access to hh.ru: the operator has to set HH_ACCESS_TOKEN, "
                "or HH_CLIENT_ID and HH_CLIENT_SECRET",
                retry_after_s=300,
            )
        return client_id, client_secret


def _missing(message: str, wait: timedelta) -> HHAppTokenMissing:
    count("HhAppTokenMissing")
    return HHAppTokenMissing(message, retry_after_s=max(1, round(wait.total_seconds())))
