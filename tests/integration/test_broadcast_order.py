"""Order and completeness, whatever happens: broadcasters killed in the middle, several at once,
bells that come twice or never, posts that fail or whose answer is lost."""

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

from tests.fixtures.local_cloud import ROOT
from tests.fixtures.realtime import eventually
from ullgetthejob.platform import clock, postgres
from ullgetthejob.realtime import broadcaster, connections, event_log, sockets, websocket_handlers

# Answers bells, one a line: an environment of the function of its own.
WORKER = """
import json, sys
from functions.broadcaster.app import handler
print("ready", flush=True)
for line in sys.stdin:
    record = {"messageId": "1", "body": json.dumps({"account_id": line.strip()})}
    print("answer", json.dumps(handler({"Records": [record]}, None)), flush=True)
"""


class Worker:
    """A process of the function ``broadcaster``."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._said() == "ready"

    def ring(self, account_id):
        """Let it answer a bell; what it answered, or ``None`` if it was killed meanwhile."""
        self.process.stdin.write(f"{account_id}\n")
        self.process.stdin.flush()
        answer = self._said()
        return json.loads(answer.removeprefix("answer ")) if answer else None

    def _said(self):
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


def told(seqs, end, start=0):
    """Every event above *start* came, and none that is new before an older one."""
    seen = start
    for seq in seqs:
        assert seq <= seen + 1, seqs
        seen = max(seen, seq)
    assert seen == end, seqs


def when_the_lease_has_expired(account_id):
    later = clock.real_ms() + connections.LEASE_MS
    failed = broadcaster.run(
        [account_id], connection=postgres.connection(), clock=clock.now, real_ms=lambda: later
    )
    assert failed == set()


@pytest.mark.parametrize("at", [0, 1, 2, 61])
def test_killed_broadcaster_loses_no_event(room, anna, workers, at):
    """*at*: the post in which it dies; 0 is ``ready``, and after 50 events it writes down."""
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
    assert worker.ring(account_id) is None
    del room.management.answers[dying]
    assert room.unserved() == 1
    room.broadcast(account_id)  # the dead one still has the lease
    when_the_lease_has_expired(account_id)
    told(room.management.seqs(dying), count)
    assert len(room.management.seqs(dying)) <= count + broadcaster.EVENTS_PER_READ + 1
    told(room.management.seqs(other), count, count)
    assert room.unserved() == 0


def test_concurrent_broadcasters_of_an_account_keep_the_order(room, anna, workers):
    account_id, user_id = anna
    ids = [room.open_connection(user_id) for _ in range(5)]
    crew = [workers() for _ in range(3)]
    more = threading.Event()

    def answer_bells(worker):
        while not more.is_set():
            assert worker.ring(account_id) == {"batchItemFailures": []}

    with ThreadPoolExecutor(len(crew)) as pool:
        working = [pool.submit(answer_bells, worker) for worker in crew]
        for _ in range(60):
            room.append_event(account_id)
        # whoever finds a lease taken leaves, and still nothing waits for another bell
        eventually(lambda: all(room.management.seqs(id)[-1:] == [60] for id in ids))
        more.set()
        for each in working:
            each.result()
    for id in ids:
        told(room.management.seqs(id), 60)
        assert room.management.types(id).count("ready") == 1
        assert len(room.management.seqs(id)) == 60  # the leases kept doubles away
    room.broadcast(account_id)
    assert room.unserved() == 0


def test_event_during_release_needs_no_further_wake_up(room, anna):
    """The bell of an event finds the lease taken, and its holder on its way out."""
    account_id, user_id = anna
    id = room.open_connection(user_id)
    room.append_event(account_id)
    let_go, late = connections.release, []

    def slowly(*values, **named):
        if not late:
            late.append(1)
            happening = threading.Thread(target=_happen, args=(room, account_id))
            happening.start()
            happening.join()
            [one] = connections.list_of_account(account_id)
            assert connections.acquire_lease(one, sender="other", now_ms=clock.real_ms()) is None
        return let_go(*values, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "release", slowly)
        room.broadcast(account_id)
    assert room.management.seqs(id) == [1, 2]


def _happen(room, account_id):
    room.rows("UPDATE accounts SET last_event_seq = 2 WHERE id = %s", account_id)
    room.rows("INSERT INTO events VALUES (%s, 2, %s, 'jobs.new', '{}')", account_id, clock.now())


# ── any order of anything ────────────────────────────────────────────────────────────────────────

KINDS = ("jobs.new", "fetch.completed", "account.updated")
OUTCOMES = ("sent", "sent", "sent", "slow", "refused", "lost")
STEPS = st.one_of(
    st.tuples(st.just("happen"), st.sampled_from(KINDS)),
    st.tuples(st.just("ring"), st.lists(st.sampled_from(OUTCOMES), max_size=6)),
    st.tuples(st.just("replay"), st.integers(0, 1), st.integers(0, 4)),
    st.tuples(st.just("subscribe"), st.integers(0, 1)),
)


@dataclass
class Posts:
    """Sockets that do with each post what is said; afterwards they work."""

    outcomes: list[str] = field(default_factory=list)
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def post(self, connection_id, message):
        outcome = self.outcomes.pop() if self.outcomes else "sent"
        if outcome in ("sent", "lost"):
            self.messages.setdefault(connection_id, []).append(json.loads(message))
        if outcome == "slow":
            raise sockets.SlowConsumer
        if outcome in ("refused", "lost"):
            raise sockets.PostRefused(0)

    async def close(self, connection_id):
        raise AssertionError("nobody is to be let go")


def client(messages, topics):
    """What a client that drops what it has seen has in the end, since it last began."""
    cursor, had = None, []
    for message in messages:
        if message["type"] == "ready":
            cursor, had = message["cursor"], []
            start = cursor
        elif message["seq"] > cursor:
            # what lies between is of other topics, or this is a gap
            assert message.get("after", message["seq"] - 1) <= cursor, messages
            assert message["type"].partition(".")[0] in topics
            cursor = message["seq"]
            had.append(cursor)
    return start, had


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=3, max_size=14))
def test_random_steps_deliver_each_event_once_in_order(room, steps):
    account_id = room.account()
    user_id, posts, log = room.user(account_id), Posts(), []
    topics = [list(websocket_handlers.TOPICS), ["jobs"]]
    ids = [room.open_connection(user_id, 0), room.open_connection(user_id, 0, topics=["jobs"])]

    def ring():
        broadcaster.run(
            [account_id], connection=postgres.connection(), clock=clock.now, poster=posts
        )

    for step in steps:
        match step:
            case "happen", kind:
                log.append((room.append_event(account_id, kind), kind))
            case "ring", outcomes:
                posts.outcomes = list(outcomes)
                ring()
                posts.outcomes = []
            case "replay", which, cursor:
                room.send_frame(ids[which], {"type": "replay", "cursor": min(cursor, len(log))})
            case "subscribe", which:
                room.send_frame(ids[which], {"type": "subscribe", "topics": topics[which]})
    ring()
    for id, wanted in zip(ids, topics, strict=True):
        start, had = client(posts.messages[id], wanted)
        assert had == [seq for seq, kind in log if seq > start and kind.partition(".")[0] in wanted]
    event_log.notify_unserved(connection=postgres.connection(), most=10)
    assert room.unserved() == 0
