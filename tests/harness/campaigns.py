"""Campaigns of a person, whose items are written by the BFF's own SQL or added here."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import uuid4

import psycopg

from tests.harness.applying import ApplyHarness, publish
from tests.harness.context import CALLER
from ullgetthejob.applications.application import COLUMNS, Application
from ullgetthejob.applications.campaigns import commands, progress
from ullgetthejob.applications.campaigns.models import (
    AddBody,
    WorkflowBody,
)
from ullgetthejob.rate_limits import token_bucket

# As drizzle sends them for the BFF's QueueService.
BFF_INSERT = """
    INSERT INTO application_queue (id, workflow_id, user_id, cv_id, job_id, job_external_id, status,
        payload, attempts, next_run_at, priority, last_error, created_at, updated_at)
    VALUES (DEFAULT, %s, %s, %s, %s, %s, 'pending', %s, 0, DEFAULT, 0, DEFAULT, DEFAULT, DEFAULT)
    RETURNING id
"""
BFF_SELECT = """
    SELECT q.id, q.workflow_id, q.status, q.priority, q.attempts, q.next_run_at, q.last_error,
           q.created_at, q.payload, j.id, j.title, c.id, c.customized_data, c.cover_letter
    FROM application_queue q LEFT JOIN jobs j ON q.job_id = j.id
    LEFT JOIN custom_cvs c ON c.cv_id = q.cv_id AND c.job_id = q.job_id
    WHERE q.user_id = %s AND q.workflow_id = %s
"""
BFF_DELETE = "DELETE FROM application_queue WHERE id = %s"
ADDED_AT = {"jobTitle": "Python", "company": "Ромашка", "addedAt": "2026-11-23T10:00:00.000Z"}


class Campaign:
    """A campaign of the harness's person."""

    def __init__(self, harness, database_url):
        self.harness = harness
        self.id = uuid4()
        self.url = database_url

    def bff(self, sql, *values):
        """Execute *sql* over a connection of the BFF, and return the rows."""
        with psycopg.connect(self.url, autocommit=True) as own:
            found = own.execute(sql, values)
            return found.fetchall() if found.description else []

    def insert(self, vacancy_id, *, user_id=None, cv_id=None, job_id=None, payload=None):
        """Insert an item as the BFF does, and return its id."""
        user_id = user_id or self.harness.user_id
        content = json.dumps(ADDED_AT if payload is None else payload)
        rows = self.bff(BFF_INSERT, self.id, user_id, cv_id, job_id, vacancy_id, content)
        return rows[0][0]

    def insert_many(self, number, **fields):
        return [self.insert(publish(self.harness, **fields)) for _ in range(number)]

    def change(self, command, person=None):
        body = WorkflowBody(workflow_id=self.id)
        return commands.change(command, body, person or self.harness.person, self.harness.context)

    def add(self, caller=CALLER, **fields):
        context = replace(self.harness.context, caller=caller)
        return commands.add_jobs(AddBody(**fields), self.harness.person, context)

    def progress(self, person=None):
        return progress.progress(self.id, person or self.harness.person, self.harness.context)

    def items(self):
        """Return what the BFF reads: status and last_error by item."""
        rows = self.bff(BFF_SELECT, self.harness.user_id, self.id)
        return {row[0]: (row[2], row[6]) for row in rows}

    def count_statuses(self):
        statuses = [status for status, _ in self.items().values()]
        return {status: statuses.count(status) for status in sorted(statuses)}

    def rows(self):
        """Return its rows of the ledger, by item."""
        found = self.harness.connection.execute(
            f"SELECT {COLUMNS} FROM application_ledger WHERE workflow_id = %s", [self.id]
        )
        return {row["queue_item_id"]: Application(**row) for row in found.fetchall()}


def tokens(harness):
    return token_bucket.read_level("submit", harness.account_id, now=harness.world.now()).tokens


def other_harness(harness, name="timur"):
    return ApplyHarness(harness.world, name)
