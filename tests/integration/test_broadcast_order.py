"""Order and completeness of events under failures: killed and concurrent broadcasters, repeated and
lost wake-ups, failed posts and lost responses."""

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.clock import FILE_NAME
from tests.fixtures.local_cloud import ROOT
from tests.fixtures.waiting import until
from tests.harness.killing import sqs_message
from ullgetthejob.platform import clock, postgres
from ullgetthejob.realtime import broadcaster, connections, event_log, frames, log_reader, sockets

# Handles a wake-up per line: a separate environment of the function.
WORKER = """
import json, sys
from functions.broadcaster.app import handler
print("ready", flush=True)
for line in sys.stdin:
    record = {"messageId": "1", "body": json.dumps({"account_id": line.strip()})}
    print("answer", json.dumps(handler({"Records": [record]}, None)), flush=True)
"""


@pytest.fixture
def functions(functions_on, tmp_path):
    """Return the functions in real time, which the tickets here are issued in: there is no file."""
    return functions_on(tmp_path / FILE_NAME)


class Worker:
    """A process of the function ``broadcaster``, driven over its standard input."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read_reply() == "ready"

    def broadcast(self, account_id):
        """Send it a wake-up; return its result, or ``None`` if it was killed."""
        self.process.stdin.write(f"{account_id}\n")
        self.process.stdin.flush()
        reply = self._read_reply()
        return json.loads(reply.removeprefix("answer ")) if reply else None

    def _read_reply(self):
        while line := self.process.stdout.readline():
            if line.startswith(("ready", "answer ")):
                return line.strip()
        return None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=30)


@pytest.fixture
def workers(room):
    started = []

    def start():
        started.append(Worker())
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture
def anna(room):
    """Anna's account and a session of it."""
    account_id = room.account()
    return account_id, room.user(account_id)


def assert_in_order(seqs, end, start=0):
    """Assert that every event above *start* arrived, and no new one before an older one."""
    seen = start
    for seq in seqs:
        assert seq <= seen + 1, seqs
        seen = max(seen, seq)
    assert seen == end, seqs


def broadcast_after_lease_expiry(account_id):
    later = clock.real_ms() + connections.LEASE_MS
    failed = broadcaster.run(
        [account_id], connection=postgres.connection(), clock=clock.now, real_ms=lambda: later
    )
    assert failed == set()


@pytest.mark.parametrize("at", [0, 1, 2, 61])
def test_killed_broadcaster_loses_no_event(room, anna, workers, at):
    """*at*: the post during which it is killed; 0 is ``ready``; it saves progress after 50
    events."""
    account_id, user_id = anna
    count = 70
    for _ in range(count):
        room.append_event(account_id)
    dying, other = room.open_connection(user_id), room.open_connection(user_id, count)
    worker = workers()

    def answer():
        if len(room.management.messages[dying]) == at:
            worker.process.send_signal(signal.SIGKILL)
            worker.process.wait()
        return 200

    room.management.answers[dying] = answer
    assert worker.broadcast(account_id) is None
    del room.management.answers[dying]
    assert room.unserved() == 1
    room.broadcast(account_id)  # the killed process still holds the lease
    broadcast_after_lease_expiry(account_id)
    assert_in_order(room.management.seqs(dying), count)
    assert len(room.management.seqs(dying)) <= count + log_reader.EVENTS_PER_READ + 1
    assert_in_order(room.management.seqs(other), count, count)
    assert room.unserved() == 0


def test_broadcaster_killed_after_any_effect_loses_no_event(room, anna, functions):
    """Between reading the log, posting, and storing what was posted: a client that drops the seqs
    that it has keeps each event once."""
    account_id, user_id = anna
    count = 3
    for _ in range(count):
        room.append_event(account_id)
    opened = []

    def broadcast_to_another():
        opened.append(room.open_connection(user_id))
        return sqs_message("broadcaster", account_id=str(account_id))

    def check_served():
        messages = room.management.messages[opened[-1]]
        assert deduplicate(messages, frames.TOPICS) == (0, [1, 2, 3])
        assert len(messages) <= 2 * (count + 1), "each at most twice"
        assert room.unserved() == 0
        room.disconnect(opened[-1])

    effects = []
    for effect in functions.kill_after_each(broadcast_to_another):
        effects.append(effect)
        is_last = len(effects) == len(opened) and effect.startswith("UPDATE accounts")
        assert room.unserved() == (not is_last), effect
        room.broadcast(account_id)  # the killed process may still hold the lease
        broadcast_after_lease_expiry(account_id)
        check_served()
    check_served()
    assert effects.count("post") == count + 1
    assert effects[-1] == "UPDATE accounts"


def test_replay_killed_after_any_effect_is_served_by_the_sweep(room, anna, functions):
    """The wake-up is lost with the process: what the client was to get, the sweeper's brings."""
    account_id, user_id = anna
    room.append_event(account_id)
    room.broadcast(account_id)
    assert room.unserved() == 0
    opened = []

    def replay():
        opened.append(room.connect_user(user_id))
        event = room.frame_event(opened[-1], {"type": "replay", "cursor": 0})
        return f"frames {json.dumps(event)}"

    for effect in functions.kill_after_each(replay):
        room.take_wake_ups()
        event_log.notify_unserved(connection=postgres.connection(), most=10)
        assert room.take_wake_ups() == [account_id], effect
        room.broadcast(account_id)
        if not room.management.types(opened[-1]):
            assert len(opened) == 1, "nothing was requested yet: the client repeats it"
            room.send_frame(opened[-1], {"type": "replay", "cursor": 0})
            room.broadcast(account_id)
        assert room.management.types(opened[-1]) == ["ready", "jobs.new"]
        assert room.unserved() == 0
        room.disconnect(opened[-1])


def test_connection_killed_after_any_effect_takes_no_place(room, anna, functions):
    """A ``$connect`` that was killed has failed for the client; what it left counts as ended."""
    account_id, user_id = anna
    effects = list(functions.kill_after_each(lambda: connect_event(room, user_id)))
    assert len([effect for effect in effects if effect.startswith("UpdateItem")]) >= 2
    left = connections.list_of_account(account_id)
    later = clock.real_ms() + connections.FIRST_FRAME_TIMEOUT_MS + 1000
    assert all(connection.is_stale(later) for connection in left)
    room.append_event(account_id)
    assert (
        broadcaster.run(
            [account_id], connection=postgres.connection(), clock=clock.now, real_ms=lambda: later
        )
        == set()
    )
    assert connections.list_of_account(account_id) == []
    assert room.unserved() == 0


def connect_event(room, user_id):
    return f"websocket {json.dumps(room.connect_event(room.ticket(user_id)))}"


def test_wake_ups_at_once_in_two_processes_post_each_event_once(room, anna, functions):
    account_id, user_id = anna
    for _ in range(5):
        room.append_event(account_id)
    opened = [room.open_connection(user_id) for _ in range(3)]
    wake_up = sqs_message("broadcaster", account_id=str(account_id))
    functions.call(wake_up, wake_up)
    room.broadcast(account_id)
    for connection_id in opened:
        assert room.management.seqs(connection_id) == [1, 2, 3, 4, 5]
        assert room.management.types(connection_id).count("ready") == 1
    assert room.unserved() == 0


def test_concurrent_broadcasters_of_an_account_keep_the_order(room, anna, workers):
    account_id, user_id = anna
    ids = [room.open_connection(user_id) for _ in range(5)]
    broadcasters = [workers() for _ in range(3)]
    done = threading.Event()

    def broadcast_until_done(worker):
        while not done.is_set():
            assert worker.broadcast(account_id) == {"batchItemFailures": []}

    with ThreadPoolExecutor(len(broadcasters)) as pool:
        futures = [pool.submit(broadcast_until_done, worker) for worker in broadcasters]
        for _ in range(60):
            room.append_event(account_id)
        # a broadcaster that finds the lease taken leaves, and still no event is left behind
        until(lambda: all(room.management.seqs(id)[-1:] == [60] for id in ids))
        done.set()
        for future in futures:
            future.result()
    for id in ids:
        assert_in_order(room.management.seqs(id), 60)
        assert room.management.types(id).count("ready") == 1
        assert len(room.management.seqs(id)) == 60  # the leases prevent duplicates
    room.broadcast(account_id)
    assert room.unserved() == 0


def test_event_during_release_needs_no_further_wake_up(room, anna):
    """The wake-up of an event finds the lease taken while its holder releases it."""
    account_id, user_id = anna
    id = room.open_connection(user_id)
    room.append_event(account_id)
    release, appended = connections.release, []

    def append_then_release(*values, **keywords):
        if not appended:
            appended.append(1)
            appending = threading.Thread(target=_append_second, args=(room, account_id))
            appending.start()
            appending.join()
            [stored] = connections.list_of_account(account_id)
            now_ms = clock.real_ms()
            assert connections.acquire_lease(stored, sender="other", now_ms=now_ms) is None
        return release(*values, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "release", append_then_release)
        room.broadcast(account_id)
    assert room.management.seqs(id) == [1, 2]


def _append_second(room, account_id):
    room.rows("UPDATE accounts SET last_event_seq = 2 WHERE id = %s", account_id)
    room.rows("INSERT INTO events VALUES (%s, 2, %s, 'jobs.new', '{}')", account_id, clock.now())


# ── random steps ─────────────────────────────────────────────────────────────────────────────────

EVENT_TYPES = ("jobs.new", "fetch.completed", "account.updated")
OUTCOMES = ("sent", "sent", "sent", "slow", "refused", "lost")
STEPS = st.one_of(
    st.tuples(st.just("append"), st.sampled_from(EVENT_TYPES)),
    st.tuples(st.just("broadcast"), st.lists(st.sampled_from(OUTCOMES), max_size=6)),
    st.tuples(st.just("replay"), st.integers(0, 1), st.integers(0, 4)),
    st.tuples(st.just("subscribe"), st.integers(0, 1)),
)


@dataclass
class Posts:
    """A poster with a given outcome for each post; later posts succeed."""

    outcomes: list[str] = field(default_factory=list)
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def post(self, connection_id, message):
        outcome = self.outcomes.pop() if self.outcomes else "sent"
        if outcome in ("sent", "lost"):
            self.messages.setdefault(connection_id, []).append(json.loads(message))
        if outcome == "slow":
            raise sockets.SlowConsumer
        if outcome in ("refused", "lost"):
            raise sockets.PostRefused(0)

    def close(self, connection_id):
        raise AssertionError("no connection is to be closed")


def deduplicate(messages, topics):
    """Return the cursor of the last replay, and the seqs that a client keeps since then."""
    cursor, seqs = None, []
    for message in messages:
        if message["type"] == "ready":
            cursor, seqs = message["cursor"], []
            start = cursor
        elif message["seq"] > cursor:
            # skipped seqs are of other topics, or this is a gap
            assert message.get("after", message["seq"] - 1) <= cursor, messages
            assert message["type"].partition(".")[0] in topics
            cursor = message["seq"]
            seqs.append(cursor)
    return start, seqs


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=3, max_size=14))
def test_random_steps_deliver_each_event_once_in_order(room, steps):
    account_id = room.account()
    user_id, posts, log = room.user(account_id), Posts(), []
    topics = [list(frames.TOPICS), ["jobs"]]
    ids = [room.open_connection(user_id, 0), room.open_connection(user_id, 0, topics=["jobs"])]

    def broadcast():
        broadcaster.run(
            [account_id], connection=postgres.connection(), clock=clock.now, poster=posts
        )

    for step in steps:
        match step:
            case "append", event_type:
                log.append((room.append_event(account_id, event_type), event_type))
            case "broadcast", outcomes:
                posts.outcomes = list(outcomes)
                broadcast()
                posts.outcomes = []
            case "replay", index, cursor:
                room.send_frame(ids[index], {"type": "replay", "cursor": min(cursor, len(log))})
            case "subscribe", index:
                room.send_frame(ids[index], {"type": "subscribe", "topics": topics[index]})
    broadcast()
    for id, wanted in zip(ids, topics, strict=True):
        start, seqs = deduplicate(posts.messages[id], wanted)
        assert seqs == [seq for seq, name in log if seq > start and name.split(".")[0] in wanted]
    event_log.notify_unserved(connection=postgres.connection(), most=10)
    assert room.unserved() == 0
