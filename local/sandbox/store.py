"""What must outlive a kill: tokens, accounts, resumes, applications, vacancies made by hand.

One SQLite file in the data folder; each change is committed before it is answered.
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
    """An application's access token. Moments are seconds since the epoch on the sandbox's clock."""

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
        """Release the file."""
        self._database.close()

    def give_up(self) -> None:
        """Undo a change that could not be finished."""
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    def token(self, token: str) -> Token | None:
        """A token that was given out once, revoked or not."""
        row = self._database.execute(
            "SELECT token, client_id, kind, issued_at, revoked_at FROM tokens WHERE token = ?",
            (token,),
        ).fetchone()
        return Token(*row) if row else None

    def last_issued(self, client_id: str, kind: str) -> float | None:
        """When the client was last given a token of this kind."""
        row = self._database.execute(
            "SELECT max(issued_at) FROM tokens WHERE client_id = ? AND kind = ?", (client_id, kind)
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def live_token(self, client_id: str, kind: str) -> str | None:
        """The client's token of this kind that is not revoked."""
        row = self._database.execute(
            "SELECT token FROM tokens WHERE client_id = ? AND kind = ? AND revoked_at IS NULL",
            (client_id, kind),
        ).fetchone()
        return row and str(row[0])

    def forget_tokens(self) -> None:
        """As if no code and no token had ever been given out."""
        self._database.execute("DELETE FROM tokens")
        self.accounts.forget_tokens()

    def replace_token(self, token: str, client_id: str, kind: str, now: float) -> None:
        """Give out a token; the client's earlier ones of this kind die with it."""
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
        """``(id, moment, body)`` of each vacancy that a person published."""
        rows = self._database.execute("SELECT id, at, body FROM published ORDER BY at, id")
        return [(id_, at, json.loads(body)) for id_, at, body in rows]

    def publish(self, vacancy_id: str, now: float, body: dict[str, Any]) -> None:
        """Keep a vacancy that a person published."""
        self._database.execute(
            "INSERT INTO published VALUES (?, ?, ?)", (vacancy_id, now, json.dumps(body))
        )

    def closed(self) -> dict[str, float]:
        """When people closed which vacancies."""
        return dict(self._database.execute("SELECT id, at FROM closed").fetchall())

    def close_vacancy(self, vacancy_id: str, now: float) -> None:
        """Keep that a person closed a vacancy."""
        self._database.execute("INSERT OR IGNORE INTO closed VALUES (?, ?)", (vacancy_id, now))
