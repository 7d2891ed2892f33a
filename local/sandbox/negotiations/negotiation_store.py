"""The tables of applications: negotiations, their steps, and every attempt to apply.

What employers will do is stored when a person applies, each action with its time; a reader sees
those whose time has come. So the clock may jump ahead at no cost and a restart loses nothing.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from local.sandbox.negotiations.negotiation import STATES, Negotiation, Step

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from local.sandbox.negotiations.employer_behaviour import EmployerAction
    from local.sandbox.negotiations.negotiation import By

ACCEPTED = "accepted"

SCHEMA = """
CREATE TABLE IF NOT EXISTS negotiations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, person_id TEXT NOT NULL, vacancy_id TEXT NOT NULL,
    resume_id TEXT NOT NULL, by TEXT NOT NULL, applied_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS negotiations_of_person ON negotiations (person_id, vacancy_id);
CREATE TABLE IF NOT EXISTS negotiation_steps (
    number INTEGER PRIMARY KEY AUTOINCREMENT, negotiation INTEGER NOT NULL, at REAL NOT NULL,
    kind TEXT NOT NULL, text TEXT, seen INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS steps_of_negotiation ON negotiation_steps (negotiation, at);
CREATE TABLE IF NOT EXISTS application_attempts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, by TEXT NOT NULL, person_id TEXT,
    vacancy_id TEXT, resume_id TEXT, letter TEXT, status INTEGER NOT NULL, outcome TEXT NOT NULL,
    vacancy_name TEXT, employer_id TEXT, employer_name TEXT, resume_title TEXT, negotiation INTEGER
);
CREATE INDEX IF NOT EXISTS attempts_of_person ON application_attempts (person_id, at);
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to apply. *outcome*: ``accepted``, ``redirected``, or hh.ru's error value.

    *status* is the response's; *person_id* is ``None`` where the token belonged to no person.
    *negotiation* is the number of the resulting negotiation, ``None`` where there is none.
    """

    at: float
    by: By
    person_id: str | None
    vacancy_id: str | None
    resume_id: str | None
    letter: str | None
    status: int
    outcome: str
    vacancy_name: str | None = None
    employer_id: str | None = None
    employer_name: str | None = None
    resume_title: str | None = None
    negotiation: int | None = None


_COLUMNS = ", ".join(field.name for field in fields(Attempt))
_PLACES = ", ".join("?" for _ in fields(Attempt))
_INSERT_ATTEMPT = f"INSERT INTO application_attempts ({_COLUMNS}) VALUES ({_PLACES})"  # noqa: S608
_INSERT_STEP = "INSERT INTO negotiation_steps (negotiation, at, kind, text) VALUES (?, ?, ?, ?)"
# Deleting a resume deletes its negotiations.
_SELECT_NEGOTIATIONS = (
    "SELECT n.* FROM negotiations n JOIN resumes r ON r.id = n.resume_id"
    " AND r.person_id = n.person_id"
)
_SELECT_STEPS = "SELECT negotiation, number, at, kind, text, seen FROM negotiation_steps"
_SELECT_STEPS_OF_PERSON = (
    "SELECT s.negotiation, s.number, s.at, s.kind, s.text, s.seen FROM negotiation_steps s"
    " JOIN negotiations n ON n.number = s.negotiation"
    " WHERE n.person_id = ? AND s.at <= ? ORDER BY s.at, s.number"
)


def _step(row: Any) -> Step:
    number, at, kind, text, seen = row
    return Step(number, at, kind, text, bool(seen))


def _negotiation(row: Any, steps: Iterable[Step]) -> Negotiation:
    number, person_id, vacancy_id, resume_id, by, applied_at = row
    return Negotiation(
        number=number,
        person_id=person_id,
        vacancy_id=vacancy_id,
        resume_id=resume_id,
        by=by,
        applied_at=applied_at,
        steps=tuple(steps),
    )


class NegotiationStore:
    """The tables of negotiations in the sandbox's database, which the :class:`Store` opens."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        columns = {row[1] for row in database.execute("PRAGMA table_info(negotiations)")}
        if "hidden" in columns:  # in files of earlier versions
            database.execute("ALTER TABLE negotiations DROP COLUMN hidden")

    def delete_all(self) -> None:
        """Delete all negotiations and attempts. Their ids are not used again."""
        self._database.executescript(
            "DELETE FROM negotiations; DELETE FROM negotiation_steps;"
            " DELETE FROM application_attempts;"
        )

    # ── applying ────────────────────────────────────────────────────────────────────────────────

    def refuse(self, attempt: Attempt) -> None:
        """Store an attempt that was refused or redirected."""
        self._database.execute(_INSERT_ATTEMPT, astuple(attempt))

    def accept(self, attempt: Attempt, actions: Iterable[EmployerAction]) -> int:
        """Store an application and the employer's *actions*; return the negotiation's number."""
        self._database.execute("BEGIN IMMEDIATE")
        number = self._database.execute(
            "INSERT INTO negotiations"
            " (person_id, vacancy_id, resume_id, by, applied_at) VALUES (?, ?, ?, ?, ?)",
            (
                attempt.person_id,
                attempt.vacancy_id,
                attempt.resume_id,
                attempt.by,
                attempt.at,
            ),
        ).lastrowid
        assert number is not None  # noqa: S101 - an INSERT has one
        self._database.execute(_INSERT_STEP, (number, attempt.at, "response", attempt.letter))
        self._database.executemany(
            _INSERT_STEP, ((number, action.at, action.kind, action.text) for action in actions)
        )
        self._database.execute(_INSERT_ATTEMPT, (*astuple(attempt)[:-1], number))
        self._database.execute("COMMIT")
        return number

    def accepted_since(self, person_id: str, moment: float) -> int:
        """Return how many of a person's applications were accepted after *moment*."""
        row = self._database.execute(
            "SELECT count(*) FROM application_attempts"
            " WHERE person_id = ? AND outcome = ? AND at > ?",
            (person_id, ACCEPTED, moment),
        ).fetchone()
        return int(row[0])

    def attempts(self) -> list[tuple[int, Attempt]]:
        """Return ``(number, attempt)`` of all attempts, in order of arrival."""
        rows = self._database.execute(
            f"SELECT number, {_COLUMNS} FROM application_attempts ORDER BY number"  # noqa: S608
        )
        return [(number, Attempt(*rest)) for number, *rest in rows]

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def of_person(self, person_id: str, now: float) -> list[Negotiation]:
        """Return a person's negotiations as they stand at *now*, oldest first."""
        rows = self._database.execute(
            f"{_SELECT_NEGOTIATIONS} WHERE n.person_id = ? ORDER BY n.number", (person_id,)
        ).fetchall()
        steps: dict[int, list[Step]] = {row[0]: [] for row in rows}
        for number, *step in self._database.execute(_SELECT_STEPS_OF_PERSON, (person_id, now)):
            if number in steps:
                steps[number].append(_step(step))
        return [_negotiation(row, steps[row[0]]) for row in rows]

    def find(self, number: int, now: float) -> Negotiation | None:
        """Return the negotiation of any person by its number, as it stands at *now*."""
        row = self._database.execute(
            f"{_SELECT_NEGOTIATIONS} WHERE n.number = ?", (number,)
        ).fetchone()
        if row is None:
            return None
        steps = self._database.execute(
            f"{_SELECT_STEPS} WHERE negotiation = ? AND at <= ? ORDER BY at, number", (number, now)
        )
        return _negotiation(row, (_step(step) for _, *step in steps))

    def has_applied(self, person_id: str, vacancy_id: str) -> bool:
        """Return whether the person has applied to the vacancy, with any resume."""
        row = self._database.execute(
            f"{_SELECT_NEGOTIATIONS} WHERE n.person_id = ? AND n.vacancy_id = ? LIMIT 1",
            (person_id, vacancy_id),
        ).fetchone()
        return row is not None

    # ── steps ───────────────────────────────────────────────────────────────────────────────────

    def add_step(self, number: int, at: float, kind: str, text: str | None) -> Step:
        """Store a step of a negotiation, in the past or in the future, and return it."""
        row = self._database.execute(_INSERT_STEP, (number, at, kind, text))
        return Step(int(row.lastrowid or 0), at, kind, text)

    def act(self, number: int, action: EmployerAction) -> None:
        """Store what an employer is ordered to do now.

        The employer views the application first; of its planned actions, those that no longer fit
        are deleted.
        """
        self._database.execute("BEGIN IMMEDIATE")
        dropped = "" if action.kind in STATES else " AND kind = 'viewed'"
        self._database.execute(
            f"DELETE FROM negotiation_steps WHERE negotiation = ? AND at > ?{dropped}",  # noqa: S608
            (number, action.at),
        )
        viewed = self._database.execute(
            "SELECT 1 FROM negotiation_steps WHERE negotiation = ? AND kind = 'viewed'", (number,)
        ).fetchone()
        if viewed is None or action.kind == "viewed":
            self._database.execute(_INSERT_STEP, (number, action.at, "viewed", None))
        if action.kind != "viewed":
            self._database.execute(_INSERT_STEP, (number, action.at, action.kind, action.text))
        self._database.execute("COMMIT")

    def mark_seen(self, number: int, now: float) -> None:
        """Mark all messages up to *now* as seen by the applicant."""
        self._database.execute(
            "UPDATE negotiation_steps SET seen = 1 WHERE negotiation = ? AND at <= ?",
            (number, now),
        )
