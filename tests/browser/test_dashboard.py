"""A stranger uses the dashboard in a real browser, at two widths, light and dark."""

import re
import time
import uuid

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS
from tests.harness.connected_cloud import log_in

PATH = "/dev/dashboard"
VIEWS = [(width, scheme) for width in (390, 1920) for scheme in ("light", "dark")]
# A person a view: what one does is not another's surprise.
PEOPLE = dict(zip(VIEWS, ("anna", "timur", "olga", "marina"), strict=True))


@pytest.fixture(params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def view(request):
    return request.param


@pytest.fixture
def page(chromium, view):
    width, scheme = view
    context = chromium.new_context(
        viewport={"width": width, "height": 1000}, color_scheme=scheme, locale="en-GB"
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.complaints = []
    page.on(
        "console",
        lambda message: PATH in message.location["url"] and page.complaints.append(message.text),
    )
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()


@pytest.fixture(autouse=True)
def _with_a_normal_sandbox(cloud):
    cloud.forget_pauses()
    cloud.sandbox("POST", "/employers", {"act": False})
    yield
    cloud.sandbox("POST", "/clock", {"rate": 1})
    cloud.sandbox("DELETE", "/faults")


def check_page(page):
    """Check what holds of every page: no violation that axe-core finds, no sideways scrolling, no
    complaint of the browser."""
    page.wait_for_load_state("load")
    found = Axe().run(page).response["violations"]
    assert not found, [(broken["id"], broken["nodes"][0]["html"][:200]) for broken in found]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    assert not page.complaints


def open_page(page, name):
    page.get_by_role("navigation", name="Pages", exact=True).get_by_role(
        "link", name=name, exact=True
    ).click()
    page.wait_for_load_state("load")


def press(scope, name):
    scope.get_by_role("button", name=name, exact=True).first.click()


def wait_for_notice(page, text):
    """Wait for the page to say what an action did; return its whole sentence.

    Args:
        text: A part of the sentence, or a compiled pattern.
    """
    notice = page.locator("main > [role=status]")
    expect(notice).to_contain_text(text, timeout=PATIENCE_MS)
    return notice.inner_text()


def test_stranger_sees_an_application_invited(cloud, page, view):
    person = PEOPLE[view]
    page.goto(f"{cloud.url}{PATH}")
    check_page(page)
    page.locator("#stream[data-state=live]").wait_for()

    page.get_by_role("link", name="Connect a person").click()
    press(page, "Connect hh.ru")
    page.locator(f"input[name=person][value={person}]").check()
    press(page, "Войти и разрешить")
    page.wait_for_url(f"{cloud.url}/dev/connect")

    page.goto(f"{cloud.url}{PATH}")
    open_page(page, "Search & apply")
    page.get_by_label("Text").fill("программист")
    page.get_by_label("Person").select_option(label=person)
    press(page, "Search")
    check_page(page)
    # A vacancy that needs nothing more than an application.
    rows = page.locator("#jobs tbody tr").filter(has=page.locator("td .none"))
    rows.first.get_by_role("button", name="Apply").click()
    applied = re.compile(r"application ([0-9a-f-]{36}) is")
    application_id = applied.search(wait_for_notice(page, applied))[1]
    check_page(page)

    open_page(page, "People")
    check_page(page)
    account_id = account_of(cloud, application_id)
    page.get_by_role("link", name=account_id).click()
    check_page(page)
    page.get_by_role("link", name=application_id).click()
    state = page.locator("[data-application-state]")
    state.filter(has_text="submitted").wait_for()  # without a reload
    expect(page.locator("ol.gates .badge.good")).to_have_count(7)
    page.wait_for_selector("text=What the employer sees")
    check_page(page)

    listen(page, cloud, account_id)
    page.get_by_role("link", name="What the employer sees").click()
    assert "Здравствуйте" in page.locator("blockquote").inner_text()
    press(page, "Invite")
    wait_for_notice(page, "invited the applicant")
    check_page(page)

    open_page(page, "hh.ru")
    for name in ("+ 1 minute", "+ 1 hour"):
        press(page, name)
        wait_for_notice(page, "jumped")
    check_page(page)

    page.goto(f"{cloud.url}{PATH}/people/{account_id}/{application_id}")
    page.locator("[data-hh-state]").filter(has_text="invitation").wait_for()
    see_the_whole_trail(page, cloud, application_id)
    open_page(page, "Now")
    invited = page.locator('[data-number="Invited"]')
    [(count,)] = cloud.query(
        "SELECT count(*) FROM application_ledger WHERE hh_state = 'invitation'"
    )
    invited.filter(has_text=str(count)).wait_for()
    check_page(page)


def listen(page, cloud, account_id):
    """Open a socket of the account in another tab, as the person's frontend does."""
    [(user_id,)] = cloud.query(
        f"SELECT id FROM users WHERE account_id = '{account_id}' ORDER BY updated_at DESC LIMIT 1"
    )
    with cloud.client() as bff:
        ticket = bff.post("/api/realtime/ticket", json={"user_id": str(user_id)}).json()
    tab = page.context.new_page()
    tab.evaluate(
        """url => new Promise(opened => {
            window.socket = new WebSocket(url);
            socket.onopen = () => {
                socket.send(JSON.stringify({type: "subscribe"}));
                opened();
            };
        })""",
        ticket["url"],
    )


def see_the_whole_trail(page, cloud, application_id):
    """Open the trail of the application, which has every hop from the request to the frame that
    carries the invitation."""
    [(trace_id,)] = cloud.query(
        f"SELECT trace_id FROM application_ledger WHERE id = '{application_id}'"
    )
    page.get_by_role("link", name=trace_id.hex).first.click()
    page.locator(".waterfall .kind.frame").first.wait_for()
    for kind in ("gateway", "function", "sql", "aws", "hh", "message", "change"):
        page.locator(f".waterfall .kind.{kind}").first.wait_for()
    expect(page.locator(".waterfall")).to_contain_text("POST /api/applications/submit")
    page.locator("ol.steps").filter(has_text="(invitation)").wait_for()
    check_page(page)


def account_of(cloud, application_id):
    [(account_id,)] = cloud.query(
        f"SELECT account_id FROM application_ledger WHERE id = '{application_id}'"
    )
    return str(account_id)


def test_every_page_has_no_violation(cloud, page):
    page.goto(f"{cloud.url}{PATH}")
    for name in ("Requests", "Functions", "Database", "Queues & schedules", "People", "hh.ru"):
        open_page(page, name)
        page.locator("#stream[data-state=live]").wait_for()
        check_page(page)
    with cloud.client() as core:
        core.get(f"/api/rate-limit/status/{uuid.uuid4()}").raise_for_status()
    open_page(page, "Functions")
    page.locator("#functions").get_by_role("link", name="rate_limit").click()
    check_page(page)
    page.locator(".log a").first.click()
    page.get_by_role("heading", name="Waterfall").wait_for()
    check_page(page)


def test_page_follows_without_a_reload_and_keeps_the_focus(cloud, page):
    page.goto(f"{cloud.url}{PATH}")
    page.locator("#stream[data-state=live]").wait_for()
    page.locator(".picture a").first.focus()
    cloud.sandbox("POST", "/clock", {"rate": 0})
    page.get_by_text("The clock is paused").wait_for()
    assert page.evaluate("document.activeElement.textContent").startswith("HTTP API")


def test_results_are_shown_by_group(cloud, page, view):
    person = PEOPLE[view]
    page.goto(f"{cloud.url}{PATH}/results")
    check_page(page)  # of a person without applications, or of none
    log_in(cloud, person)
    made = cloud.sandbox("POST", f"/people/{person}/applications", {"count": 21})
    first = made["negotiation_ids"][0]
    cloud.sandbox("POST", f"/applications/{first}/act", {"act": "invitation"})
    cloud.sandbox("POST", "/clock", {"advance_seconds": 7 * 3600})
    open_page(page, "Results")
    page.get_by_label("Person").select_option(label=person)
    page.get_by_label("Grouped by").select_option(label="weekday of sending")
    invited = page.locator("[data-number=invited]")
    ends = time.monotonic() + PATIENCE_MS / 1000
    while int(page.locator("[data-number=applied]").inner_text()) < 21:
        press(page, "Show")
        page.wait_for_load_state("load")
        assert time.monotonic() < ends, page.locator("main").inner_text()
    check_page(page)
    row = page.get_by_role("row").filter(has=invited)
    expect(row).to_contain_text(re.compile(r"\d+%, between \d+% and \d+% \(n = \d+\)"))
    expect(page.get_by_role("region", name="By weekday of sending, table")).to_be_visible()


def test_pages_work_by_keyboard_and_without_javascript(cloud, chromium):
    context = chromium.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{cloud.url}{PATH}/hh")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**#main")
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    wait_for_notice(page, "The clock is paused.")
    open_page(page, "Functions")
    page.get_by_role("link", name="Errors").click()
    page.wait_for_url("**functions.sort=-errors**")
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Errors")
    context.close()


def test_two_browsers_see_what_either_does(cloud, new_browser):
    """One pauses the clock, then the other lets it run: each sees it without a reload."""
    pages = new_browser(), new_browser()
    for page in pages:
        open_now(cloud, page)
    for acting, watching in (pages, reversed(pages)):
        paused = acting is pages[0]
        open_page(acting, "hh.ru")
        press(acting, "Pause" if paused else "× 1")
        open_now(cloud, acting)
        notice = watching.get_by_text("The clock is paused")
        notice.wait_for(state="visible" if paused else "hidden")


def open_now(cloud, page):
    page.goto(f"{cloud.url}{PATH}")
    page.locator("#stream[data-state=live]").wait_for()
