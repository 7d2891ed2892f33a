"""The handoff page's texts, salaries, sessions and form tokens, and pages at the HTTP edge."""

import re
from datetime import UTC, datetime, timedelta
from string import Formatter
from types import SimpleNamespace
from uuid import UUID

import jwt
import pytest

from ullgetthejob.accounts import session_tokens
from ullgetthejob.accounts.signing_keys import Key
from ullgetthejob.handoff import rendering, sessions, texts
from ullgetthejob.handoff.reading import Item, Waiting
from ullgetthejob.hh import error_rules
from ullgetthejob.hh.errors import Action
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.http import ANYONE, Api
from ullgetthejob.platform.pages import HEADERS, Page, Request, set_cookie

NOW = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)
USER, ACCOUNT = UUID(int=1), UUID(int=2)
SECRET, PREVIOUS = ("a signing secret of these tests alone, " + which for which in ("new", "old"))
CONTEXT = SimpleNamespace(aws_request_id="aws-request-id")
MARKUP = "<img src=x onerror=alert(1)> & \"'"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("SECRET_KEY_BASE", SECRET)
    monkeypatch.delenv("SECRET_KEY_BASE_PREVIOUS", raising=False)


# ── texts ────────────────────────────────────────────────────────────────────────────────────────


def test_both_languages_have_the_same_texts_and_places():
    russian, english = texts.TEXTS["ru"], texts.TEXTS["en"]
    assert russian.keys() == english.keys()
    for key, text in russian.items():
        assert places(text) == places(english[key]), key
        is_russian = bool(re.search("[а-я]", text))
        assert is_russian or key in ("other_language", "salary.MONTH", "salary.range"), key


def places(text):
    """Return the names of the values that a text has places for."""
    return {name for _, name, _, _ in Formatter().parse(text)}


def test_every_text_is_used():
    sources = [*(rendering.FOLDER / "templates").iterdir(), *rendering.FOLDER.glob("*.py")]
    used = "".join(path.read_text() for path in sources if path.name != "texts.py")
    composed = {
        *(f"reason.{key}" for key in (*texts.REASONS.values(), "yourself")),
        *(f"notice.{notice}" for notice in ("done", "skipped", "captcha", "changed")),
        *(f"{subject}.{part}" for subject in ("refused", "failed") for part in PARTS),
        *("requested.title", "requested.text"),
        *("salary.from", "salary.to", "salary.range"),
        *(f"salary.{mode}" for mode in rendering.MODES),
        *("employer", "salary", "city", "resume"),
    }
    for key in texts.TEXTS["ru"].keys() - composed:
        assert f'"{key}"' in used, key


PARTS = ("title", "text", "again")


def test_reasons_of_hh_have_texts():
    rules = (*error_rules.APPLY_RULES, error_rules.LETTER_MISSING, error_rules.CONSENT_MISSING)
    letters = {rule.value for rule in rules if rule.action is Action.FIX_LETTER}
    assert letters <= texts.REASONS.keys()
    for rule in rules:
        assert texts.reason_key(rule.value) in texts.TEXTS["en"]
    assert texts.reason_key(None) == texts.reason_key("a new word") == "reason.yourself"


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        ("en", "ru", "en"),
        ("xx", "en-US,en;q=0.9", "en"),
        (None, "ru-RU,ru;q=0.9,en-US;q=0.8", "ru"),
        (None, "de;q=0.9, en;q=0.5, ru;q=0.7", "ru"),
        (None, "de", "ru"),
        (None, "en;q=0", "ru"),
        (None, "en;q=banana", "ru"),
        (None, "", "ru"),
        (None, "en" + ",x" * 5_000, "en"),
    ],
)
def test_language_is_the_chosen_or_preferred_one(chosen, accepted, language):
    assert texts.choose_language(chosen, accepted) == language


@pytest.mark.parametrize(
    ("salary", "russian", "english"),
    [
        (
            {"lower": 150000, "upper": 200000, "currency": "RUR", "gross": False},
            "150\u00a0000–200\u00a0000\u00a0₽, на руки",
            "150,000–200,000\u00a0₽, after tax",
        ),
        (
            {"lower": 900, "currency": "KZT", "gross": True, "mode": "HOUR"},
            "от 900\u00a0₸, за час, до вычета налогов",
            "from 900\u00a0₸, per hour, before tax",
        ),
        ({"upper": 5, "currency": "GEL", "mode": "NEW"}, "до 5\u00a0GEL", "up to 5\u00a0GEL"),
        ({"currency": "RUR"}, None, None),
        (None, None, None),
    ],
)
def test_salary_is_written_as_people_do(salary, russian, english):
    assert rendering.salary_text("ru", salary) == russian
    assert rendering.salary_text("en", salary) == english


# ── the rendered page ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_markup_of_others_is_text(language):
    item = Item(
        *(USER, "1", MARKUP, MARKUP, f"https://x.example/?a=1&b={MARKUP}", MARKUP, MARKUP, MARKUP),
        *({"lower": 1, "currency": MARKUP}, MARKUP, True),
    )
    page = rendering.render(
        "items",
        language,
        waiting=Waiting([item], 1, 3, 1),
        access="captcha",
        captcha_url=MARKUP,
        login_url="",
        form_token="token",
        notice=None,
        path="/handoff",
        script_name=rendering.SCRIPT,
    )
    assert "<img" not in page.content
    assert page.content.count("&lt;img src=x onerror=alert(1)&gt; &amp; ") >= 6
    assert re.search("employer&#39;s site|сайт работодателя", page.content)
    assert re.search(r"(yes: 3|согласия: 3)", page.content)


def test_page_without_a_script_has_no_hidden_way():
    """All but the copy buttons are links and forms."""
    template = (rendering.FOLDER / "templates" / "items.html").read_text()
    buttons = re.findall(r"<button[^>]*type=\"button\"[^>]*>", template)
    assert len(buttons) == 1
    assert " hidden " in buttons[0]
    assert "data-copies" in buttons[0]


@pytest.mark.parametrize(
    ("link", "is_at_hh"),
    [
        ("https://hh.ru/vacancy/1", True),
        ("https://spb.hh.ru/vacancy/1", True),
        ("https://hh.ru.example.org/", False),
        ("https://nothh.ru/", False),
    ],
)
def test_link_is_named_after_where_it_leads(link, is_at_hh):
    item = Item(USER, "1", None, None, link, None, None, None, None, None, is_archived=False)
    assert item.is_at_hh is is_at_hh


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────


def test_session_is_valid_for_an_hour_and_known_for_a_day():
    value = sessions.start(USER, ACCOUNT, now=NOW)
    session = sessions.read(value, now=NOW)
    assert (session.user_id, session.account_id, session.started_at) == (USER, ACCOUNT, NOW)
    assert not sessions.read(value, now=NOW + timedelta(minutes=59)).is_over
    assert sessions.read(value, now=NOW + timedelta(hours=1)).is_over
    assert sessions.read(value, now=NOW + timedelta(hours=25)) is None


def test_session_stays_valid_while_the_secret_rotates(monkeypatch):
    value = sessions.start(USER, ACCOUNT, now=NOW)
    token = sessions.form_token("an id")
    monkeypatch.setenv("SECRET_KEY_BASE", PREVIOUS)
    assert sessions.read(value, now=NOW) is None
    assert not sessions.is_form_token(token, "an id")
    monkeypatch.setenv("SECRET_KEY_BASE_PREVIOUS", SECRET)
    assert sessions.read(value, now=NOW) is not None
    assert sessions.is_form_token(token, "an id")


def test_foreign_and_altered_sessions_are_none():
    value = sessions.start(USER, ACCOUNT, now=NOW)
    user_token = session_tokens.issue(USER, now=NOW)
    header, payload, signature = value.split(".")
    key = Key.of(SECRET, "handoff")
    claims = jwt.decode(value, options={"verify_signature": False})
    others = [
        jwt.encode({**claims, **change}, key.content, headers={"kid": key.kid})
        for change in ({"aud": "other"}, {"sub": "x"}, {"exp": 1e300}, {"account": None})
    ]
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"kid": key.kid})
    for other in (
        *(None, "", "x", "x" * 2_000, user_token, unsigned, *others),
        *(f"{header}.{payload}.", f"{header}.{payload[:-2]}AA.{signature}", value + "é"),
    ):
        assert sessions.read(other, now=NOW) is None, other
    with pytest.raises(Exception, match="bearer token is not valid"):
        session_tokens.verify(value, now=NOW)


def test_form_token_belongs_to_its_holder():
    token = sessions.form_token("one")
    assert sessions.is_form_token(token, "one")
    for sent in ("", token[:-1], token.upper(), "é", sessions.form_token("another")):
        assert not sessions.is_form_token(sent, "one")


# ── pages at the HTTP edge ───────────────────────────────────────────────────────────────────────


api = Api(error_page=lambda status, request: Page(f"{status} {request.query}", status=status))


@api.post("/page", auth=ANYONE)
def page(request: Request) -> Page:
    if request.form.get("fail"):
        raise Unavailable("not now")
    if request.form.get("crash"):
        raise RuntimeError
    cookie = set_cookie("a", "b", path="/p", max_age_s=9, secure=True)
    shown = f"{sorted(request.form.items())} {request.cookies} {request.origin}"
    return Page(shown, cookies=(cookie,))


def post(body="", **event):
    answer = api.handler(
        {
            "routeKey": "POST /page",
            "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"},
            "requestContext": {"domainName": "core.example.org"},
            "body": body,
            **event,
        },
        CONTEXT,
    )
    return answer["statusCode"], answer["body"], answer


def test_page_gets_form_and_cookies_and_sets_a_cookie():
    status, body, answer = post("x=1&y=%D1%8F+%26&x=2", cookies=["s=1=2", "t=", "s=other"])
    assert status == 200
    assert body == "[('x', '2'), ('y', 'я &')] {'s': '1=2', 't': ''} https://core.example.org"
    assert answer["cookies"] == ["a=b; Path=/p; Max-Age=9; HttpOnly; SameSite=Lax; Secure"]
    assert answer["headers"]["content-type"] == "text/html; charset=utf-8"
    assert HEADERS.items() <= answer["headers"].items()


def test_form_of_another_type_is_no_form():
    _, body, _ = post("x=1", headers={"content-type": "text/plain"})
    assert body.startswith("[] ")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("fail=1", 503),
        ("crash=1", 500),
        ("x=%00", 422),
        ("&".join(f"x{number}=" for number in range(30)), 400),
        ("x" * 300_000, 413),
    ],
    ids=["unavailable", "crash", "nul", "many fields", "large"],
)
def test_failure_of_a_page_is_a_page(body, status):
    found, text, answer = post(body, queryStringParameters={"q": "1"})
    assert (found, text) == (status, f"{status} {{'q': '1'}}")
    assert HEADERS.items() <= answer["headers"].items()
    assert ("retry-after" in answer["headers"]) is (status == 503)


def test_redirect_has_no_body():
    page = Page.redirect("/there", "a=b")
    assert (page.status, page.headers["location"], page.cookies) == (303, "/there", ("a=b",))
