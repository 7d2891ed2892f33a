"""Storage of reviews: what a person is shown of an application, and what they have approved."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.applications.reviews import examination

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.reviews.examination import Examination
    from ullgetthejob.platform.postgres import Connection

SELECT_REVIEW = """
    SELECT vacancy_digest, approved_hash, content ? 'approved_at' AS was_approved
    FROM application_reviews WHERE ledger_id = %(id)s
"""
UPSERT_REVIEW = """
    INSERT INTO application_reviews (ledger_id, content, vacancy_digest, approved_hash, updated_at)
    VALUES (%(id)s, %(content)s::jsonb, %(vacancy_digest)s, %(approved_hash)s, %(now)s)
    ON CONFLICT (ledger_id) DO UPDATE
    SET content = excluded.content, vacancy_digest = excluded.vacancy_digest,
        approved_hash = excluded.approved_hash, updated_at = excluded.updated_at
"""
UPDATE_APPLICATION_EXAMINED = """
    UPDATE application_ledger SET letter = coalesce(%(letter)s, letter), fit = %(fit)s,
        expires_at = coalesce(%(expires_at)s, expires_at)
    WHERE id = %(id)s
"""
UPDATE_REVIEW_APPROVED = """
    UPDATE application_reviews
    SET approved_hash = %(approved_hash)s, updated_at = %(now)s,
        content = content || jsonb_build_object('approved_at', %(now)s::timestamptz)
    WHERE ledger_id = %(id)s
"""
# The resume that the person has seen is sent; one that was created for the application is its own.
UPDATE_APPLICATION_APPROVED = """
    UPDATE application_ledger
    SET expires_at = %(expires_at)s,
        wanted_resume_id = CASE WHEN resume_reason IS DISTINCT FROM 'made'
            THEN coalesce(resume_id, wanted_resume_id) ELSE wanted_resume_id END
    WHERE id = %(id)s
"""
UPDATE_REVIEW_FINDINGS = """
    UPDATE application_reviews
    SET content = content || jsonb_build_object('findings', %(findings)s::jsonb),
        updated_at = %(now)s
    WHERE ledger_id = %(id)s
"""


@dataclass(frozen=True)
class Review:
    """The digest of what was examined (:func:`.examination.digest_offer`), and the hash of the
    letter that may be sent; ``None``: none yet. *was_approved*: by its person, not by the policy
    alone."""

    vacancy_digest: bytes
    approved_hash: bytes | None
    was_approved: bool

    def allows(self, letter: str | None, vacancy_digest: bytes) -> bool:
        """Return whether this letter may be sent to the vacancy as it is now."""
        return self.vacancy_digest == vacancy_digest and self.allows_letter(letter)

    def allows_letter(self, letter: str | None) -> bool:
        """Return whether this letter may be sent."""
        return self.approved_hash == examination.hash_letter(letter)


def read(ledger_id: UUID, *, connection: Connection) -> Review | None:
    """Return the review of an application, ``None`` before its first examination."""
    row = connection.execute(SELECT_REVIEW, {"id": ledger_id}).fetchone()
    if row is None:
        return None
    approved = row["approved_hash"]
    return Review(
        bytes(row["vacancy_digest"]),
        None if approved is None else bytes(approved),
        row["was_approved"],
    )


def record(
    application: Application,
    examined: Examination,
    content: dict[str, Any],
    *,
    vacancy_digest: bytes,
    is_allowed: bool,
    expires_at: datetime | None,
    connection: Connection,
    now: datetime,
) -> None:
    """Record an examination in the open transaction of *connection*. *is_allowed*: the letter may
    be sent to this vacancy. *expires_at*: until when the person may say yes."""
    letter = examined.letter or application.letter
    values = {
        "id": application.id,
        "content": json.dumps(content, ensure_ascii=False),
        "vacancy_digest": vacancy_digest,
        "approved_hash": examination.hash_letter(letter) if is_allowed else None,
        "letter": examined.letter,
        "fit": examined.fit.score,
        "expires_at": expires_at,
        "now": now,
    }
    connection.execute(UPSERT_REVIEW, values)
    connection.execute(UPDATE_APPLICATION_EXAMINED, values)


def approve(
    application: Application, *, expires_at: datetime, connection: Connection, now: datetime
) -> None:
    """Record the person's yes to the application's letter and resume, in the open transaction of
    *connection*. *expires_at*: until when it is sent."""
    values = {
        "id": application.id,
        "approved_hash": examination.hash_letter(application.letter),
        "expires_at": expires_at,
        "now": now,
    }
    connection.execute(UPDATE_REVIEW_APPROVED, values)
    connection.execute(UPDATE_APPLICATION_APPROVED, values)


def replace_findings(
    ledger_id: UUID, findings: list[dict[str, Any]], *, connection: Connection, now: datetime
) -> None:
    """Replace what the check found, after the letter was edited."""
    values = {"id": ledger_id, "findings": json.dumps(findings, ensure_ascii=False), "now": now}
    connection.execute(UPDATE_REVIEW_FINDINGS, values)
