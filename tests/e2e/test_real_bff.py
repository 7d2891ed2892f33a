"""The real BFF's flows through the running local cloud: what it sends and what it reads, up to the
words that its page knows. Its own migrations were run, the one that drops ``hh_tokens`` too."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from tests.fixtures.local_cloud import new_cloud
from tests.fixtures.real_bff import UPDATE_APPLICATION_PENDING, RealBff
from tests.fixtures.waiting import until
from ullgetthejob.vacancies import shared_answers

AT_ONCE = 50
PATIENCE_S = 30  # the browser's
REFILLS_S = 4  # the gateway's throttle: 60 at 20 a second
LETTER = "Здравствуйте! Буду рада поговорить."


@pytest.fixture(scope="module")
def bff():
    with new_cloud() as cloud:
        cloud.start()
        cloud.sandbox("POST", "/employers", {"act": False})
        real = RealBff(cloud)
        real.migrate()
        yield real


@pytest.fixture(scope="module")
def anna(bff):
    return bff.log_in("anna")


@pytest.fixture(scope="module")
def cv(bff, anna):
    """Return the id of Anna's first resume, as the page gets it."""
    listed = bff.hh(anna, "resumes").json()
    assert listed["success"]
    [resume] = [item for item in listed["items"] if item["title"] == "Python-разработчик"]
    return bff.import_resume(anna, resume["id"])


def publish(bff, **fields):
    vacancy = {"title": "Программист", **fields}
    return str(bff.cloud.sandbox("POST", "/vacancies", vacancy)["id"])


def at_hh(bff, person="anna"):
    """Return vacancy and letter of each application that hh.ru has."""
    found = bff.cloud.sandbox("GET", f"/applications?person={person}")["applications"]
    return [(sent["vacancy_id"], sent["letter"]) for sent in found if sent["outcome"] == "accepted"]


def test_login_hides_the_connect_button_and_keeps_the_cookie(bff, anna):
    assert bff.hh(anna, "status", retries=2).json()["connected"] is True
    assert anna.has_cookie


def test_invalid_session_loses_its_cookie(bff):
    session = bff.log_in("timur")
    session.jwt += "x"
    answer = bff.hh(session, "resumes")
    assert (answer.status_code, answer.json()["success"]) == (401, False)
    assert not session.has_cookie


def test_resume_is_imported_with_schools_skills_contacts(bff, anna, cv):
    assert cv["education"] == "Северный технологический университет — Программная инженерия"
    assert cv["skills"] == ["Python", "FastAPI", "PostgreSQL", "Docker", "AWS", "Git"]
    assert (cv["email"], cv["phone"]) == ("anna.vesnina@example.org", "+79005550101")
    assert "ООО «Облачная пристань»" in cv["experience"]
    [stored] = bff.sql("SELECT skills, email FROM parsed_cvs WHERE user_id = %s", anna.id)
    assert (stored["skills"], stored["email"]) == (cv["skills"], cv["email"])


def test_search_and_job_have_the_fields_of_the_page(bff):
    found = bff.search("python").json()["jobs"]
    assert found
    for job in found:
        assert job["id"]
        assert job["title"]
        assert job["hh_vacancy_id"] == job["id"]
        assert isinstance(job["skills"], list)
    job = bff.job(found[0]["id"]).json()["job"]
    assert job["full_description_loaded"] is True


def search_at_once(bff, texts):
    """Return each response with its duration in seconds, every status, and hh.ru's searches."""
    time.sleep(REFILLS_S)
    before, begin = searches(bff), threading.Barrier(len(texts))
    bff.statuses.clear()
    bff.failures.clear()

    def search(text):
        begin.wait()
        began = time.monotonic()
        return bff.search(text), time.monotonic() - began

    with ThreadPoolExecutor(len(texts)) as pool:
        answers = list(pool.map(search, texts))
    return answers, list(bff.statuses), searches(bff) - before


def searches(bff):
    return bff.cloud.sandbox("GET", "/state")["calls"]["by_route"].get("GET /vacancies", 0)


@pytest.fixture(scope="module")
def warm(bff):
    """Start processes first: fifty cold starts would wait for the cores of this machine."""
    for count in (10, 20, 30, 40, AT_ONCE, AT_ONCE):
        search_at_once(bff, ["python"] * count)
    return bff


def test_fifty_equal_searches_send_one_request_to_hh(warm):
    answers, statuses, asked = search_at_once(warm, ["fifty equal"] * AT_ONCE)
    assert statuses == [200] * AT_ONCE
    # An answer is shared for five seconds: a busy machine may start some of the fifty after that.
    longest = timedelta(seconds=max(took for _, took in answers))
    assert 1 <= asked <= 1 + longest // shared_answers.FRESHNESS
    assert len({tuple(job["id"] for job in one.json()["jobs"]) for one, _ in answers}) == 1
    assert max(took for _, took in answers) < PATIENCE_S


def test_fifty_different_searches_end_before_page_timeout(warm):
    """In sequence at hh.ru's pace: 16.3 s. A search that cannot be in time is a 429."""
    texts = [f"one of fifty {number}" for number in range(AT_ONCE)]
    answers, statuses, asked = search_at_once(warm, texts)
    for answer, took in answers:
        assert took < PATIENCE_S
        if answer.status_code == 429:
            assert answer.json()["error"] == "too_many_requests"
            assert int(answer.headers["retry-after"]) >= 1
    assert warm.failures == []
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) == asked
    assert asked >= 0.8 * AT_ONCE


@pytest.mark.parametrize("id", ["999999999999", "undefined", "%2e%2e"])
def test_unknown_job_is_404(bff, id):
    answer = bff.job(id)
    assert (answer.status_code, answer.json()["success"]) == (404, False)
    assert isinstance(answer.json()["error"], str)
    assert answer.json()["advice"]


def test_application_is_sent_and_shown_in_the_history(bff, anna, cv):
    vacancy = publish(bff)
    answer = bff.submit(anna, vacancy, LETTER, cv)
    assert answer.is_success, answer.text
    row = until(lambda: bff.history(anna)[vacancy], lambda found: found["status"] == "submitted")
    assert (row["cover_letter"], row["error_message"]) == (LETTER, None)
    assert row["hh_negotiation_id"]
    assert (vacancy, LETTER) in at_hh(bff)
    # the page's own retry of what is out changes nothing
    bff.sql(UPDATE_APPLICATION_PENDING, row["id"])
    bff.cloud.sandbox("POST", "/clock", {"advance_seconds": 61})
    until(lambda: bff.history(anna)[vacancy], lambda found: found["status"] == "submitted")
    assert [one for one, _ in at_hh(bff)].count(vacancy) == 1


def test_second_letter_for_a_vacancy_is_no_server_error(bff, anna, cv):
    """The page shows a 409 as "Server error. Please try again later."."""
    vacancy = publish(bff)
    first = bff.submit(anna, vacancy, LETTER, cv)
    again = bff.submit(anna, vacancy, "Другое письмо", {**cv, "title": "Другое"})
    assert first.status_code == again.status_code == 202
    assert first.json()["application_id"] == again.json()["application_id"]
    row = until(lambda: bff.history(anna)[vacancy], lambda found: found["status"] == "submitted")
    [letter] = [text for vacancy_id, text in at_hh(bff) if vacancy_id == vacancy]
    assert letter == row["cover_letter"]
    assert letter in (LETTER, "Другое письмо")


@pytest.mark.parametrize(
    ("change", "code"), [({"email": ""}, "missing_email"), ({"phone": "12"}, "missing_phone")]
)
def test_cv_without_contacts_is_refused_with_a_known_code(bff, anna, cv, change, code):
    answer = bff.submit(anna, publish(bff), LETTER, {**cv, **change})
    assert (answer.status_code, answer.json()["error"]) == (422, code)
    assert anna.has_cookie


def test_rate_limit_has_the_field_names_of_the_page(bff, anna):
    shown = bff.rate_limit(anna)
    assert shown["capacity"] == 20
    assert shown["canApply"] is True
    assert isinstance(shown["applicationsToday"], int)


def test_campaign_states_are_known_to_the_page(bff, anna):
    good, tested = [publish(bff) for _ in range(2)], publish(bff, has_test=True)
    closed = publish(bff)
    bff.cloud.sandbox("POST", f"/vacancies/{closed}/close")
    workflow, started = bff.start_campaign(anna, [*good, tested, closed])
    assert started["estimatedCompletion"]
    assert re.search(r"(Z|[+-]\d\d:\d\d)$", started["estimatedCompletion"])
    until(lambda: bff.progress(anna, workflow), lambda found: found == (4, 2, 2))
    items = bff.items(anna, workflow)
    assert {items[item_id]["status"] for item_id in good} == {"submitted"}
    reason, _, link = items[tested]["last_error"].partition(": ")
    assert reason == "test_required"
    assert httpx.URL(link).path == f"/vacancy/{tested}" or tested in link
    assert items[closed]["last_error"] == "vacancy_archived"
    assert set(good) <= {vacancy for vacancy, _ in at_hh(bff)}


def test_new_login_shows_earlier_applications(bff, anna):
    before = bff.history(anna)
    assert before
    workflow, _ = bff.start_campaign(anna, [publish(bff)])
    until(lambda: bff.progress(anna, workflow), lambda found: found == (1, 1, 0))
    other_browser = bff.log_in("anna")
    assert set(before) < set(bff.history(other_browser))
    assert bff.progress(other_browser, workflow) == (1, 1, 0)
    stranger = bff.log_in("olga")
    assert bff.history(stranger) == {}
    # and back in the first one
    anna.jwt = relogged(bff, anna)
    assert set(before) < set(bff.history(anna))


def relogged(bff, session):
    """The cookie was lost, the session's row was not: it is the BFF's defect that it inserts it
    again, so its own clean-up comes first."""
    bff.sql("DELETE FROM sessions WHERE session_id = %s", session.id)
    return bff.log_in("anna", session.id).jwt


def test_unknown_user_is_refused_without_details(bff):
    unknown = str(uuid4())
    headers = {"X-Core-Secret": bff.cloud.secrets["ORCHESTRATOR_SECRET"]}
    answer = bff.fetch("GET", f"/api/rate-limit/status?user_id={unknown}", headers)
    assert (answer.status_code, answer.json()["canApply"]) == (200, False)
    undefined = bff.fetch("GET", "/api/rate-limit/status?user_id=undefined", headers)
    assert (undefined.status_code, undefined.json()["error"]) == (422, "invalid_request")


def test_captcha_is_shown_with_its_link_until_solved(bff, anna, cv):
    """hh.ru asks for a captcha at an application; Core notices by itself that it was solved."""
    sandbox = bff.cloud.sandbox
    sandbox("POST", "/faults", {"kind": "captcha", "path": "/negotiations"})
    vacancy = publish(bff)
    assert bff.submit(anna, vacancy, LETTER, cv).is_success
    status = until(lambda: bff.hh(anna, "status").json(), lambda found: found["link"])
    assert (status["connected"], status["access"]) == (True, "captcha")
    link = status["link"]
    assert httpx.URL(link).host == "hh.ru"
    assert httpx.URL(link).params["backurl"]

    row = until(lambda: bff.history(anna)[vacancy], lambda found: found["error_message"])
    assert row["status"] == "needs_person"
    assert row["error_message"] == f"captcha: {link}"
    resumes = bff.hh(anna, "resumes")
    assert (resumes.status_code, resumes.json()["success"]) == (409, False)
    assert resumes.json()["error"] == "hh_captcha"
    assert resumes.json()["details"]["access"]["captcha_url"] == link
    assert anna.has_cookie

    # Ten minutes later Core tries whether it was solved, which it was not; then after twenty.
    probed = probes(bff)
    sandbox("POST", "/clock", {"advance_seconds": 10 * 60})
    until(lambda: probes(bff), lambda found: found > probed)
    sandbox("POST", "/clock", {"advance_seconds": 18 * 60})
    sandbox("POST", "/clock", {"rate": 60})
    sandbox("DELETE", "/faults")
    row = until(lambda: bff.history(anna)[vacancy], lambda found: found["status"] == "submitted")
    sandbox("POST", "/clock", {"rate": 1})
    assert row["error_message"] is None
    assert at_hh(bff).count((vacancy, LETTER)) == 1
    status = bff.hh(anna, "status").json()
    assert (status["connected"], status["access"], status["link"]) == (True, "ok", None)
    assert bff.hh(anna, "resumes").json()["success"] is True


def probes(bff):
    """Return how many requests for applications hh.ru has received, of whatever account."""
    return bff.cloud.sandbox("GET", "/state")["calls"]["by_route"].get("GET /negotiations", 0)
