"""The tables of people's accounts: states, codes, token pairs, consents. They survive a kill.

Times are seconds since the epoch on the sandbox's clock.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import sqlite3

# "active", and the states that /token refuses.
AccountState = Literal["active", "locked", "deleted", "password_invalidated", "login_not_verified"]
End = Literal["refreshed", "revoked", "deactivated"]
TOKEN_LIFE_S = 1_209_600

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (person_id TEXT PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS codes (
    code TEXT PRIMARY KEY, client_id TEXT NOT NULL, person_id TEXT NOT NULL, redirect_uri TEXT,
    challenge TEXT, issued_at REAL NOT NULL, used_at REAL, revoked_at REAL
);
CREATE TABLE IF NOT EXISTS pairs (
    access TEXT PRIMARY KEY, refresh TEXT NOT NULL UNIQUE, client_id TEXT NOT NULL,
    person_id TEXT NOT NULL, issued_at REAL NOT NULL, expires_at REAL NOT NULL, ended TEXT
);
CREATE TABLE IF NOT EXISTS consents (
    client_id TEXT NOT NULL, person_id TEXT NOT NULL, PRIMARY KEY (client_id, person_id)
);
"""


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code. *redirect_uri* is ``None`` where the authorize call sent none."""

    code: str
    client_id: str
    person_id: str
    redirect_uri: str | None
    challenge: str | None
    issued_at: float
    used_at: float | None
    revoked_at: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A person's token pair; *ended* says why it is no longer valid, ``None`` while it is."""

    access: str
    refresh: str
    client_id: str
    person_id: str
    issued_at: float
    expires_at: float
    ended: End | None


class AccountStore:
    """The tables of accounts in the sandbox's database, which the :class:`Store` opens."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def state(self, person_id: str) -> AccountState:
        """Return the state of the account, ``active`` by default."""
        row = self._database.execute(
            "SELECT state FROM accounts WHERE person_id = ?", (person_id,)
        ).fetchone()
        return row[0] if row else "active"

    def set_state(self, person_id: str, state: AccountState) -> None:
        """Store the state of the account."""
        self._database.execute("REPLACE INTO accounts VALUES (?, ?)", (person_id, state))

    def has_consented(self, client_id: str, person_id: str) -> bool:
        """Return whether the person has consented to the application before."""
        row = self._database.execute(
            "SELECT 1 FROM consents WHERE client_id = ? AND person_id = ?", (client_id, person_id)
        ).fetchone()
        return row is not None

    def new_code(
        self,
        client_id: str,
        person_id: str,
        now: float,
        *,
        redirect_uri: str | None,
        challenge: str | None,
    ) -> str:
        """Store the person's consent and return a new code."""
        code = secrets.token_hex(32).upper()
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(
            "INSERT OR IGNORE INTO consents VALUES (?, ?)", (client_id, person_id)
        )
        self._database.execute(
            "INSERT INTO codes VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)",
            (code, client_id, person_id, redirect_uri, challenge, now),
        )
        self._database.execute("COMMIT")
        return code

    def find_code(self, code: str) -> Code | None:
        """Return the code if it was ever issued."""
        row = self._database.execute("SELECT * FROM codes WHERE code = ?", (code,)).fetchone()
        return Code(*row) if row else None

    def exchange(self, code: Code, now: float) -> Pair:
        """Return a new token pair for a code, which is used from then on."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("UPDATE codes SET used_at = ? WHERE code = ?", (now, code.code))
        pair = self._new_pair(code.client_id, code.person_id, now)
        self._database.execute("COMMIT")
        return pair

    def refresh(self, pair: Pair, now: float) -> Pair:
        """Return a new token pair for an old one, which ends."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(
            "UPDATE pairs SET ended = 'refreshed' WHERE access = ?", (pair.access,)
        )
        new = self._new_pair(pair.client_id, pair.person_id, now)
        self._database.execute("COMMIT")
        return new

    def _new_pair(self, client_id: str, person_id: str, now: float) -> Pair:
        access, refresh = (f"USER{secrets.token_hex(30).upper()}" for _ in range(2))
        pair = Pair(access, refresh, client_id, person_id, now, now + TOKEN_LIFE_S, None)
        self._database.execute(
            "INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (access, refresh, client_id, person_id, now, pair.expires_at),
        )
        return pair

    def by_access(self, token: str) -> Pair | None:
        """Return the pair of an access token."""
        return self._find_pair("SELECT * FROM pairs WHERE access = ?", token)

    def by_refresh(self, token: str) -> Pair | None:
        """Return the pair of a refresh token."""
        return self._find_pair("SELECT * FROM pairs WHERE refresh = ?", token)

    def _find_pair(self, query: str, token: str) -> Pair | None:
        row = self._database.execute(query, (token,)).fetchone()
        return Pair(*row) if row else None

    def end(self, pair: Pair) -> None:
        """Revoke a pair."""
        self._database.execute(
            "UPDATE pairs SET ended = 'revoked' WHERE access = ?", (pair.access,)
        )

    def end_all(self, person_id: str, reason: End, now: float) -> int:
        """End a person's live pairs and unused codes, and return how many pairs ended."""
        self._database.execute("BEGIN IMMEDIATE")
        ended = self._database.execute(
            "UPDATE pairs SET ended = ? WHERE person_id = ? AND ended IS NULL", (reason, person_id)
        ).rowcount
        self._database.execute(
            "UPDATE codes SET revoked_at = ?"
            " WHERE person_id = ? AND used_at IS NULL AND revoked_at IS NULL",
            (now, person_id),
        )
        if reason == "revoked":
            self._database.execute("DELETE FROM consents WHERE person_id = ?", (person_id,))
        self._database.execute("COMMIT")
        return ended

    def live_pairs(self, person_id: str) -> int:
        """Return how many pairs of a person could still be used or refreshed."""
        row = self._database.execute(
            "SELECT count(*) FROM pairs WHERE person_id = ? AND ended IS NULL", (person_id,)
        ).fetchone()
        return int(row[0])

    def delete_tokens(self) -> None:
        """Delete all codes, token pairs and consents."""
        self._database.executescript("DELETE FROM codes; DELETE FROM pairs; DELETE FROM consents;")

    def delete_states(self) -> None:
        """Make all accounts active."""
        self._database.execute("DELETE FROM accounts")
