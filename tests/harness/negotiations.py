"""A person whose negotiations at hh.ru are read, and the pages of these."""

from __future__ import annotations

from datetime import datetime

import httpx

from tests.harness.applying import ApplyHarness
from ullgetthejob.rate_limits import daily_limit

MINUTE, HOUR, DAY_S = 60, 3600, 24 * 3600
# Every table that an outcome is written to, and its order.
TABLES = {
    "application_ledger": "vacancy_id",
    "application_attempts": "id",
    "application_outcomes": "attempt_id",
    "application_history": "id",
    "events": "seq",
    "applications": "job_external_id",
}


class SyncHarness(ApplyHarness):
    """A person whose negotiations are read."""

    def account(self):
        return self.connection.execute(
            "SELECT * FROM accounts WHERE id = %s", (self.account_id,)
        ).fetchone()

    def sync(self, hh=None):
        """Read the negotiations now, whenever they are due."""
        self.connection.execute("UPDATE accounts SET negotiations_due_at = %s", (self.world.now(),))
        return self.read_if_due(hh)

    def read_if_due(self, hh=None):
        return self.run_over(self.connection, hh)

    def rows(self):
        return self.connection.execute(
            "SELECT * FROM application_ledger ORDER BY created_at, negotiation_id"
        ).fetchall()

    def steps(self, negotiation_id):
        """Return the reasons of an application's history."""
        found = self.connection.execute(
            "SELECT h.reason FROM application_history h JOIN application_ledger l"
            " ON l.id = h.ledger_id WHERE l.negotiation_id = %s ORDER BY h.id",
            (negotiation_id,),
        )
        return [row["reason"] for row in found]

    def event_reasons(self, negotiation_id):
        """Return the reasons of an application's events."""
        found = self.connection.execute(
            "SELECT e.data->>'reason' AS reason FROM events e JOIN application_ledger l"
            " ON l.id::text = e.data->>'application_id' WHERE l.negotiation_id = %s"
            " AND e.type = 'application.updated' ORDER BY seq",
            (negotiation_id,),
        )
        return [row["reason"] for row in found]

    def counted(self):
        """Return when each application was made that counts among the 200."""
        since = self.world.now() - daily_limit.DAY
        found = self.connection.execute(
            daily_limit.SELECT_COUNTED_ATTEMPTS, {"account_id": self.account_id, "since": since}
        )
        return sorted(row["at"] for row in found)

    def read_tables(self):
        return {
            table: self.connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
            for table, order in TABLES.items()
        }

    def by_hand(self, **body):
        ids = self.world.sandbox.apply_by_hand(self.name, **body)["negotiation_ids"]
        return ids[0] if len(ids) == 1 else ids

    def seconds_until_due(self):
        """Return for how long the next reading is not due."""
        due_at = self.account()["negotiations_due_at"]
        return (due_at - self.world.now()).total_seconds()

    def count_calls(self):
        """Return how often hh.ru was asked for negotiations."""
        calls = self.world.sandbox.control("GET", "/state")["calls"]["by_route"]
        return calls.get("GET /negotiations", 0)


def at_hh(entry):
    """Return the time of an entry of the sandbox's log as negotiations have it, in whole
    seconds."""
    return datetime.fromisoformat(entry["at"]).replace(microsecond=0)


class Edited(httpx.BaseTransport):
    """A transport that returns the sandbox's answers, with the pages of negotiations edited by
    *edit*."""

    def __init__(self, edit):
        self._real, self._edit = httpx.HTTPTransport(), edit

    def handle_request(self, request):
        answer = self._real.handle_request(request)
        answer.read()
        if request.url.path != "/negotiations" or request.method != "GET":
            return answer
        content = answer.json()
        self._edit(content["items"])
        return httpx.Response(answer.status_code, json=content)

    def close(self):
        self._real.close()
