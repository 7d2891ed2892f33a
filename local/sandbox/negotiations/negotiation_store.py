"""Where applications are kept: what arrived, what happens to it, and every attempt to apply.

What employers will do is written down when a person applies, each deed with its moment; a reader
sees those whose moment has come. So a jump of the clock costs nothing and a restart loses nothing.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from local.sandbox.negotiations.negotiation import STATES, Negotiation, Step

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from local.sandbox.negotiations.conduct import Deed
    from local.sandbox.negotiations.negotiation import By

ACCEPTED = "accepted"

SCHEMA = """
CREATE TABLE IF NOT EXISTS negotiations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, person_id TEXT NOT NULL, vacancy_id TEXT NOT NULL,
    resume_id TEXT NOT NULL, by TEXT NOT NULL, applied_at REAL NOT NULL, hidden INTEGER NOT NULL
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
    """Somebody tried to apply. *outcome*: ``accepted``, ``redirected``, or hh.ru's error value.

    *status* is the answer's; *person_id* is ``None`` where the token was nobody's. *negotiation* is
    the number of what came of it, ``None`` while (or if) nothing did.
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
_ATTEMPT = f"INSERT INTO application_attempts ({_COLUMNS}) VALUES ({_PLACES})"  # noqa: S608
_STEP = "INSERT INTO negotiation_steps (negotiation, at, kind, text) VALUES (?, ?, ?, ?)"
# A resume takes its negotiations with it.
_NEGOTIATION = (
    "SELECT n.* FROM negotiations n JOIN resumes r ON r.id = n.resume_id"
    " AND r.person_id = n.person_id"
)
_STEPS = "SELECT negotiation, number, at, kind, text, seen FROM negotiation_steps"
_STEPS_OF_PERSON = (
    "SELECT s.negotiation, s.number, s.at, s.kind, s.text, s.seen FROM negotiation_steps s"
    " JOIN negotiations n ON n.number = s.negotiation"
    " WHERE n.person_id = ? AND s.at <= ? ORDER BY s.at, s.number"
)


def _step(row: Any) -> Step:
    number, at, kind, text, seen = row
    return Step(number, at, kind, text, bool(seen))


def _negotiation(row: Any, steps: Iterable[Step]) -> Negotiation:
    number, person_id, vacancy_id, resume_id, by, applied_at, hidden = row
    return Negotiation(
        number=number,
        person_id=person_id,
        vacancy_id=vacancy_id,
        resume_id=resume_id,
        by=by,
        applied_at=applied_at,
        hidden=bool(hidden),
        steps=tuple(steps),
    )


class NegotiationStore:
    """Tables of the sandbox's database; the connection is the store's."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def forget(self) -> None:
        """As if nobody had ever applied. Ids are not given out again."""
        self._database.executescript(
            "DELETE FROM negotiations; DELETE FROM negotiation_steps;"
            " DELETE FROM application_attempts;"
        )

    # ── applying ────────────────────────────────────────────────────────────────────────────────

    def refuse(self, attempt: Attempt) -> None:
        """Keep an attempt that came to nothing."""
        self._database.execute(_ATTEMPT, astuple(attempt))

    def accept(self, attempt: Attempt, deeds: Iterable[Deed]) -> int:
        """Keep an application and what will be done with it. Returns its number."""
        self._database.execute("BEGIN IMMEDIATE")
        number = self._database.execute(
            "INSERT INTO negotiations"
            " (person_id, vacancy_id, resume_id, by, applied_at, hidden) VALUES (?, ?, ?, ?, ?, 0)",
            (
                attempt.person_id,
                attempt.vacancy_id,
                attempt.resume_id,
                attempt.by,
                attempt.at,
            ),
        ).lastrowid
        assert number is not None  # noqa: S101 - an INSERT has one
        self._database.execute(_STEP, (number, attempt.at, "response", attempt.letter))
        self._database.executemany(
            _STEP, ((number, deed.at, deed.kind, deed.text) for deed in deeds)
        )
        self._database.execute(_ATTEMPT, (*astuple(attempt)[:-1], number))
        self._database.execute("COMMIT")
        return number

    def accepted_since(self, person_id: str, moment: float) -> int:
        """How many applications of a person were accepted after *moment*, those deleted too."""
        row = self._database.execute(
            "SELECT count(*) FROM application_attempts"
            " WHERE person_id = ? AND outcome = ? AND at > ?",
            (person_id, ACCEPTED, moment),
        ).fetchone()
        return int(row[0])

    def attempts(self) -> list[tuple[int, Attempt]]:
        """All attempts in the order in which they came, numbered."""
        rows = self._database.execute(
            f"SELECT number, {_COLUMNS} FROM application_attempts ORDER BY number"  # noqa: S608
        )
        return [(number, Attempt(*rest)) for number, *rest in rows]

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def of(self, person_id: str, now: float) -> list[Negotiation]:
        """A person's negotiations as they stand at *now*, hidden ones too; oldest first."""
        rows = self._database.execute(
            f"{_NEGOTIATION} WHERE n.person_id = ? ORDER BY n.number", (person_id,)
        ).fetchall()
        steps: dict[int, list[Step]] = {row[0]: [] for row in rows}
        for number, *step in self._database.execute(_STEPS_OF_PERSON, (person_id, now)):
            if number in steps:
                steps[number].append(_step(step))
        return [_negotiation(row, steps[row[0]]) for row in rows]

    def find(self, number: int, now: float) -> Negotiation | None:
        """The negotiation of that number as it stands at *now*, whoever's it is."""
        row = self._database.execute(f"{_NEGOTIATION} WHERE n.number = ?", (number,)).fetchone()
        if row is None:
            return None
        steps = self._database.execute(
            f"{_STEPS} WHERE negotiation = ? AND at <= ? ORDER BY at, number", (number, now)
        )
        return _negotiation(row, (_step(step) for _, *step in steps))

    def has_applied(self, person_id: str, vacancy_id: str) -> bool:
        """Whether the person has applied to the vacancy, with whichever resume."""
        row = self._database.execute(
            f"{_NEGOTIATION} WHERE n.person_id = ? AND n.vacancy_id = ? LIMIT 1",
            (person_id, vacancy_id),
        ).fetchone()
        return row is not None

    # ── what happens then ───────────────────────────────────────────────────────────────────────

    def add(self, number: int, deed: Deed) -> Step:
        """Something happens (or will) to a negotiation."""
        row = self._database.execute(_STEP, (number, deed.at, deed.kind, deed.text))
        return Step(int(row.lastrowid or 0), deed.at, deed.kind, deed.text)

    def act(self, number: int, deed: Deed) -> None:
        """An employer is made to do something now: it looks first, and what it had planned and
        no longer fits does not happen.
        """
        self._database.execute("BEGIN IMMEDIATE")
        dropped = "" if deed.kind in STATES else " AND kind = 'viewed'"
        self._database.execute(
            f"DELETE FROM negotiation_steps WHERE negotiation = ? AND at > ?{dropped}",  # noqa: S608
            (number, deed.at),
        )
        viewed = self._database.execute(
            "SELECT 1 FROM negotiation_steps WHERE negotiation = ? AND kind = 'viewed'", (number,)
        ).fetchone()
        if viewed is None or deed.kind == "viewed":
            self._database.execute(_STEP, (number, deed.at, "viewed", None))
        if deed.kind != "viewed":
            self._database.execute(_STEP, (number, deed.at, deed.kind, deed.text))
        self._database.execute("COMMIT")

    def read(self, number: int, now: float) -> None:
        """The applicant has seen all messages."""
        self._database.execute(
            "UPDATE negotiation_steps SET seen = 1 WHERE negotiation = ? AND at <= ?",
            (number, now),
        )

    def hide(self, number: int) -> None:
        """The applicant does not want to see it any more."""
        self._database.execute("UPDATE negotiations SET hidden = 1 WHERE number = ?", (number,))
