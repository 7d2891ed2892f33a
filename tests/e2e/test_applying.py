"""From a call of the BFF to what employers see, through the running local cloud; SIGKILL of the
whole tree while applications are under way; and the same where hh.ru keeps applying closed.

What Core learns about hh.ru it keeps for a day: the eras follow each other in a cloud of their own.
"""

import time
from collections import Counter
from datetime import datetime
from uuid import uuid4

import httpx
import pytest

from local.clock import FILE_NAME, LocalClock
from tests.fixtures.hh_sandbox import NO_TLS
from tests.fixtures.local_cloud import new_cloud
from tests.fixtures.waiting import until
from tests.harness.connected_cloud import log_in

LETTER = "Здравствуйте! Буду рада поговорить."
LONG_S = 60  # for what has no promise about how long it takes
SOON_S = 30  # half of the minute after which the sweeper would come


@pytest.fixture(scope="module")
def own_cloud():
    with new_cloud() as cloud:
        cloud.start()
        yield cloud


class Applicant:
    """A person with a session."""

    def __init__(self, cloud, person):
        self.cloud = cloud
        self.person = person
        self.session_id, jwt = log_in(cloud, person)
        self.headers = {
            "X-Core-Secret": cloud.secrets["ORCHESTRATOR_SECRET"],
            "Authorization": f"Bearer {jwt}",
        }

    def call(self, method, path, body=None):
        url = f"{self.cloud.url}{path}"
        answer = httpx.request(
            method, url, json=body, headers=self.headers, timeout=35, verify=NO_TLS
        )
        answer.raise_for_status()
        return answer.json()

    def submit(self, vacancy_id):
        body = {"job_external_id": vacancy_id, "cover_letter": LETTER}
        return self.call("POST", "/api/applications/submit", body)

    def application(self, accepted):
        path = f"/api/applications/{accepted['application_id']}"
        return self.call("GET", path)["application"]

    def state(self, accepted):
        return self.application(accepted)["state"]

    def at_hh(self):
        """Return the applications of this person that reached hh.ru."""
        return self.cloud.sandbox("GET", f"/applications?person={self.person}")["applications"]


def publish(cloud):
    return cloud.sandbox("POST", "/vacancies", {"title": "Бухгалтер"})


def spend_all_tokens(person):
    while person.call("POST", "/api/v1/rate-limit/check", {})["allowed"]:
        pass


# ── era 2025: all methods are open ───────────────────────────────────────────────────────────────


def test_application_reaches_the_employer_before_a_sweep(cloud):
    cloud.forget_pauses()
    cloud.sandbox("POST", "/employers", {"act": False})
    olga = Applicant(cloud, "olga")
    first = olga.submit(publish(cloud)["id"])
    until(lambda: olga.state(first) == "submitted")  # the functions are warm

    vacancy = publish(cloud)
    page = f"{cloud.status()['hh']}/_sandbox/employers/{vacancy['employer']['id']}"
    accepted = olga.submit(vacancy["id"])
    assert (accepted["status"], accepted["job_id"]) == ("processing", vacancy["id"])
    until(lambda: f"<small>{vacancy['id']}</small>" in httpx.get(page).text, limit_s=SOON_S)
    assert LETTER in httpx.get(page).text
    until(lambda: olga.state(accepted) == "submitted", limit_s=SOON_S)
    application = olga.application(accepted)
    states = [step["state"] for step in application["history"]]
    assert states == ["queued", "preparing", "submitting", "submitted"]
    assert application["negotiation_id"] == olga.at_hh()[-1]["negotiation_id"]


def test_application_without_tokens_is_sent_once_refilled(cloud):
    cloud.forget_pauses()
    marina = Applicant(cloud, "marina")
    spend_all_tokens(marina)
    accepted = marina.submit(publish(cloud)["id"])
    assert (accepted["status"], accepted["state"]) == ("waiting_quota", "waiting_quota")
    moment = datetime.fromisoformat(accepted["next_attempt_at"])
    assert marina.application(accepted)["next_attempt_at"] == accepted["next_attempt_at"]

    left_s = (moment - LocalClock(cloud.data_dir / FILE_NAME).now()).total_seconds()
    cloud.sandbox("POST", "/clock", {"advance_seconds": left_s - 30})
    time.sleep(3)  # the rules have fired
    assert marina.state(accepted) == "waiting_quota"
    cloud.sandbox("POST", "/clock", {"advance_seconds": 91})  # and the sweeper's next minute
    until(lambda: marina.state(accepted) == "submitted")


def test_sigkill_duplicates_no_application(own_cloud):
    anna, timur = Applicant(own_cloud, "anna"), Applicant(own_cloud, "timur")
    accepted = [(anna, anna.submit(publish(own_cloud)["id"])) for _ in range(6)]
    accepted += [(timur, timur.submit(publish(own_cloud)["id"])) for _ in range(3)]
    until(lambda: len(anna.at_hh()) >= 2)
    own_cloud.kill()

    own_cloud.start()
    left = list(accepted)
    deadline = time.monotonic() + 2 * LONG_S
    while left:
        assert time.monotonic() < deadline, [person.application(sent) for person, sent in left]
        own_cloud.sandbox("POST", "/clock", {"advance_seconds": 30})  # leases run out, too
        time.sleep(1)
        left = [(person, sent) for person, sent in left if person.state(sent) != "submitted"]
    for person in (anna, timur):
        wanted = Counter(sent["job_id"] for applicant, sent in accepted if applicant is person)
        at_hh = [(sent["vacancy_id"], sent["outcome"]) for sent in person.at_hh()]
        assert Counter(at_hh) == {(vacancy, "accepted"): 1 for vacancy in wanted}


# ── era closed ───────────────────────────────────────────────────────────────────────────────────


def test_closed_hh_turns_applications_into_handoffs(own_cloud):
    olga = Applicant(own_cloud, "olga")
    own_cloud.sandbox("POST", "/mode", {"mode": "closed"})
    accepted = [olga.submit(publish(own_cloud)["id"]) for _ in range(3)]
    until(lambda: {olga.state(sent) for sent in accepted} == {"handoff"})
    own_cloud.sandbox("POST", "/mode", {"mode": "open"})
    applications = [olga.application(sent) for sent in accepted]
    assert {application["cover_letter"] for application in applications} == {LETTER}
    linked = [application["job_id"] in application["link"] for application in applications]
    assert linked == [True] * 3
    path = f"/api/applications/{accepted[0]['application_id']}/confirm"
    assert olga.call("POST", path)["application"]["state"] == "submitted"


# ── era 2026: applicants have login, GET /me and search ──────────────────────────────────────────


@pytest.fixture
def cloud_in_2026(own_cloud):
    own_cloud.sandbox("POST", "/era", {"era": "2026"})
    yield own_cloud
    own_cloud.sandbox("POST", "/era", {"era": "2025"})
    # Core would find out at its probes, days later.
    own_cloud.query("DELETE FROM hh_method_access RETURNING method")


@pytest.fixture
def calls_before(cloud_in_2026):
    return calls_of(cloud_in_2026)


def calls_of(cloud):
    """Return the calls of hh.ru's writing methods so far."""
    by_route = cloud.sandbox("GET", "/state")["calls"]["by_route"]
    return {route: by_route.get(route, 0) for route in ("POST /negotiations", "POST /resumes")}


def assert_nothing_was_written(cloud, before):
    """At most one call of each method is the one by which Core learns that it is closed."""
    for route, calls in calls_of(cloud).items():
        assert calls - before[route] <= 1, route


def test_application_in_2026_is_handed_off_and_done_by_hand(cloud_in_2026, calls_before):
    marina = Applicant(cloud_in_2026, "marina")
    vacancy = publish(cloud_in_2026)["id"]
    accepted = marina.submit(vacancy)
    until(lambda: marina.state(accepted) == "handoff")
    application = marina.application(accepted)
    assert (application["reason"], application["cover_letter"]) == ("hh_closed", LETTER)
    assert vacancy in application["link"]
    assert not [sent for sent in marina.at_hh() if sent["outcome"] == "accepted"]
    again = marina.submit(publish(cloud_in_2026)["id"])
    until(lambda: marina.state(again) == "handoff", limit_s=10)
    assert_nothing_was_written(cloud_in_2026, calls_before)

    done = {"vacancy_id": vacancy, "message": LETTER}
    cloud_in_2026.sandbox("POST", "/people/marina/applications", done)
    path = f"/api/applications/{accepted['application_id']}/confirm"
    assert marina.call("POST", path)["application"]["state"] == "submitted"
    (sent,) = [sent for sent in marina.at_hh() if sent["outcome"] == "accepted"]
    assert (sent["vacancy_id"], sent["by"]) == (vacancy, "hand")


def test_application_without_tokens_in_2026_does_not_wait(cloud_in_2026, calls_before):
    anna = Applicant(cloud_in_2026, "anna")
    first = anna.submit(publish(cloud_in_2026)["id"])
    until(lambda: anna.state(first) == "handoff")
    spend_all_tokens(anna)
    accepted = anna.submit(publish(cloud_in_2026)["id"])
    until(lambda: anna.state(accepted) == "handoff", limit_s=10)
    assert_nothing_was_written(cloud_in_2026, calls_before)


def test_campaign_in_2026_ends_with_handoffs(cloud_in_2026, calls_before):
    timur = Applicant(cloud_in_2026, "timur")
    workflow = str(uuid4())
    jobs = timur.call("POST", "/api/jobs/search", {"text": "", "per_page": 5})["jobs"]
    for job in jobs:
        cloud_in_2026.query(
            "INSERT INTO application_queue (workflow_id, user_id, job_id, job_external_id, payload)"
            f" SELECT '{workflow}', '{timur.session_id}', id, external_id,"
            """ '{"coverLetter": "Здравствуйте!"}' FROM jobs"""
            f" WHERE external_id = '{job['id']}' RETURNING id"
        )
    body = {"workflowId": workflow, "userId": timur.session_id}
    timur.call("POST", "/api/queue/start-workflow", body)
    query = f"/api/queue/progress?workflow_id={workflow}&user_id={timur.session_id}"
    until(lambda: timur.call("GET", query)["waiting"] == 0)
    done = timur.call("GET", query)
    assert (done["total"], done["needs_person"], done["failed"]) == (5, 5, 0)
    assert done["states"] == {"handoff": 5}
    assert_nothing_was_written(cloud_in_2026, calls_before)


def test_new_resume_in_2026_is_not_created(cloud_in_2026, calls_before):
    olga = Applicant(cloud_in_2026, "olga")
    body = {
        "job_external_id": publish(cloud_in_2026)["id"],
        "cover_letter": LETTER,
        "customized_cv": {
            "firstName": "Ольга",
            "email": "olga@example.org",
            "phone": "+79005550103",
            "title": "Бухгалтер по налогам",
            "summary": "Двадцать лет веду учёт без единого штрафа.",
            "skills": ["НДС"],
        },
        "create_resume": True,
    }
    accepted = olga.call("POST", "/api/applications/submit", body)
    until(lambda: olga.state(accepted) == "handoff")
    application = olga.application(accepted)
    assert application["cover_letter"] == LETTER
    assert body["job_external_id"] in application["link"]
    assert_nothing_was_written(cloud_in_2026, calls_before)


def test_sigkill_in_2026_loses_no_handoff(own_cloud):
    own_cloud.sandbox("POST", "/era", {"era": "2026"})
    marina = Applicant(own_cloud, "marina")
    accepted = [marina.submit(publish(own_cloud)["id"]) for _ in range(3)]
    own_cloud.kill()
    own_cloud.settings["ERA"] = "2026"
    own_cloud.start()
    assert any("Era" in line and "2026: applicants have" in line for line in own_cloud.output)
    assert own_cloud.sandbox("GET", "/state")["era"] == "2026"
    deadline = time.monotonic() + 2 * LONG_S
    while {marina.state(sent) for sent in accepted} != {"handoff"}:
        assert time.monotonic() < deadline, [marina.application(sent) for sent in accepted]
        own_cloud.sandbox("POST", "/clock", {"advance_seconds": 30})  # leases run out, too
        time.sleep(1)
    vacancies = {sent["job_id"] for sent in accepted}
    assert not [sent for sent in marina.at_hh() if sent["vacancy_id"] in vacancies]
