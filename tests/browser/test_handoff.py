"""A person whose hh.ru is closed to Core does three vacancies on the handoff page, on a phone."""

import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS
from tests.harness.connected_cloud import log_in

PERSON = "timur"  # hh.ru stays closed to the account for a day
LETTER = "Здравствуйте!\nМеня зовут Тимур.\n<b>С уважением</b>"
MINUTE_S = 60
PHONES = [(390, "light", "ru-RU"), (320, "dark", "en-GB")]
WORDS = {
    "ru": ("Открыть", "Скопировать письмо", "Письмо скопировано", "Готово", "Всё сделано"),
    "en": ("Open", "Copy the letter", "The letter was copied", "Done", "All done"),
}


@pytest.fixture(params=PHONES, ids=lambda phone: f"{phone[0]}-{phone[1]}-{phone[2]}")
def phone(request):
    return request.param


@pytest.fixture
def page(new_browser, phone):
    width, scheme, locale = phone
    page = new_browser(
        viewport={"width": width, "height": 800}, color_scheme=scheme, locale=locale, has_touch=True
    )
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return page


@pytest.fixture(scope="module")
def person(cloud):
    """Return the headers of a person to whom hh.ru is closed, and their user's id."""
    cloud.forget_pauses()
    user_id, jwt = log_in(cloud, PERSON)
    cloud.sandbox("POST", "/mode", {"mode": "closed"})
    yield {"Authorization": f"Bearer {jwt}"}, user_id
    cloud.sandbox("POST", "/mode", {"mode": "open"})


def hand_off(cloud, person, number):
    """Apply to *number* vacancies; return the applications, by the vacancy's id."""
    headers, _ = person
    sent = {}
    with cloud.client() as bff:
        for place in range(number):
            title = f"Кладовщик {place} <i>&</i>"
            vacancy = cloud.sandbox("POST", "/vacancies", {"title": title})["id"]
            body = {"job_external_id": vacancy, "cover_letter": LETTER}
            answer = bff.post("/api/applications/submit", json=body, headers=headers)
            sent[vacancy] = answer.json()["application_id"]
        deadline = time.monotonic() + MINUTE_S
        while {state_of(bff, headers, application) for application in sent.values()} != {"handoff"}:
            assert time.monotonic() < deadline
            time.sleep(0.3)
    return sent


def state_of(bff, headers, application_id):
    answer = bff.get(f"/api/applications/{application_id}", headers=headers).json()
    return answer["application"]["state"]


def new_link(cloud, person):
    headers, user_id = person
    with cloud.client() as bff:
        answer = bff.post(f"/api/accounts/{user_id}/handoff-link", headers=headers)
        return answer.json()["url"]


def check_page(page):
    """Check what holds of every page: no violation that axe-core finds, no sideways scrolling,
    targets for thumbs, no complaint of the browser."""
    page.wait_for_load_state("load")
    found = Axe().run(page).response["violations"]
    assert not found, [(broken["id"], broken["nodes"][0]["html"][:200]) for broken in found]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    small = page.evaluate(
        """() => [...document.querySelectorAll("a, button, summary")]
            .map(element => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
            .filter(([_, box]) => box.width > 0 && (box.height < 44 || box.width < 44))
            .map(([html, box]) => `${html} ${box.width}x${box.height}`)"""
    )
    assert not small
    assert not page.complaints


def test_three_vacancies_are_done_in_under_a_minute(cloud, page, phone, person):
    open_it, copy, copied, done, all_done = WORDS[phone[2][:2]]
    sent = hand_off(cloud, person, 3)
    link = new_link(cloud, person)
    applied_before = len(cloud.sandbox("GET", f"/applications?person={PERSON}")["applications"])

    began = time.monotonic()
    page.goto(link)
    check_page(page)
    page.get_by_role("button", name=open_it, exact=True).click()
    page.wait_for_url(f"{cloud.url}/handoff")
    for left in (3, 2, 1):
        expect(page.locator("#left")).to_contain_text(str(left))
        item = page.locator("ol.items > li").first
        expect(item.get_by_role("heading")).to_contain_text("<i>&</i>")
        item.get_by_role("button", name=copy).click()
        expect(page.locator("#said")).to_have_text(copied)
        assert page.evaluate("navigator.clipboard.readText()") == LETTER
        address = item.get_by_role("link").get_attribute("href")
        vacancy = next(id for id in sent if id in address)
        # The person's own click at hh.ru, whose real page the address is of.
        cloud.sandbox("POST", f"/people/{PERSON}/applications", {"vacancy_id": vacancy})
        item.get_by_role("button", name=done, exact=True).click()
        page.wait_for_url("**/handoff?page=1&notice=done")
    expect(page.get_by_role("heading", name=all_done)).to_be_visible()
    took_s = time.monotonic() - began

    assert took_s < MINUTE_S
    check_page(page)
    headers, _ = person
    with cloud.client() as bff:
        states = {state_of(bff, headers, application) for application in sent.values()}
    assert states == {"submitted"}
    applied = cloud.sandbox("GET", f"/applications?person={PERSON}")["applications"]
    assert len(applied) == applied_before + 3
    confirmed = cloud.query(
        "SELECT count(*) FROM audit_log WHERE action = 'application.confirm' AND actor <> 'user'"
    )
    assert confirmed == [(0,)]


def test_full_page_has_no_violation(cloud, page, person):
    hand_off(cloud, person, 12)
    page.goto(new_link(cloud, person))
    page.locator("button.primary").click()
    page.wait_for_url(f"{cloud.url}/handoff")
    check_page(page)
    page.locator("summary").first.click()
    check_page(page)
    page.locator("nav a[rel=next]").click()
    page.wait_for_url("**/handoff?page=2")
    check_page(page)
    while page.locator("button[value=skip]").count():
        page.locator("button[value=skip]").first.click()
        page.wait_for_load_state("load")
    check_page(page)


def test_page_works_without_javascript(cloud, chromium, person):
    sent = hand_off(cloud, person, 1)
    link = new_link(cloud, person)
    context = chromium.new_context(java_script_enabled=False, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.get_by_role("button", name="Copy the letter")).to_have_count(0)
    page.locator("summary").click()
    expect(page.locator("pre.letter")).to_have_text(LETTER)
    page.get_by_role("button", name="Skip").click()
    expect(page.get_by_text("Skipped.")).to_be_visible()
    context.close()
    headers, _ = person
    with cloud.client() as bff:
        assert state_of(bff, headers, next(iter(sent.values()))) == "cancelled"
    stranger = chromium.new_context(locale="en-GB")
    page = stranger.new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name="This link has ended")).to_be_visible()
    page.get_by_role("button", name="Send me a new link").click()
    expect(page.get_by_role("heading", name="A new link was asked for")).to_be_visible()
    stranger.close()
