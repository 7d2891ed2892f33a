"""Tickets, first frames, invalid frames, limits, and isolation of accounts."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import unquote
from uuid import uuid4

import pytest

from local.template.reader import load
from tests.fixtures.core import reset_environment
from ullgetthejob.accounts import session_tokens
from ullgetthejob.platform import clock
from ullgetthejob.realtime import connections, frame_budget, tickets, websocket_invocations


@pytest.fixture
def anna(room):
    """Anna's account and a session of it."""
    account_id = room.account()
    return account_id, room.user(account_id)


def error(room, id):
    """Return the code of the last message, which is an error."""
    last = room.management.messages[id][-1]
    assert (last["v"], last["type"]) == (1, "error")
    assert last["message"]
    return last["error"]


# ── tickets ──────────────────────────────────────────────────────────────────────────────────────


def test_ticket_comes_with_its_websocket_url(room, anna):
    _, user_id = anna
    before = clock.now()
    status, answer = room.request_ticket({"user_id": str(user_id)})
    assert status == 200
    assert answer["url"] == f"ws://localhost:4000/ws?ticket={answer['ticket']}"
    left = datetime.fromisoformat(answer["expires_at"]) - before
    assert timedelta(seconds=60) <= left < timedelta(seconds=90)
    assert answer["ticket"] not in json.dumps(
        room.aws.client("dynamodb").scan(TableName="OneTimeTable")["Items"]
    )


def test_browser_gets_a_ticket_with_its_jwt_alone(room, anna):
    _, user_id = anna
    jwt = session_tokens.issue(user_id, now=clock.now())
    for body in (None, {}, {"user_id": str(user_id)}):
        status, answer = room.request_ticket(body, jwt=jwt)
        assert status == 200
        assert room.connect(answer["ticket"])[0] == 200
    status, answer = room.request_ticket({"user_id": str(uuid4())}, jwt=jwt)
    assert (status, answer["error"]) == (403, "user_mismatch")


def test_user_without_an_account_gets_no_ticket(room):
    status, answer = room.request_ticket({"user_id": str(room.user(None))})
    assert (status, answer["error"]) == (409, "reauth_required")
    status, answer = room.request_ticket({"user_id": str(uuid4())})
    assert (status, answer["error"]) == (404, "user_not_found")
    status, answer = room.request_ticket({})
    assert (status, answer["error"]) == (422, "invalid_request")


def test_ticket_is_valid_once_within_a_minute(room, anna):
    _, user_id = anna
    ticket = room.ticket(user_id)
    status, id = room.connect(ticket)
    assert status == 200
    assert room.connect(ticket)[0] == 401
    assert room.connect(ticket, connection_id=id)[0] == 200  # API Gateway may retry
    assert len(connections.list_of_account(anna[0])) == 1
    late, moment = room.ticket(user_id), clock.now()
    clock.install(lambda: moment + timedelta(seconds=61))
    try:
        assert room.connect(late)[0] == 401
    finally:
        clock.install(None)
    assert len(connections.list_of_account(anna[0])) == 1


def test_invalid_ticket_is_refused(room):
    for ticket in ("", "A" * 43, "A" * 100_000, "null", "билет"):
        assert room.connect(ticket)[0] == 401
    assert room.items() == []


def test_ticket_of_an_ended_session_is_refused(room, anna):
    account_id, user_id = anna
    revoked = room.ticket(user_id)
    room.rows("UPDATE users SET tokens_valid_from = %s WHERE id = %s", clock.now(), user_id)
    assert room.connect(revoked)[0] == 401
    other = room.user(account_id)
    moved = room.ticket(other)
    room.rows("UPDATE users SET account_id = %s WHERE id = %s", room.account(), other)
    assert room.connect(moved)[0] == 401
    gone = room.user(account_id)
    deleted = room.ticket(gone)
    room.rows("DELETE FROM users WHERE id = %s", gone)
    assert room.connect(deleted)[0] == 401
    assert connections.list_of_account(account_id) == []


def test_account_has_at_most_twenty_connections(room, anna):
    account_id, user_id = anna
    ids = [room.connect_user(user_id) for _ in range(connections.MAX_PER_ACCOUNT)]
    refused, _ = room.connect(room.ticket(user_id))
    assert refused == 429
    assert {found.id for found in connections.list_of_account(account_id)} == set(ids)
    other = room.user(room.account())
    room.connect_user(other)
    room.disconnect(ids[0])
    room.connect_user(user_id)
    assert len(connections.list_of_account(account_id)) == connections.MAX_PER_ACCOUNT


def test_stale_connections_do_not_count(room, anna):
    account_id, user_id = anna
    silent = [room.connect_user(user_id, age_s=61) for _ in range(10)]
    old = []
    for _ in range(10):
        old.append(room.connect_user(user_id, age_s=59))
        room.send_frame(old[-1], {"type": "subscribe"})
    id = room.connect_user(user_id)
    assert {found.id for found in connections.list_of_account(account_id)} == {*old, id}
    assert not [id for id in silent if room.items(id)]


def test_concurrent_connects_never_exceed_the_limit(room, anna):
    account_id, user_id = anna
    holder = tickets.TicketHolder(user_id, account_id, clock.now())

    def connect(number):
        try:
            connections.add(f"c-{number}", holder, connected_at_ms=clock.real_ms())
        except connections.TooManyConnections:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        accepted = sum(pool.map(connect, range(30)))
    assert accepted == len(connections.list_of_account(account_id)) <= connections.MAX_PER_ACCOUNT


# ── frames ───────────────────────────────────────────────────────────────────────────────────────


def test_ping_is_answered_in_every_connection_state(room, anna):
    id = room.connect_user(anna[1])
    room.send_frame(id, {"type": "ping"})
    room.send_frame(id, {"type": "subscribe"})
    room.send_frame(id, {"type": "ping"})
    assert room.management.messages[id] == [{"v": 1, "type": "pong"}] * 2


INVALID_FRAMES = [
    ("", "invalid_frame"),
    ("hello", "invalid_frame"),
    ("[]", "invalid_frame"),
    ("null", "invalid_frame"),
    ("{}", "invalid_frame"),
    ('{"type":null}', "unknown_type"),
    ('{"type":"publish","account_id":"1"}', "unknown_type"),
    ('{"type":"replay"}', "invalid_frame"),
    ('{"type":"replay","cursor":-1}', "invalid_frame"),
    ('{"type":"replay","cursor":"0"}', "invalid_frame"),
    ('{"type":"replay","cursor":0.5}', "invalid_frame"),
    ('{"type":"replay","cursor":true}', "invalid_frame"),
    ('{"type":"replay","cursor":0,"topics":["everything"]}', "invalid_frame"),
    ('{"type":"replay","cursor":1}', "bad_cursor"),
    ('{"type":"replay","cursor":99999999999999999999999999}', "bad_cursor"),
    ('{"type":"subscribe","topics":"jobs"}', "invalid_frame"),
    ('{"type":"unsubscribe","topics":["jobs"]}', "not_open"),
    ('{"type":"ping","padding":"' + "x" * 4096 + '"}', "frame_too_long"),
    ("[" * 2000, "invalid_frame"),
    ('{"type":"ping","text":"' + "я" * 2040 + '"}', "frame_too_long"),
]


def test_invalid_frames_get_an_error_and_change_nothing(room, anna):
    id = room.connect_user(anna[1])
    before = room.items(id)
    room.take_wake_ups()
    for frame, code in INVALID_FRAMES:
        room.send_frame(id, frame)
        assert error(room, id) == code, frame
    assert room.items(id) == before
    assert room.take_wake_ups() == []
    room.send_frame(id, {"type": "replay", "cursor": 0})
    assert connections.find(id).state == "open"


def test_first_frame_notifies_and_is_answered_by_ready(room, anna):
    account_id, user_id = anna
    id = room.connect_user(user_id)
    room.take_wake_ups()
    room.send_frame(id, {"type": "subscribe", "topics": ["jobs", "jobs"]})
    assert room.take_wake_ups() == [account_id]
    room.broadcast(account_id)
    assert room.management.types(id) == ["ready"]
    assert connections.find(id).topics == ("jobs",)


def test_frame_of_an_unknown_connection_asks_to_reconnect(room, anna):
    account_id, user_id = anna
    id = room.open_connection(user_id)
    connections.delete(id, account_id)
    room.send_frame(id, {"type": "replay", "cursor": 0})
    assert error(room, id) == "reconnect"
    assert room.management.closed == [id]
    room.send_frame(id, {"type": "subscribe", "topics": ["jobs"]})
    assert room.items() == []
    room.disconnect(id)


def test_frame_of_an_ended_session_gets_no_events(room, anna):
    account_id, user_id = anna
    room.append_event(account_id)
    id = room.connect_user(user_id)
    room.rows("UPDATE users SET tokens_valid_from = %s WHERE id = %s", clock.now(), user_id)
    room.send_frame(id, {"type": "replay", "cursor": 0})
    assert error(room, id) == "reconnect"
    assert room.management.closed == [id]
    room.broadcast(account_id)
    assert room.management.seqs(id) == []


def test_disconnect_deletes_the_connection(room, anna):
    id = room.open_connection(anna[1])
    room.disconnect(id)
    assert room.items() == []
    room.disconnect(id)


def test_reply_to_a_gone_client_fails_nothing(room, anna):
    id = room.connect_user(anna[1])
    room.management.answers[id] = lambda: 410
    room.send_frame(id, {"type": "ping"})
    room.send_frame(id, "nonsense")


def test_replies_go_to_the_origin_unless_an_endpoint_is_set(room, anna, monkeypatch):
    id = room.connect_user(anna[1])
    monkeypatch.setenv("WEBSOCKET_API_ENDPOINT", "")
    room.send_frame(id, {"type": "ping"})
    assert room.management.types(id) == ["pong"]
    request = {"domainName": "id.execute-api.eu-central-1.amazonaws.com", "stage": "ws"}
    assert (
        websocket_invocations.endpoint_of(request)
        == "https://id.execute-api.eu-central-1.amazonaws.com/ws"
    )


def test_unavailable_database_refuses_connect_and_replay(room, anna, monkeypatch):
    ticket = room.ticket(anna[1])
    id = room.connect_user(anna[1])
    reset_environment()
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    assert room.connect(ticket)[0] == 503
    room.send_frame(id, {"type": "replay", "cursor": 0})
    assert error(room, id) == "database_unavailable"
    reset_environment()


# ── isolation ────────────────────────────────────────────────────────────────────────────────────


def test_no_account_receives_events_of_another(room, anna):
    """Timur tries with everything he can obtain: cursors, tickets, topics, ids, frames."""
    annas, anna_user = anna
    timurs = room.account()
    timur_user = room.user(timurs)
    for number in range(5):
        room.append_event(annas, secret=f"anna's {number}")
    room.append_event(timurs, mine="timur's")
    hers = room.open_connection(anna_user, 0)
    used = room.ticket(anna_user)
    assert room.connect(used)[0] == 200
    mine = room.connect_user(timur_user)
    room.send_frame(
        mine, {"type": "replay", "cursor": 5}
    )  # a cursor of hers is above his last event
    assert error(room, mine) == "bad_cursor"
    more = {"account_id": str(annas), "user_id": str(anna_user), "connection_id": hers}
    room.send_frame(mine, {"type": "replay", "cursor": 0, **more})
    room.send_frame(mine, {"type": "subscribe", "topics": ["jobs", "account"], **more})
    room.send_frame(mine, {"type": "subscribe", "topics": [str(annas)]})
    assert error(room, mine) == "invalid_frame"
    assert room.connect(used)[0] == 401
    assert room.connect(used, connection_id=mine)[0] == 401
    room.broadcast(annas, timurs)
    room.append_event(annas, secret="anna's")
    room.broadcast(timurs, annas)
    assert "anna" not in json.dumps(room.management.messages[mine])
    assert [m["data"] for m in room.management.messages[mine] if "data" in m] == [
        {"mine": "timur's"}
    ]
    assert room.management.seqs(hers) == [1, 2, 3, 4, 5, 6]
    assert "timur" not in json.dumps(room.management.messages[hers])


# ── limits ───────────────────────────────────────────────────────────────────────────────────────


def fill(room, user_id):
    """Open as many connections as an account may have, and return their ids."""
    ids = [room.connect_user(user_id) for _ in range(connections.MAX_PER_ACCOUNT)]
    for id in ids:
        room.send_frame(id, {"type": "subscribe"})
    return ids


def checked_connections(room):
    return {unquote(path).rpartition("/")[2] for path, _ in room.management.signed}


def test_gone_connection_makes_room_for_a_new_one(room, anna):
    account_id, user_id = anna
    ids = fill(room, user_id)
    for id in ids[3:5]:
        room.management.answers[id] = lambda: 410
    new = room.connect_user(user_id)
    kept = {found.id for found in connections.list_of_account(account_id)}
    assert kept == {*ids, new} - {*ids[3:5]}
    assert all(not room.items(id) for id in ids[3:5])
    room.connect_user(user_id)
    room.management.signed.clear()
    assert room.connect(room.ticket(user_id))[0] == 429
    assert checked_connections(room) >= {*ids} - {*ids[3:5]}
    assert room.management.closed == [], "existing connections are only checked"
    assert all(room.management.types(id) == [] for id in ids)


@pytest.mark.parametrize("status", [429, 500, 403])
def test_connection_of_unknown_state_keeps_its_place(room, anna, status):
    account_id, user_id = anna
    ids = fill(room, user_id)
    for id in ids:
        room.management.answers[id] = lambda: status
    assert room.connect(room.ticket(user_id))[0] == 429
    assert {found.id for found in connections.list_of_account(account_id)} == set(ids)


def test_connecting_connection_is_not_mistaken_for_gone(room, anna):
    """API Gateway returns 410 for a connection whose $connect has not returned."""
    account_id, user_id = anna
    young = [room.connect_user(user_id) for _ in range(10)]
    older = [room.connect_user(user_id, age_s=40) for _ in range(10)]
    for id in (*young, *older):
        room.management.answers[id] = lambda: 410
    new = room.connect_user(user_id)
    assert {found.id for found in connections.list_of_account(account_id)} == {*young, new}
    assert checked_connections(room) == set(older)


def test_flooding_connection_is_closed_and_others_are_served(room, anna):
    _, user_id = anna
    flooding, other = room.connect_user(user_id), room.connect_user(user_id)
    for _ in range(200):
        room.send_frame(flooding, {"type": "ping"})
    assert room.management.closed == [flooding]
    messages = room.management.messages[flooding]
    types = [message["type"] for message in messages]
    assert types == ["pong"] * frame_budget.BURST + ["error"]
    assert messages[-1]["error"] == "too_many_frames"
    room.send_frame(other, {"type": "ping"})
    assert room.management.types(other) == ["pong"]


def test_frames_at_the_refill_rate_stay_within_budget():
    moment = [0.0]
    budget = frame_budget.FrameBudget(lambda: moment[0])
    for _ in range(1000):
        assert budget.spend("a") == "within"
        moment[0] += frame_budget.REFILL_INTERVAL_S
    most = frame_budget.BURST
    verdicts = [budget.spend("a") for _ in range(most + 10)]
    assert verdicts == ["within"] * most + ["over"] + ["ignored"] * 9
    moment[0] += frame_budget.CLOSE_INTERVAL_S - 0.1
    assert budget.spend("a") == "ignored"
    moment[0] += 0.1
    assert [budget.spend("a") for _ in range(6)] == ["within"] * 5 + ["over"]
    assert budget.spend("b") == "within"


def test_budget_of_very_many_connections_stays_bounded():
    moment = [0.0]
    budget = frame_budget.FrameBudget(lambda: moment[0])
    for number in range(3 * frame_budget.MAX_REMEMBERED):
        budget.spend(str(number))
        moment[0] += 0.0001
    assert len(budget._full_at) <= frame_budget.MAX_REMEMBERED


def test_frames_have_a_function_apart_from_connect():
    routes = load().websocket.routes
    assert routes["$connect"] == routes["$disconnect"] != routes["$default"]
