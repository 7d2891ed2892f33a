"""The client of hh.ru: what it sends, how it renews a token, what it does when hh.ru is down."""

import json
from contextlib import suppress

import httpx
import pytest

from tests.harness import hh_client
from ullgetthejob.hh import errors
from ullgetthejob.hh.client import MAX_RESUME_PAGES
from ullgetthejob.hh.models import Me
from ullgetthejob.hh.search_parameters import SearchParameters


def failing(error):
    def answer(request):
        raise error

    return answer


def error_body(status, **entry):
    return httpx.Response(status, json={"errors": [entry], "request_id": "1"})


def test_a_search_carries_user_agent_token_and_query():
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=hh_client.EMPTY))
    assert hh.client.search(SearchParameters(text="Python", area=("1", "2"))).found == 0
    [request] = hh.requests
    assert request.headers["user-agent"] == hh_client.AGENT
    assert request.headers["authorization"] == "Bearer t1"
    assert request.url.path == "/vacancies"
    assert request.url.params.get_list("area") == ["1", "2"]


def test_every_call_takes_a_slot_first():
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=hh_client.EMPTY))
    hh.client.search(SearchParameters())
    hh.client.search(SearchParameters())
    assert hh.pacer.taken == 2


def test_a_refused_token_is_renewed_once_and_the_call_made_again():
    def answer(request):
        if request.headers["authorization"] == "Bearer t1":
            return error_body(403, type="oauth", value="token_revoked")
        return httpx.Response(200, json=hh_client.EMPTY)

    hh = hh_client.Hh(answer)
    assert hh.client.search(SearchParameters()).found == 0
    assert len(hh.requests) == 2


def test_a_new_token_that_is_refused_too_ends_it():
    hh = hh_client.Hh(lambda request: error_body(403, type="oauth", value="bad_authorization"))
    with pytest.raises(errors.HHAppTokenMissing):
        hh.client.search(SearchParameters())
    assert len(hh.requests) == 2


@pytest.mark.parametrize(
    "bad", ["..%2Fresumes%2Fmine", "../resumes/mine", "1/../me", "", "abc", "1?x=1", "٣", "1" * 20]
)
def test_what_is_no_vacancy_id_never_reaches_hh_ru(bad):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json={}))
    with pytest.raises(errors.HHVacancyNotFound):
        hh.client.vacancy(bad)
    assert hh.requests == []


@pytest.mark.parametrize(
    "bad", ["..%2Fme", "../me", "ab/../../me", "", "mine", "ab?x=1", "ab\n", "٣", "a" * 65]
)
def test_what_is_no_resume_id_never_reaches_hh_ru(bad):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json={"id": "ab"}))
    with pytest.raises(errors.HHResumeNotFound):
        hh.client.resume(hh_client.Tokens(), bad)
    assert hh.requests == []


def test_what_is_not_found_is_named_by_what_was_looked_for():
    client = hh_client.Hh(lambda request: error_body(404, type="not_found")).client
    for look, code in (
        (lambda: client.vacancy("1"), "job_not_found"),
        (lambda: client.resume(hh_client.Tokens(), "ab"), "resume_not_found"),
    ):
        with pytest.raises(errors.HHNotFound) as raised:
            look()
        assert raised.value.code == code
        assert ("vacancy" in raised.value.message) == (code == "job_not_found")


@pytest.mark.parametrize("bad", ["dictionaries", "/areas/../me", "/areas?x=1", "//evil"])
def test_only_dictionaries_are_read_as_dictionaries(bad):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json={}))
    with pytest.raises(ValueError, match="not a dictionary"):
        hh.client.dictionary(bad)


def test_a_dictionary_is_asked_for_with_its_etag():
    def answer(request):
        if request.headers.get("if-none-match") == 'W/"1"':
            return httpx.Response(304, headers={"etag": 'W/"1"'})
        return httpx.Response(200, json={"a": 1}, headers={"etag": 'W/"1"'})

    hh = hh_client.Hh(answer)
    assert hh.client.dictionary("/dictionaries") == ('W/"1"', {"a": 1})
    assert hh.client.dictionary("/dictionaries", etag='W/"1"') == ('W/"1"', None)


@pytest.mark.parametrize(
    "broken",
    [
        httpx.ConnectError("no"),
        httpx.ConnectTimeout("no"),
        httpx.ReadTimeout("no"),
        httpx.ReadError("no"),
        httpx.RemoteProtocolError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failing_connection_is_hh_unavailable(broken):
    hh = hh_client.Hh(failing(broken))
    with pytest.raises(errors.HHUnavailable) as raised:
        hh.client.search(SearchParameters())
    assert raised.value.code == "hh_unavailable"


def test_a_failure_tells_whether_hh_ru_may_have_acted():
    for broken, may_have_acted in ((httpx.ConnectError("x"), False), (httpx.ReadError("x"), True)):
        with pytest.raises(errors.HHUnavailable) as raised:
            hh_client.Hh(failing(broken)).client.exchange_application("id", "secret")
        assert raised.value.may_have_acted is may_have_acted


def test_failures_of_three_different_calls_pause_all_calls_and_a_success_forgets_two():
    answers = iter([500, 502, 200, 503, 500, 500])
    hh = hh_client.Hh(lambda request: httpx.Response(next(answers), json=hh_client.EMPTY))
    for number in range(6):
        with suppress(errors.HHUnavailable):
            hh.client.search(SearchParameters(text=str(number)))
    assert [reason for reason, _ in hh.pacer.pauses] == ["unavailable"]


def test_one_vacancy_that_always_fails_pauses_no_calls():
    hh = hh_client.Hh(lambda request: httpx.Response(502, html="<h1>Bad Gateway</h1>"))
    for _ in range(5):
        with pytest.raises(errors.HHUnavailable):
            hh.client.vacancy("1")
        with pytest.raises(errors.HHUnavailable):
            hh.client.apply(hh_client.Tokens(), vacancy_id="1", resume_id="ab", letter="a letter")
    assert hh.pacer.pauses == []


def test_a_server_that_takes_no_connection_pauses_all_calls_whatever_was_asked():
    hh = hh_client.Hh(failing(httpx.ConnectError("refused")))
    for _ in range(3):
        with pytest.raises(errors.HHUnavailable):
            hh.client.vacancy("1")
    assert [reason for reason, _ in hh.pacer.pauses] == ["unavailable"]


def test_429_and_a_blocked_region_pause_everybody_at_once():
    hh = hh_client.Hh(lambda request: error_body(429, type="too_many_requests"))
    with pytest.raises(errors.HHBusy):
        hh.client.search(SearchParameters())
    assert hh.pacer.pauses == [("busy", 1)]
    hh = hh_client.Hh(lambda request: httpx.Response(403, html="<html>DDoS-Guard</html>"))
    with pytest.raises(errors.HHRegionBlocked):
        hh.client.search(SearchParameters())
    assert hh.pacer.pauses == [("region_blocked", 60)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": None},
        {"items": [{"id": "1"}]},
        {**hh_client.EMPTY, "items": [5, 5, 5]},
        [],
        "x",
        5,
    ],
)
def test_an_answer_of_another_shape_is_unavailable_not_a_crash(body):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=body))
    with pytest.raises(errors.HHUnavailable):
        hh.client.search(SearchParameters())


def test_one_vacancy_of_another_shape_alone_on_a_page_fails_alone():
    hh = hh_client.Hh(
        lambda request: httpx.Response(200, json={**hh_client.EMPTY, "items": [{"id": "2"}]})
    )
    page = hh.client.search(SearchParameters())
    assert (page.items, page.unreadable) == ((), 1)


def test_one_vacancy_of_another_shape_does_not_hide_the_others(log):
    good = {
        "id": "1",
        "name": "Вакансия",
        "area": {"id": "1", "name": "Москва"},
        "employer": {"name": "Работодатель"},
        "type": {"id": "open"},
        "published_at": "2026-11-24T10:15:30+0300",
    }
    items = [good, {"id": "2"}, {**good, "id": "3"}]
    hh = hh_client.Hh(
        lambda request: httpx.Response(200, json={**hh_client.EMPTY, "items": items, "found": 3})
    )
    page = hh.client.search(SearchParameters())
    assert [vacancy.id for vacancy in page.items] == ["1", "3"]
    assert (page.found, page.unreadable) == (3, 1)
    assert "left out" in log.getvalue()


class Trickle(httpx.SyncByteStream):
    """A body that never ends: a space now and then."""

    def __init__(self):
        self.sent = 0

    def __iter__(self):
        while True:
            self.sent += 1
            yield b" " * 1000


@pytest.mark.parametrize(("limit", "value"), [("CALL_LIMIT_S", 0.05), ("MAX_RESPONSE_BYTES", 50_000)])
def test_a_body_that_never_ends_is_cut_off(monkeypatch, limit, value):
    monkeypatch.setattr(f"ullgetthejob.hh.client.{limit}", value)
    hh = hh_client.Hh(lambda request: httpx.Response(200, stream=Trickle()))
    with pytest.raises(errors.HHUnavailable):
        hh.client.search(SearchParameters())


def test_a_pause_that_cannot_be_told_hides_nothing(log):
    def pause(reason, seconds):
        raise errors.HHUnavailable("no DynamoDB")

    hh = hh_client.Hh(failing(httpx.ReadTimeout("no")))
    hh.pacer.pause = pause
    for number in range(3):
        with pytest.raises(errors.HHUnavailable) as raised:
            hh.client.refresh(f"r{number}")
        assert raised.value.may_have_acted
    assert "cannot be paused" in log.getvalue()
    hh = hh_client.Hh(lambda request: error_body(429, type="too_many_requests"))
    hh.pacer.pause = pause
    with pytest.raises(errors.HHBusy):
        hh.client.search(SearchParameters())


def test_redirects_are_not_followed():
    hh = hh_client.Hh(
        lambda request: httpx.Response(302, headers={"location": "https://evil.example/"})
    )
    with pytest.raises(errors.HHUnavailable):
        hh.client.search(SearchParameters())
    assert len(hh.requests) == 1


def token_endpoint(status, body):
    return hh_client.Hh(lambda request: httpx.Response(status, json=body)).client


def test_an_application_token_is_exchanged_by_form():
    hh = hh_client.Hh(lambda request: httpx.Response(200, json={"access_token": "new"}))
    assert hh.client.exchange_application("id", "se&cret") == "new"
    [request] = hh.requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.content == (
        b"grant_type=client_credentials&client_id=id&client_secret=se%26cret"
    )
    assert "authorization" not in request.headers


def test_the_token_endpoint_s_errors_are_told_apart():
    early = {"error": "forbidden", "error_description": "app token refresh too early"}
    with pytest.raises(errors.HHAppTokenMissing):
        token_endpoint(403, early).exchange_application("id", "secret")
    unknown = {"error": "invalid_client", "error_description": "client_id not found"}
    with pytest.raises(errors.HHMisconfigured):
        token_endpoint(400, unknown).exchange_application("id", "secret")
    with pytest.raises(errors.HHUnavailable):
        token_endpoint(500, {}).exchange_application("id", "secret")
    with pytest.raises(errors.HHUnavailable):
        token_endpoint(200, {"no": "token"}).exchange_application("id", "secret")


# ── people ──────────────────────────────────────────────────────────────────────────────────────

PERSON = {
    "id": "170000001", "auth_type": "applicant", "is_applicant": True, "is_employer": False,
    "email": "needle@example.org", "phone": "79005550101", "last_name": "Веснина",
}  # fmt: skip


def test_a_persons_call_bears_the_persons_token_and_renews_it_once_with_the_reason():
    def answer(request):
        if request.headers["authorization"] == "Bearer p1":
            return error_body(403, type="oauth", value="token_expired")
        return httpx.Response(200, json={"id": "ab", "title": "x"})

    hh, person = hh_client.Hh(answer), hh_client.Tokens("p")
    assert hh.client.resume(person, "ab") == {"id": "ab", "title": "x"}
    assert [request.headers["authorization"] for request in hh.requests] == [
        "Bearer p1",
        "Bearer p2",
    ]
    assert person.reasons == ["token_expired"]


def test_a_persons_new_token_that_is_refused_too_is_no_matter_of_the_application():
    hh = hh_client.Hh(lambda request: error_body(403, type="oauth", value="token_revoked"))
    with pytest.raises(errors.HHTokenRefused) as raised:
        hh.client.resumes(hh_client.Tokens("p"))
    assert raised.value.reason == "token_revoked"
    assert len(hh.requests) == 2


def test_me_keeps_nothing_but_who_it_is():
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=PERSON))
    me = hh.client.me("p1")
    assert me == Me(id="170000001", is_applicant=True, auth_type="applicant")
    assert "needle" not in repr(me.__dict__)
    assert hh.client.me(hh_client.Tokens("p")) == me
    assert {request.headers["authorization"] for request in hh.requests} == {"Bearer p1"}


@pytest.mark.parametrize(
    ("body", "applicant", "employer"),
    [
        ({"id": "1", "auth_type": "applicant"}, True, False),
        ({"id": 1, "auth_type": "employer", "is_applicant": None}, False, True),
        ({"id": "1", "auth_type": None}, False, False),
    ],
)
def test_me_is_read_where_flags_are_missing_or_null(body, applicant, employer):
    me = hh_client.Hh(lambda request: httpx.Response(200, json=body)).client.me("p1")
    assert (me.id, me.is_applicant, me.is_employer) == ("1", applicant, employer)


@pytest.mark.parametrize("body", [{}, {"id": None}, {"id": ""}, [], "x", {"id": "1" * 65}])
def test_nobody_is_no_person(body):
    with pytest.raises(errors.HHUnavailable):
        hh_client.Hh(lambda request: httpx.Response(200, json=body)).client.me("p1")


def test_all_pages_of_resumes_are_read_and_an_endless_number_of_them_is_not():
    def answer(request):
        page = int(request.url.params.get("page", "0"))
        items = [{"id": f"{page}{one}"} for one in "ab"]
        return httpx.Response(200, json={"items": items, "pages": pages, "page": page})

    pages = 2
    hh = hh_client.Hh(answer)
    assert [one["id"] for one in hh.client.resumes(hh_client.Tokens())] == ["0a", "0b", "1a", "1b"]
    pages = 1_000_000
    assert len(hh.client.resumes(hh_client.Tokens())) == 2 * MAX_RESUME_PAGES


@pytest.mark.parametrize("pages", [0, None, "2"])
def test_an_empty_list_of_resumes_is_one_page(pages):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json={"items": [], "pages": pages}))
    assert hh.client.resumes(hh_client.Tokens()) == []
    assert len(hh.requests) == 1


@pytest.mark.parametrize("body", [{}, [], {"items": None}, {"items": [5]}, {"items": [{"id": 5}]}])
def test_resumes_of_another_shape_are_unavailable(body):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=body))
    with pytest.raises(errors.HHUnavailable):
        hh.client.resumes(hh_client.Tokens())
    with pytest.raises(errors.HHUnavailable):
        hh.client.resume(hh_client.Tokens(), "ab")


def test_a_token_is_given_back():
    hh = hh_client.Hh(lambda request: httpx.Response(204))
    assert hh.client.revoke("p1") is None
    [request] = hh.requests
    assert (request.method, request.url.path) == ("DELETE", "/token")
    assert request.headers["authorization"] == "Bearer p1"


@pytest.mark.parametrize(
    ("value", "is_dead"),
    [("token_revoked", True), ("bad_authorization", True), ("token_expired", False), ("x", False)],
)
def test_a_token_that_is_dead_already_counts_as_given_back(value, is_dead):
    client = hh_client.Hh(lambda request: error_body(403, type="oauth", value=value)).client
    if is_dead:
        client.revoke("p1")
        return
    with pytest.raises(errors.HHTokenRefused) as raised:
        client.revoke("p1")
    assert raised.value.reason == value


def test_a_revocation_that_hh_ru_forbids_or_never_hears_of_is_said():
    with pytest.raises(errors.HHForbidden):
        hh_client.Hh(lambda request: error_body(403, type="forbidden")).client.revoke("p1")
    with pytest.raises(errors.HHUnavailable):
        hh_client.Hh(failing(httpx.ConnectError("no"))).client.revoke("p1")


def test_no_token_and_no_secret_is_logged(log):
    hh = hh_client.Hh(lambda request: error_body(403, type="oauth", value="token_revoked"))
    with pytest.raises(errors.HHAppTokenMissing):
        hh.client.search(SearchParameters(text="needle-in-the-log"))
    with pytest.raises(errors.HHError):
        token_endpoint(403, {"error": "x"}).exchange_application("my-id", "my-secret")
    logged = log.getvalue()
    assert "hh.ru refused" in logged
    for hidden in ("t1", "t2", "my-secret", "needle-in-the-log"):
        assert json.dumps(hidden)[1:-1] not in logged


# ── resumes are written ─────────────────────────────────────────────────────────────────────────


def test_a_copy_of_a_resume_brings_what_is_another_and_its_id_is_where_hh_ru_says():
    hh = hh_client.Hh(lambda request: httpx.Response(201, headers={"Location": "/resumes/0b"}))
    made = hh.client.create_resume(hh_client.Tokens("p"), {"title": "Повар"}, source_resume_id="0a")
    assert made == "0b"
    [request] = hh.requests
    assert (request.method, request.url.path) == ("POST", "/resumes")
    assert dict(request.url.params) == {"source_resume_id": "0a"}
    assert json.loads(request.content) == {"title": "Повар"}
    assert request.headers["authorization"] == "Bearer p1"
    assert hh.pacer.taken == 1


@pytest.mark.parametrize("status", [500, 502])
def test_a_resume_is_asked_for_once(status):
    hh = hh_client.Hh(lambda request: httpx.Response(status))
    with pytest.raises(errors.HHUnavailable) as raised:
        hh.client.create_resume(hh_client.Tokens(), {}, source_resume_id="0a")
    assert raised.value.may_have_acted
    assert len(hh.requests) == 1


def test_a_refused_token_makes_no_resume_and_the_renewed_one_makes_it():
    def answer(request):
        if request.headers["authorization"] == "Bearer p1":
            return error_body(403, type="oauth", value="token_expired")
        return httpx.Response(201, headers={"Location": "/resumes/0b"})

    hh = hh_client.Hh(answer)
    assert hh.client.create_resume(hh_client.Tokens("p"), {}, source_resume_id="0a") == "0b"
    assert len(hh.requests) == 2


def test_a_resume_is_changed_and_published():
    hh = hh_client.Hh(lambda request: httpx.Response(204))
    hh.client.update_resume(hh_client.Tokens(), "0b", {"skill_set": ["SQL"]})
    hh.client.publish_resume(hh_client.Tokens(), "0b")
    changed, published = hh.requests
    assert (changed.method, changed.url.path) == ("PUT", "/resumes/0b")
    assert json.loads(changed.content) == {"skill_set": ["SQL"]}
    assert (published.method, published.url.path) == ("POST", "/resumes/0b/publish")
    assert published.content == b""


def test_a_resume_that_hh_ru_does_not_see_or_that_is_none_is_not_written():
    hh = hh_client.Hh(lambda request: error_body(404, type="not_found"))
    for id, calls in (("0a", 3), ("../me", 0)):
        hh.requests.clear()
        for write in (
            lambda id=id: hh.client.create_resume(hh_client.Tokens(), {}, source_resume_id=id),
            lambda id=id: hh.client.update_resume(hh_client.Tokens(), id, {}),
            lambda id=id: hh.client.publish_resume(hh_client.Tokens(), id),
        ):
            with pytest.raises(errors.HHResumeNotFound):
                write()
        assert len(hh.requests) == calls


@pytest.mark.parametrize("is_available", [True, False])
def test_whether_one_more_resume_may_be_made(is_available):
    body = {"created": 20, "is_creation_available": is_available, "max": 20, "remaining": 0}
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=body))
    assert hh.client.may_create_resume(hh_client.Tokens()) is is_available
    with pytest.raises(errors.HHUnavailable):
        hh_client.Hh(lambda request: httpx.Response(200, json={})).client.may_create_resume(
            hh_client.Tokens()
        )
