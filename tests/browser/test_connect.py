"""A person connects hh.ru in a real browser: ``/dev/connect``, the sandbox's page, and back."""

import re

import httpx
import pytest
from playwright.sync_api import expect

PEOPLE = {  # a person a test: what one does to an account is not another's surprise
    "connects": "anna",
    "refuses": "timur",
    "disconnects": "olga",
    "has two browsers": "marina",
    "meets a captcha": "egor",
}


@pytest.fixture(autouse=True)
def _without_faults(cloud):
    yield
    cloud.sandbox("DELETE", "/faults")
    cloud.sandbox("POST", "/auto-login", {"person": None})


@pytest.fixture
def connect(cloud, new_browser):
    """Open the page and log in as a person."""

    def connect(person, page=None):
        page = page or new_browser()
        page.goto(f"{cloud.url}/dev/connect")
        page.get_by_role("button", name="Connect hh.ru").click()
        choose(page, person, "Войти и разрешить")
        page.wait_for_url(f"{cloud.url}/dev/connect")
        return page

    return connect


def choose(page, person, decision):
    page.locator(f"input[name=person][value={person}]").check()
    page.get_by_role("button", name=decision).click()


def titles(page):
    return page.locator("#resumes b").all_inner_texts()


def jwt(page):
    return re.search(r"Bearer ([\w.-]+)'", page.locator("#curl").inner_text())[1]


def fact(page, name):
    return page.locator(f"dt:text-is('{name}') + dd").inner_text()


def resumes_of(cloud, person):
    [found] = [
        found for found in cloud.sandbox("GET", "/people")["people"] if found["key"] == person
    ]
    return sorted(resume["title"] for resume in found["resumes"])


def with_jwt(cloud, token, path="/api/hh/resumes"):
    return httpx.get(cloud.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def test_person_connects_and_sees_their_resumes(cloud, new_browser, connect):
    page = new_browser()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    connect(PEOPLE["connects"], page)

    assert sorted(titles(page)) == resumes_of(cloud, PEOPLE["connects"]) != []
    assert fact(page, "Access").startswith("ok")
    assert not [text for text in complaints if "Content Security Policy" in text]
    assert page.locator("main").evaluate("main => getComputedStyle(main).borderRadius") == "12px"

    answer = with_jwt(cloud, jwt(page))
    assert answer.status_code == 200
    assert sorted(item["title"] for item in answer.json()["items"]) == sorted(titles(page))

    page.reload()
    assert sorted(titles(page)) == resumes_of(cloud, PEOPLE["connects"])
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies(page.url)}
    for name in ("dev_connect_session", "dev_connect_jwt"):
        assert cookies[name]["httpOnly"]
        assert cookies[name]["sameSite"] == "Lax"
    secrets = [value for name, value in cloud.secrets.items() if name != "HH_CLIENT_ID"]
    assert not [secret for secret in secrets if secret in page.content()]


def test_refused_login_is_shown_and_can_be_repeated(cloud, new_browser, connect):
    page = new_browser()
    page.goto(f"{cloud.url}/dev/connect")
    page.get_by_role("button", name="Connect hh.ru").click()
    page.get_by_role("button", name="Отказать").click()

    expect(page.get_by_role("alert")).to_contain_text("access_denied")
    page.get_by_text("Not connected.").wait_for()

    connect(PEOPLE["refuses"], page)
    assert sorted(titles(page)) == resumes_of(cloud, PEOPLE["refuses"])


def test_disconnect_invalidates_the_jwt(cloud, connect):
    page = connect(PEOPLE["disconnects"])
    token, session = jwt(page), fact(page, "Session")
    assert with_jwt(cloud, token).status_code == 200

    page.get_by_role("button", name="Disconnect").click()
    page.get_by_text("Not connected.").wait_for()
    answer = with_jwt(cloud, token)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")

    connect(PEOPLE["disconnects"], page)
    assert fact(page, "Session") == session
    assert with_jwt(cloud, token).status_code == 401
    assert with_jwt(cloud, jwt(page)).status_code == 200


def test_person_in_two_browsers_has_a_single_account(connect):
    one, other = connect(PEOPLE["has two browsers"]), connect(PEOPLE["has two browsers"])

    assert fact(one, "Session") != fact(other, "Session")
    assert fact(one, "Account") == fact(other, "Account")
    one.reload()
    assert titles(one) == titles(other) != []


def test_captcha_is_shown_and_login_resumes(cloud, connect):
    page = connect(PEOPLE["meets a captcha"])
    cloud.sandbox("POST", "/faults", {"kind": "captcha", "path": "/resumes"})
    page.reload()

    link = page.get_by_role("link", name="Solve hh.ru's captcha").get_attribute("href")
    assert link.startswith("https://hh.ru/account/captcha")
    assert "backurl=http" in link
    assert fact(page, "Access").startswith("captcha")

    cloud.sandbox("DELETE", "/faults")
    page.reload()
    assert fact(page, "Access").startswith("captcha")  # until the person says so
    page.get_by_role("button", name="I solved it").click()
    assert sorted(titles(page)) == resumes_of(cloud, PEOPLE["meets a captcha"])
    assert fact(page, "Access").startswith("ok")


def test_employer_login_is_refused_with_a_message(cloud, new_browser, connect):
    [employer, *_] = [
        found["key"]
        for found in cloud.sandbox("GET", "/people")["people"]
        if found["kind"] == "employer"
    ]
    page = new_browser()
    page.goto(f"{cloud.url}/dev/connect")
    page.get_by_role("button", name="Connect hh.ru").click()
    choose(page, employer, "Войти и разрешить")

    expect(page.get_by_role("alert")).to_contain_text("not_an_applicant")


def test_automatic_login_shows_no_form(cloud, new_browser):
    cloud.sandbox("POST", "/auto-login", {"person": PEOPLE["connects"]})
    page = new_browser()
    page.goto(f"{cloud.url}/dev/connect")
    page.get_by_role("button", name="Connect hh.ru").click()

    page.wait_for_url(f"{cloud.url}/dev/connect")
    assert sorted(titles(page)) == resumes_of(cloud, PEOPLE["connects"])
