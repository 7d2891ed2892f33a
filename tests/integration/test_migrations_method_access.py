"""Migration 0015: an account's state ``closed`` becomes a state of the method that was closed."""

from __future__ import annotations

import psycopg
from psycopg.rows import dict_row

from migrations.upgrade import downgrade, upgrade

BEFORE, REVISION = "0014", "0015"
ACCOUNTS = """
    INSERT INTO accounts (id, hh_user_id, access_state, access_reason, access_until, access_tries,
                          access_changed_at, created_at)
    SELECT gen_random_uuid(), hh_user_id, state, reason, until::timestamptz, tries,
           '2026-01-01Z'::timestamptz, '2026-01-01Z'::timestamptz
    FROM (VALUES ('applying', 'closed', 'applying_closed', '2026-01-05Z', 3),
                 ('reading', 'closed', 'forbidden', '2026-01-05Z', 1),
                 ('limited', 'limited_until', 'limit_exceeded', '2026-01-05Z', 0),
                 ('fine', 'ok', NULL, NULL, 0))
        AS given (hh_user_id, state, reason, until, tries)
"""
SELECT_STATES = "SELECT hh_user_id, access_state FROM accounts ORDER BY hh_user_id"
SELECT_METHODS = """
    SELECT a.hh_user_id, m.method, m.state, m.reason, m.probes,
           m.probe_at = '2026-01-05Z'::timestamptz AS is_due_as_before
    FROM hh_method_access m JOIN accounts a ON a.id = m.account_id
"""


def test_closed_applying_becomes_a_closed_method(empty_database_url):
    upgrade(empty_database_url, BEFORE)
    with psycopg.connect(empty_database_url, row_factory=dict_row, autocommit=True) as connection:
        connection.execute(ACCOUNTS)
        upgrade(empty_database_url, REVISION)
        states = {
            row["hh_user_id"]: row["access_state"] for row in connection.execute(SELECT_STATES)
        }
        assert states == {
            "applying": "ok",
            "reading": "ok",
            "limited": "limited_until",
            "fine": "ok",
        }
        assert connection.execute(SELECT_METHODS).fetchall() == [
            {
                "hh_user_id": "applying",
                "method": "apply",
                "state": "closed",
                "reason": "forbidden",
                "probes": 3,
                "is_due_as_before": True,
            }
        ]
        # Code of the earlier release may still write its state.
        connection.execute("UPDATE accounts SET access_state = 'closed'")
        downgrade(empty_database_url, BEFORE)
        assert {row["access_state"] for row in connection.execute(SELECT_STATES)} == {"closed"}
