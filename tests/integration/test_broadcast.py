"""The broadcaster: which events connections receive, in which order, and failed posts."""

import json
import threading
from uuid import uuid4

import pytest

from tests.fixtures.waiting import until
from ullgetthejob.platform import clock, postgres
from ullgetthejob.realtime import broadcaster, connections, event_log, log_reader, sockets


@pytest.fixture
def anna(room):
    """Anna's account and a session of it."""
    account_id = room.account()
    return account_id, room.user(account_id)


def test_replay_delivers_events_above_the_cursor_and_later_ones(room, anna):
    account_id, user_id = anna
    seqs = [room.append_event(account_id) for _ in range(3)]
    id = room.open_connection(user_id, cursor=1)
    assert room.management.messages[id] == []
    assert room.broadcast(account_id) == []
    ready, second, third = room.management.messages[id]
    assert ready == {"v": 1, "type": "ready", "seq": 3, "cursor": 1}
    assert list(second) == ["v", "seq", "type", "at", "data"]
    assert (second["type"], second["data"]) == ("jobs.new", {"jobs": ["Инженер"]})
    assert [second["seq"], third["seq"]] == seqs[1:]
    room.append_event(account_id)
    room.broadcast(account_id)
    room.broadcast(account_id)
    assert room.management.seqs(id) == [2, 3, 4]
    assert room.unserved() == 0


def test_subscription_delivers_topics_and_marks_skipped_seqs(room, anna):
    account_id, user_id = anna
    id = room.connect_user(user_id)
    room.append_event(account_id, "jobs.new")
    room.send_frame(id, {"type": "subscribe", "topics": ["jobs"]})
    room.broadcast(account_id)
    room.append_event(account_id, "jobs.new")  # 2
    room.broadcast(account_id)
    for kind in ("account.updated", "fetch.completed", "application.updated"):  # 3, 4, 5
        room.append_event(account_id, kind)
        room.broadcast(account_id)
    room.append_event(account_id, "jobs.new")  # 6
    room.append_event(account_id, "jobs.new")  # 7
    room.broadcast(account_id)
    ready, second, sixth, seventh = room.management.messages[id]
    assert (ready["cursor"], ready["seq"]) == (1, 1)
    assert (second["seq"], "after" in second) == (2, False)
    assert (sixth["seq"], sixth["after"]) == (6, 2)
    assert (seventh["seq"], "after" in seventh) == (7, False)
    assert room.unserved() == 0


def test_topics_can_be_changed_on_an_open_connection(room, anna):
    account_id, user_id = anna
    id = room.open_connection(user_id, 0, topics=["fetch"])
    room.broadcast(account_id)
    room.send_frame(id, {"type": "subscribe", "topics": ["jobs"]})
    room.send_frame(id, {"type": "unsubscribe", "topics": ["fetch"]})
    room.append_event(account_id, "fetch.completed")
    room.append_event(account_id, "jobs.new")
    room.broadcast(account_id)
    room.send_frame(id, {"type": "unsubscribe", "topics": ["jobs"]})
    room.append_event(account_id, "jobs.new")
    room.broadcast(account_id)
    _, added, left, new, nothing = room.management.messages[id]
    assert (added["type"], added["topics"]) == ("subscribed", ["fetch", "jobs"])
    assert (left["topics"], nothing["topics"]) == (["jobs"], [])
    assert (new["seq"], new["after"]) == (2, 0)
    assert room.unserved() == 0


def test_long_backlog_reaches_each_connection_from_its_cursor(room, anna):
    account_id, user_id = anna
    for _ in range(3 * log_reader.EVENTS_PER_READ - 20):
        room.append_event(account_id)
    end = 3 * log_reader.EVENTS_PER_READ - 20
    ids = {
        cursor: room.open_connection(user_id, cursor)
        for cursor in (0, 1, log_reader.EVENTS_PER_READ, end - 1, end)
    }
    assert room.broadcast(account_id) == []
    for cursor, id in ids.items():
        assert room.management.seqs(id) == list(range(cursor + 1, end + 1))
    assert room.unserved() == 0


def test_replay_past_retention_is_truncated_with_a_notice(room, anna):
    account_id, user_id = anna
    for _ in range(5):
        room.append_event(account_id)
    room.rows("DELETE FROM events WHERE seq <= 3")
    id = room.open_connection(user_id, 1)
    room.broadcast(account_id)
    assert room.management.types(id) == ["ready", "replay.truncated", "jobs.new", "jobs.new"]
    assert room.management.messages[id][1]["oldest"] == 4
    assert room.management.seqs(id) == [4, 5]
    room.rows("DELETE FROM events")
    other = room.open_connection(user_id, 2)
    room.broadcast(account_id)
    assert room.management.types(other) == ["ready", "replay.truncated"]
    assert room.management.messages[other][1]["oldest"] == 6
    room.append_event(account_id)
    room.broadcast(account_id)
    assert (room.management.seqs(id), room.management.seqs(other)) == ([4, 5, 6], [6])
    assert room.unserved() == 0


def test_replay_on_an_open_connection_starts_again(room, anna):
    account_id, user_id = anna
    for _ in range(3):
        room.append_event(account_id)
    id = room.open_connection(user_id, 0)
    room.broadcast(account_id)
    room.send_frame(id, {"type": "replay", "cursor": 1})
    room.broadcast(account_id)
    assert room.management.seqs(id) == [1, 2, 3, 2, 3]
    assert room.management.types(id)[4:] == ["ready", "jobs.new", "jobs.new"]


def test_replay_during_delivery_is_served_by_the_lease_holder(room, anna):
    account_id, user_id = anna
    for _ in range(4):
        room.append_event(account_id)
    id = room.open_connection(user_id, 0)
    waiting = [lambda: room.send_frame(id, {"type": "replay", "cursor": 2})]

    def answer():
        if len(room.management.seqs(id)) == 1 and waiting:
            # in a thread, since it belongs to another environment without this event loop
            threading.Thread(target=waiting.pop()).start()
            until(lambda: "begin_at" in room.items(id)[0] | room.items(id)[1])
        return 200

    room.management.answers[id] = answer
    room.broadcast(account_id)
    kinds = room.management.types(id)
    assert kinds.count("ready") == 2
    again = len(kinds) - kinds[::-1].index("ready") - 1
    assert [m["seq"] for m in room.management.messages[id][again + 1 :]] == [3, 4]
    assert "begin_at" not in room.items(id)[0] | room.items(id)[1]


def test_gone_connections_are_deleted_but_connecting_ones_kept(room, anna):
    account_id, user_id = anna
    gone, live = room.open_connection(user_id), room.open_connection(user_id)
    silent = room.connect_user(user_id)
    room.management.answers |= dict.fromkeys((gone, silent), lambda: 410)
    room.append_event(account_id)
    assert room.broadcast(account_id) == []
    assert room.management.seqs(live) == [1]
    assert (len(room.items(gone)), len(room.items(silent)), len(room.items(live))) == (0, 2, 2)
    assert room.management.messages[silent] == []
    assert room.unserved() == 0


def test_stale_connections_are_closed(room, anna):
    account_id, user_id = anna
    silent = room.connect_user(user_id, age_s=61)
    old = room.connect_user(user_id, age_s=2 * 3600 + 601)
    room.send_frame(old, {"type": "replay", "cursor": 0})
    young = room.connect_user(user_id, age_s=59)
    room.append_event(account_id)
    assert room.broadcast(account_id) == []
    assert sorted(room.management.closed) == sorted([silent, old])
    assert {item["sk"]["S"] for item in room.items()} == {"-", young}


def test_slow_connection_delays_no_other_and_catches_up(room, anna):
    account_id, user_id = anna
    slow, quick = room.open_connection(user_id), room.open_connection(user_id)
    busy = [429] * 8
    room.management.answers[slow] = lambda: busy.pop() if busy else 200
    for _ in range(3):
        room.append_event(account_id)
    assert room.broadcast(account_id) == []  # a slow client is no failure of the broadcaster
    assert room.management.seqs(quick) == [1, 2, 3]
    assert room.unserved() == 1
    while room.unserved():
        room.broadcast(account_id)
    assert room.management.seqs(slow) == [1, 2, 3]
    assert room.management.seqs(quick) == [1, 2, 3]


def test_timed_out_connection_is_skipped_until_lease_expiry(room, anna, monkeypatch):
    account_id, user_id = anna
    silent, quick = room.open_connection(user_id), room.open_connection(user_id)
    room.broadcast(account_id)
    monkeypatch.setattr(sockets, "REPLY_TIMEOUT_S", 0.5)
    room.management.slow[silent] = 5
    room.append_event(account_id)
    assert room.broadcast(account_id) == []
    asked = len(room.management.signed)
    room.append_event(account_id)
    assert room.broadcast(account_id) == []
    assert room.management.seqs(quick) == [1, 2]
    assert len(room.management.signed) == asked + 1
    assert room.unserved() == 1
    room.management.slow.clear()
    later = clock.real_ms() + connections.LEASE_MS
    broadcaster.run(
        [account_id], connection=postgres.connection(), clock=clock.now, real_ms=lambda: later
    )
    assert room.management.seqs(silent)[-2:] == [1, 2]
    assert room.unserved() == 0


def test_failed_post_returns_the_wake_up_to_the_queue(room, anna):
    account_id, user_id = anna
    other_id = room.account()
    other = room.open_connection(room.user(other_id))
    id, live = room.open_connection(user_id), room.open_connection(user_id)
    room.management.answers[id] = lambda: 403
    room.append_event(account_id), room.append_event(other_id)
    assert room.broadcast(other_id, account_id) == [1]
    assert (room.management.seqs(live), room.management.seqs(other)) == ([1], [1])
    assert len(room.items(id)) == 2
    del room.management.answers[id]
    assert room.broadcast(account_id) == []
    assert room.management.seqs(id) == [1]


def test_transient_post_errors_are_retried_at_once(room, anna):
    account_id, user_id = anna
    statuses = [200, 429, 500, 503, 200, 429]
    id = room.open_connection(user_id)
    room.management.answers[id] = lambda: statuses.pop() if statuses else 200
    room.append_event(account_id)
    assert room.broadcast(account_id) == []
    assert room.management.types(id) == ["ready", "jobs.new"]


def test_event_that_is_too_long_for_the_api_is_skipped(room, anna):
    account_id, user_id = anna
    id = room.open_connection(user_id)
    statuses = [200, 413, 200][::-1]  # ready, and two events
    room.management.answers[id] = lambda: statuses.pop()
    room.append_event(account_id), room.append_event(account_id)
    assert room.broadcast(account_id) == []
    assert room.management.seqs(id) == [2]
    assert room.management.messages[id][-1]["after"] == 0
    assert room.unserved() == 0


def test_longest_event_fits_into_a_frame(room, anna):
    account_id, user_id = anna
    text = "я" * ((event_log.MAX_DATA_BYTES - len('{"text": ""}')) // 2)
    room.append_event(account_id, text=text)
    id = room.open_connection(user_id, 0, topics=["jobs"])
    lengths = []
    post = sockets.Sockets.post

    def posted(self, connection_id, message):
        lengths.append(len(message))
        post(self, connection_id, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sockets.Sockets, "post", posted)
        room.broadcast(account_id)
    assert room.management.messages[id][-1]["data"] == {"text": text}
    assert 31 * 1024 < lengths[-1] + len('"after":9223372036854775807,') < 32 * 1024


def test_work_left_at_the_deadline_gets_a_new_wake_up(room, anna):
    account_id, user_id = anna
    ids = [room.open_connection(user_id) for _ in range(2)]
    room.append_event(account_id)
    room.take_wake_ups()
    failed = broadcaster.run(
        [account_id], connection=postgres.connection(), clock=clock.now, budget_s=-1
    )
    assert failed == set()
    assert room.take_wake_ups() == [account_id]
    assert room.unserved() == 1
    room.broadcast(account_id)
    assert [room.management.seqs(id) for id in ids] == [[1], [1]]


def test_abandoned_lease_expires(room, anna):
    account_id, user_id = anna
    id = room.open_connection(user_id)
    [connection] = connections.list_of_account(account_id)
    room.append_event(account_id)
    now_ms = clock.real_ms()
    assert connections.acquire_lease(connection, sender="ended", now_ms=now_ms) is not None
    assert room.broadcast(account_id) == []
    assert room.management.messages[id] == []
    assert room.unserved() == 1
    later = now_ms + connections.LEASE_MS
    broadcaster.run(
        [account_id],
        connection=postgres.connection(),
        clock=clock.now,
        real_ms=lambda: later,
    )
    assert room.management.seqs(id) == [1]
    assert connections.save_progress(connection, 0, 0, sender="ended", now_ms=later) is None


def test_sweeper_notifies_again_after_a_lost_wake_up(room, anna):
    account_id, user_id = anna
    room.append_event(account_id)
    room.broadcast(account_id)
    assert room.unserved() == 0
    id = room.open_connection(user_id, 0)
    assert account_id in room.take_wake_ups()  # and is lost
    event_log.notify_unserved(connection=postgres.connection(), most=10)
    assert room.take_wake_ups() == [account_id]
    room.broadcast(account_id)
    assert room.management.seqs(id) == [1]
    assert room.unserved() == 0
    # also where only "ready" is missing, and before the account's first event
    other_id = room.account()
    for owner_id, user in ((account_id, user_id), (other_id, room.user(other_id))):
        id = room.connect_user(user)
        room.send_frame(id, {"type": "subscribe"})
        room.take_wake_ups()
        event_log.notify_unserved(connection=postgres.connection(), most=10)
        assert room.take_wake_ups() == [owner_id]
        room.broadcast(owner_id)
        assert room.management.types(id) == ["ready"]
        assert room.unserved() == 0


def test_account_without_connections_counts_as_served(room):
    account_id = room.account()
    room.append_event(account_id)
    assert room.broadcast(account_id) == []
    assert room.unserved() == 0


def test_wake_up_for_an_unknown_account_succeeds(room):
    assert room.broadcast(uuid4()) == []


def test_only_the_failed_account_is_retried(room, anna, monkeypatch):
    account_id, _ = anna
    other_id = room.account()
    id = room.open_connection(room.user(other_id))
    list_of_account = connections.list_of_account

    def fail_for_account(owner_id):
        if owner_id == account_id:
            raise RuntimeError("of a test")
        return list_of_account(owner_id)

    monkeypatch.setattr(connections, "list_of_account", fail_for_account)
    room.append_event(other_id)
    assert room.broadcast(account_id, other_id, account_id) == [0, 2]
    assert room.management.seqs(id) == [1]


def test_metrics_are_counted_and_no_personal_data_is_logged(room, anna, capsys):
    account_id, user_id = anna
    gone, live = room.open_connection(user_id), room.open_connection(user_id)
    room.management.answers[gone] = lambda: 410
    room.append_event(account_id, secret="planted")
    room.append_event(account_id)
    capsys.readouterr()
    room.broadcast(account_id)
    output = capsys.readouterr().out
    metrics = [json.loads(line) for line in output.splitlines() if "_aws" in line]
    counted = {name: value for line in metrics for name, value in line.items()}
    assert counted["EventsPosted"] == [2.0]
    assert counted["SocketsGone"] == [1.0]
    assert counted["EventAge"][0] >= 0
    assert "planted" not in output
    assert live not in output
