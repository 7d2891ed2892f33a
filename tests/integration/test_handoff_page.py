"""The handoff page on embedded Postgres, real tables of DynamoDB and hh.ru's sandbox."""

from __future__ import annotations

import io
import json
import logging
import re
from datetime import timedelta
from types import SimpleNamespace

import pytest

from functions.accounts.app import handler as accounts_handler
from functions.handoff.app import handler
from tests.harness.applying import ApplyHarness, publish, quiet_world
from tests.harness.handoff_browser import HandoffBrowser
from ullgetthejob.accounts import access_changes, session_tokens
from ullgetthejob.handoff import links, reading, sessions
from ullgetthejob.platform import clock, settings
from ullgetthejob.platform.telemetry import logger

__all__ = ["quiet_world"]

HOUR_S = 3600
LETTER = "Здравствуйте!\n</pre><script>alert(1)</script> & Co"
CONTEXT = SimpleNamespace(aws_request_id="aws-request-id")


@pytest.fixture(autouse=True)
def _address(monkeypatch):
    monkeypatch.setenv("PUBLIC_URL", "https://core.example.org")
    monkeypatch.setenv("SECRET_KEY_BASE", "a secret of these tests alone, long enough")


@pytest.fixture
def harness(quiet_world):
    clock.install(quiet_world.now)
    yield ApplyHarness(quiet_world)
    clock.install(None)


@pytest.fixture
def browser():
    return HandoffBrowser()


def link_for(harness):
    return links.create(harness.account_id, user_id=harness.user_id, now=harness.world.now())


def hand_off(harness, number=1, letter=LETTER, title="Python-разработчик", **fields):
    """Return applications that hh.ru does not let Core make, the first one first."""
    sandbox = harness.world.sandbox
    sandbox.set_era("closed")
    accepted = [
        harness.submit(str(sandbox.publish(title, **fields)["id"]), letter=letter)
        for _ in range(number)
    ]
    for _ in range(3):
        harness.run()
    rows = [harness.row(application) for application in accepted]
    assert {row.state for row in rows} == {"handoff"}
    return rows


def token_of(browser, harness):
    """Return the token of the page's forms, which a page without a form does not show."""
    session = sessions.read(browser.cookies[sessions.COOKIE], now=harness.world.now())
    return sessions.form_token(session.id)


def requested(harness):
    """Return how many new links were requested."""
    events = harness.connection.execute(
        "SELECT data FROM events WHERE type = 'account.updated' AND account_id = %s",
        [harness.account_id],
    ).fetchall()
    return [event["data"] for event in events].count(links.REQUESTED)


def state(harness, application):
    row = harness.connection.execute(
        "SELECT state, by_hand FROM application_ledger WHERE id = %s", [application.id]
    ).fetchone()
    return row["state"], row["by_hand"]


# ── the link ─────────────────────────────────────────────────────────────────────────────────────


def test_link_opens_the_page_and_done_is_submitted(harness, browser):
    first, second = hand_off(harness, 2, employer={"id": "9", "name": "Рога & <b>Копыта</b>"})
    opened = browser.open_link(link_for(harness))
    assert (opened.status, opened.location) == (303, "/handoff")
    page = browser.get("/handoff")
    assert page.status == 200
    assert page.applications == [str(second.id), str(first.id)]
    assert "Left: 2" in page.words
    for text in ("Python-разработчик", "Рога & <b>Копыта</b>", LETTER.splitlines()[1]):
        assert text in page.words
    assert "<script>alert" not in page.text
    assert "<b>Копыта" not in page.text
    assert f'href="{first.link}" target="_blank" rel="noopener noreferrer"' in page.text

    done = browser.press("done", first.id, page=page)
    assert (done.status, done.location) == (303, "/handoff?page=1&notice=done")
    assert state(harness, first) == ("submitted", True)
    again = browser.press("done", first.id, page=page)
    assert again.location == "/handoff?page=1&notice=done"
    after = browser.get(again.location)
    assert (after.applications, "Noted: you have applied." in after.words) == (
        [str(second.id)], True,
    )  # fmt: skip
    browser.press("skip", second.id, page=page)
    assert browser.press("skip", second.id, page=page).location.endswith("notice=skipped")
    assert state(harness, second) == ("cancelled", False)
    assert "All done" in browser.get("/handoff").words
    actions = {row["action"]: row["actor"] for row in audited(harness)}
    assert actions["application.confirm"] == actions["application.cancel"] == "user"
    assert actions["handoff.open"] == "user"


def audited(harness):
    return harness.connection.execute(
        "SELECT action, actor FROM audit_log WHERE account_id = %s", [harness.account_id]
    ).fetchall()


def test_looking_at_a_link_consumes_nothing(harness, browser):
    link = link_for(harness)
    for preview in (HandoffBrowser(), HandoffBrowser()):
        assert "Open" in preview.get(link).words
    assert browser.open_link(link).status == 303


def test_used_link_is_refused_to_another_browser(harness, browser):
    link = link_for(harness)
    page = browser.get(link)
    other = HandoffBrowser()
    others_page = other.get(link)
    assert browser.post(link, form_token=page.form_token, action="open").status == 303
    repeated = browser.post(link, form_token=page.form_token, action="open")
    assert repeated.status == 303, "a lost answer can be asked for again"
    refused = other.post(link, form_token=others_page.form_token, action="open")
    assert (refused.status, sessions.COOKIE in other.cookies) == (410, False)
    assert "This link has ended" in refused.words
    assert HandoffBrowser().get(link).status == 410
    assert HandoffBrowser(cookies=dict(browser.cookies)).get(link).status == 200


def test_used_link_leads_on_where_its_session_is(harness, browser):
    link = link_for(harness)
    browser.open_link(link)
    del browser.cookies[sessions.BROWSER_COOKIE]
    shown = browser.get(link)
    assert (shown.status, shown.location) == (303, "/handoff")


def test_expired_link_ends_and_asks_for_a_new_one_once(harness, browser):
    link = link_for(harness)
    open_page = browser.get(link)
    harness.world.sandbox.advance(HOUR_S)
    ended = browser.get(link)
    assert (ended.status, "Send me a new link" in ended.words) == (410, True)
    assert browser.post(link, form_token=open_page.form_token, action="open").status == 410
    for _ in range(2):
        answer = browser.post(link, form_token=ended.form_token, action="new_link")
        assert (answer.status, "A new link was asked for" in answer.words) == (200, True)
        assert "/handoff/" not in answer.text
    assert requested(harness) == 1
    harness.world.sandbox.advance(links.REQUEST_PAUSE.total_seconds() + 1)
    browser.post(link, form_token=ended.form_token, action="new_link")
    assert requested(harness) == 2


def test_unknown_link_has_no_button(browser, harness):
    shown = browser.get("/handoff/no-such-ticket")
    assert (shown.status, shown.form_token) == (410, "")
    shown = browser.post("/handoff/no-such-ticket", action="new_link")
    assert shown.status == 403, "it has no token of its form"


def test_link_is_issued_to_the_service_and_to_its_own_user(harness, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_SECRET", "the-secret")
    token = session_tokens.issue(harness.user_id, now=harness.world.now())
    for headers in ({"x-core-secret": "the-secret"}, {"authorization": f"Bearer {token}"}):
        answer = issue(harness.user_id, headers)
        assert answer["statusCode"] == 200
        body = json.loads(answer["body"])
        assert body["url"].startswith("https://core.example.org/handoff/")
        assert HandoffBrowser().open_link(body["url"]).status == 303
    foreign = issue("00000000-0000-4000-8000-00000000000f", {"authorization": f"Bearer {token}"})
    assert json.loads(foreign["body"])["error"] == "user_mismatch"
    assert issue(harness.user_id, {})["statusCode"] == 401
    monkeypatch.setenv("PUBLIC_URL", "")
    answer = issue(harness.user_id, {"x-core-secret": "the-secret"})
    assert json.loads(answer["body"])["url"].startswith("https://api.example.org/handoff/")


def issue(user_id, headers):
    event = {
        "version": "2.0",
        "routeKey": "POST /api/accounts/{user_id}/handoff-link",
        "headers": headers,
        "pathParameters": {"user_id": str(user_id)},
        "requestContext": {"domainName": "api.example.org"},
    }
    return handler(event, CONTEXT)


# ── the session ──────────────────────────────────────────────────────────────────────────────────


def test_session_ends_after_an_hour_and_can_ask_for_a_link(harness, browser):
    (application,) = hand_off(harness)
    browser.open_link(link_for(harness))
    page = browser.get("/handoff")
    harness.world.sandbox.advance(HOUR_S)
    ended = browser.get("/handoff")
    assert (ended.status, "This link has ended" in ended.words) == (401, True)
    assert browser.press("done", application.id, page=page).status == 401
    assert state(harness, application)[0] == "handoff"
    assert browser.press("new_link", page=ended).status == 200
    assert requested(harness) == 1
    harness.world.sandbox.advance(sessions.REMEMBERED.total_seconds())
    assert browser.get("/handoff").form_token == ""
    assert browser.press("new_link", page=ended).status == 401


def test_cookie_is_out_of_reach_of_scripts_and_other_sites(harness, browser, monkeypatch):
    [cookie] = browser.open_link(link_for(harness)).set_cookies
    assert cookie.startswith(f"{sessions.COOKIE}=")
    attributes = set(cookie.split("; ")[1:])
    assert {"Path=/handoff", "HttpOnly", "SameSite=Lax", "Secure"} <= attributes
    monkeypatch.setenv("PUBLIC_URL", "http://localhost:4000")
    [cookie] = HandoffBrowser().open_link(link_for(harness)).set_cookies
    assert "Secure" not in cookie, "Safari keeps no such cookie of http://localhost"


def test_page_session_and_user_tokens_are_not_interchangeable(harness, browser):
    browser.open_link(link_for(harness))
    session = browser.cookies[sessions.COOKIE]
    event = {
        "version": "2.0",
        "routeKey": "GET /api/hh/status",
        "headers": {"authorization": f"Bearer {session}"},
    }
    assert accounts_handler(event, CONTEXT)["statusCode"] == 401
    browser.cookies[sessions.COOKIE] = session_tokens.issue(
        harness.user_id, now=harness.world.now()
    )
    assert browser.get("/handoff").status == 401


def test_cookie_of_another_account_changes_nothing(harness, quiet_world, browser):
    (application,) = hand_off(harness)
    other = ApplyHarness(quiet_world, "timur")
    browser.open_link(link_for(other))
    page = browser.get("/handoff")
    assert (page.status, page.applications) == (200, [])
    token = token_of(browser, other)
    for action in ("done", "skip"):
        answer = browser.post(
            "/handoff", form_token=token, action=action, application=str(application.id)
        )
        assert answer.location.endswith("notice=changed")
    assert state(harness, application) == ("handoff", False)


@pytest.mark.parametrize("sent", ["", "0" * 64, "another session's"])
def test_form_without_its_token_is_refused(harness, quiet_world, browser, sent):
    (application,) = hand_off(harness)
    browser.open_link(link_for(harness))
    if sent == "another session's":
        other = HandoffBrowser()
        other.open_link(link_for(ApplyHarness(quiet_world, "timur")))
        sent = token_of(other, harness)
    answer = browser.post(
        "/handoff", form_token=sent, action="done", application=str(application.id)
    )
    assert (answer.status, state(harness, application)[0]) == (403, "handoff")
    link = link_for(harness)
    stranger = HandoffBrowser()
    assert stranger.post(link, form_token=sent, action="open").status == 403
    stranger.get(link)
    assert stranger.post(link, form_token=sent, action="open").status == 403
    assert browser.open_link(link).status == 303, "nothing was consumed"


def test_revoked_session_of_the_person_ends_the_page(harness, browser):
    link, other_link = link_for(harness), link_for(harness)
    browser.open_link(link)
    assert browser.get("/handoff").status == 200
    harness.world.sandbox.advance(1)
    harness.connection.execute(
        "UPDATE users SET tokens_valid_from = %s WHERE id = %s",
        [harness.world.now(), harness.user_id],
    )
    shown = browser.get("/handoff")
    assert (shown.status, shown.form_token) == (401, "")
    assert HandoffBrowser().open_link(other_link).status == 410


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


def test_every_answer_is_private_and_runs_nothing_foreign(harness, browser, monkeypatch):
    hand_off(harness)
    link = link_for(harness)
    shown = [browser.get(link), browser.open_link(link), browser.get("/handoff")]
    shown += [browser.press("done", "no-id"), HandoffBrowser().get("/handoff")]
    shown += [HandoffBrowser().get(link), browser.post("/handoff", action="done")]
    shown.append(browser.get("/handoff?language=%00"))
    monkeypatch.setenv("ONE_TIME_TABLE", "no-such-table")
    shown.append(browser.get(link))
    assert [answer.status for answer in shown] == [200, 303, 200, 303, 401, 410, 403, 422, 503]
    assert "retry-after" in shown[-1].headers
    ticket = link.rpartition("/")[2]
    for answer in shown:
        headers = answer.headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-type"] == "text/html; charset=utf-8"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert ticket not in answer.text + answer.headers.get("location", "")
        assert not re.search(
            r"""\s(on\w+|style)=|(src|href)="(https?:)?//(?!hh\.ru/)""", answer.text
        )
        assert re.findall(r"<script([^>]*)>", answer.text) in (
            [],
            [f' src="/handoff/page.js" nonce="{nonce_of(policy)}" defer'],
        )


def nonce_of(policy):
    found = re.search(r"script-src 'nonce-([\w-]+)'", policy)
    return found[1] if found else None


def test_nonce_is_another_one_each_time(harness, browser):
    link = link_for(harness)
    policies = [browser.get(link).headers["content-security-policy"] for _ in range(2)]
    assert nonce_of(policies[0]) != nonce_of(policies[1])


@pytest.fixture
def written():
    """Yield the stream of Core's log lines."""
    stream = io.StringIO()
    extra = logging.StreamHandler(stream)
    extra.setFormatter(logger.registered_formatter)
    logging.getLogger(logger.service).addHandler(extra)
    yield stream
    logging.getLogger(logger.service).removeHandler(extra)


def test_ticket_and_letter_are_in_no_log_line(harness, browser, written):
    hand_off(harness)
    link = link_for(harness)
    browser.open_link(link)
    browser.press("done", browser.get("/handoff").applications[0])
    lines = written.getvalue()
    assert '"route":"POST /handoff/{ticket}"' in lines
    for secret in (link.rpartition("/")[2], browser.cookies[sessions.COOKIE], LETTER[:12]):
        assert secret not in lines


def test_what_hh_shows_as_applied_closes_by_itself(harness, browser):
    vacancy = publish(harness, has_test=True, test_required=True)
    accepted = harness.submit(vacancy)
    read_negotiations_at(harness, harness.world.now())
    harness.run()
    application = harness.row(accepted)
    assert (application.state, application.reason) == ("handoff", "test_required")
    browser.open_link(link_for(harness))
    harness.world.sandbox.apply_by_hand(harness.name, vacancy_id=vacancy)
    assert "a test, which only you can do" in browser.get("/handoff").words
    harness.run()
    assert state(harness, application)[0] == "handoff", "they were read a moment ago"
    harness.world.sandbox.advance(180)
    browser.get("/handoff")
    harness.run()
    assert state(harness, application) == ("submitted", True)
    assert "All done" in browser.get("/handoff").words


def read_negotiations_at(harness, moment):
    harness.connection.execute(
        "UPDATE accounts SET negotiations_due_at = %s WHERE id = %s", [moment, harness.account_id]
    )


def test_captcha_and_login_stand_at_the_top(harness, browser, monkeypatch):
    browser.open_link(link_for(harness))
    link = "https://hh.ru/account/captcha?state=x"
    lose(harness, "captcha", captcha_url=link)
    page = browser.get("/handoff")
    assert f'href="{link}"' in page.text
    assert browser.press("captcha_solved", page=page).location.endswith("notice=captcha")
    assert harness.person.access.state == "ok"
    lose(harness, "reauth_required", reason="token_revoked")
    monkeypatch.setenv("APP_URL", "")
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org/auth/callback")
    assert 'href="https://app.example.org/"' in browser.get("/handoff").text
    monkeypatch.setenv("APP_URL", "https://app.example.org/start")
    assert 'href="https://app.example.org/start"' in browser.get("/handoff").text
    token = token_of(browser, harness)
    answer = browser.post("/handoff", form_token=token, action="captcha_solved")
    assert answer.location.endswith("notice=changed"), "only a login helps"


def lose(harness, state, **why):
    with harness.connection.transaction():
        access_changes.change_access(
            harness.account_id,
            state,
            until=harness.world.now() + timedelta(minutes=10) if state == "captcha" else None,
            connection=harness.connection,
            now=harness.world.now(),
            **why,
        )


def test_many_applications_are_paged_and_counted(harness, browser):
    (application,) = hand_off(harness)
    harness.connection.execute(
        "INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, reason, letter,"
        " link, created_at, updated_at) SELECT account_id, user_id, number::text,"
        " CASE WHEN number %% 2 = 0 THEN 'handoff' ELSE 'needs_person' END, 'no_such_reason', NULL,"
        " 'javascript:alert(1)', created_at + number * interval '1 second', updated_at"
        " FROM application_ledger, generate_series(1, 22) AS number WHERE id = %s",
        [application.id],
    )
    browser.open_link(link_for(harness))
    seen = []
    for number in (1, 2, 3):
        page = browser.get(f"/handoff?page={number}")
        assert "Left: 23" in page.words
        assert f"Page {number} of 3" in page.words
        assert "javascript:" not in page.text
        seen += page.applications
    assert len(seen) == len(set(seen)) == 23
    assert seen[-1] == str(application.id)
    first = browser.get("/handoff?page=-7")
    assert first.applications == seen[: reading.PER_PAGE]
    assert "Vacancy 22" in first.words
    assert "There is no letter." in first.words
    assert browser.get("/handoff?page=99999").applications == seen[-3:]


def test_language_follows_the_browser_and_the_choice(harness, browser):
    link = link_for(harness)
    assert "Открыть" in HandoffBrowser("ru-RU,ru;q=0.9,en;q=0.8").get(link).words
    assert "Открыть" in HandoffBrowser("de").get(link).words
    assert '<html lang="en">' in browser.get(link).text
    assert '<html lang="ru">' in browser.get(f"{link}?language=ru").text
    browser.open_link(link)
    page = browser.get("/handoff")
    assert (page.headers["content-language"], "Всё сделано" in page.words) == ("ru", True)


def test_script_is_the_same_for_everybody(browser):
    script = browser.get("/handoff/page.js")
    assert script.status == 200
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["cache-control"] == "public, max-age=3600"
    assert settings.PUBLIC_URL() not in script.text
