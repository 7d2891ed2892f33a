"""The broadcaster: what sockets get, in which order, and what becomes of those that get nothing."""

import json
import threading
from uuid import uuid4

import pytest

from tests.fixtures.realtime import eventually
from ullgetthejob.platform import clock, postgres
from ullgetthejob.realtime import broadcaster, connections, event_log, sockets


@pytest.fixture
def anna(room):
    """Anna's account and a session of it."""
    account_id = room.account()
    return account_id, room.user(account_id)


def test_a_replay_brings_everything_above_the_cursor_and_then_what_happens(room, anna):
    account_id, user_id = anna
    seqs = [room.happen(account_id) for _ in range(3)]
    id = room.opened(user_id, cursor=1)
    assert room.management.messages[id] == []
    assert room.ring(account_id) == []
    ready, second, third = room.management.messages[id]
    assert ready == {"v": 1, "type": "ready", "seq": 3, "cursor": 1}
    assert list(second) == ["v", "seq", "type", "at", "data"]
    assert (second["type"], second["data"]) == ("jobs.new", {"jobs": ["Инженер"]})
    assert [second["seq"], third["seq"]] == seqs[1:]
    room.happen(account_id)
    room.ring(account_id)
    room.ring(account_id)
    assert room.management.seqs(id) == [2, 3, 4]
    assert room.unserved() == 0


def test_what_was_subscribed_to_comes_and_a_real_gap_would_show(room, anna):
    account_id, user_id = anna
    id = room.connected(user_id)
    room.happen(account_id, "jobs.new")
    room.say(id, {"type": "subscribe", "topics": ["jobs"]})
    room.ring(account_id)
    room.happen(account_id, "jobs.new")  # 2
    room.ring(account_id)
    for kind in ("account.updated", "fetch.completed", "application.updated"):  # 3, 4, 5
        room.happen(account_id, kind)
        room.ring(account_id)
    room.happen(account_id, "jobs.new")  # 6
    room.happen(account_id, "jobs.new")  # 7
    room.ring(account_id)
    ready, second, sixth, seventh = room.management.messages[id]
    assert (ready["cursor"], ready["seq"]) == (1, 1)
    assert (second["seq"], "after" in second) == (2, False)
    assert (sixth["seq"], sixth["after"]) == (6, 2)
    assert (seventh["seq"], "after" in seventh) == (7, False)
    assert room.unserved() == 0


def test_topics_can_be_changed_while_it_runs(room, anna):
    account_id, user_id = anna
    id = room.opened(user_id, 0, topics=["fetch"])
    room.ring(account_id)
    room.say(id, {"type": "subscribe", "topics": ["jobs"]})
    room.say(id, {"type": "unsubscribe", "topics": ["fetch"]})
    room.happen(account_id, "fetch.completed")
    room.happen(account_id, "jobs.new")
    room.ring(account_id)
    room.say(id, {"type": "unsubscribe", "topics": ["jobs"]})
    room.happen(account_id, "jobs.new")
    room.ring(account_id)
    _, added, left, new, nothing = room.management.messages[id]
    assert (added["type"], added["topics"]) == ("subscribed", ["fetch", "jobs"])
    assert (left["topics"], nothing["topics"]) == (["jobs"], [])
    assert (new["seq"], new["after"]) == (2, 0)
    assert room.unserved() == 0


def test_a_long_backlog_is_read_in_chunks_and_told_to_each_from_its_own_place(room, anna):
    account_id, user_id = anna
    for _ in range(3 * broadcaster.EVENTS_PER_READ - 20):
        room.happen(account_id)
    end = 3 * broadcaster.EVENTS_PER_READ - 20
    ids = {
        cursor: room.opened(user_id, cursor)
        for cursor in (0, 1, broadcaster.EVENTS_PER_READ, end - 1, end)
    }
    assert room.ring(account_id) == []
    for cursor, id in ids.items():
        assert room.management.seqs(id) == list(range(cursor + 1, end + 1))
    assert room.unserved() == 0


def test_who_asks_for_more_than_is_kept_is_told_so_and_has_the_rest(room, anna):
    account_id, user_id = anna
    for _ in range(5):
        room.happen(account_id)
    room.rows("DELETE FROM events WHERE seq <= 3")
    id = room.opened(user_id, 1)
    room.ring(account_id)
    assert room.management.types(id) == ["ready", "replay.truncated", "jobs.new", "jobs.new"]
    assert room.management.messages[id][1]["oldest"] == 4
    assert room.management.seqs(id) == [4, 5]
    room.rows("DELETE FROM events")
    other = room.opened(user_id, 2)
    room.ring(account_id)
    assert room.management.types(other) == ["ready", "replay.truncated"]
    assert room.management.messages[other][1]["oldest"] == 6
    room.happen(account_id)
    room.ring(account_id)
    assert (room.management.seqs(id), room.management.seqs(other)) == ([4, 5, 6], [6])
    assert room.unserved() == 0


def test_a_replay_on_an_open_connection_begins_anew(room, anna):
    account_id, user_id = anna
    for _ in range(3):
        room.happen(account_id)
    id = room.opened(user_id, 0)
    room.ring(account_id)
    room.say(id, {"type": "replay", "cursor": 1})
    room.ring(account_id)
    assert room.management.seqs(id) == [1, 2, 3, 2, 3]
    assert room.management.types(id)[4:] == ["ready", "jobs.new", "jobs.new"]


def test_a_replay_in_the_middle_of_a_delivery_is_heeded_by_whoever_delivers(room, anna):
    account_id, user_id = anna
    for _ in range(4):
        room.happen(account_id)
    id = room.opened(user_id, 0)
    waiting = [lambda: room.say(id, {"type": "replay", "cursor": 2})]

    def answer():
        if len(room.management.seqs(id)) == 1 and waiting:
            # of another function's environment, in which this loop does not run
            threading.Thread(target=waiting.pop()).start()
            eventually(lambda: "begin_at" in room.items(id)[0] | room.items(id)[1])
        return 200

    room.management.answers[id] = answer
    room.ring(account_id)
    kinds = room.management.types(id)
    assert kinds.count("ready") == 2
    again = len(kinds) - kinds[::-1].index("ready") - 1
    assert [m["seq"] for m in room.management.messages[id][again + 1 :]] == [3, 4]
    assert "begin_at" not in room.items(id)[0] | room.items(id)[1]


def test_gone_connections_are_forgotten_and_connecting_ones_are_not(room, anna):
    account_id, user_id = anna
    gone, live = room.opened(user_id), room.opened(user_id)
    silent = room.connected(user_id)
    room.management.answers |= dict.fromkeys((gone, silent), lambda: 410)
    room.happen(account_id)
    assert room.ring(account_id) == []
    assert room.management.seqs(live) == [1]
    assert (len(room.items(gone)), len(room.items(silent)), len(room.items(live))) == (0, 2, 2)
    assert room.management.messages[silent] == []
    assert room.unserved() == 0


def test_who_never_says_a_word_and_who_is_older_than_a_connection_gets_is_let_go(room, anna):
    account_id, user_id = anna
    silent = room.connected(user_id, age_s=61)
    old = room.connected(user_id, age_s=2 * 3600 + 601)
    room.say(old, {"type": "replay", "cursor": 0})
    young = room.connected(user_id, age_s=59)
    room.happen(account_id)
    assert room.ring(account_id) == []
    assert sorted(room.management.closed) == sorted([silent, old])
    assert {item["sk"]["S"] for item in room.items()} == {"-", young}


def test_a_slow_connection_holds_up_nobody_and_has_it_all_later(room, anna):
    account_id, user_id = anna
    slow, quick = room.opened(user_id), room.opened(user_id)
    busy = [429] * 8
    room.management.answers[slow] = lambda: busy.pop() if busy else 200
    for _ in range(3):
        room.happen(account_id)
    assert room.ring(account_id) == []  # it is no failure of ours
    assert room.management.seqs(quick) == [1, 2, 3]
    assert room.unserved() == 1
    while room.unserved():
        room.ring(account_id)
    assert room.management.seqs(slow) == [1, 2, 3]
    assert room.management.seqs(quick) == [1, 2, 3]


def test_who_makes_us_wait_is_not_waited_for_again_soon(room, anna, monkeypatch):
    account_id, user_id = anna
    silent, quick = room.opened(user_id), room.opened(user_id)
    room.ring(account_id)
    monkeypatch.setattr(sockets, "REPLY_TIMEOUT_S", 0.5)
    room.management.slow[silent] = 5
    room.happen(account_id)
    assert room.ring(account_id) == []
    asked = len(room.management.signed)
    room.happen(account_id)
    assert room.ring(account_id) == []
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


def test_an_api_that_fails_makes_the_bell_come_again(room, anna):
    account_id, user_id = anna
    other_id = room.account()
    other = room.opened(room.user(other_id))
    id, live = room.opened(user_id), room.opened(user_id)
    room.management.answers[id] = lambda: 403
    room.happen(account_id), room.happen(other_id)
    assert room.ring(other_id, account_id) == [1]
    assert (room.management.seqs(live), room.management.seqs(other)) == ([1], [1])
    assert len(room.items(id)) == 2
    del room.management.answers[id]
    assert room.ring(account_id) == []
    assert room.management.seqs(id) == [1]


def test_a_stumble_is_tried_again_at_once(room, anna):
    account_id, user_id = anna
    stumbles = [200, 429, 500, 503, 200, 429]
    id = room.opened(user_id)
    room.management.answers[id] = lambda: stumbles.pop() if stumbles else 200
    room.happen(account_id)
    assert room.ring(account_id) == []
    assert room.management.types(id) == ["ready", "jobs.new"]


def test_an_event_that_the_api_finds_too_long_holds_nothing_up(room, anna):
    account_id, user_id = anna
    id = room.opened(user_id)
    statuses = [200, 413, 200][::-1]  # ready, and two events
    room.management.answers[id] = lambda: statuses.pop()
    room.happen(account_id), room.happen(account_id)
    assert room.ring(account_id) == []
    assert room.management.seqs(id) == [2]
    assert room.management.messages[id][-1]["after"] == 0
    assert room.unserved() == 0


def test_the_longest_event_fits_into_a_frame(room, anna):
    account_id, user_id = anna
    text = "я" * ((event_log.MAX_DATA_BYTES - len('{"text": ""}')) // 2)
    room.happen(account_id, text=text)
    id = room.opened(user_id, 0, topics=["jobs"])
    lengths = []
    post = sockets.Sockets.post

    async def posted(self, connection_id, message):
        lengths.append(len(message))
        await post(self, connection_id, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sockets.Sockets, "post", posted)
        room.ring(account_id)
    assert room.management.messages[id][-1]["data"] == {"text": text}
    assert 31 * 1024 < lengths[-1] + len('"after":9223372036854775807,') < 32 * 1024


def test_what_there_is_no_time_for_is_rung_for(room, anna):
    account_id, user_id = anna
    ids = [room.opened(user_id) for _ in range(2)]
    room.happen(account_id)
    room.bells()
    failed = broadcaster.run(
        [account_id], connection=postgres.connection(), clock=clock.now, budget_s=-1
    )
    assert failed == set()
    assert room.bells() == [account_id]
    assert room.unserved() == 1
    room.ring(account_id)
    assert [room.management.seqs(id) for id in ids] == [[1], [1]]


def test_a_lease_that_nobody_will_let_go_expires(room, anna):
    account_id, user_id = anna
    id = room.opened(user_id)
    [one] = connections.list_of_account(account_id)
    room.happen(account_id)
    now_ms = clock.real_ms()
    assert connections.acquire_lease(one, sender="who died", now_ms=now_ms) is not None
    assert room.ring(account_id) == []
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
    assert connections.save_progress(one, 0, 0, sender="who died", now_ms=later) is None


def test_the_sweeper_rings_for_whoever_lacks_events_whatever_bell_was_lost(room, anna):
    account_id, user_id = anna
    room.happen(account_id)
    room.ring(account_id)
    assert room.unserved() == 0
    id = room.opened(user_id, 0)
    assert account_id in room.bells()  # and is lost
    event_log.notify_unserved(connection=postgres.connection(), most=10)
    assert room.bells() == [account_id]
    room.ring(account_id)
    assert room.management.seqs(id) == [1]
    assert room.unserved() == 0
    # also where "ready" is all that it lacks, and before the account's first event
    other_id = room.account()
    for of, user in ((account_id, user_id), (other_id, room.user(other_id))):
        id = room.connected(user)
        room.say(id, {"type": "subscribe"})
        room.bells()
        event_log.notify_unserved(connection=postgres.connection(), most=10)
        assert room.bells() == [of]
        room.ring(of)
        assert room.management.types(id) == ["ready"]
        assert room.unserved() == 0


def test_nothing_that_an_account_without_connections_has_stays_unserved(room):
    account_id = room.account()
    room.happen(account_id)
    assert room.ring(account_id) == []
    assert room.unserved() == 0


def test_a_bell_for_nobody_is_answered(room):
    assert room.ring(uuid4()) == []


def test_only_the_account_that_fails_comes_again(room, anna, monkeypatch):
    account_id, _ = anna
    other_id = room.account()
    id = room.opened(room.user(other_id))
    of_account = connections.list_of_account

    def fails(of):
        if of == account_id:
            raise RuntimeError("of a test")
        return of_account(of)

    monkeypatch.setattr(connections, "list_of_account", fails)
    room.happen(other_id)
    assert room.ring(account_id, other_id, account_id) == [0, 2]
    assert room.management.seqs(id) == [1]


def test_facts_are_counted_and_nothing_of_a_person_is_logged(room, anna, capsys):
    account_id, user_id = anna
    gone, live = room.opened(user_id), room.opened(user_id)
    room.management.answers[gone] = lambda: 410
    room.happen(account_id, secret="planted")
    room.happen(account_id)
    capsys.readouterr()
    room.ring(account_id)
    said = capsys.readouterr().out
    metrics = [json.loads(line) for line in said.splitlines() if "_aws" in line]
    counted = {name: value for line in metrics for name, value in line.items()}
    assert counted["EventsPosted"] == [2.0]
    assert counted["SocketsGone"] == [1.0]
    assert counted["EventAge"][0] >= 0
    assert "planted" not in said
    assert live not in said
