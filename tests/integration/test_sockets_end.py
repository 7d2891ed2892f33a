"""Whose session ends has no socket any more, and none of another's events before that."""

from uuid import UUID

import pytest

from ullgetthejob.realtime import connections


@pytest.fixture
def both(core, room):
    """Core's functions about people and the realtime room, on one database and one AWS."""
    return core, room


def account_of(core, session_id):
    return UUID(core.account(session_id)["account_id"])


def opened(room, session_id):
    return room.opened(UUID(session_id))


def test_disconnecting_ends_the_sockets_of_every_session(both):
    core, room = both
    one, jwt = core.log_in("anna")
    other, _ = core.log_in("anna")
    timurs, _ = core.log_in("timur")
    account_id, timur_id = account_of(core, one), account_of(core, timurs)
    ids, stays = [opened(room, one), opened(room, other)], opened(room, timurs)
    silent = room.connected(UUID(other))
    assert room.ring(account_id, timur_id) == []
    room.bells()
    assert core.call("DELETE /api/hh/connection", jwt=jwt, secret=None).status == 200
    assert set(room.bells()) == {account_id}
    before = {id: len(room.management.messages[id]) for id in ids}
    room.happen(account_id)
    assert room.ring(account_id) == []
    assert sorted(room.management.closed) == sorted([*ids, silent])
    assert {id: len(room.management.messages[id]) for id in ids} == before
    assert connections.list_of_account(account_id) == []
    assert [one.id for one in connections.list_of_account(timur_id)] == [stays]


def test_a_session_that_becomes_another_account_s_loses_its_sockets(both):
    core, room = both
    session_id, _ = core.log_in("anna")
    stays_id, _ = core.log_in("anna")
    annas = account_of(core, session_id)
    moved, stays = opened(room, session_id), opened(room, stays_id)
    ticket = room.ticket(UUID(session_id))
    room.ring(annas)
    room.bells()
    core.log_in("timur", session_id, bound=True)
    assert set(room.bells()) >= {annas}
    room.happen(annas)
    assert room.ring(annas) == []
    assert room.management.closed == [moved]
    assert room.management.seqs(moved) == []
    assert room.management.seqs(stays)[-1:] == [room.happen(annas) - 1]
    assert room.connect(ticket)[0] == 401  # of the session as it was


def test_a_socket_that_cannot_be_ended_now_is_ended_later_and_gets_nothing(both):
    core, room = both
    session_id, jwt = core.log_in("anna")
    account_id = account_of(core, session_id)
    id = opened(room, session_id)
    room.ring(account_id)
    core.call("DELETE /api/hh/connection", jwt=jwt, secret=None)
    room.happen(account_id)
    told = len(room.management.messages[id])
    room.management.answers[id] = lambda: 503
    assert room.ring(account_id) == [0]
    del room.management.answers[id]
    assert room.ring(account_id) == []
    assert room.management.closed == [id]
    assert len(room.management.messages[id]) == told


def test_logging_in_again_ends_nothing(both):
    core, room = both
    session_id, _ = core.log_in("anna")
    account_id = account_of(core, session_id)
    id = opened(room, session_id)
    core.log_in("anna", session_id)
    core.log_in("anna")
    room.ring(account_id)
    assert room.management.closed == []
    assert room.management.types(id)[0] == "ready"
