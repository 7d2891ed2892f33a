"""Reposts: the same job in another city, or posted anew, is linked to the first posting stored.

Two vacancies are one job if one employer posted both within sixty days, under titles that are equal
except for the city, with much the same text, and, while both are open, of the same grade
(:mod:`.grade`). Full texts are compared where they are known. A search's excerpt is cut around the
words searched for: of two excerpts, or of an excerpt and a full text, most of the shorter must be
in the other. Anonymous employers have no id: their jobs are never linked.

When a full text is read, the links of that job are evaluated again (:func:`reevaluate_links`), by
full texts alone: links between two other postings, made by excerpts, stay as they are, and a
posting joins another job together with those that are linked to it.

``jobs.repost_of`` leads to the original, never to another repost: a transaction that stores a link
holds its target until it ends, and takes the target's own original if it has got one meanwhile.
The original is the posting that was stored first (accounts were notified of it), and of those
stored together, or split later, the oldest. Two transactions that store reposts of each other at
the same moment, or their full texts, do not see each other, and change no link.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from ullgetthejob.platform import russian_text
from ullgetthejob.vacancies.grade import UNKNOWN, Grade, grade_of, stored_grade

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from ullgetthejob.hh.models import Vacancy, VacancyDetail
    from ullgetthejob.platform.postgres import Connection

MAX_AGE_DIFFERENCE = timedelta(days=60)
MIN_SIMILARITY = 0.8  # the share of the shingles of either text that both have
SHINGLE = 3  # words
# Below this, a word more or less changes too many shingles: single words are compared.
SHORT_TEXT_WORDS = 12
MAX_CANDIDATES = 100  # the newest vacancies of one key: a big employer posts thousands

BRACKETED = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
# The word before the name of a place, if it has one: г. Казань, метро Сокол, ул. Мира.
PLACE = re.compile(
    r"(г|гор|город|пос|посёлок|поселок|пгт|дер|деревня|село|м|метро|ул|улица|пр-т|проспект|р-н|район)"
    r"(\.|\s|$)",
    re.IGNORECASE,
)

# The stored jobs that have the key of a new one and were published near it.
SELECT_CANDIDATES = """
    SELECT wanted.key, kept.*
    FROM unnest(%(keys)s::bytea[], %(since)s::timestamptz[], %(until)s::timestamptz[])
        AS wanted (key, since, until)
    CROSS JOIN LATERAL (
        SELECT external_id, coalesce(repost_of, external_id) AS original_id, published_at,
               description, detail IS NOT NULL AS is_full, closed_at IS NULL AS is_open,
               vacancy #>> '{snippet,requirement}' AS requirement,
               vacancy #>> '{snippet,responsibility}' AS responsibility,
               coalesce(vacancy, detail) #>> '{experience,id}' AS experience,
               coalesce(coalesce(vacancy, detail) #>> '{employment_form,id}',
                        coalesce(vacancy, detail) #>> '{employment,id}') AS employment,
               coalesce(vacancy, detail) #>> '{schedule,id}' AS schedule,
               coalesce(vacancy, detail) -> 'work_format' AS formats,
               coalesce(vacancy, detail) -> 'salary' AS salary
        FROM jobs
        WHERE repost_key = wanted.key AND published_at BETWEEN wanted.since AND wanted.until
            AND external_id <> ALL(%(new)s)
        ORDER BY published_at DESC, external_id LIMIT %(most)s
    ) AS kept
    ORDER BY kept.published_at, kept.external_id
"""
# KEY SHARE waits only for a transaction that changes the target's own link.
UPDATE_VACANCIES_LINKED = """
    WITH target AS MATERIALIZED (
        SELECT external_id AS id, coalesce(repost_of, external_id) AS original_id FROM jobs
        WHERE external_id = ANY(%(originals)s) ORDER BY external_id FOR KEY SHARE
    )
    UPDATE jobs SET repost_of = target.original_id
    FROM unnest(%(ids)s::text[], %(originals)s::text[]) AS link (id, target_id)
    JOIN target ON target.id = link.target_id
    WHERE external_id = link.id
    RETURNING external_id::text AS id, repost_of
"""


@dataclass(frozen=True)
class Posting:
    """The properties of a vacancy that decide links. *excerpt*: what a search shows; *text*: the
    full text, empty before it was read."""

    original_id: str
    published_at: datetime
    excerpt: str
    text: str
    grade: Grade = UNKNOWN
    is_open: bool = True
    id: str = ""

    def is_near(self, other: Posting) -> bool:
        """Return whether both were published near enough to each other to be one job."""
        return abs(self.published_at - other.published_at) <= MAX_AGE_DIFFERENCE

    def is_same_job(self, other: Posting) -> bool:
        """Return whether both are one job; their keys must be equal."""
        if not self.is_near(other):
            return False
        if self.is_open and other.is_open and self.grade.differs_from(other.grade):
            return False
        if self.text and other.text:
            return is_similar(self.text, other.text)
        return is_contained(self.text or self.excerpt, other.text or other.excerpt)


@dataclass(frozen=True)
class LinkChanges:
    """New links. *originals*: the new original by the id of each posting that moves.
    *former_group*: the ids of a group that was split; empty if none was."""

    originals: Mapping[str, str]
    former_group: tuple[str, ...] = ()


NO_CHANGES = LinkChanges({})


def key_of(vacancy: Vacancy) -> bytes | None:
    """Return the hash that all vacancies of an employer share whose titles are equal except for the
    city; ``None`` if the vacancy can have no reposts."""
    city = vacancy.address.city if vacancy.address else None
    title = normalised_title(vacancy.name, cities=[vacancy.area.name or "", city or ""])
    if vacancy.employer.id is None or not title:
        return None
    return hashlib.sha256(f"{vacancy.employer.id}\n{title}".encode()).digest()


def normalised_title(title: str, *, cities: Iterable[str] = ()) -> str:
    """Return the words of a title without the place: in brackets, or one of *cities* at the end."""
    places = [words for city in cities if (words := _words(city))]

    def without_place(bracketed: re.Match[str]) -> str:
        inside = bracketed[1].strip()
        return " " if PLACE.match(inside) or _words(inside) in places else bracketed[0]

    words = _words(BRACKETED.sub(without_place, title))
    for place in places:
        if len(words) > len(place) and words[-len(place) :] == place:
            words = words[: -len(place)]
            if len(words) > 1 and words[-1] in ("г", "город"):
                words = words[:-1]
            break
    return " ".join(words)


def is_similar(first_text: str, second_text: str) -> bool:
    """Return whether two texts are much the same; an empty text is similar to none."""
    if first_text == second_text:
        return bool(_words(first_text))
    first, second = _words(first_text), _words(second_text)
    if not first or not second:
        return False
    if first == second:
        return True
    size = 1 if min(len(first), len(second)) < SHORT_TEXT_WORDS else SHINGLE
    some, others = _shingles(first, size), _shingles(second, size)
    return len(some & others) >= MIN_SIMILARITY * len(some | others)


def is_contained(first_text: str, second_text: str) -> bool:
    """Return whether most of the shorter of two texts is in the longer one; an empty text is in
    none."""
    first, second = _words(first_text), _words(second_text)
    if not first or not second:
        return False
    size = 1 if min(len(first), len(second)) < SHORT_TEXT_WORDS else SHINGLE
    some, others = _shingles(first, size), _shingles(second, size)
    return len(some & others) >= MIN_SIMILARITY * min(len(some), len(others))


def link(
    vacancies: Collection[Vacancy], *, known_keys: Collection[bytes], connection: Connection
) -> dict[str, str]:
    """Link the reposts among *vacancies*, in the transaction that inserted them; return the
    original of each repost, by id. *known_keys*: the keys that stored vacancies may have."""
    keys = {vacancy.id: key for vacancy in vacancies if (key := key_of(vacancy)) is not None}
    counts = Counter(keys.values())
    shared = {key for key, number in counts.items() if number > 1 or key in known_keys}
    new = sorted(
        (vacancy for vacancy in vacancies if keys.get(vacancy.id) in shared),
        key=lambda vacancy: (vacancy.published_at, len(vacancy.id), vacancy.id),
    )
    if not new:  # no other vacancy has a key of these
        return {}
    ids = [vacancy.id for vacancy in new]
    candidates = _candidates(new, keys, known_keys, excluding=ids, connection=connection)
    originals: dict[str, str] = {}
    for vacancy in new:
        postings = candidates[keys[vacancy.id]]
        own = posting(vacancy)
        same = next((stored for stored in postings if own.is_same_job(stored)), None)
        if same is not None:
            originals[vacancy.id] = same.original_id
            own = replace(own, original_id=same.original_id)
        postings.append(own)
    if not originals:
        return {}
    values = {"ids": list(originals), "originals": list(originals.values())}
    rows = connection.execute(UPDATE_VACANCIES_LINKED, values).fetchall()
    return {row["id"]: row["repost_of"] for row in rows}


def posting(vacancy: Vacancy) -> Posting:
    """Return the posting of *vacancy*, as its own original."""
    excerpt = _excerpt(vacancy.snippet.requirement, vacancy.snippet.responsibility)
    text = getattr(vacancy, "description", "")
    return Posting(
        vacancy.id,
        vacancy.published_at,
        excerpt,
        text,
        grade_of(vacancy),
        is_open=not vacancy.archived,
        id=vacancy.id,
    )


def reevaluate_links(detail: VacancyDetail, *, connection: Connection) -> LinkChanges:
    """Return what changes in the links of a stored vacancy, and of those linked with it, by
    *detail*, its full text that was just read; nothing is written."""
    key = key_of(detail)
    if key is None:
        return NO_CHANGES
    near = _candidates([detail], {detail.id: key}, {key}, excluding=(), connection=connection)[key]
    stored = next((other for other in near if other.id == detail.id), None)
    if stored is None:
        return NO_CHANGES
    own = replace(posting(detail), original_id=stored.original_id)
    near = [own if other.id == detail.id else other for other in near]
    group = [member for member in near if member.original_id == own.original_id]
    if moved := split_group(group):
        return LinkChanges(moved, tuple(member.id for member in group))
    full = (other for other in near if other.text and other not in group)
    same = next((other for other in full if own.is_same_job(other)), None)
    if same is None:
        return NO_CHANGES
    return LinkChanges({member.id: same.original_id for member in group})


def split_group(group: list[Posting]) -> dict[str, str]:
    """Return the new originals, by id, of the members of a group of linked postings, the oldest
    first, whose full texts differ from that of the original (if that is unknown: of the oldest
    whose full text is known)."""
    known = [member for member in group if member.text]
    known.sort(key=lambda member: member.id != member.original_id)
    if not known:
        return {}
    staying, rest = _chain(known)
    moved: dict[str, str] = {}
    while rest:
        leaving, rest = _chain(rest)
        # Postings too far apart in time to be compared stay.
        if any(member.is_near(other) for member in leaving for other in staying):
            moved |= {member.id: leaving[0].id for member in leaving}
    return moved


def _chain(postings: list[Posting]) -> tuple[list[Posting], list[Posting]]:
    """Return the first posting with all that are the same job as it or as one of those, and the
    rest."""
    chain, rest = [postings[0]], postings[1:]
    for member in chain:
        same = [other for other in rest if member.is_same_job(other)]
        chain += same
        rest = [other for other in rest if other not in same]
    return chain, rest


def _candidates(
    new: Sequence[Vacancy],
    keys: dict[str, bytes],
    known_keys: Collection[bytes],
    *,
    excluding: Iterable[str],
    connection: Connection,
) -> dict[bytes, list[Posting]]:
    """Return the stored postings by key, the oldest first, without the ids *excluding*."""
    moments: dict[bytes, list[datetime]] = defaultdict(list)
    for vacancy in new:
        if keys.get(vacancy.id) in known_keys:
            moments[keys[vacancy.id]].append(vacancy.published_at)
    near: dict[bytes, list[Posting]] = defaultdict(list)
    if not moments:
        return near
    values = {
        "keys": list(moments),
        "since": [min(published) - MAX_AGE_DIFFERENCE for published in moments.values()],
        "until": [max(published) + MAX_AGE_DIFFERENCE for published in moments.values()],
        "new": list(excluding),
        "most": MAX_CANDIDATES,
    }
    for row in connection.execute(SELECT_CANDIDATES, values).fetchall():
        near[bytes(row["key"])].append(
            Posting(
                row["original_id"],
                row["published_at"],
                _excerpt(row["requirement"], row["responsibility"]) or row["description"] or "",
                (row["description"] or "") if row["is_full"] else "",
                stored_grade(row),
                row["is_open"],
                row["external_id"],
            )
        )
    return near


def _excerpt(requirement: str | None, responsibility: str | None) -> str:
    return "\n".join(part for part in (requirement, responsibility) if part)


@lru_cache(maxsize=1024)  # a text is compared with many
def _words(text: str) -> tuple[str, ...]:
    return russian_text.canonical_words(text)


def _shingles(words: tuple[str, ...], size: int) -> set[tuple[str, ...]]:
    return {words[start : start + size] for start in range(len(words) - size + 1)}
