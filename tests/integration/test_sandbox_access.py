"""Access to methods: any caller, an application, a person, an applicant, in each era."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from local.sandbox.eras import Access, Method, eras, version
from local.sandbox.errors import ApiError
from local.sandbox.oauth import tokens
from local.sandbox.people import people
from local.sandbox.state import SANDBOX, Sandbox, Settings

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


def refusal(app: web.Application, method: Method, token: str | None, era: str) -> ApiError | None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def call() -> web.StreamResponse:
        headers = {"Authorization": f"Bearer {TOKENS[token]}"} if token else {}
        request = make_mocked_request("GET", "/", headers=headers, app=app)
        return await tokens.require(method, handler)(request)

    app[SANDBOX].era = eras()[era]
    try:
        assert asyncio.run(call()).status == 204
    except ApiError as refused:
        return refused
    return None


@pytest.mark.parametrize("era", eras())
@pytest.mark.parametrize(
    ("access", "allowed_tokens"),
    [
        (Access.ANYONE, {None, "APPLICATION", "APPLICANT", "EMPLOYER"}),
        (Access.APPLICATION, {"APPLICATION", "APPLICANT", "EMPLOYER"}),
        (Access.PERSON, {"APPLICANT", "EMPLOYER"}),
    ],
)
def test_methods_of_all_callers_are_open_in_every_era(
    app: web.Application, access: Access, allowed_tokens: set[str | None], era: str
) -> None:
    for token in (None, "APPLICATION", "APPLICANT", "EMPLOYER"):
        refused = refusal(app, Method("GET", "/", access), token, era)
        assert (refused is None) == (token in allowed_tokens)
        assert refused is None or refused.status == 403


@pytest.mark.parametrize("era", [name for name in eras() if name != "closed"])
def test_methods_of_applicants_need_an_applicant(app: web.Application, era: str) -> None:
    method = Method("GET", "/", Access.APPLICANT)
    assert refusal(app, method, "APPLICANT", era) is None
    for token in ("APPLICATION", "EMPLOYER", None):
        refused = refusal(app, method, token, era)
        assert refused is not None
        assert refused.status == 403


def test_closed_methods_are_forbidden_to_valid_tokens(app: web.Application) -> None:
    refused = refusal(app, Method("GET", "/", Access.APPLICANT), "APPLICANT", "closed")
    assert refused is not None
    assert (refused.status, refused.errors) == (403, [{"type": "forbidden"}])


@pytest.mark.parametrize("token", [None, "APPLICATION", "APPLICANT"])
def test_removed_method_answers_before_the_token_is_checked(
    app: web.Application, token: str | None
) -> None:
    removed = Method("GET", "/", Access.APPLICANT, removed=version("1.30.0"), answers=404)
    refused = refusal(app, removed, token, "removed-410")
    assert refused is not None
    assert refused.status == 410


@pytest.mark.parametrize(
    ("era", "entry"),
    [
        ("2025", {"type": "forbidden"}),
        ("2026", {"type": "oauth", "value": "user_auth_expected"}),
    ],
)
def test_application_token_in_place_of_a_persons(
    app: web.Application, era: str, entry: dict[str, str]
) -> None:
    refused = refusal(app, Method("GET", "/", Access.APPLICANT), "APPLICATION", era)
    assert refused is not None
    assert refused.errors == [entry]
