"""Migration 0011: tokens move to Core's own table, campaign items get a status that the BFF knows;
and the same after the BFF's own migration has dropped ``hh_tokens``."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from migrations.upgrade import downgrade, upgrade

BEFORE, REVISION = "0008", "0011"
# The BFF's own 0001_remove_oauth_tokens.sql.
BFF_0001 = "DROP TABLE IF EXISTS hh_tokens CASCADE"
ACCOUNT, USER, WORKFLOW = (str(uuid4()) for _ in range(3))
PEOPLE = f"""
    INSERT INTO accounts (id, hh_user_id, access_state, access_changed_at, created_at)
        VALUES ('{ACCOUNT}', '1', 'ok', now(), now());
    INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)
        VALUES ('{USER}', 'a@session.invalid', '!', '{ACCOUNT}', now(), now());
"""
TOKENS = f"""
    INSERT INTO hh_tokens (id, user_id, account_id, access_token, refresh_token, refresh_hash,
                           previous_refresh_hash, refreshed_at, expires_at, inserted_at, updated_at)
        VALUES (gen_random_uuid(), '{USER}', '{ACCOUNT}', 'access', 'refresh', 'hash', 'before',
                '2026-01-02Z', '2026-01-03', '2026-01-01', '2026-01-02');
    INSERT INTO hh_tokens (id, user_id, access_token, refresh_token, expires_at, inserted_at,
                           updated_at)
        VALUES (gen_random_uuid(), '{USER}', 'original', 'original', now(), now(), now());
"""
# Status, the ledger's state and reason (none: no application); then status, core_state, last_error.
ITEMS = [
    (("pending", None, None), ("pending", None, None)),
    (("customizing", None, None), ("customizing", None, None)),
    (("processing", "queued", None), ("ready", "queued", None)),
    (("processing", "preparing", None), ("ready", "preparing", None)),
    (("processing", "uncertain", None), ("submitting", "uncertain", None)),
    (("rate_limited", "waiting_quota", "quota"), ("rate_limited", "waiting_quota", None)),
    (("completed", "submitted", None), ("submitted", "submitted", None)),
    (("pending", "submitted", None), ("pending", "submitted", None)),
    (
        ("needs_person", "handoff", "test_required"),
        ("failed", "handoff", "test_required: https://hh.ru/vacancy/8"),
    ),
    (("failed", "refused", "vacancy_archived"), ("failed", "refused", "vacancy_archived")),
    (("cancelled", "cancelled", None), ("failed", "cancelled", "cancelled")),
    (("cancelled", None, None), ("failed", "cancelled", "campaign_cancelled")),
    (("failed", None, None), ("failed", "refused", "failed")),
]


class Database:
    """A database at the revision before."""

    def __init__(self, url):
        self.url = url
        upgrade(url, BEFORE)

    def rows(self, sql, *values):
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def fill_items(self):
        campaign = "INSERT INTO campaigns VALUES (%s, %s, %s, 'running', NULL, now(), now())"
        self.rows(campaign, WORKFLOW, ACCOUNT, USER)
        for number, ((status, state, reason), _) in enumerate(ITEMS):
            item = self.rows(
                "INSERT INTO application_queue (workflow_id, user_id, job_external_id, status,"
                " priority) VALUES (%s, %s, %s, %s, %s) RETURNING id",
                *(WORKFLOW, USER, str(number), status, number),
            )[0]["id"]
            if state is not None:
                self.rows(
                    "INSERT INTO application_ledger (account_id, user_id, vacancy_id, state,"
                    " reason, link, workflow_id, queue_item_id, created_at, updated_at)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now(), now())",
                    *(ACCOUNT, USER, str(number), state, reason),
                    *(f"https://hh.ru/vacancy/{number}", WORKFLOW, item),
                )

    def items(self, columns):
        return self.rows(f"SELECT {columns} FROM application_queue ORDER BY priority")


@pytest.fixture
def database(empty_database_url):
    database = Database(empty_database_url)
    database.rows(PEOPLE)
    return database


def test_token_pairs_move_to_account_tokens_and_back(database):
    database.rows(TOKENS)
    kept = "user_id, account_id, access_token, refresh_token, refresh_hash, previous_refresh_hash,"
    kept += " refreshed_at, expires_at, inserted_at, updated_at"
    before = database.rows(f"SELECT {kept} FROM hh_tokens WHERE account_id IS NOT NULL")
    upgrade(database.url, REVISION)
    assert database.rows(f"SELECT {kept} FROM account_tokens") == before
    assert [row["access_token"] for row in database.rows("SELECT * FROM hh_tokens")] == ["original"]
    downgrade(database.url, BEFORE)
    assert database.rows(f"SELECT {kept} FROM hh_tokens WHERE account_id IS NOT NULL") == before
    assert len(database.rows("SELECT id FROM hh_tokens")) == 2


def test_bff_drop_after_upgrade_loses_no_tokens(database):
    database.rows(TOKENS)
    upgrade(database.url, REVISION)
    database.rows(BFF_0001)
    assert len(database.rows("SELECT account_id FROM account_tokens")) == 1
    assert database.rows("SELECT access_state FROM accounts") == [{"access_state": "ok"}]
    downgrade(database.url, BEFORE)
    assert [row["access_token"] for row in database.rows("SELECT * FROM hh_tokens")] == ["access"]
    assert downgrade(database.url, "base", drop_data=True).revision_after is None
    assert database.rows("SELECT to_regclass('hh_tokens') AS found") == [{"found": None}]


def test_bff_drop_before_upgrade_requires_login_again(database, caplog):
    database.rows(TOKENS)
    database.rows(BFF_0001)
    upgrade(database.url, REVISION)
    assert database.rows("SELECT access_state, access_reason FROM accounts") == [
        {"access_state": "reauth_required", "access_reason": "not_connected"}
    ]
    assert database.rows("SELECT id FROM hh_tokens") == []
    assert "hh_tokens was dropped" in caplog.text
    assert "1 accounts have lost their tokens" in caplog.text
    assert downgrade(database.url, "base", drop_data=True).revision_after is None


def test_items_get_bff_status_and_core_state(database):
    database.fill_items()
    upgrade(database.url, REVISION)
    found = [tuple(row.values()) for row in database.items("status, core_state, last_error")]
    assert found == [after for _, after in ITEMS]
    downgrade(database.url, BEFORE)
    before = [status for (status, _, _), _ in ITEMS]
    assert [row["status"] for row in database.items("status")] == before
