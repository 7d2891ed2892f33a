"""The state that survives a kill: tokens, accounts, resumes, applications, published vacancies.

One SQLite file in the data folder; each change is committed before the call is answered.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.sandbox.negotiations import negotiation_store
from local.sandbox.oauth import account_store
from local.sandbox.resumes import resume_store

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    token TEXT PRIMARY KEY, client_id TEXT NOT NULL, kind TEXT NOT NULL,
    issued_at REAL NOT NULL, revoked_at REAL
);
CREATE TABLE IF NOT EXISTS published (id TEXT PRIMARY KEY, at REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS closed (id TEXT PRIMARY KEY, at REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Token:
    """An application's access token. Times are seconds since the epoch on the sandbox's clock."""

    token: str
    client_id: str
    kind: str
    issued_at: float
    revoked_at: float | None


class Store:
    """The file ``<data folder>/sandbox/state.sqlite3``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / "state.sqlite3", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            + _SCHEMA
            + account_store.SCHEMA
            + resume_store.SCHEMA
            + negotiation_store.SCHEMA
        )
        self.accounts = account_store.AccountStore(self._database)
        self.resumes = resume_store.ResumeStore(self._database)
        self.negotiations = negotiation_store.NegotiationStore(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def roll_back(self) -> None:
        """Undo a change that could not be completed."""
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    def find_token(self, token: str) -> Token | None:
        """Return the application token if it was ever issued, revoked or not."""
        row = self._database.execute(
            "SELECT token, client_id, kind, issued_at, revoked_at FROM tokens WHERE token = ?",
            (token,),
        ).fetchone()
        return Token(*row) if row else None

    def last_issued(self, client_id: str, kind: str) -> float | None:
        """Return when the client was last issued a token of this kind."""
        row = self._database.execute(
            "SELECT max(issued_at) FROM tokens WHERE client_id = ? AND kind = ?", (client_id, kind)
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def live_token(self, client_id: str, kind: str) -> str | None:
        """Return the client's token of this kind that is not revoked."""
        row = self._database.execute(
            "SELECT token FROM tokens WHERE client_id = ? AND kind = ? AND revoked_at IS NULL",
            (client_id, kind),
        ).fetchone()
        return row and str(row[0])

    def delete_tokens(self) -> None:
        """Delete all codes, tokens and consents."""
        self._database.execute("DELETE FROM tokens")
        self.accounts.delete_tokens()

    def replace_token(self, token: str, client_id: str, kind: str, now: float) -> None:
        """Store a new token and revoke the client's earlier ones of this kind."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(
            "UPDATE tokens SET revoked_at = ?"
            " WHERE client_id = ? AND kind = ? AND revoked_at IS NULL",
            (now, client_id, kind),
        )
        self._database.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, NULL)", (token, client_id, kind, now)
        )
        self._database.execute("COMMIT")

    def published(self) -> list[tuple[str, float, dict[str, Any]]]:
        """Return ``(id, time, body)`` of each vacancy published through the control route."""
        rows = self._database.execute("SELECT id, at, body FROM published ORDER BY at, id")
        return [(id_, at, json.loads(body)) for id_, at, body in rows]

    def publish(self, vacancy_id: str, now: float, body: dict[str, Any]) -> None:
        """Store a vacancy that was published through the control route."""
        self._database.execute(
            "INSERT INTO published VALUES (?, ?, ?)", (vacancy_id, now, json.dumps(body))
        )

    def delete_published(self) -> None:
        """Delete the vacancies that were published through the control route."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("DELETE FROM closed WHERE id IN (SELECT id FROM published)")
        self._database.execute("DELETE FROM published")
        self._database.execute("COMMIT")

    def closed(self) -> dict[str, float]:
        """Return the times at which vacancies were closed, by vacancy id."""
        return dict(self._database.execute("SELECT id, at FROM closed").fetchall())

    def close_vacancy(self, vacancy_id: str, now: float) -> None:
        """Store that a vacancy was closed."""
        self._database.execute("INSERT OR IGNORE INTO closed VALUES (?, ?)", (vacancy_id, now))
