"""The demo user: a row of the seed, connected to a person of the sandbox by the real login."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from local.dev_connect.core import Core, CoreRefused
from migrations.seed import DEMO_USER_ID

if TYPE_CHECKING:
    from local.settings import Settings

CONSENT_LIMIT_S = 10


def obstacle(settings: Settings) -> str | None:
    """Return why these settings allow no demo user, or ``None``."""
    if settings.demo_person is None:
        return "DEMO_PERSON=off"
    if settings.hh_api_url is not None:
        return "HH_API_URL is set, and only the sandbox logs in without a person"
    if settings.given.get("HH_OAUTH_URL"):
        return "HH_OAUTH_URL is set, and only the sandbox logs in without a person"
    if settings.database_url is not None:
        return "DATABASE_URL is set: another database gets no demo user"
    return None


async def connect(core: Core, person: str, *, again: bool) -> str | None:
    """Connect the demo user as *person* of the sandbox and return the JWT.

    Returns ``None`` if nothing was done: connected already, or, without *again*, connected and
    disconnected before. Raises :class:`CoreRefused`.
    """
    account = await core.account(DEMO_USER_ID)
    if account["connected"] or (account["account_id"] is not None and not again):
        return None
    returned = await _consent(await core.login_url(DEMO_USER_ID), person)
    return await core.finish_login(DEMO_USER_ID, returned)


async def _consent(url: str, person: str) -> dict[str, str]:
    """Submit the sandbox's consent form and return the query of its redirect."""
    form = {"person": person, "decision": "allow"}
    timeout = aiohttp.ClientTimeout(total=CONSENT_LIMIT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=form, allow_redirects=False) as response,
        ):
            location = response.headers.get("Location")
    except (aiohttp.ClientError, TimeoutError):
        raise CoreRefused(503, "sandbox", "the sandbox does not answer") from None
    if location is None:
        raise CoreRefused(400, "sandbox", f"the sandbox does not let {person} in")
    return dict(parse_qsl(urlsplit(location).query))
