"""What checks a running Core: the smoke test of a deployment, and ``ugtj doctor``."""

import json
import socket

import pytest

from migrations.seed import DEMO_USER_ID
from tests.harness.command_line import finding

# ── the smoke test of a deployment ───────────────────────────────────────────────────────────────


def smoked(ugtj, **change):
    """Return the findings of "ugtj cloud smoke" for the local cloud, by test."""
    from cli.commands.cloud.smoke import Deployed, smoke

    given = {
        "url": ugtj.cloud.url,
        "websocket_url": ugtj.cloud.url.replace("http:", "ws:") + "/ws",
        "secret": ugtj.cloud.secrets["ORCHESTRATOR_SECRET"],
        **change,
    }
    return {found.check: found for found in smoke(Deployed(**given))}


@pytest.mark.parametrize("user", [None, DEMO_USER_ID])
def test_smoke_test_passes_on_a_cloud_in_order(ugtj, user):
    ugtj.cloud.forget_pauses()
    found = smoked(ugtj, user=user)
    assert {name: check.message for name, check in found.items() if check.verdict != "ok"} == {}
    assert set(found) == {"health", "ready", "search", "socket", "application"}


def test_smoke_test_names_what_fails(ugtj):
    found = smoked(ugtj, secret="wrong", commit="another", user=DEMO_USER_ID)
    failed = {name: check.message for name, check in found.items() if check.verdict == "problem"}
    assert set(failed) == {"ready", "search", "socket", "application"}
    assert "not another" in failed["ready"]
    assert "unauthorized" in failed["search"]


def test_smoke_test_of_a_core_that_is_away_names_no_address(ugtj):
    found = smoked(ugtj, url="http://127.0.0.1:9", websocket_url="ws://127.0.0.1:9/ws")
    assert {check.verdict for check in found.values()} == {"problem"}
    assert all("no answer" in check.message for check in found.values())


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────


def test_doctor_finds_a_wrong_secret(ugtj):
    verdict, step = finding(ugtj, "secret", ORCHESTRATOR_SECRET="wrong")
    assert verdict == "problem"
    assert "ORCHESTRATOR_SECRET" in step


def test_doctor_finds_a_database_that_is_down(ugtj):
    address = "postgresql://nobody@127.0.0.1:1/nothing"
    assert finding(ugtj, "database", DATABASE_URL=address)[0] == "problem"


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        ("drop", "hh.ru"),
        ("server_error", "hh.ru"),
        ("edge_block", "egress"),
        ("vpn_check", "egress"),
    ],
)
def test_doctor_finds_hh_unreachable_or_blocked(ugtj, fault, step):
    ugtj.cloud.forget_pauses()
    ugtj.cloud.sandbox("POST", "/faults", {"kind": fault})
    try:
        verdict, next_step = finding(ugtj, "hh")
    finally:
        ugtj.cloud.sandbox("DELETE", "/faults")
        ugtj.cloud.forget_pauses()
    assert verdict == "problem"
    assert step in next_step


def test_doctor_finds_a_missing_application_token(ugtj):
    """hh.ru gives no other token within five minutes."""
    for number in range(2):
        ugtj.cloud.forget_pauses()
        ugtj.cloud.sandbox("DELETE", "/tokens")
        ugtj.run("search", f"a search of its own {number}")  # takes a token, if it gets one
    ugtj.cloud.sandbox("DELETE", "/tokens")
    verdict, step = finding(ugtj, "hh")
    ugtj.cloud.sandbox("POST", "/clock", {"advance_seconds": 600})
    assert verdict == "problem"
    assert "HH_ACCESS_TOKEN" in step


def test_doctor_finds_an_account_to_log_in_again(ugtj):
    person = ugtj.json("people", "connect", "olga")["user_id"]
    verdict, step = finding(ugtj, "access", UGTJ_USER=person)
    assert verdict == "ok"
    ugtj.cloud.query(
        "UPDATE accounts SET access_state = 'reauth_required' WHERE id = "
        f"(SELECT account_id FROM users WHERE id = '{person}') RETURNING id"
    )
    verdict, step = finding(ugtj, "access", UGTJ_USER=person)
    assert (verdict, step) == ("problem", f"ugtj people connect --user {person}")


def test_doctor_finds_a_port_that_is_taken(ugtj, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        verdict, step = finding(ugtj, "port", DATA_DIR=str(tmp_path), PORT=str(port))
    assert (verdict, step) == ("problem", f"PORT={port + 1} make run")


def test_doctor_finds_dead_letters_which_redrive_sends(ugtj):
    sqs = ugtj.cloud.aws_client("sqs")
    (url,) = [u for u in sqs.list_queues()["QueueUrls"] if u.endswith("FetchDeadLetters")]
    body = json.dumps({"query_id": DEMO_USER_ID})
    sqs.send_message(QueueUrl=url, MessageBody=body)
    assert finding(ugtj, "queues") == ("problem", "ugtj queues redrive FetchQueue")
    shown = ugtj.json("queues", "show", "FetchDeadLetters")
    assert [message["body"] for message in shown["messages"]] == [body]
    assert ugtj.json("queues", "redrive", "FetchQueue")["sent_again"] == 1
    assert finding(ugtj, "queues")[0] == "ok"
    sqs.close()


def test_doctor_finds_a_clock_that_jumped(ugtj):
    ugtj.cloud.sandbox("POST", "/clock", {"advance_seconds": 7200})
    verdict, step = finding(ugtj, "clock")
    assert verdict == "warning"
    assert "sandbox clock" in step
