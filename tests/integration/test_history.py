"""History transfer: after a new login a person sees earlier applications, as the BFF reads them."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

# The BFF's queries of its history and its queue, by its present session's id.
BFF_HISTORY = "SELECT job_external_id FROM applications WHERE user_id = %s ORDER BY 1"
BFF_QUEUE = "SELECT job_external_id FROM application_queue WHERE user_id = %s ORDER BY 1"


def submit(core, session, vacancy):
    body = {"user_id": session, "job_external_id": vacancy, "cover_letter": "Здравствуйте!"}
    reply = core.call("POST /api/applications/submit", body=body)
    assert reply.status == 202, reply
    return reply.body["application_id"]


def start_campaign(core, session, vacancy):
    add = {"userId": session, "jobs": [{"job_external_id": vacancy}]}
    workflow = core.call("POST /api/queue/add", body=add).body["workflow_id"]
    body = {"workflowId": workflow, "userId": session}
    assert core.call("POST /api/queue/start-workflow", body=body).status == 200
    return workflow


def seen(core, session):
    return [row["job_external_id"] for row in core.rows(BFF_HISTORY, session)]


def queued(core, session):
    return [row["job_external_id"] for row in core.rows(BFF_QUEUE, session)]


def transfers(core):
    return [record for record in core.audited() if record[1] == "history.move"]


@pytest.fixture
def old(core):
    """A session of Anna's with two applications, the second of a campaign."""
    session, _ = core.log_in("anna")
    submit(core, session, "1")
    start_campaign(core, session, "2")
    return session


def test_new_session_of_the_same_person_sees_the_history(core, old):
    new, jwt = core.log_in("anna")
    assert (seen(core, new), queued(core, new)) == (["1", "2"], ["2"])
    assert (seen(core, old), queued(core, old)) == ([], [])
    listed = core.call("GET /api/applications", jwt=jwt, secret=None)
    assert {item["job_id"] for item in listed.body["items"]} == {"1", "2"}
    assert transfers(core) == [("service", "history.move", "ok")]


def test_repeated_callback_transfers_nothing_more(core, old):
    code, new = core.code(), str(uuid4())
    for _ in range(2):
        assert core.callback(code, new).status == 200
    assert seen(core, new) == ["1", "2"]
    assert len(transfers(core)) == 1


def test_failed_transfer_is_completed_by_the_same_callback(core, old):
    code, new = core.code(), str(uuid4())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "ullgetthejob.accounts.history_transfer.UPDATE_APPLICATIONS_OWNER", "SELECT 1/0"
        )
        assert core.callback(code, new).status == 500
    assert seen(core, old) == ["1", "2"]
    assert core.callback(code, new).status == 200
    assert seen(core, new) == ["1", "2"]
    assert core.hits() == 1, "the code went to hh.ru once"


def test_two_sessions_see_rows_of_their_last_login_in_the_bff(core, old):
    new, _ = core.log_in("anna")
    submit(core, old, "3")
    assert (seen(core, old), seen(core, new)) == (["3"], ["1", "2"])
    core.log_in("anna", old)
    assert (seen(core, old), seen(core, new)) == (["1", "2", "3"], [])


def test_other_person_sees_nothing_of_the_history(core, old):
    timur, _ = core.log_in("timur")
    assert (seen(core, timur), queued(core, timur)) == ([], [])
    assert (seen(core, old), queued(core, old)) == (["1", "2"], ["2"])
    assert transfers(core) == []


@pytest.mark.parametrize("with_heir", [True, False])
def test_session_that_changes_person_leaves_the_history(core, old, with_heir):
    heir = core.log_in("anna")[0] if with_heir else None
    if heir:
        core.log_in("anna", old)
    url, state = core.redirect(session_id=old)  # without its own state, a session cannot move
    assert core.callback(core.consent(url, "timur"), old, state=state).status == 200
    assert (seen(core, old), queued(core, old)) == ([], [])
    if heir:
        assert (seen(core, heir), queued(core, heir)) == (["1", "2"], ["2"])
    back, _ = core.log_in("anna")
    assert (seen(core, back), queued(core, back)) == (["1", "2"], ["2"])


def test_transferred_row_is_shown_as_before(core, old):
    new, _ = core.log_in("anna")
    [row] = core.rows("SELECT id FROM applications WHERE job_external_id = '1'")
    shown = core.call(
        "GET /api/applications/{id}",
        parameters={"id": str(row["id"])},
        query={"user_id": new},
    )
    assert shown.body["application"]["job_id"] == "1"
    assert UUID(shown.body["application"]["application_id"]) != row["id"]
