"""``/dev/connect`` over real HTTP, in front of a Core with scripted responses."""

import asyncio
import contextlib
import re

import aiohttp
import pytest
from aiohttp import web

from local.dev_connect.page import JWT, PATH, SESSION, ConnectPage

SECRET = "service-secret"
SESSION_ID = "5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11"
SIGNED_IN = {SESSION: SESSION_ID, JWT: "the.person.jwt"}
EVIL = "<script>alert(1)</script>"
ACCOUNT = {
    "user_id": SESSION_ID,
    "account_id": "acc-1",
    "connected": True,
    "access": {"state": "ok", "message": "All is well."},
}


class Core:
    """Scripted responses by route; *asked*: the requests as method, path with query, headers."""

    def __init__(self):
        self.asked = []
        self.answers = {
            "GET /auth/hh/redirect": (200, {"url": "https://hh.example/oauth?x=1", "state": "s"}),
            "GET /auth/hh/callback": (200, {"success": True, "jwt": "new.jwt"}),
            f"GET /api/accounts/{SESSION_ID}": (200, ACCOUNT),
            "GET /api/hh/resumes": (200, {"success": True, "items": [{"title": "Разработчик"}]}),
            f"POST /api/accounts/{SESSION_ID}/resume": (200, ACCOUNT),
            "DELETE /api/hh/connection": (200, {"success": True, "revoked": True}),
        }

    def refuse(self, route, status, error, message="Core says no"):
        self.answers[route] = status, {"error": error, "message": message}

    def access(self, **access):
        self.answers[f"GET /api/accounts/{SESSION_ID}"] = 200, {**ACCOUNT, "access": access}

    async def answer(self, request):
        self.asked.append(request)
        status, body = self.answers[f"{request.method} {request.path}"]
        return web.json_response(body, status=status)


class Browser:
    """A client without a cookie jar that follows no redirect; *page*: the origin."""

    def __init__(self, session, page, core):
        self._session, self.page, self.core = session, page, core

    async def __call__(self, method, path, cookies=None, **headers):
        if method == "POST" and not headers:
            headers = {"Sec-Fetch-Site": "same-origin"}
        crumbs = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
        async with self._session.request(
            method, self.page + path, headers={"Cookie": crumbs, **headers}, allow_redirects=False
        ) as answer:
            return answer.status, await answer.text(), answer.headers

    def set_cookies(self, headers):
        return dict(re.match(r"(\w+)=([^;]*)", line).groups() for line in cookies_of(headers))


def cookies_of(headers):
    return headers.getall("Set-Cookie", [])


@contextlib.asynccontextmanager
async def listening(handler):
    runner = web.ServerRunner(web.Server(handler, access_log=None))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
def visit():
    """Run a scenario: ``visit(async function of a Browser)``."""

    def run(scenario, redirect_uri="http://localhost:{port}/dev/connect"):
        async def whole():
            core, pages = Core(), []
            async with (
                listening(core.answer) as core_port,
                listening(lambda request: pages[0].answer(request)) as port,
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            ):
                pages.append(
                    ConnectPage(
                        f"http://127.0.0.1:{core_port}",
                        SECRET,
                        redirect_uri=redirect_uri.format(port=port),
                        oauth_url="https://hh.example/oauth",
                    )
                )
                await scenario(Browser(session, f"http://localhost:{port}", core))

        asyncio.run(whole())

    return run


def test_login_through_core_ends_in_http_only_cookies(visit):
    async def scenario(browser):
        status, text, headers = await browser("GET", PATH)
        assert status == 200
        assert "Connect hh.ru</button>" in text
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "form-action 'self' https://hh.example" in headers["Content-Security-Policy"]
        assert not browser.core.asked

        status, _, headers = await browser("POST", f"{PATH}/login")
        assert (status, headers["Location"]) == (303, "https://hh.example/oauth?x=1")
        session = browser.set_cookies(headers)[SESSION]
        assert browser.core.asked[-1].query["session_id"] == session
        assert browser.core.asked[-1].headers["X-Core-Secret"] == SECRET

        back = f"{PATH}?code=c%26d&state=s&more=1"
        status, text, headers = await browser("GET", back, {SESSION: session})
        assert (status, headers["Location"], text) == (303, PATH, "")
        asked = browser.core.asked[-1]
        assert dict(asked.query) == {"code": "c&d", "state": "s", "session_id": session}
        assert browser.set_cookies(headers) == {JWT: "new.jwt"}
        [cookie] = cookies_of(headers)
        assert {"HttpOnly", "SameSite=Lax", f"Path={PATH}"} <= set(cookie.split("; "))

    visit(scenario)


def test_existing_session_of_the_browser_is_kept(visit):
    async def scenario(browser):
        await browser("POST", f"{PATH}/login", {SESSION: SESSION_ID})
        assert browser.core.asked[-1].query["session_id"] == SESSION_ID
        await browser("POST", f"{PATH}/login", {SESSION: "not-a-uuid"})
        assert browser.core.asked[-1].query["session_id"] != "not-a-uuid"

    visit(scenario)


def test_connected_person_sees_resumes_and_a_command(visit):
    async def scenario(browser):
        status, text, _ = await browser("GET", PATH, SIGNED_IN)
        assert status == 200
        assert "<b>Разработчик</b>" in text
        assert f"{browser.page}/api/hh/resumes -H" in text
        assert "Bearer the.person.jwt" in text
        assert SECRET not in text
        for asked in browser.core.asked:
            assert asked.headers["Authorization"] == "Bearer the.person.jwt"
            assert "X-Core-Secret" not in asked.headers

    visit(scenario)


def test_refusals_are_shown_escaped(visit):
    async def scenario(browser):
        browser.core.refuse("GET /auth/hh/callback", 400, "access_denied", EVIL)
        path = f"{PATH}?error=access_denied&state=s"
        status, text, headers = await browser("GET", path, {SESSION: SESSION_ID})
        assert status == 400
        assert "&lt;script&gt;" in text
        assert "(access_denied)" in text
        assert EVIL not in text
        assert not cookies_of(headers)

        status, text, _ = await browser("GET", f"{PATH}?code=c&state=s")
        assert (status, "has not asked to connect" in text) == (400, True)

        browser.core.refuse("GET /auth/hh/redirect", 503, "hh_unavailable")
        status, text, _ = await browser("POST", f"{PATH}/login")
        assert (status, "hh_unavailable" in text) == (503, True)

    visit(scenario)


def test_text_from_hh_is_escaped(visit):
    async def scenario(browser):
        resume = {"title": EVIL, "id": EVIL, "status": {"name": EVIL}}
        browser.core.answers["GET /api/hh/resumes"] = 200, {"items": [resume]}
        browser.core.access(state=EVIL, message=EVIL, until=EVIL)
        _, text, _ = await browser("GET", PATH, {SESSION: SESSION_ID, JWT: "%3Cscript%3E<script>"})
        assert "<script" not in text
        assert "&lt;script&gt;" in text

        browser.core.access(state="captcha", captcha_url="javascript:alert(1)")
        _, text, _ = await browser("GET", PATH, SIGNED_IN)
        assert "javascript:" not in text

    visit(scenario)


def test_captcha_is_shown_as_link_and_button(visit):
    async def scenario(browser):
        browser.core.refuse("GET /api/hh/resumes", 409, "hh_captcha")
        browser.core.access(state="captcha", captcha_url='https://hh.ru/captcha?a=1&b="')
        status, text, _ = await browser("GET", PATH, SIGNED_IN)
        assert status == 200
        assert 'href="https://hh.ru/captcha?a=1&amp;b=&quot;"' in text
        assert "I solved it</button>" in text
        assert "hh_captcha" in text

        status, _, headers = await browser("POST", f"{PATH}/resume", SIGNED_IN)
        assert (status, headers["Location"]) == (303, PATH)
        assert browser.core.asked[-1].path == f"/api/accounts/{SESSION_ID}/resume"

    visit(scenario)


def test_login_refused_at_hh_can_be_repeated(visit):
    async def scenario(browser):
        browser.core.access(state="reauth_required", message="Log in again.")
        _, text, _ = await browser("GET", PATH, SIGNED_IN)
        assert "Log in again." in text
        assert "Connect hh.ru again</button>" in text

    visit(scenario)


def test_disconnect_deletes_the_jwt_and_keeps_the_session(visit):
    async def scenario(browser):
        status, _, headers = await browser("POST", f"{PATH}/disconnect", SIGNED_IN)
        assert (status, headers["Location"]) == (303, PATH)
        assert browser.core.asked[-1].method == "DELETE"
        assert browser.set_cookies(headers) == {JWT: '""'}

        browser.core.refuse("DELETE /api/hh/connection", 503, "hh_unavailable")
        status, text, headers = await browser("POST", f"{PATH}/disconnect", SIGNED_IN)
        assert (status, "hh_unavailable" in text) == (503, True)
        assert not cookies_of(headers)

    visit(scenario)


def test_invalid_jwt_is_deleted(visit):
    async def scenario(browser):
        browser.core.refuse(f"GET /api/accounts/{SESSION_ID}", 401, "invalid_token")
        status, text, headers = await browser("GET", PATH, SIGNED_IN)
        assert (status, "Not connected." in text) == (200, True)
        assert browser.set_cookies(headers) == {JWT: '""'}

        browser.core.refuse(f"GET /api/accounts/{SESSION_ID}", 503, "database_unavailable")
        status, text, headers = await browser("GET", PATH, SIGNED_IN)
        assert (status, "Not connected." in text) == (503, False)
        assert not cookies_of(headers)

    visit(scenario)


@pytest.mark.parametrize("action", ["login", "resume", "disconnect"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Accept": "text/html"},
    ],
)
def test_form_of_another_site_is_refused(visit, action, headers):
    async def scenario(browser):
        status, _, _ = await browser("POST", f"{PATH}/{action}", SIGNED_IN, **headers)
        assert status == 403
        status, _, _ = await browser("GET", f"{PATH}/{action}", SIGNED_IN)
        assert status == 405
        assert not browser.core.asked

    visit(scenario)


def test_browser_without_fetch_metadata_needs_an_origin(visit):
    async def scenario(browser):
        status, _, _ = await browser("POST", f"{PATH}/login", Origin=browser.page)
        assert status == 303

    visit(scenario)


def test_page_redirects_to_the_host_of_the_redirect_uri(visit):
    async def scenario(browser):
        asked = browser.page.replace("localhost", "127.0.0.1")
        host = asked.removeprefix("http://")
        status, _, headers = await browser("GET", PATH, Host=host)
        assert (status, headers["Location"]) == (303, browser.page + PATH)

    visit(scenario)


def test_foreign_redirect_uri_is_reported(visit):
    async def scenario(browser):
        _, text, _ = await browser("GET", PATH)
        assert "https://bff.example/auth" in text
        assert "<button" not in text

    visit(scenario, redirect_uri="https://bff.example/auth")
