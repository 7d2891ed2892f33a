"""Access to routes: any caller, an application, an applicant, and the closed mode."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from local.sandbox.errors import ApiError
from local.sandbox.oauth import tokens
from local.sandbox.oauth.tokens import Access
from local.sandbox.people import people
from local.sandbox.state import MODES, SANDBOX, Mode, Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


TOKENS = {"APPLICATION": "APPLICATION"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[web.Application]:
    app = web.Application()
    app[SANDBOX] = sandbox = Sandbox(Settings(tmp_path, "app", "secret", vacancies=10))
    sandbox.store.replace_token("APPLICATION", "app", "application", 0)
    accounts, now = sandbox.store.accounts, sandbox.now()
    for name in ("anna", "employer"):
        person = people.find(name)
        assert person is not None
        code = accounts.find_code(
            accounts.new_code("app", person.id, now, redirect_uri=None, challenge=None)
        )
        assert code is not None
        pair = accounts.exchange(code, now)
        TOKENS[person.kind.upper()] = pair.access
    yield app
    sandbox.store.close()


def allowed(app: web.Application, access: Access, token: str | None, mode: Mode) -> bool:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def call() -> web.StreamResponse:
        headers = {"Authorization": f"Bearer {TOKENS[token]}"} if token else {}
        request = make_mocked_request("GET", "/", headers=headers, app=app)
        return await tokens.require(access, handler)(request)

    app[SANDBOX].mode = mode
    try:
        return asyncio.run(call()).status == 204
    except ApiError as refusal:
        return refusal.status != 403  # any other refusal would appear as access


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("access", "allowed_tokens"),
    [
        (Access.ANYONE, {None, "APPLICATION", "APPLICANT", "EMPLOYER"}),
        (Access.APPLICATION, {"APPLICATION", "APPLICANT", "EMPLOYER"}),
    ],
)
def test_search_and_dictionaries_are_open_in_both_modes(
    app: web.Application, access: Access, allowed_tokens: set[str | None], mode: Mode
) -> None:
    for token in (None, "APPLICATION", "APPLICANT", "EMPLOYER"):
        assert allowed(app, access, token, mode) == (token in allowed_tokens)


def test_applicant_routes_need_an_applicant_and_open_mode(app: web.Application) -> None:
    assert allowed(app, Access.APPLICANT, "APPLICANT", "open")
    assert not allowed(app, Access.APPLICANT, "APPLICATION", "open")
    assert not allowed(app, Access.APPLICANT, "EMPLOYER", "open")
    assert not allowed(app, Access.APPLICANT, None, "open")
    assert not allowed(app, Access.APPLICANT, "APPLICANT", "closed")
