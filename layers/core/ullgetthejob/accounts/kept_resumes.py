"""The list of an account's resumes, kept with its age: hh.ru's calls are scarce, and a person's
resumes change rarely.

A kept list is used for :data:`MAX_AGE`, and only as far as it lets an application be sent: where no
resume is found in it, hh.ru is asked. It is forgotten when hh.ru refuses a resume that it has, when
Core writes resumes itself, and with the connection to hh.ru; it is replaced when the person looks
at the resumes through Core. Only what the choice of a resume needs is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

MAX_AGE = timedelta(hours=1)
# skill_set: hh.ru gives it with a resume in full, which is read where two titles fit equally.
FIELDS = ("id", "title", "status", "blocked", "updated_at", "skill_set")

SELECT_RESUMES = """
    SELECT resumes, read_at FROM account_resumes
    WHERE account_id = %(account_id)s AND read_at > %(since)s AND read_at <= %(now)s
"""
UPSERT_RESUMES = """
    INSERT INTO account_resumes AS kept (account_id, resumes, read_at)
    VALUES (%(account_id)s, %(resumes)s::jsonb, %(read_at)s)
    ON CONFLICT (account_id) DO UPDATE SET resumes = excluded.resumes, read_at = excluded.read_at
    WHERE kept.read_at <= excluded.read_at
"""
DELETE_RESUMES = "DELETE FROM account_resumes WHERE account_id = %(account_id)s"


@dataclass(frozen=True)
class KeptResumes:
    """A list of resumes in hh.ru's shape, and when hh.ru returned it."""

    resumes: list[dict[str, Any]]
    read_at: datetime


def read(account_id: UUID, *, connection: Connection, now: datetime) -> KeptResumes | None:
    """Return the kept list; ``None`` where hh.ru has to be asked."""
    values = {"account_id": account_id, "since": now - MAX_AGE, "now": now}
    row = connection.execute(SELECT_RESUMES, values).fetchone()
    return None if row is None else KeptResumes(row["resumes"], row["read_at"])


def keep(
    account_id: UUID,
    resumes: Iterable[dict[str, Any]],
    *,
    read_at: datetime,
    connection: Connection,
) -> None:
    """Keep a list that hh.ru returned at *read_at*, unless a newer one is kept."""
    kept = [{name: resume.get(name) for name in FIELDS} for resume in resumes]
    values = {
        "account_id": account_id,
        "resumes": json.dumps(kept, ensure_ascii=False),
        "read_at": read_at,
    }
    connection.execute(UPSERT_RESUMES, values)


def forget(account_id: UUID, *, connection: Connection) -> None:
    """Forget the list: hh.ru's may be another."""
    connection.execute(DELETE_RESUMES, {"account_id": account_id})
