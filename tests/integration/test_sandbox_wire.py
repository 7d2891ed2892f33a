"""Headers, errors and limits of the sandbox's responses, which are hh.ru's."""

from __future__ import annotations

import http.client
import json
import re
import statistics
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.hh_sandbox import HhSandbox

AGENT = "UllGetTheJobTests/1.0 (tests@example.org)"


@pytest.fixture
def anonymous(hh_sandbox: HhSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=hh_sandbox.url, headers={"User-Agent": AGENT}, trust_env=False
    ) as client:
        yield client


@pytest.fixture
def application(hh_sandbox: HhSandbox, anonymous: httpx.Client) -> httpx.Client:
    anonymous.headers["Authorization"] = f"Bearer {hh_sandbox.token()}"
    return anonymous


def refusal(answer: httpx.Response) -> tuple[int, list[dict[str, str]]]:
    body = answer.json()
    assert body["request_id"] == answer.headers["X-Request-ID"]
    return answer.status_code, body["errors"]


def test_search_page_has_hh_keys(application: httpx.Client) -> None:
    answer = application.get("/vacancies", params={"text": "python", "per_page": 3})
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {
        "items", "found", "pages", "page", "per_page", "clusters", "arguments", "fixes",
        "suggests", "alternate_url",
    }  # fmt: skip
    assert len(body["items"]) == 3
    assert body["pages"] == -(-body["found"] // 3)
    assert body["alternate_url"] == "https://hh.ru/search/vacancy?text=python&per_page=3"
    assert any(
        "<highlighttext>" in (item["snippet"]["requirement"] or "") for item in body["items"]
    )


def test_every_search_item_has_a_detail(application: httpx.Client) -> None:
    for item in application.get("/vacancies").json()["items"]:
        detail = application.get(f"/vacancies/{item['id']}").json()
        assert (detail["id"], detail["name"]) == (item["id"], item["name"])
        assert detail["archived"] is False


@pytest.mark.parametrize("path", ["/vacancies", "/vacancies/1"])
def test_search_and_detail_need_a_token(anonymous: httpx.Client, path: str) -> None:
    assert refusal(anonymous.get(path)) == (403, [{"type": "forbidden"}])


@pytest.mark.parametrize("path", ["/vacancies", "/dictionaries"])
@pytest.mark.parametrize("header", ["Bearer garbage", "Basic YTpi", "garbage"])
def test_unknown_token_is_bad_authorization(
    anonymous: httpx.Client, path: str, header: str
) -> None:
    answer = anonymous.get(path, headers={"Authorization": header})
    assert refusal(answer) == (403, [{"type": "oauth", "value": "bad_authorization"}])
    assert answer.json()["oauth_error"] == "bad-auth-type"


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ({"User-Agent": ""}, "unset"),
        ({"User-Agent": "curl/8.5.0"}, "blacklisted"),
        ({"User-Agent": "python-httpx/0.28.1"}, "blacklisted"),
        ({"User-Agent": "MyApp/1.0 (my-app-feedback@example.com)"}, "blacklisted"),
        ({"User-Agent": AGENT, "HH-User-Agent": "python-requests/2.31"}, "blacklisted"),
    ],
)
def test_bad_user_agent_is_refused(
    anonymous: httpx.Client, headers: dict[str, str], value: str
) -> None:
    for path in ("/dictionaries", "/vacancies", "/nowhere"):
        answer = anonymous.get(path, headers=headers)
        assert refusal(answer) == (400, [{"type": "bad_user_agent", "value": value}])


def test_hh_user_agent_header_wins(anonymous: httpx.Client) -> None:
    answer = anonymous.get("/areas", headers={"User-Agent": "curl/8", "HH-User-Agent": AGENT})
    assert answer.status_code == 200


def test_missing_user_agent_is_unset(hh_sandbox: HhSandbox) -> None:
    connection = http.client.HTTPConnection(urlsplit(hh_sandbox.url).netloc, timeout=10)
    connection.request("GET", "/dictionaries")
    answer = connection.getresponse()
    assert answer.status == 400
    assert json.loads(answer.read())["errors"][0]["value"] == "unset"
    connection.close()


def test_headers_are_those_of_hh_edge(application: httpx.Client) -> None:
    answers = [application.get("/vacancies"), application.get("/nowhere")]
    for answer in answers:
        assert answer.headers["Server"] == "ddos-guard"
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in answer.headers
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 2
    assert answers[0].headers["Content-Encoding"] == "gzip"
    plain = application.get("/vacancies", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "type_"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/areas/100500", 404, "not_found"),
        ("GET", "/metro/4040", 404, "not_found"),
        ("PUT", "/vacancies", 405, "method_not_allowed"),
        ("POST", "/dictionaries", 405, "method_not_allowed"),
        ("GET", "/token", 405, "method_not_allowed"),
    ],
)
def test_unknown_path_or_method_has_the_error_envelope(
    anonymous: httpx.Client, method: str, path: str, status: int, type_: str
) -> None:
    assert refusal(anonymous.request(method, path)) == (status, [{"type": type_}])


@pytest.mark.parametrize("id_", ["1", "abc", "..%2Fresumes%2Fmine", "9" * 400, "%D9%A1", "-1"])
def test_unknown_vacancy_is_not_found(application: httpx.Client, id_: str) -> None:
    assert refusal(application.get(f"/vacancies/{id_}")) == (404, [{"type": "not_found"}])


def test_bad_parameters_have_the_error_envelope(application: httpx.Client) -> None:
    answer = application.get("/vacancies", params={"experience": "lots"})
    assert refusal(answer) == (400, [{"type": "bad_argument", "value": "experience"}])
    deep = application.get("/vacancies", params={"page": 20, "per_page": 100})
    assert refusal(deep)[1] == [
        {"type": "bad_argument", "value": "page"},
        {"type": "bad_argument", "value": "per_page"},
    ]


def test_odd_bytes_in_a_query_cause_no_error(application: httpx.Client) -> None:
    for query in ("text=%FF%FE", "text=%00", "text=%ED%A0%80", "area=%FF"):
        assert application.get(f"/vacancies?{query}").status_code in {200, 400}


@pytest.mark.parametrize(
    "path",
    ["/dictionaries", "/areas", "/areas/113", "/areas/countries", "/professional_roles",
     "/industries", "/languages", "/metro", "/metro/1"],
)  # fmt: skip
def test_dictionaries_are_open_and_revalidated_by_etag(anonymous: httpx.Client, path: str) -> None:
    first = anonymous.get(path)
    assert first.status_code == 200
    assert first.json()
    etag = first.headers["ETag"]
    assert re.fullmatch(r'W/"[0-9a-f]+"', etag)
    assert first.headers["Cache-Control"] == "max-age=1200"
    assert first.headers["Expires"].endswith("GMT")
    again = anonymous.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    assert anonymous.get(path, headers={"If-None-Match": 'W/"0"'}).status_code == 200
    head = anonymous.head(path)
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", etag)


def test_dictionaries_have_hh_shapes(anonymous: httpx.Client) -> None:
    dictionaries = anonymous.get("/dictionaries").json()
    assert {"id", "name"} <= set(dictionaries["experience"][0])
    assert {"code", "rate", "abbr"} <= set(dictionaries["currency"][0])
    areas = {area["id"]: area for area in anonymous.get("/areas").json()}
    assert areas["113"]["parent_id"] is None
    assert {"id", "parent_id", "name", "areas"} == set(areas["113"]["areas"][0])
    categories = anonymous.get("/professional_roles").json()["categories"]
    roles = {role["id"]: role for category in categories for role in category["roles"]}
    assert roles["96"]["name"] == "Программист, разработчик"
    assert anonymous.get("/metro/1").json()["lines"][0]["stations"][0]["lat"] > 55


def test_calls_over_the_limit_are_refused(hh_sandbox: HhSandbox, application: httpx.Client) -> None:
    hh_sandbox.limit(3)
    time.sleep(1)  # earlier calls must not count
    answers = [application.get("/languages") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    while answers[-1].status_code == 200:  # a busy machine may need more than a second for four
        answers.append(application.get("/languages"))
        assert len(answers) < 200
    assert refusal(answers[-1]) == (429, [{"type": "too_many_requests"}])
    assert "Retry-After" not in answers[-1].headers
    assert hh_sandbox.control("GET", "/state")["refused_over_limit"] == 1
    time.sleep(1.05)
    assert application.get("/languages").status_code == 200


def test_preflight_request_is_answered(anonymous: httpx.Client) -> None:
    answer = anonymous.options("/vacancies")
    assert answer.status_code == 200
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_search_is_fast(application: httpx.Client) -> None:
    application.get("/vacancies", params={"text": "python"})
    times = []
    for text in ("python", "менеджер", "разработчик java", '"опыт работы"', "devops OR sre"):
        started = time.perf_counter()
        application.get("/vacancies", params={"text": text, "area": "113"})
        times.append(time.perf_counter() - started)
    assert statistics.median(times) < 3  # a hundred times as long as on an idle machine
