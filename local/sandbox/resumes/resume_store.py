"""The table of resumes. The stored body has the fields that ``PUT /resumes/{id}`` takes."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.sandbox.people import people

if TYPE_CHECKING:
    import sqlite3

    from local.sandbox.people.people import Person

DAY_S = 86_400
SCHEMA = """
CREATE TABLE IF NOT EXISTS resumes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, person_id TEXT NOT NULL,
    body TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL,
    visible_from REAL NOT NULL, published_at REAL, views INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS resumes_of_person ON resumes (person_id);
CREATE TABLE IF NOT EXISTS resumes_given (person_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS resume_moderation (
    resume_id TEXT PRIMARY KEY, status TEXT NOT NULL, notes TEXT NOT NULL
);
"""
SELECT_RESUMES = """
    SELECT resumes.*, moderation.status, moderation.notes FROM resumes
    LEFT JOIN resume_moderation AS moderation ON moderation.resume_id = resumes.id
"""


@dataclass(frozen=True, slots=True)
class Resume:
    """A resume. *published_at* is the time of the last publication, ``None`` if there was none.
    *moderation*: the status that hh.ru's moderators gave it, ``blocked`` or ``on_moderation``, with
    the ids of their *notes*."""

    number: int
    id: str
    person_id: str
    body: dict[str, Any]
    created_at: float
    updated_at: float
    visible_from: float
    published_at: float | None
    views: int
    moderation: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """Return hh.ru's status: of a resume that employers see, ``published``."""
        if self.published_at is None:
            return "not_published"
        return self.moderation or "published"


def first_body(person: Person, short: dict[str, Any]) -> dict[str, Any]:
    """Return a resume of ``data/people.toml`` in full, as ``POST /resumes`` takes it."""

    def ids(values: list[str]) -> list[dict[str, str]]:
        return [{"id": value} for value in values]

    education = person.education
    phone = {"country": "7", "city": person.phone[:3], "number": person.phone[3:]}
    body: dict[str, Any] = {
        "title": short["title"],
        "first_name": person.first_name,
        "last_name": person.last_name,
        "middle_name": person.middle_name,
        "gender": {"id": person.gender},
        "birth_date": person.birth_date,
        "area": {"id": person.area},
        "citizenship": ids(["113"]),
        "work_ticket": ids(["113"]),
        "contact": [
            {"type": {"id": "cell"}, "value": phone, "preferred": True},
            {"type": {"id": "email"}, "value": person.email, "preferred": False},
        ],
        "language": [{"id": id_, "level": {"id": level}} for id_, level in person.language.items()],
        "professional_roles": ids(short["roles"]),
        "employments": ids([short["employment"]]),
        "schedules": ids([short["schedule"]]),
        "skill_set": short["skill_set"],
        "skills": short.get("skills"),
        "salary": {"amount": short["salary"], "currency": "RUR"} if "salary" in short else None,
        "experience": [
            {**job, "industries": ids(job.get("industries", [])), "area": {"id": person.area}}
            for job in short.get("experience", [])
        ],
        "access": {"type": {"id": "clients"}},
        "resume_locale": {"id": "RU"},
        "travel_time": {"id": "any"},
        "business_trip_readiness": {"id": "never"},
        "relocation": {"type": {"id": "no_relocation"}},
    }
    if education is not None:
        entry = {name: value for name, value in education.items() if name != "level"}
        body["education"] = {"level": {"id": education["level"]}, "primary": [entry]}
    return body


def _resume(*row: Any) -> Resume:
    """Return the resume of a row of :data:`SELECT_RESUMES`."""
    number, id_, person_id, body, created_at, updated_at, visible_from, *others = row
    published_at, views, moderation, notes = others
    return Resume(
        number,
        id_,
        person_id,
        json.loads(body),
        created_at,
        updated_at,
        visible_from,
        published_at,
        views,
        moderation,
        tuple(json.loads(notes or "[]")),
    )


class ResumeStore:
    """The tables of resumes in the sandbox's database, which the :class:`Store` opens."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def create_initial(self, now: float) -> None:
        """Create the initial resumes of the people who have not been given theirs yet."""
        for person in people.all_people().values():
            self._database.execute("BEGIN IMMEDIATE")
            given = self._database.execute(
                "INSERT OR IGNORE INTO resumes_given VALUES (?)", (person.id,)
            ).rowcount
            for number, short in enumerate(person.resume if given else []):
                id_ = hashlib.sha256(f"{person.id}/{number}".encode()).hexdigest()[:38]
                complete = bool(short["skill_set"])
                self._insert(
                    id_,
                    person.id,
                    first_body(person, short),
                    created_at=now - (400 - 100 * number) * DAY_S,
                    visible_from=0,
                    published_at=now - (5 - number) * DAY_S if complete else None,
                    views=short["views"],
                )
            self._database.execute("COMMIT")

    def reset(self, now: float) -> None:
        """Delete all resumes and create the initial ones."""
        self._database.executescript(
            "DELETE FROM resumes; DELETE FROM resumes_given; DELETE FROM resume_moderation;"
        )
        self.create_initial(now)

    def _insert(
        self,
        id_: str,
        person_id: str,
        body: dict[str, Any],
        *,
        created_at: float,
        visible_from: float,
        published_at: float | None = None,
        views: int = 0,
    ) -> None:
        updated_at = published_at or created_at
        self._database.execute(
            "INSERT INTO resumes (id, person_id, body, created_at, updated_at, visible_from,"
            " published_at, views) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                id_,
                person_id,
                json.dumps(body),
                created_at,
                updated_at,
                visible_from,
                published_at,
                views,
            ),
        )

    def of_person(self, person_id: str) -> list[Resume]:
        """Return a person's resumes, also those not visible yet; the last updated first."""
        return self._read(
            f"{SELECT_RESUMES} WHERE person_id = ? ORDER BY updated_at DESC, number", person_id
        )

    def find(self, resume_id: str) -> Resume | None:
        """Return the resume of any person by its id."""
        found = self._read(f"{SELECT_RESUMES} WHERE id = ?", resume_id)
        return found[0] if found else None

    def _read(self, query: str, value: str) -> list[Resume]:
        return [_resume(*row) for row in self._database.execute(query, (value,))]

    def create(
        self, person_id: str, body: dict[str, Any], now: float, *, visible_from: float
    ) -> str:
        """Store a new resume and return its id."""
        id_ = secrets.token_hex(19)
        self._insert(id_, person_id, body, created_at=now, visible_from=visible_from)
        return id_

    def edit(self, resume_id: str, body: dict[str, Any], now: float) -> None:
        """Replace the body of a resume."""
        self._database.execute(
            "UPDATE resumes SET body = ?, updated_at = ? WHERE id = ?",
            (json.dumps(body), now, resume_id),
        )

    def publish(self, resume_id: str, now: float) -> None:
        """Publish a resume, or move it to the top again."""
        self._database.execute(
            "UPDATE resumes SET published_at = ?, updated_at = ? WHERE id = ?",
            (now, now, resume_id),
        )

    def unpublish(self, resume_id: str) -> None:
        """Make a resume one that was never published."""
        self._database.execute("UPDATE resumes SET published_at = NULL WHERE id = ?", (resume_id,))

    def moderate(self, resume_id: str, status: str | None, notes: list[str]) -> None:
        """Give a resume the status of hh.ru's moderators, with the ids of their notes; with
        ``None`` they have no objection."""
        self._database.execute("DELETE FROM resume_moderation WHERE resume_id = ?", (resume_id,))
        if status is not None:
            self._database.execute(
                "INSERT INTO resume_moderation VALUES (?, ?, ?)",
                (resume_id, status, json.dumps(notes)),
            )

    def delete(self, resume_id: str) -> None:
        """Delete a resume for good."""
        self._database.execute("DELETE FROM resumes WHERE id = ?", (resume_id,))
