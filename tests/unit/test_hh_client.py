"""The client of hh.ru: its requests, the renewal of tokens, and its behaviour if hh.ru is down."""

import json
from contextlib import suppress

import httpx
import pytest

from tests.harness import hh_client
from ullgetthejob.hh import errors
from ullgetthejob.hh.calls import MIN_CALL_S
from ullgetthejob.hh.client import MAX_RESUME_PAGES
from ullgetthejob.hh.models import Me
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform import time_limit


def failing(error):
    def respond(request):
        raise error

    return respond


def error_body(status, **entry):
    return httpx.Response(status, json={"errors": [entry], "request_id": "1"})


def test_search_sends_user_agent_token_and_query():
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=hh_client.EMPTY))
    assert hh.client.search(SearchParameters(text="Python", area=("1", "2"))).found == 0
    [request] = hh.requests
    assert request.headers["user-agent"] == hh_client.AGENT
    assert request.headers["authorization"] == "Bearer t1"
    assert request.url.path == "/vacancies"
    assert request.url.params.get_list("area") == ["1", "2"]


def test_every_call_reserves_a_slot():
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=hh_client.EMPTY))
    hh.client.search(SearchParameters())
    hh.client.search(SearchParameters())
    assert hh.pacer.taken == 2


def test_refused_token_is_renewed_once_and_the_call_repeated():
    def respond(request):
        if request.headers["authorization"] == "Bearer t1":
            return error_body(403, type="oauth", value="token_revoked")
        return httpx.Response(200, json=hh_client.EMPTY)

    hh = hh_client.Hh(respond)
    assert hh.client.search(SearchParameters()).found == 0
    assert len(hh.requests) == 2


def test_refused_new_token_is_not_renewed_again():
    hh = hh_client.Hh(lambda request: error_body(403, type="oauth", value="bad_authorization"))
    with pytest.raises(errors.HHAppTokenMissing):
        hh.client.search(SearchParameters())
    assert len(hh.requests) == 2


@pytest.mark.parametrize(
    "bad", ["..%2Fresumes%2Fmine", "../resumes/mine", "1/../me", "", "abc", "1?x=1", "٣", "1" * 20]
)
def test_malformed_vacancy_id_is_not_sent(bad):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json={}))
    with pytest.raises(errors.HHVacancyNotFound):
        hh.client.vacancy(bad)
    assert hh.requests == []


@pytest.mark.parametrize(
    "bad", ["..%2Fme", "../me", "ab/../../me", "", "mine", "ab?x=1", "ab\n", "٣", "a" * 65]
)
def test_malformed_resume_id_is_not_sent(bad):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json={"id": "ab"}))
    with pytest.raises(errors.HHResumeNotFound):
        hh.client.resume(hh_client.Tokens(), bad)
    assert hh.requests == []


def test_not_found_error_names_the_resource():
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
def test_path_of_no_dictionary_is_refused(bad):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json={}))
    with pytest.raises(ValueError, match="not a dictionary"):
        hh.client.dictionary(bad)


def test_dictionary_is_requested_with_its_etag():
    def respond(request):
        if request.headers.get("if-none-match") == 'W/"1"':
            return httpx.Response(304, headers={"etag": 'W/"1"'})
        return httpx.Response(200, json={"a": 1}, headers={"etag": 'W/"1"'})

    hh = hh_client.Hh(respond)
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
def test_failing_connection_is_unavailable(broken):
    hh = hh_client.Hh(failing(broken))
    with pytest.raises(errors.HHUnavailable) as raised:
        hh.client.search(SearchParameters())
    assert raised.value.code == "hh_unavailable"


def test_failure_reports_whether_hh_ru_may_have_acted():
    for broken, may_have_acted in ((httpx.ConnectError("x"), False), (httpx.ReadError("x"), True)):
        with pytest.raises(errors.HHUnavailable) as raised:
            hh_client.Hh(failing(broken)).client.exchange_application("id", "secret")
        assert raised.value.may_have_acted is may_have_acted


def test_three_failing_subjects_in_a_row_pause_all_calls():
    answers = iter([500, 502, 200, 503, 500, 500])
    hh = hh_client.Hh(lambda request: httpx.Response(next(answers), json=hh_client.EMPTY))
    for number in range(6):
        with suppress(errors.HHUnavailable):
            hh.client.search(SearchParameters(text=str(number)))
    assert [reason for reason, _ in hh.pacer.pauses] == ["unavailable"]


def test_single_failing_vacancy_pauses_no_calls():
    hh = hh_client.Hh(lambda request: httpx.Response(502, html="<h1>Bad Gateway</h1>"))
    for _ in range(5):
        with pytest.raises(errors.HHUnavailable):
            hh.client.vacancy("1")
        with pytest.raises(errors.HHUnavailable):
            hh.client.apply(hh_client.Tokens(), vacancy_id="1", resume_id="ab", letter="a letter")
    assert hh.pacer.pauses == []


def test_refused_connections_pause_all_calls():
    hh = hh_client.Hh(failing(httpx.ConnectError("refused")))
    for _ in range(3):
        with pytest.raises(errors.HHUnavailable):
            hh.client.vacancy("1")
    assert [reason for reason, _ in hh.pacer.pauses] == ["unavailable"]


def test_429_and_blocked_region_pause_all_calls_at_once():
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
def test_response_of_unknown_shape_is_unavailable(body):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=body))
    with pytest.raises(errors.HHUnavailable):
        hh.client.search(SearchParameters())


def test_unreadable_only_vacancy_of_a_page_is_counted():
    hh = hh_client.Hh(
        lambda request: httpx.Response(200, json={**hh_client.EMPTY, "items": [{"id": "2"}]})
    )
    page = hh.client.search(SearchParameters())
    assert (page.items, page.unreadable) == ((), 1)


def test_unreadable_vacancy_does_not_hide_the_others(log):
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
    """A body that never ends."""

    def __init__(self):
        self.sent = 0

    def __iter__(self):
        while True:
            self.sent += 1
            yield b" " * 1000


@pytest.mark.parametrize(
    ("limit", "value"), [("CALL_LIMIT_S", 0.05), ("MAX_RESPONSE_BYTES", 50_000)]
)
def test_endless_body_is_cut_off(monkeypatch, limit, value):
    monkeypatch.setattr(f"ullgetthejob.hh.calls.{limit}", value)
    hh = hh_client.Hh(lambda request: httpx.Response(200, stream=Trickle()))
    with pytest.raises(errors.HHUnavailable):
        hh.client.search(SearchParameters())


class Invocation:
    """The context of a Lambda invocation that has *left_s* left."""

    def __init__(self, left_s):
        self.left_s = left_s

    def get_remaining_time_in_millis(self):
        return int(self.left_s * 1000)


def found(request):
    return httpx.Response(200, json={"items": [], "found": 0, "page": 0, "pages": 0, "per_page": 5})


def test_call_and_its_wait_end_before_the_function():
    hh = hh_client.Hh(found)
    with time_limit.of_invocation(Invocation(9)):
        hh.client.search(SearchParameters())
    [limit] = hh.pacer.limits
    assert 4.9 < limit <= 9 - time_limit.RESERVE_S - MIN_CALL_S
    timeout = hh.requests[0].extensions["timeout"]
    assert (timeout["connect"], timeout["read"]) == (2, 5)
    with time_limit.of_invocation(Invocation(5)):
        hh.client.search(SearchParameters())
    assert 2 <= hh.requests[1].extensions["timeout"]["read"] <= 3
    hh.client.search(SearchParameters())
    assert hh.pacer.limits[2] == float("inf"), "a worker has no such limit"


def test_function_with_no_time_left_makes_no_call():
    hh = hh_client.Hh(found)
    with (
        time_limit.of_invocation(Invocation(3)),
        pytest.raises(errors.HHBusy, match="no time left") as raised,
    ):
        hh.client.search(SearchParameters())
    assert not raised.value.may_have_acted
    assert (hh.requests, hh.pacer.taken, hh.pacer.pauses) == ([], 0, [])


def test_failed_pause_does_not_hide_the_error(log):
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


def test_application_token_is_requested_by_form():
    hh = hh_client.Hh(lambda request: httpx.Response(200, json={"access_token": "new"}))
    assert hh.client.exchange_application("id", "se&cret") == "new"
    [request] = hh.requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.content == (
        b"grant_type=client_credentials&client_id=id&client_secret=se%26cret"
    )
    assert "authorization" not in request.headers


def test_errors_of_the_token_endpoint_are_distinguished():
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


# ── persons ─────────────────────────────────────────────────────────────────────────────────────

PERSON = {
    "id": "170000001", "auth_type": "applicant", "is_applicant": True, "is_employer": False,
    "email": "needle@example.org", "phone": "79005550101", "last_name": "Веснина",
}  # fmt: skip


def test_call_for_a_person_renews_the_persons_token_once():
    def respond(request):
        if request.headers["authorization"] == "Bearer p1":
            return error_body(403, type="oauth", value="token_expired")
        return httpx.Response(200, json={"id": "ab", "title": "x"})

    hh, person = hh_client.Hh(respond), hh_client.Tokens("p")
    assert hh.client.resume(person, "ab") == {"id": "ab", "title": "x"}
    assert [request.headers["authorization"] for request in hh.requests] == [
        "Bearer p1",
        "Bearer p2",
    ]
    assert person.reasons == ["token_expired"]


def test_refused_new_token_of_a_person_raises_token_refused():
    hh = hh_client.Hh(lambda request: error_body(403, type="oauth", value="token_revoked"))
    with pytest.raises(errors.HHTokenRefused) as raised:
        hh.client.resumes(hh_client.Tokens("p"))
    assert raised.value.reason == "token_revoked"
    assert len(hh.requests) == 2


def test_me_keeps_no_personal_data():
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
def test_me_is_read_with_missing_or_null_flags(body, applicant, employer):
    me = hh_client.Hh(lambda request: httpx.Response(200, json=body)).client.me("p1")
    assert (me.id, me.is_applicant, me.is_employer) == ("1", applicant, employer)


@pytest.mark.parametrize("body", [{}, {"id": None}, {"id": ""}, [], "x", {"id": "1" * 65}])
def test_me_without_an_id_is_unavailable(body):
    with pytest.raises(errors.HHUnavailable):
        hh_client.Hh(lambda request: httpx.Response(200, json=body)).client.me("p1")


def test_pages_of_resumes_are_read_up_to_a_limit():
    def respond(request):
        page = int(request.url.params.get("page", "0"))
        items = [{"id": f"{page}{suffix}"} for suffix in "ab"]
        return httpx.Response(200, json={"items": items, "pages": pages, "page": page})

    pages = 2
    hh = hh_client.Hh(respond)
    resumes = hh.client.resumes(hh_client.Tokens())
    assert [resume["id"] for resume in resumes] == ["0a", "0b", "1a", "1b"]
    pages = 1_000_000
    assert len(hh.client.resumes(hh_client.Tokens())) == 2 * MAX_RESUME_PAGES


@pytest.mark.parametrize("pages", [0, None, "2"])
def test_empty_list_of_resumes_takes_one_call(pages):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json={"items": [], "pages": pages}))
    assert hh.client.resumes(hh_client.Tokens()) == []
    assert len(hh.requests) == 1


@pytest.mark.parametrize("body", [{}, [], {"items": None}, {"items": [5]}, {"items": [{"id": 5}]}])
def test_resumes_of_unknown_shape_are_unavailable(body):
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=body))
    with pytest.raises(errors.HHUnavailable):
        hh.client.resumes(hh_client.Tokens())
    with pytest.raises(errors.HHUnavailable):
        hh.client.resume(hh_client.Tokens(), "ab")


def test_revoked_token_is_sent_as_bearer():
    hh = hh_client.Hh(lambda request: httpx.Response(204))
    assert hh.client.revoke("p1") is None
    [request] = hh.requests
    assert (request.method, request.url.path) == ("DELETE", "/token")
    assert request.headers["authorization"] == "Bearer p1"


@pytest.mark.parametrize(
    ("value", "is_revoked"),
    [("token_revoked", True), ("bad_authorization", True), ("token_expired", False), ("x", False)],
)
def test_already_revoked_token_counts_as_revoked(value, is_revoked):
    client = hh_client.Hh(lambda request: error_body(403, type="oauth", value=value)).client
    if is_revoked:
        client.revoke("p1")
        return
    with pytest.raises(errors.HHTokenRefused) as raised:
        client.revoke("p1")
    assert raised.value.reason == value


def test_failed_revocation_is_raised():
    with pytest.raises(errors.HHForbidden):
        hh_client.Hh(lambda request: error_body(403, type="forbidden")).client.revoke("p1")
    with pytest.raises(errors.HHUnavailable):
        hh_client.Hh(failing(httpx.ConnectError("no"))).client.revoke("p1")


def test_tokens_and_secrets_are_not_logged(log):
    hh = hh_client.Hh(lambda request: error_body(403, type="oauth", value="token_revoked"))
    with pytest.raises(errors.HHAppTokenMissing):
        hh.client.search(SearchParameters(text="needle-in-the-log"))
    with pytest.raises(errors.HHError):
        token_endpoint(403, {"error": "x"}).exchange_application("my-id", "my-secret")
    logged = log.getvalue()
    assert "hh.ru refused" in logged
    for hidden in ("t1", "t2", "my-secret", "needle-in-the-log"):
        assert json.dumps(hidden)[1:-1] not in logged


# ── writes of resumes ───────────────────────────────────────────────────────────────────────────


def test_created_resume_id_is_read_from_location():
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
def test_resume_creation_is_not_repeated(status):
    hh = hh_client.Hh(lambda request: httpx.Response(status))
    with pytest.raises(errors.HHUnavailable) as raised:
        hh.client.create_resume(hh_client.Tokens(), {}, source_resume_id="0a")
    assert raised.value.may_have_acted
    assert len(hh.requests) == 1


def test_resume_creation_is_repeated_with_a_renewed_token():
    def respond(request):
        if request.headers["authorization"] == "Bearer p1":
            return error_body(403, type="oauth", value="token_expired")
        return httpx.Response(201, headers={"Location": "/resumes/0b"})

    hh = hh_client.Hh(respond)
    assert hh.client.create_resume(hh_client.Tokens("p"), {}, source_resume_id="0a") == "0b"
    assert len(hh.requests) == 2


def test_resume_is_changed_and_published():
    hh = hh_client.Hh(lambda request: httpx.Response(204))
    hh.client.update_resume(hh_client.Tokens(), "0b", {"skill_set": ["SQL"]})
    hh.client.publish_resume(hh_client.Tokens(), "0b")
    changed, published = hh.requests
    assert (changed.method, changed.url.path) == ("PUT", "/resumes/0b")
    assert json.loads(changed.content) == {"skill_set": ["SQL"]}
    assert (published.method, published.url.path) == ("POST", "/resumes/0b/publish")
    assert published.content == b""


def test_write_to_an_unknown_resume_is_not_found():
    hh = hh_client.Hh(lambda request: error_body(404, type="not_found"))
    tokens = hh_client.Tokens()
    # Creating and publishing look whether the resume exists.
    for resume_id, calls in (("0a", 5), ("../me", 0)):
        hh.requests.clear()
        with pytest.raises(errors.HHResumeNotFound):
            hh.client.create_resume(tokens, {}, source_resume_id=resume_id)
        with pytest.raises(errors.HHResumeNotFound):
            hh.client.update_resume(tokens, resume_id, {})
        with pytest.raises(errors.HHResumeNotFound):
            hh.client.publish_resume(tokens, resume_id)
        assert len(hh.requests) == calls


@pytest.mark.parametrize(
    "write",
    [
        lambda client, tokens: client.create_resume(tokens, {}, source_resume_id="0a"),
        lambda client, tokens: client.publish_resume(tokens, "0a"),
    ],
    ids=["create", "publish"],
)
def test_resume_write_is_not_found_only_without_the_method(write):
    def respond(request):
        return (
            httpx.Response(200, json={"id": "0a"})
            if request.method == "GET"
            else (error_body(404, type="not_found"))
        )

    hh = hh_client.Hh(respond)
    with pytest.raises(errors.HHForbidden) as raised:
        write(hh.client, hh_client.Tokens())
    assert (raised.value.closed_method, raised.value.is_missing) == ("resumes_write", True)


@pytest.mark.parametrize("is_available", [True, False])
def test_creation_availability_is_read(is_available):
    body = {"created": 20, "is_creation_available": is_available, "max": 20, "remaining": 0}
    hh = hh_client.Hh(lambda request: httpx.Response(200, json=body))
    assert hh.client.may_create_resume(hh_client.Tokens()) is is_available
    with pytest.raises(errors.HHUnavailable):
        hh_client.Hh(lambda request: httpx.Response(200, json={})).client.may_create_resume(
            hh_client.Tokens()
        )
