"""The texts of notifications: every kind in every language, and nothing but text."""

import base64
from uuid import UUID

import pytest

from ullgetthejob.notifications import egress, facts, rendering, signatures, tokens
from ullgetthejob.notifications.messages import KINDS, LANGUAGES, Button, Message

ITEM = {"title": "Инженер", "company": "Почта", "job_id": "7", "url": "https://hh.ru/vacancy/7",
        "state": "review", "reason": None, "application_id": "a"}  # fmt: skip
ABOUT_JOBS = ("invitation", "message", "refusal", "review", "waits_for_you", "new_vacancies")
EVERY = [(kind, language) for kind in (*KINDS, "test", "confirmation") for language in LANGUAGES]


def render(kind, language="ru", items=(ITEM,), count=None, counts=None):
    values = {"items": list(items), "count": count or len(items), "counts": counts or {}}
    if kind == "trouble":
        values["items"] = [{"what": "captcha", "reason": None}]
    return rendering.render(kind, language, values)


@pytest.mark.parametrize(("kind", "language"), EVERY)
def test_every_kind_has_a_subject_and_a_text(kind, language):
    subject, text = render(kind, language, counts={"review": 1})
    assert 0 < len(subject) < 100
    assert text
    assert "{" not in subject + text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ABOUT_JOBS)
def test_one_vacancy_is_named_with_its_employer(kind, language):
    subject, text = render(kind, language)
    assert "Инженер" in subject
    assert "Почта" in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ABOUT_JOBS)
def test_many_are_listed_and_the_rest_counted(kind, language):
    items = [{**ITEM, "title": f"Вакансия {n}"} for n in range(40)]
    subject, text = render(kind, language, items, count=70)
    assert "70" in subject
    assert text.count("Вакансия") == rendering.LISTED
    assert "60" in text


def test_vacancy_without_a_name_has_its_number():
    subject, _ = render("invitation", items=[{**ITEM, "title": None, "company": None}])
    assert subject == "Приглашение: вакансия 7"


@pytest.mark.parametrize("what", ["reauth_required", "captcha", "of_a_later_release"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_trouble_says_what_to_do(what, language):
    items = [{"what": what, "reason": None}, {"what": "channel", "channel": "email"}]
    _, text = rendering.render("trouble", language, {"items": items, "count": 2, "counts": {}})
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("reason", sorted({*facts.NOT_RAISED, "of_a_later_release"}))
@pytest.mark.parametrize("language", LANGUAGES)
def test_resume_that_is_not_raised_is_told_with_a_link(reason, language):
    items = [{"what": "resume", "reason": reason, "link": "https://hh.ru/resume/a1"}]
    _, text = rendering.render("trouble", language, {"items": items, "count": 1, "counts": {}})
    sentence, link = text.splitlines()
    assert sentence.endswith(".")
    assert link == "https://hh.ru/resume/a1"


def test_names_stay_text():
    title = "{{ 7 * 7 }} <img src=x>\r\nBcc: other@example.com"
    subject, text = render("invitation", items=[{**ITEM, "title": title}])
    assert "\n" not in subject
    assert "{{ 7 * 7 }} <img src=x> Bcc: other@example.com" in subject
    message = Message(
        UUID(int=1), "invitation", "ru", subject, text, (Button("<b>", url="https://hh.ru/?a=1&b"),)
    )
    html = rendering.email_html(message, "https://example.com/u")
    assert "<img" not in html
    assert "<b>" not in html
    assert 'href="https://hh.ru/?a=1&amp;b"' in html
    assert "https://hh.ru/?a=1&b" in rendering.email_text(message, None)


def test_token_to_unsubscribe_names_its_channel_alone(monkeypatch):
    monkeypatch.setenv("PUBLIC_URL", "https://core.example.com/")
    monkeypatch.setenv("SECRET_KEY_BASE", "a secret key base of tests, long enough")
    monkeypatch.delenv("SECRET_KEY_BASE_PREVIOUS", raising=False)
    channel = UUID(int=7)
    url = tokens.unsubscribe_url(channel)
    token = url.removeprefix("https://core.example.com/notifications/unsubscribe/")
    assert tokens.channel_of(token) == channel
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    for position in (0, 15, 16, 31):
        changed = bytes(raw[:position]) + bytes([raw[position] ^ 1]) + bytes(raw[position + 1 :])
        assert tokens.channel_of(base64.urlsafe_b64encode(changed).decode().rstrip("=")) is None
    for wrong in ("", "x", token[:-1], token + "A", "é" * 40, "A" * 1000, token[:10]):
        assert tokens.channel_of(wrong) is None
    monkeypatch.setenv("SECRET_KEY_BASE_PREVIOUS", "a secret key base of tests, long enough")
    monkeypatch.setenv("SECRET_KEY_BASE", "another secret key base of tests, long enough")
    assert tokens.channel_of(token) == channel
    monkeypatch.delenv("SECRET_KEY_BASE_PREVIOUS")
    assert tokens.channel_of(token) is None


def test_signature_is_that_of_the_specifications_example():
    # standardwebhooks.com's test vector of its libraries
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signature = signatures.signature_of("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, secret)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secrets_have_the_length_of_the_specification():
    first, second = signatures.new_secret(), signatures.new_secret()
    assert first != second
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.1.2.3", False),
     ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("0.0.0.1", False),
     ("100.64.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False),
     ("fe80::1%eth0", False), ("fd00:ec2::254", False), ("::ffff:127.0.0.1", False),
     ("::ffff:8.8.8.8", True), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False),
     ("::127.0.0.1", False), ("ff02::1", False), ("192.0.2.1", False), ("198.18.0.1", False)],
)  # fmt: skip
def test_public_addresses_are_recognised(address, public):
    assert egress.is_public(address) is public


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "ftp://example.com/", "https://", "https://a@example.com/",
     "https://a:b@example.com/", "https://example.com/#x", "https://example.com:0/",
     "https://example.com:99999/", "https://exa mple.com/", "https://пример.рф/", "javascript:1",
     "https://example.com/" + "a" * 2_000, "https://example.com/\r\nX: 1", "https://[::1/"],
)  # fmt: skip
def test_url_that_is_no_webhooks_is_refused(url, monkeypatch):
    monkeypatch.delenv("WEBHOOK_ADDRESSES", raising=False)
    with pytest.raises(egress.AddressRefused):
        egress.check_url(url)
