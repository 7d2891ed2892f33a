"""Persons who apply, with the submitter in this process and hh.ru's sandbox behind it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from tests.harness.context import CALLER, CORE, make_context
from ullgetthejob.accounts import people
from ullgetthejob.applications import acceptance, ledger, submitter, sweep
from ullgetthejob.applications.submission import SubmitBody
from ullgetthejob.platform import aws, periodic, postgres, settings

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person

ANNA = "anna"


class ApplyHarness:
    """A person of the sandbox who applies through Core. *name*: of the person there."""

    def __init__(self, world, name=ANNA):
        self.world = world
        self.name = name
        self.account_id, _ = world.connect(name)
        self.user_id = insert_session(self.account_id, world.now())
        self.hh = world.hh()

    @property
    def person(self) -> Person:
        return people.find_by_id(self.user_id)

    @property
    def connection(self):
        return postgres.connection()

    @property
    def context(self):
        """Return the context of a request."""
        return make_context(self.connection, self.world.now, caller=CALLER, hh=self.hh)

    def submit(self, vacancy_id, letter="Здравствуйте!", **fields):
        body = SubmitBody(job_external_id=vacancy_id, cover_letter=letter, **fields)
        return acceptance.accept(body, self.person, self.context)

    def run(self):
        return self.run_over(self.connection)

    def run_over(self, connection, hh=None):
        """Process a wake-up over *connection*; return whether work is left."""
        context = make_context(connection, self.world.now, caller=CORE, hh=hh or self.hh)
        return submitter.run(self.account_id, context)

    def sweep(self):
        """Run the sweeper's steps over the harness's connection; return their counts."""
        context = make_context(self.connection, self.world.now, caller=CORE)
        tidy = sweep.TIDY_STEPS
        return SimpleNamespace(
            **periodic.run(sweep.NOTIFY_STEPS, lambda: nullcontext(context), tidy=tidy)
        )

    def row(self, accepted):
        row = ledger.read(accepted.application_id, connection=self.connection)
        assert row is not None
        return row

    def posted(self, **wanted):
        return self.world.sandbox.applications(person=self.name, **wanted)


@pytest.fixture
def quiet_world(connected, monkeypatch):
    """Return the world in which Core is configured to apply, and employers do not act."""
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return connected


@pytest.fixture
def harness(quiet_world):
    return ApplyHarness(quiet_world)


def publish(harness, **fields):
    return str(harness.world.sandbox.publish("Python-разработчик", **fields)["id"])


def second_session(harness):
    """Insert a session of the same person in another browser and return its user's id."""
    return insert_session(harness.account_id, harness.world.now())


def insert_session(account_id, now):
    """Insert a user of the account and return its id."""
    user_id = uuid4()
    postgres.connection().execute(
        "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
        " VALUES (%(id)s, %(id)s::text, '!', %(account)s, %(now)s, %(now)s)",
        {"id": user_id, "account": account_id, "now": now},
    )
    return user_id


def receive_wake_ups():
    """Receive the wake-ups that were sent, and return their accounts."""
    found = []
    queue = {"QueueUrl": settings.APPLIER_QUEUE_URL(), "MaxNumberOfMessages": 10}
    while messages := aws.call("sqs", "ReceiveMessage", queue).get("Messages"):
        for message in messages:
            found.append(json.loads(message["Body"])["account_id"])
            handle = {"QueueUrl": queue["QueueUrl"], "ReceiptHandle": message["ReceiptHandle"]}
            aws.call("sqs", "DeleteMessage", handle)
    return found


@pytest.fixture
def connect(harness, database_url):
    """Open connections like those of other environments."""
    opened = []

    def connect():
        connection = postgres.connection_class().connect(
            postgres.conninfo(), autocommit=True, row_factory=psycopg.rows.dict_row
        )
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()
