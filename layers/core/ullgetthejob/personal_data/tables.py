"""Where Postgres holds something of a person: each table, its rows, and when they are deleted.

A test compares the two lists with the migrated schema: a new table has to be in one of them. What
lies outside of Postgres is in docs/my-data.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# sessions: in the transaction of the request; account: by the worker, soon after; anonymous: the
# rows stay, and lose what leads to the person.
Deletion = Literal["sessions", "account", "anonymous"]


@dataclass(frozen=True)
class Table:
    """A table with rows of people.

    *where*: which are a person's, as SQL over ``item`` with the values ``account_id`` (may be null)
    and ``user_ids``. *key*: the column by which a long table is read in parts; a short one has
    none. *withheld*: the columns that are never exported, because they are secrets or derived of
    them.
    """

    name: str
    where: str
    deletion: Deletion
    key: str | None = None
    withheld: tuple[str, ...] = ()


_ACCOUNT = "item.account_id = %(account_id)s"
_USERS = "item.user_id = ANY(%(user_ids)s)"
_PAIR = ("access_token", "refresh_token", "refresh_hash")

TABLES = (
    Table("users", "item.id = ANY(%(user_ids)s)", "sessions", withheld=("password_hash",)),
    Table("accounts", "item.id = %(account_id)s", "account"),
    Table("account_tokens", _ACCOUNT, "account", withheld=(*_PAIR, "previous_refresh_hash")),
    Table("replaced_tokens", _ACCOUNT, "account", withheld=_PAIR),
    Table(
        "hh_tokens", f"({_USERS} OR {_ACCOUNT})", "sessions",
        withheld=(*_PAIR, "previous_refresh_hash"),
    ),
    Table("hh_logins", f"({_USERS} OR {_ACCOUNT})", "sessions", withheld=("code_hash", "pair")),
    Table("state_bound_sessions", _USERS, "sessions"),
    # The person's hh_method_access_index is over this expression.
    Table(
        "hh_method_access",
        "coalesce(item.account_id, '00000000-0000-0000-0000-000000000000'::uuid) = %(account_id)s",
        "account",
    ),
    Table("parsed_cvs", _USERS, "sessions"),
    Table("cvs", _USERS, "sessions"),
    Table(
        "custom_cvs",
        "item.cv_id IN (SELECT id FROM cvs WHERE user_id = ANY(%(user_ids)s))",
        "sessions",
    ),
    # A row may still be with a session that has left the account: see accounts/history_transfer.py.
    Table(
        "applications",
        """item.id IN (
               SELECT application_id FROM application_ledger WHERE account_id = %(account_id)s
               UNION SELECT id FROM applications WHERE user_id = ANY(%(user_ids)s)
           ) AND (
               SELECT account_id FROM application_ledger
               WHERE application_id = item.id AND account_id <> %(account_id)s LIMIT 1
           ) IS NULL""",
        "sessions",
        key="id",
    ),
    Table("application_ledger", _ACCOUNT, "account", key="id"),
    Table("application_keys", _ACCOUNT, "account", key="key", withheld=("request_hash",)),
    Table("application_attempts", _ACCOUNT, "account", key="id"),
    Table(
        "application_outcomes",
        """item.attempt_id IN
           (SELECT id FROM application_attempts WHERE account_id = %(account_id)s)""",
        "account",
        key="attempt_id",
    ),
    Table(
        "application_history",
        "item.ledger_id IN (SELECT id FROM application_ledger WHERE account_id = %(account_id)s)",
        "account",
        key="id",
    ),
    Table(
        "application_reviews",
        "item.ledger_id IN (SELECT id FROM application_ledger WHERE account_id = %(account_id)s)",
        "account",
        key="ledger_id",
        withheld=("approved_hash",),
    ),
    Table("application_messages", _ACCOUNT, "account", key="id"),
    Table("application_queue", _USERS, "sessions", key="id"),
    Table("application_filters", _ACCOUNT, "account"),
    Table("account_resumes", _ACCOUNT, "account"),
    Table("resume_raises", _ACCOUNT, "account"),
    Table("fit_weights", _ACCOUNT, "account"),
    Table("letter_templates", _ACCOUNT, "account"),
    Table(
        "notification_channels", _ACCOUNT, "account",
        withheld=("address", "address_digest", "secret", "previous_secret"),
    ),
    Table("notification_settings", _ACCOUNT, "account"),
    Table("notifications", _ACCOUNT, "account", key="id"),
    Table("campaigns", _ACCOUNT, "account"),
    Table("autopilots", _ACCOUNT, "account"),
    Table("saved_searches", _ACCOUNT, "account"),
    # Shared by all who save the same search; deleted with the last of them.
    Table(
        "search_queries",
        "item.id IN (SELECT query_id FROM saved_searches WHERE account_id = %(account_id)s)",
        "account",
    ),
    Table(
        "fetch_runs",
        "item.query_id IN (SELECT query_id FROM saved_searches WHERE account_id = %(account_id)s)",
        "account",
        key="id",
    ),
    Table("account_vacancies", _ACCOUNT, "account", key="vacancy_id"),
    Table("events", _ACCOUNT, "account", key="seq"),
    Table("audit_log", f"({_ACCOUNT} OR {_USERS})", "anonymous", key="id"),
)  # fmt: skip

WITHOUT_PEOPLE = {
    "jobs": "vacancies of hh.ru, the same for all",
    "search_matches": "which vacancies a search found; deleted with the search",
    "search_answers": "hh.ru's answers, for seconds; asked_by is random, of one request",
    "public_feed": "vacancies that were posted to the BFF",
    "hh_dictionaries": "hh.ru's reference books",
    "hh_app_tokens": "the token of Core's own application",
    "deleted_accounts": "keyed digests, for a day: when the person may apply again",
    "alembic_version_core": "the revision of the schema",
}

SELECT_USERS_OF_PERSON = """
    SELECT id FROM users WHERE id = %(user_id)s OR account_id = %(account_id)s ORDER BY id
"""
SELECT_TABLE_EXISTS = "SELECT to_regclass(%(table)s) IS NOT NULL AS is_there"
# OFFSET 0: the person's rows are found by their index, and sorted then; else the planner may read
# the whole table in the order of its key. Ids of others, such as of a session that has left the
# account, are not the person's to see.
SELECT_ROWS = """
    SELECT (
        to_jsonb(item) - %(withheld)s::text[]
        - CASE WHEN to_jsonb(item)->>'user_id' <> ALL(%(user_ids)s::uuid[]::text[])
               THEN 'user_id' ELSE '' END
        - CASE WHEN (to_jsonb(item)->>'account_id')::uuid IS DISTINCT FROM %(account_id)s
               THEN 'account_id' ELSE '' END
    )::text AS line, {key}::text AS key FROM (
        SELECT * FROM {table} AS item WHERE {where} OFFSET 0
    ) AS item
"""
