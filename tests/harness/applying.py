"""People who apply, with the submitter in this process and hh.ru's sandbox behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from ullgetthejob.accounts import people
from ullgetthejob.applications import acceptance, ledger, submitter
from ullgetthejob.applications.acceptance import SubmitBody
from ullgetthejob.applications.sweep import sweep
from ullgetthejob.platform import postgres
from ullgetthejob.platform.authentication import Caller

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person

CALLER = Caller("service", "a-request-of-a-test")
ANNA = "anna"


class ApplyHarness:
    """Somebody who applies."""

    def __init__(self, world, who=ANNA):
        self.world = world
        self.who = who
        self.account_id, _ = world.connect(who)
        self.user_id = uuid4()
        now = world.now()
        world_row = {"id": self.user_id, "account": self.account_id, "now": now}
        postgres.connection().execute(
            "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
            " VALUES (%(id)s, %(id)s::text, '!', %(account)s, %(now)s, %(now)s)",
            world_row,
        )
        self.hh = world.hh()

    @property
    def person(self) -> Person:
        return people.find_by_id(self.user_id)

    @property
    def connection(self):
        return postgres.connection()

    def submit(self, vacancy_id, letter="Здравствуйте!", **fields):
        body = SubmitBody(job_external_id=vacancy_id, cover_letter=letter, **fields)
        return acceptance.accept(
            body,
            person=self.person,
            caller=CALLER,
            connection=self.connection,
            now=self.world.now(),
        )

    def run(self):
        return submitter.run(
            self.account_id,
            hh=self.hh,
            connection=self.connection,
            clock=self.world.now,
            request_id="bell",
        )

    def sweep(self):
        return sweep(connection=self.connection, now=self.world.now())

    def row(self, accepted):
        row = ledger.read(accepted.application_id, connection=self.connection)
        assert row is not None
        return row

    def posted(self, **wanted):
        return self.world.sandbox.applications(person=self.who, **wanted)


@pytest.fixture
def harness(connected, monkeypatch):
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return ApplyHarness(connected)


def publish(harness, **fields):
    return str(harness.world.sandbox.publish("Python-разработчик", **fields)["id"])


def second_session(harness):
    """Another browser of the same person."""
    user_id = uuid4()
    harness.connection.execute(
        "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
        " VALUES (%s, %s, '!', %s, %s, %s)",
        (user_id, str(user_id), harness.account_id, harness.world.now(), harness.world.now()),
    )
    return user_id
