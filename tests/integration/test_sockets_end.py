"""Connections of ended sessions are closed, and receive no events of another account before."""

from uuid import UUID

import pytest

from ullgetthejob.realtime import connections


@pytest.fixture
def both(core, room):
    """The functions of accounts and of realtime, on the same database and AWS."""
    return core, room


def account_of(core, session_id):
    return UUID(core.account(session_id)["account_id"])


def open_connection(room, session_id):
    return room.open_connection(UUID(session_id))


def test_disconnecting_closes_connections_of_every_session(both):
    core, room = both
    first, jwt = core.log_in("anna")
    other, _ = core.log_in("anna")
    timurs, _ = core.log_in("timur")
    account_id, timur_id = account_of(core, first), account_of(core, timurs)
    ids, stays = (
        [open_connection(room, first), open_connection(room, other)],
        open_connection(room, timurs),
    )
    silent = room.connect_user(UUID(other))
    assert room.broadcast(account_id, timur_id) == []
    room.take_wake_ups()
    assert core.call("DELETE /api/hh/connection", jwt=jwt, secret=None).status == 200
    assert set(room.take_wake_ups()) == {account_id}
    before = {id: len(room.management.messages[id]) for id in ids}
    room.append_event(account_id)
    assert room.broadcast(account_id) == []
    assert sorted(room.management.closed) == sorted([*ids, silent])
    assert {id: len(room.management.messages[id]) for id in ids} == before
    assert connections.list_of_account(account_id) == []
    assert [found.id for found in connections.list_of_account(timur_id)] == [stays]


def test_session_moved_to_another_account_is_closed(both):
    core, room = both
    session_id, _ = core.log_in("anna")
    stays_id, _ = core.log_in("anna")
    annas = account_of(core, session_id)
    moved, stays = open_connection(room, session_id), open_connection(room, stays_id)
    ticket = room.ticket(UUID(session_id))
    room.broadcast(annas)
    room.take_wake_ups()
    core.log_in("timur", session_id, bound=True)
    assert set(room.take_wake_ups()) >= {annas}
    room.append_event(annas)
    assert room.broadcast(annas) == []
    assert room.management.closed == [moved]
    assert room.management.seqs(moved) == []
    assert room.management.seqs(stays)[-1:] == [room.append_event(annas) - 1]
    assert room.connect(ticket)[0] == 401  # of the session as it was


def test_failed_close_is_retried_and_no_event_is_posted(both):
    core, room = both
    session_id, jwt = core.log_in("anna")
    account_id = account_of(core, session_id)
    id = open_connection(room, session_id)
    room.broadcast(account_id)
    core.call("DELETE /api/hh/connection", jwt=jwt, secret=None)
    room.append_event(account_id)
    posted = len(room.management.messages[id])
    room.management.answers[id] = lambda: 503
    assert room.broadcast(account_id) == [0]
    del room.management.answers[id]
    assert room.broadcast(account_id) == []
    assert room.management.closed == [id]
    assert len(room.management.messages[id]) == posted


def test_second_login_closes_no_connection(both):
    core, room = both
    session_id, _ = core.log_in("anna")
    account_id = account_of(core, session_id)
    id = open_connection(room, session_id)
    core.log_in("anna", session_id)
    core.log_in("anna")
    room.broadcast(account_id)
    assert room.management.closed == []
    assert room.management.types(id)[0] == "ready"
