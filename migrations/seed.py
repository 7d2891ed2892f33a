"""The initial rows of a development database: ``python -m migrations.seed``, or ``make db-seed``.

One user, which the BFF's flows expect: its id has the form of a BFF session id.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import psycopg

DEMO_USER_ID = "00000000-0000-4000-8000-000000000001"
DEMO_USER_EMAIL = f"{DEMO_USER_ID}@session.invalid"
NO_PASSWORD = "!"  # noqa: S105 - not a hash: this user cannot log in with a password


def seed(conninfo: str) -> int:
    """Insert the missing rows; return how many were inserted."""
    now = datetime.now(UTC).replace(tzinfo=None)
    with psycopg.connect(conninfo) as connection:
        return connection.execute(
            "INSERT INTO users (id, email, password_hash, inserted_at, updated_at) "
            "VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [DEMO_USER_ID, DEMO_USER_EMAIL, NO_PASSWORD, now, now],
        ).rowcount


if __name__ == "__main__":
    if not (url := os.environ.get("DATABASE_URL")):
        sys.exit("DATABASE_URL is not set; make db-seed finds the database by itself")
    print(f"seeded: {seed(url)} new rows")
