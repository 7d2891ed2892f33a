"""The dashboard's page *Messages*: a phone's chat with the bot, e-mails, webhook deliveries."""

import smtplib
from email.message import EmailMessage

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS
from tests.fixtures.hh_sandbox import NO_TLS
from tests.fixtures.receivers import PHONE

PATH = "/dev/dashboard/messages"
SCRIPT = "<script>alert(1)</script><b>bold</b>"
BUTTONS = [
    [{"text": "Пропустить", "callback_data": "skip:00000000-0000-4000-8000-000000000001"}],
    [{"text": "hh.ru", "url": "https://hh.ru/vacancy/1"}],
]


@pytest.fixture(params=[(390, "light"), (1920, "dark")], ids=["phone", "desk"])
def page(new_browser, request):
    width, scheme = request.param
    return new_browser(
        viewport={"width": width, "height": 1000}, color_scheme=scheme, locale="en-GB"
    )


def check_page(page):
    """Check that axe-core finds no violation, that nothing scrolls sideways, no complaint."""
    page.wait_for_load_state("load")
    found = Axe().run(page).response["violations"]
    assert not found, [(broken["id"], broken["nodes"][0]["html"][:200]) for broken in found]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not page.complaints


def send_as_bot(cloud, text, buttons):
    url = f"http://127.0.0.1:{cloud.ports['receivers']}"
    token = cloud.secrets["TELEGRAM_BOT_TOKEN"]
    content = {"chat_id": PHONE, "text": text, "reply_markup": {"inline_keyboard": buttons}}
    answer = httpx.post(f"{url}/bot{token}/sendMessage", json=content, verify=NO_TLS)
    assert answer.status_code == 200, answer.text


def send_email(cloud):
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = f"Письмо {SCRIPT}", "a@b.test", "c@d.test"
    message.set_content(f"{SCRIPT} http://localhost/open")
    with smtplib.SMTP("127.0.0.1", cloud.ports["smtp"], timeout=30) as client:
        client.send_message(message)


def test_person_writes_presses_and_reads_as_on_a_phone(cloud, page):
    page.goto(f"{cloud.url}{PATH}")
    check_page(page)
    page.locator("#stream[data-state=live]").wait_for()
    chat = page.locator(".phone").first
    answers = chat.locator(".bubble.bot")
    before = answers.count()

    chat.get_by_label("Message to the bot").fill("/start")
    chat.get_by_role("button", name="Send").click()
    # The bot's answer arrives without a reload.
    expect(answers).to_have_count(before + 1, timeout=PATIENCE_MS)
    expect(answers.last).to_contain_text("откройте ссылку")

    send_as_bot(cloud, SCRIPT, BUTTONS)
    message = answers.last
    expect(message.locator("p").first).to_have_text(SCRIPT, timeout=PATIENCE_MS)
    expect(message.get_by_role("link", name="hh.ru")).to_have_attribute(
        "href", "https://hh.ru/vacancy/1"
    )
    page.reload()
    check_page(page)
    chat.locator(".bubble.bot").last.get_by_role("button", name="Пропустить").click()
    expect(page.locator("main > [role=status]")).to_have_text("The button was pressed.")
    expect(chat.locator(".answer").last).to_contain_text("не привязан", timeout=PATIENCE_MS)

    send_email(cloud)
    email = page.locator(".email").first
    expect(email.get_by_role("heading")).to_have_text(f"Письмо {SCRIPT}", timeout=PATIENCE_MS)
    expect(email.locator("blockquote").first).to_contain_text(SCRIPT)
    email.get_by_text("Headers").click()
    expect(email.get_by_role("cell", name="a@b.test")).to_be_visible()
    page.reload()
    check_page(page)
