"""A search from the HTTP API to hh.ru (the sandbox), Postgres and back, in the whole system."""

import json
import re

import httpx
import pytest

# The body that the original's README shows.
README_BODY = {
    "text": "JavaScript Developer",
    "area": "1",
    "experience": "between1And3",
    "employment": "full",
    "schedule": "remote",
}
TEXT_OR_NULL = (str, type(None))
JOB_TYPES = {
    "id": str,
    "hh_vacancy_id": str,
    "title": str,
    "company": TEXT_OR_NULL,
    "salary": TEXT_OR_NULL,
    "area": TEXT_OR_NULL,
    "url": TEXT_OR_NULL,
    "description": str,
    "skills": list,
    "has_test": bool,
    "full_description_loaded": bool,
}
SALARY = re.compile(
    r"(from \d+|to \d+|\d+-\d+) [A-Z]{3}( gross| net)?( per (shift|hour|rotation|service))?"
)


@pytest.fixture
def core(cloud):
    with cloud.client() as client:
        yield client


def refusal(answer):
    body = answer.json()
    assert set(body) <= {"success", "error", "message", "advice", "details", "request_id"}
    assert body["success"] is False
    assert body["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, body["error"]


def test_health_is_public_and_up(cloud):
    answer = httpx.get(f"{cloud.url}/api/v1/system/health")
    assert answer.status_code == 200
    assert answer.json().items() >= {"status": "ok", "db": "up"}.items()


def test_api_is_described_in_swagger_ui(cloud):
    answer = httpx.get(f"{cloud.url}/_local/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "SwaggerUIBundle(" in answer.text
    assert "/api/jobs/search" in answer.text


def test_search_returns_jobs_of_the_bff_types(core, cloud):
    answer = core.post("/api/jobs/search", json=README_BODY)
    assert answer.status_code == 200
    body = answer.json()
    assert (type(body["found"]), body["page"]) == (int, 0)
    assert body["jobs"]
    for job in body["jobs"]:
        for field, kind in JOB_TYPES.items():
            assert isinstance(job[field], kind), field
        assert job["salary"] is None or SALARY.fullmatch(job["salary"]), job["salary"]
        assert "<" not in job["description"]
    ids = ", ".join(f"'{job['id']}'" for job in body["jobs"])
    stored = cloud.query(f"SELECT external_id FROM jobs WHERE external_id IN ({ids})")
    assert len(stored) == len(body["jobs"])


BOX = {"bottom_lat": 55.70, "top_lat": 55.80, "left_lng": 37.50, "right_lng": 37.70}
OCEAN = {"bottom_lat": 0.0, "top_lat": 1.0, "left_lng": 0.0, "right_lng": 1.0}


def test_map_box_narrows_a_search(core, cloud):
    def search(**box):
        answer = core.post("/api/jobs/search", json={"area": "1", "per_page": 20, **box})
        assert answer.status_code == 200, answer.text
        return answer.json()

    found, everywhere = search(**BOX), search()
    assert 0 < found["found"] < everywhere["found"]
    assert search(**OCEAN)["found"] == 0
    headers = {
        "User-Agent": "UllGetTheJobTests/1.0 (tests@example.org)",
        "Authorization": f"Bearer {cloud.sandbox('POST', '/token')['access_token']}",
    }
    hh = cloud.status()["hh"]
    for job in found["jobs"][:5]:  # hh.ru's limit is ten calls a second
        vacancy = httpx.get(f"{hh}/vacancies/{job['id']}", headers=headers, timeout=10).json()
        assert BOX["bottom_lat"] <= vacancy["address"]["lat"] <= BOX["top_lat"]
        assert BOX["left_lng"] <= vacancy["address"]["lng"] <= BOX["right_lng"]


@pytest.mark.parametrize("name", ["bottom_left_lat", "top_right_lng", "topLat", "sort_by"])
def test_parameter_that_hh_ru_does_not_document_is_refused(core, cloud, name):
    before = cloud.sandbox("GET", "/state")["calls"]["by_route"].get("GET /vacancies", 0)
    answer = core.post("/api/jobs/search", json={"text": "python", **BOX, name: 55.7})
    assert answer.status_code == 422
    assert name in json.dumps(answer.json()["details"])
    after = cloud.sandbox("GET", "/state")["calls"]["by_route"].get("GET /vacancies", 0)
    assert after == before, "hh.ru is not asked"


def test_pages_do_not_overlap_and_end_as_on_hh(core):
    def page(number):
        body = core.post("/api/jobs/search", json={"text": "", "page": number, "per_page": 50})
        return body.json()

    first, second = page(0), page(1)
    assert not {job["id"] for job in first["jobs"]} & {job["id"] for job in second["jobs"]}
    assert first["found"] > 2000
    assert first["pages"] == 40
    assert len(page(39)["jobs"]) == 50
    assert core.post("/api/jobs/search", json={"page": 40, "per_page": 50}).status_code == 422


def test_job_is_found_by_vacancy_id_and_by_row_id(core, cloud):
    found = core.post("/api/jobs/search", json={"text": "Python", "per_page": 1}).json()["jobs"][0]
    answer = core.get(f"/api/jobs/{found['id']}")
    assert answer.status_code == 200
    shown = answer.json()
    assert shown["success"] is True
    assert shown["job"]["full_description_loaded"] is True
    assert len(shown["job"]["description"]) > len(found["description"])
    assert shown["job"]["title"] == found["title"]
    [(row_id,)] = cloud.query(f"SELECT id FROM jobs WHERE external_id = '{found['id']}'")
    assert core.get(f"/api/jobs/{row_id}").json() == shown


@pytest.mark.parametrize(
    "bad",
    [
        "..%2Fresumes%2Fmine",
        "%2e%2e%2fresumes%2fmine",
        "999999999999",
        "abc",
        "1%3Fx=1",
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_invalid_job_id_is_404(core, cloud, bad):
    before = cloud.sandbox("GET", "/state")["calls"]["by_route"]
    assert core.get(f"/api/jobs/{bad}").status_code == 404
    after = cloud.sandbox("GET", "/state")["calls"]["by_route"]
    changed = {route for route in after if after[route] != before.get(route)}
    assert all("resumes" not in route for route in changed)


@pytest.mark.parametrize("secret", ["wrong", "0", "None"])
def test_wrong_secret_is_401(cloud, secret):
    with cloud.client(secret) as stranger:
        assert refusal(stranger.post("/api/jobs/search", json=README_BODY)) == (401, "unauthorized")


def test_missing_secret_is_401(cloud):
    answer = httpx.post(f"{cloud.url}/api/jobs/search", json=README_BODY)
    assert refusal(answer) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"experience": "between1And4"}, "experience"),
        ({"schedule": ["remote", "moon"]}, "schedule"),
        ({"area": "99999999"}, "area"),
        ({"area": "1,2"}, "area"),
        ({"text": 5}, "text"),
        ({"salary": "much"}, "salary"),
        ({"arae": "1"}, "arae"),
        ({"per_page": 101}, "per_page"),
        ({"period": 3, "date_from": "2026-01-01"}, "period"),
        ({"text": "x" * 5000}, "text"),
    ],
)
def test_invalid_input_is_422_and_sends_no_request_to_hh(core, cloud, body, field):
    def searches():
        return cloud.sandbox("GET", "/state")["calls"]["by_route"].get("GET /vacancies", 0)

    before = searches()
    answer = core.post("/api/jobs/search", json=body)
    assert refusal(answer) == (422, "invalid_request")
    assert answer.json()["details"]["fields"][0]["field"] == field
    assert searches() == before


def test_invalid_json_is_400_and_a_megabyte_413(core):
    for content in ("{", "[]", "", "null", "\xff\xfe"):
        assert refusal(core.post("/api/jobs/search", content=content)) == (400, "invalid_json")
    huge = json.dumps({"text": "x" * 1_000_000})
    assert refusal(core.post("/api/jobs/search", content=huge)) == (413, "payload_too_large")


def test_request_id_of_the_caller_is_returned(core):
    request_id = "0f7fbd1e-4a57-4a63-8f0e-0c5b1a0c1b52"
    answer = core.post("/api/jobs/search", json={"area": "x"}, headers={"X-Request-ID": request_id})
    assert answer.headers["x-request-id"] == request_id


def test_new_vacancies_appear_as_the_clock_runs(core, cloud):
    def newest():
        body = {"order_by": "publication_time", "per_page": 1}
        return core.post("/api/jobs/search", json=body).json()["jobs"][0]

    before = newest()
    cloud.sandbox("POST", "/clock", {"advance_seconds": 6 * 3600})
    after = newest()
    assert after["id"] != before["id"]
    assert after["published_at"] > before["published_at"]
