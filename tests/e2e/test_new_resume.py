"""A resume is created for a vacancy through the running local cloud; its CV is never revealed."""

import json

from tests.fixtures.waiting import until
from tests.harness.connected_cloud import get, log_in

SUMMARY = "Двадцать лет веду учёт без единого штрафа."
CV = {
    "firstName": "Ольга",
    "email": "olga@example.org",
    "phone": "+79005550103",
    "title": "Бухгалтер по налогам",
    "summary": SUMMARY,
    "skills": ["НДС"],
}


def test_application_is_sent_with_its_new_resume(cloud):
    session_id, jwt = log_in(cloud, "olga")
    vacancy = cloud.sandbox("POST", "/vacancies", {"title": "Бухгалтер"})["id"]
    body = {
        "user_id": session_id,
        "job_external_id": str(vacancy),
        "cover_letter": "Здравствуйте!",
        "customized_cv": CV,
        "create_resume": True,
    }
    with cloud.client() as bff:
        accepted = bff.post("/api/applications/submit", json=body)
    assert accepted.status_code == 202, accepted.text
    path = f"/api/applications/{accepted.json()['application_id']}"
    shown = until(
        lambda: get(cloud, path, jwt)["application"],
        lambda application: application["state"] == "submitted",
    )
    assert "resume_not_visible" in {step["reason"] for step in shown["history"]}
    assert shown["resume_reason"] == "made"
    resume = get(cloud, f"/api/hh/resumes/{shown['resume_id']}", jwt)["resume"]
    assert (resume["title"], resume["summary"], resume["skill_set"]) == (
        CV["title"],
        SUMMARY,
        ["НДС"],
    )
    assert cloud.query("SELECT count(*) FROM application_ledger WHERE new_resume IS NOT NULL") == [
        (0,)
    ]
    output = "".join(cloud.output)
    assert accepted.headers["x-request-id"] in output, "logs are printed"
    assert SUMMARY not in output
    assert json.dumps(SUMMARY)[1:-1] not in output
