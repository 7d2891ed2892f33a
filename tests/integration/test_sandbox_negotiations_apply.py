"""Applying in the sandbox: accepted applications, refusals, the daily limit, lost responses."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from local.sandbox.negotiations.refusals import REFUSALS
from tests.fixtures.hh_sandbox import UNLIMITED, USER_AGENT, HhSandbox, run_sandbox

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400
LETTER = "Здравствуйте! Делаю такое десять лет."


class Anna:
    """A logged-in applicant."""

    def __init__(self, sandbox: HhSandbox, key: str = "anna") -> None:
        self.sandbox = sandbox
        self.key = key
        self.token = sandbox.log_in(key)["access_token"]
        self.resumes = list(sandbox.resumes(key).values())

    def apply(self, vacancy: Any, message: str | None = None, **form: str) -> httpx.Response:
        data = {"vacancy_id": vacancy["id"], "resume_id": self.resumes[0], **form}
        if message is not None:
            data["message"] = message
        return self.sandbox.call("POST", "/negotiations", self.token, data=data)

    def get(self, path: str, **params: Any) -> Any:
        return self.sandbox.call("GET", path, self.token, params=params).raise_for_status().json()


@pytest.fixture
def anna(hh_sandbox: HhSandbox) -> Anna:
    return Anna(hh_sandbox)


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Return status, type and value of a refusal; checks the envelope as well."""
    body = answer.json()
    assert answer.headers["Content-Type"].startswith("application/json")
    assert body["request_id"] == answer.headers["X-Request-ID"]
    return answer.status_code, body["errors"][0]["type"], body["errors"][0].get("value")


# ── what is accepted ────────────────────────────────────────────────────────────────────────────


def test_accepted_application_has_a_location_and_no_body(anna: Anna) -> None:
    vacancy = anna.sandbox.publish("Программист органов", employer="Филармония")
    answer = anna.apply(vacancy, LETTER)
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["Content-Type"].startswith("text/html")
    location = answer.headers["Location"]
    assert re.fullmatch(r"/negotiations/\d{10}", location)
    assert anna.get(location)["vacancy"]["id"] == vacancy["id"]
    (row,) = anna.sandbox.applications()
    assert location.endswith(row["negotiation_id"])
    assert abs(datetime.fromisoformat(row.pop("at")).timestamp() - now(anna.sandbox)) < 60
    assert row == {
        "number": row["number"], "by": "api", "account": "170000001", "person": "anna",
        "applicant": "Анна Веснина", "vacancy_id": vacancy["id"], "vacancy": "Программист органов",
        "employer_id": vacancy["employer"]["id"], "employer": "Филармония",
        "resume_id": anna.resumes[0], "resume": "Backend-инженер", "letter": LETTER,
        "status": 201, "outcome": "accepted", "negotiation_id": row["negotiation_id"],
        "state": "response", "viewed": False, "answered": False, "invited": False,
    }  # fmt: skip


def now(sandbox: HhSandbox) -> float:
    text = sandbox.control("GET", "/state")["clock"]["now"]
    return datetime.fromisoformat(text).timestamp()


def test_multipart_form_is_accepted(anna: Anna) -> None:
    vacancy = anna.sandbox.publish("Программист")
    fields = {"vacancy_id": vacancy["id"], "resume_id": anna.resumes[0], "message": "Ё" * 10_000}
    answer = anna.sandbox.call(
        "POST", "/negotiations", anna.token, files={k: (None, v) for k, v in fields.items()}
    )
    assert answer.status_code == 201
    assert anna.sandbox.applications()[0]["letter"] == "Ё" * 10_000


@pytest.mark.parametrize(
    "sent",
    [
        {"json": True},
        {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"a", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"a=%ff", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"params": True},
        {},
    ],
)
def test_body_without_a_form_is_refused(anna: Anna, sent: dict[str, Any]) -> None:
    vacancy = anna.sandbox.publish("Программист")
    fields = {"vacancy_id": vacancy["id"], "resume_id": anna.resumes[0]}
    sent = {name: fields if value is True else value for name, value in sent.items()}
    answer = anna.sandbox.call("POST", "/negotiations", anna.token, **sent)
    assert answer.status_code == 400
    if "content" not in sent:
        body = answer.json()
        assert body["errors"] == [
            {"type": "bad_argument", "value": name} for name in ("vacancy_id", "resume_id")
        ]
        assert body["bad_argument"] == "vacancy_id"
        assert [argument["name"] for argument in body["bad_arguments"]] == [
            "vacancy_id",
            "resume_id",
        ]
    assert [row["outcome"] for row in anna.sandbox.applications(outcome="accepted")] == []


@pytest.mark.parametrize("name", ["vacancy_id", "resume_id"])
def test_missing_form_field_is_named(anna: Anna, name: str) -> None:
    answer = anna.apply(anna.sandbox.publish("Программист"), **{name: ""})
    assert refusal(answer) == (400, "bad_argument", name)
    assert len(answer.json()["errors"]) == 1


def test_direct_vacancy_redirects_to_the_employer_site(anna: Anna) -> None:
    vacancy = anna.sandbox.publish(
        "Программист", type="direct", response_url="https://career.example.com/jobs/42"
    )
    answer = anna.apply(vacancy)
    assert (answer.status_code, answer.content) == (303, b"")
    assert answer.headers["Location"] == "https://career.example.com/jobs/42"
    assert anna.get("/negotiations")["found"] == 0
    (row,) = anna.sandbox.applications()
    assert (row["outcome"], row["status"], row["negotiation_id"]) == ("redirected", 303, None)


# ── every refusal ───────────────────────────────────────────────────────────────────────────────


def test_second_application_is_refused(anna: Anna) -> None:
    vacancy = anna.sandbox.publish("Программист")
    assert anna.apply(vacancy).status_code == 201
    again = anna.apply(vacancy, resume_id=anna.resumes[1])
    assert refusal(again) == (403, "negotiations", "already_applied")
    body = again.json()
    assert body["description"] == "Already applied"
    assert body["bad_argument"] == "vacancy_id"
    assert body["bad_arguments"] == [{"name": "vacancy_id", "description": "Already applied"}]
    assert refusal(anna.apply(vacancy))[2] == "already_applied"
    assert anna.get("/negotiations")["found"] == 1
    outcomes = [row["outcome"] for row in anna.sandbox.applications(vacancy_id=vacancy["id"])]
    assert outcomes == ["accepted", "already_applied", "already_applied"]


@pytest.mark.parametrize("id_", ["1", "99999999999999999999", "abc", "-1", "٣٣"])
def test_unknown_vacancy_is_refused(anna: Anna, id_: str) -> None:
    answer = anna.apply({"id": id_})
    assert refusal(answer) == (400, "negotiations", "vacancy_not_found")
    assert answer.json()["bad_argument"] == "vacancy_id"


def test_archived_vacancy_is_refused(anna: Anna) -> None:
    vacancy = anna.sandbox.publish("Программист")
    anna.sandbox.control("POST", f"/vacancies/{vacancy['id']}/close")
    assert refusal(anna.apply(vacancy)) == (403, "negotiations", "invalid_vacancy")


def test_unusable_resume_is_not_found(hh_sandbox: HhSandbox, anna: Anna) -> None:
    vacancy = hh_sandbox.publish("Программист")
    egor = Anna(hh_sandbox, "egor")
    assert refusal(egor.apply(vacancy)) == (400, "negotiations", "resume_not_found")
    for id_ in (egor.resumes[0], *hh_sandbox.resumes("timur").values(), "0" * 38):
        answer = anna.apply(vacancy, resume_id=id_)
        assert refusal(answer) == (400, "negotiations", "resume_not_found")
        assert answer.json()["bad_argument"] == "resume_id"


def test_new_resume_is_not_found_for_some_seconds(anna: Anna) -> None:
    sandbox, vacancy = anna.sandbox, anna.sandbox.publish("Программист")
    sandbox.control("POST", "/clock", {"rate": 0})
    created = sandbox.call(
        "POST", "/resumes", anna.token, params={"source_resume_id": anna.resumes[0]},
        json={"title": "Программист органов"},
    )  # fmt: skip
    id_ = created.headers["Location"].rsplit("/", 1)[1]
    assert refusal(anna.apply(vacancy, resume_id=id_))[2] == "resume_not_found"
    sandbox.advance(5)
    assert refusal(anna.apply(vacancy, resume_id=id_))[2] == "resume_not_found"  # unpublished
    assert sandbox.call("POST", f"/resumes/{id_}/publish", anna.token).status_code == 204
    assert anna.apply(vacancy, resume_id=id_).status_code == 201


def test_required_test_refuses_an_api_application(anna: Anna) -> None:
    sandbox = anna.sandbox
    required = sandbox.publish("Программист", has_test=True)
    assert required["test"] == {"required": True}
    assert refusal(anna.apply(required)) == (403, "negotiations", "test_required")
    assert sandbox.apply_by_hand("anna", vacancy_id=required["id"])["refused"] is None
    voluntary = sandbox.publish("Программист", has_test=True, test_required=False)
    assert anna.apply(voluntary).status_code == 201


def test_letter_is_checked(anna: Anna) -> None:
    vacancy = anna.sandbox.publish("Программист", response_letter_required=True)
    for none in (None, ""):
        answer = anna.apply(vacancy, none)
        assert refusal(answer) == (400, "bad_argument", "message")
        assert answer.json()["bad_argument"] == "message"
    assert refusal(anna.apply(vacancy, " \n")) == (403, "negotiations", "empty_message")
    too_long = anna.apply(vacancy, "Ё" * 10_001)
    assert refusal(too_long) == (403, "negotiations", "too_long_message")
    assert anna.apply(vacancy, LETTER).status_code == 201


def test_restricted_resume_conflicts_with_anonymous_vacancy(anna: Anna) -> None:
    sandbox, resume_id = anna.sandbox, anna.resumes[0]

    def show(access: str) -> None:
        body = {"access": {"type": {"id": access}}}
        answer = sandbox.call("PUT", f"/resumes/{resume_id}", anna.token, json=body)
        assert answer.status_code == 204

    anonymous = sandbox.publish("Программист", type="anonymous")
    show("whitelist")
    assert refusal(anna.apply(anonymous)) == (403, "negotiations", "resume_visibility_conflict")
    assert anna.apply(sandbox.publish("Программист")).status_code == 201
    show("no_one")
    assert refusal(anna.apply(anonymous))[2] == "resume_visibility_conflict"
    assert anna.apply(sandbox.publish("Программист")).status_code == 201
    assert anna.get(f"/resumes/{resume_id}")["access"]["type"]["id"] == "whitelist"
    show("clients")
    assert anna.apply(anonymous).status_code == 201


def test_applicant_in_belarus_must_consent_abroad(anna: Anna) -> None:
    sandbox, minsk = anna.sandbox, {"area": {"id": "1002"}}
    assert sandbox.call(
        "PUT", f"/resumes/{anna.resumes[0]}", anna.token, json=minsk
    ).status_code == 204  # fmt: skip
    at_home, abroad = (sandbox.publish("Программист", area=area) for area in ("1002", "1"))
    assert anna.apply(at_home).status_code == 201
    answer = anna.apply(abroad)
    assert answer.status_code == 400
    description = '"enable_applicant_visibility_in_country" param required'
    assert answer.json()["description"] == description
    consents = anna.apply(abroad, enable_applicant_visibility_in_country="true")
    assert consents.status_code == 201


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_can_be_ordered(anna: Anna, name: str) -> None:
    sandbox, wanted = anna.sandbox, REFUSALS[name]
    vacancy = sandbox.publish("Программист")
    sandbox.fault("refusal", value=name, times=1)
    anna.get("/negotiations")  # reading is not refused and does not use up the fault
    assert refusal(anna.apply(vacancy)) == (wanted.status, wanted.type, wanted.value)
    assert anna.apply(vacancy).status_code == 201
    refusing = sandbox.publish("Программист", refusal=name)
    assert refusal(anna.apply(refusing)) == (wanted.status, wanted.type, wanted.value)
    outcomes = [row["outcome"] for row in sandbox.applications()]
    assert outcomes == [wanted.value, "accepted", wanted.value]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"kind": "refusal"}, "value must be one of: vacancy_not_found"),
        ({"kind": "refusal", "value": "no"}, "value must be one of"),
        ({"kind": "drop", "value": "already_applied"}, "only a refusal has a value"),
        ({"kind": "drop", "method": "PATCH"}, "method must be one of: GET"),
    ],
)
def test_invalid_refusal_order_is_refused(hh_sandbox: HhSandbox, body: Any, message: str) -> None:
    with pytest.raises(httpx.HTTPStatusError) as raised:
        hh_sandbox.control("POST", "/faults", body)
    assert message in raised.value.response.json()["error"]


# ── who may ─────────────────────────────────────────────────────────────────────────────────────


def test_calls_of_other_accounts_are_refused_and_logged(hh_sandbox: HhSandbox) -> None:
    vacancy, resume = hh_sandbox.publish("Программист")["id"], hh_sandbox.resumes("anna")
    resume_id = resume["Python-разработчик"]
    for token in (hh_sandbox.token(), hh_sandbox.log_in("employer")["access_token"]):
        answer = hh_sandbox.apply(token, vacancy, resume_id)
        assert refusal(answer) == (403, "forbidden", None)
    assert refusal(hh_sandbox.apply("garbage", vacancy, resume_id))[2] == "bad_authorization"
    rows = [(row["person"], row["outcome"]) for row in hh_sandbox.applications()]
    assert rows == [(None, "forbidden"), ("employer", "forbidden"), (None, "bad_authorization")]


def test_closed_mode_forbids_all_negotiation_routes(anna: Anna) -> None:
    sandbox, vacancy = anna.sandbox, anna.sandbox.publish("Программист")
    location = anna.apply(vacancy).headers["Location"]
    sandbox.control("POST", "/mode", {"mode": "closed"})
    calls = [
        ("POST", "/negotiations"),
        ("GET", "/negotiations"),
        ("GET", location),
        ("GET", f"{location}/messages"),
        ("POST", f"{location}/messages"),
    ]
    for method, path in calls:
        assert refusal(sandbox.call(method, path, anna.token)) == (403, "forbidden", None)
    assert refusal(anna.apply(vacancy))[1] == "forbidden"
    assert [row["outcome"] for row in sandbox.applications(person="anna")] == [
        "accepted", "forbidden", "forbidden",
    ]  # fmt: skip


# ── the limit ───────────────────────────────────────────────────────────────────────────────────


def test_daily_limit_is_two_hundred_applications(anna: Anna) -> None:
    sandbox = anna.sandbox
    assert sandbox.control("GET", "/state")["applications"]["per_day"] == 200
    assert len(sandbox.apply_by_hand("anna", count=199)["negotiation_ids"]) == 199
    sandbox.advance(3_600)
    vacancies = [sandbox.publish("Программист") for _ in range(3)]
    assert anna.apply(vacancies[0]).status_code == 201
    answer = anna.apply(vacancies[1])
    assert refusal(answer) == (400, "negotiations", "limit_exceeded")
    assert answer.json()["description"] == "Daily negotiations limit is exceeded"
    timur = Anna(sandbox, "timur")
    assert timur.apply(vacancies[1]).status_code == 201
    counts = Counter(row["outcome"] for row in sandbox.applications(person="anna"))
    assert counts == {"accepted": 200, "limit_exceeded": 1}
    with pytest.raises(httpx.HTTPStatusError) as raised:
        sandbox.apply_by_hand("anna", vacancy_id=vacancies[2]["id"])
    assert raised.value.response.json() == {"negotiation_ids": [], "refused": "limit_exceeded"}


def test_daily_limit_uses_a_sliding_window(anna: Anna) -> None:
    sandbox = anna.sandbox
    sandbox.control("POST", "/clock", {"rate": 0})
    sandbox.applications_per_day(2)
    vacancies = [sandbox.publish("Программист") for _ in range(4)]
    assert anna.apply(vacancies[0]).status_code == 201
    sandbox.advance(DAY_S / 2)
    assert anna.apply(vacancies[1]).status_code == 201
    sandbox.advance(DAY_S / 2 - 1)
    assert refusal(anna.apply(vacancies[2]))[2] == "limit_exceeded"
    sandbox.advance(1)
    assert anna.apply(vacancies[2]).status_code == 201
    assert refusal(anna.apply(vacancies[3]))[2] == "limit_exceeded"


@pytest.mark.parametrize("body", [{"applications_per_day": 0}, {}, {"applications": 1}, []])
def test_invalid_limit_is_refused(hh_sandbox: HhSandbox, body: Any) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        hh_sandbox.control("POST", "/limit", body)
    assert hh_sandbox.control("GET", "/state")["calls_per_second"] == UNLIMITED


def test_concurrent_applications_stop_at_the_limit(anna: Anna) -> None:
    sandbox = anna.sandbox
    sandbox.applications_per_day(7)
    vacancies = [sandbox.publish("Программист") for _ in range(20)]
    with ThreadPoolExecutor(10) as pool:
        statuses = Counter(answer.status_code for answer in pool.map(anna.apply, vacancies))
    assert statuses == {201: 7, 400: 13}


# ── applying by hand ────────────────────────────────────────────────────────────────────────────


def test_application_by_hand_is_seen_through_the_api(anna: Anna) -> None:
    sandbox, vacancy = anna.sandbox, anna.sandbox.publish("Программист")
    (id_,) = sandbox.apply_by_hand("anna", vacancy_id=vacancy["id"])["negotiation_ids"]
    assert [item["id"] for item in anna.get("/negotiations")["items"]] == [id_]
    assert refusal(anna.apply(vacancy))[2] == "already_applied"
    assert [row["by"] for row in sandbox.applications()] == ["hand", "api"]
    several = sandbox.apply_by_hand("anna", count=5, message=LETTER)["negotiation_ids"]
    assert anna.get("/negotiations")["found"] == 6
    assert len({row["vacancy_id"] for row in sandbox.applications(by="hand")}) == 6
    assert len(set(several)) == 5


@pytest.mark.parametrize(
    "body", [{"count": 0}, {"count": True}, {"vacancy_id": "1", "count": 2}, {"resume": "1"},
             {"message": 1}, []],
)  # fmt: skip
def test_invalid_application_by_hand_is_refused(hh_sandbox: HhSandbox, body: Any) -> None:
    with pytest.raises(httpx.HTTPStatusError) as raised:
        hh_sandbox.control("POST", "/people/anna/applications", body)
    assert raised.value.response.status_code == 400


# ── lost answers ────────────────────────────────────────────────────────────────────────────────


def raw_apply(anna: Anna, vacancy: Any, timeout: float) -> httpx.Response:
    return httpx.post(
        anna.sandbox.url + "/negotiations",
        data={"vacancy_id": vacancy["id"], "resume_id": anna.resumes[0]},
        headers={"User-Agent": USER_AGENT, "Authorization": f"Bearer {anna.token}"},
        timeout=timeout,
        trust_env=False,
    )


@pytest.mark.parametrize(
    ("fault", "options", "raises", "done"),
    [
        ("truncated", {}, httpx.RemoteProtocolError, True),
        ("lost", {}, httpx.TransportError, True),
        ("slow", {"seconds": 3}, httpx.ReadTimeout, True),
        ("drop", {}, httpx.TransportError, False),
    ],
)
def test_lost_response_leaves_a_known_outcome(
    anna: Anna, fault: str, options: dict[str, Any], raises: type[Exception], done: bool
) -> None:
    sandbox, vacancy = anna.sandbox, anna.sandbox.publish("Программист")
    sandbox.fault(fault, path="/negotiations", method="POST", times=1, **options)
    assert anna.get("/negotiations")["found"] == 0  # the fault does not apply to GET
    with pytest.raises(raises):
        raw_apply(anna, vacancy, timeout=0.5 if fault == "slow" else 30)
    found = anna.get("/negotiations", vacancy_id=vacancy["id"], status="active")
    assert found["found"] == (1 if done else 0)
    assert [row["outcome"] for row in sandbox.applications()] == ["accepted"] * done
    again = anna.apply(vacancy)
    assert again.status_code == (403 if done else 201)


@pytest.mark.parametrize("fault", ["bad_gateway", "server_error", "too_many_requests", "captcha"])
def test_error_response_means_no_application(anna: Anna, fault: str) -> None:
    vacancy = anna.sandbox.publish("Программист")
    anna.sandbox.fault(fault, path="/negotiations", times=1)
    assert anna.apply(vacancy).status_code in {403, 429, 500, 502}
    assert anna.sandbox.applications() == []


# ── what is kept ────────────────────────────────────────────────────────────────────────────────


def test_applications_survive_a_kill(tmp_path: Path) -> None:
    with run_sandbox(tmp_path, "--vacancies", "50") as sandbox:
        anna = Anna(sandbox)
        vacancy = sandbox.publish("Программист")
        location = anna.apply(vacancy, LETTER).headers["Location"]
        sandbox.kill()
    with run_sandbox(tmp_path, "--vacancies", "50") as sandbox:
        shown = sandbox.call("GET", location, anna.token).json()
        assert (shown["vacancy"]["id"], shown["state"]["id"]) == (vacancy["id"], "response")
        assert refusal(sandbox.apply(anna.token, vacancy["id"], anna.resumes[0]))[2] == (
            "already_applied"
        )
        assert [row["outcome"] for row in sandbox.applications()] == ["accepted", "already_applied"]
        sandbox.control("DELETE", "/people")
        assert sandbox.applications() == []
        assert sandbox.call("GET", location, anna.token).status_code == 404
