"""Reposts: the same job in another city, or posted anew, is linked to the first one that we stored.

Two vacancies are one job if one employer posted both within sixty days, under the same title but
for the city, with much the same text, and, while both are open, of the same grade (:mod:`.grade`).
Texts are judged in full where they are known. What a search shows is cut around its words: of two
such excerpts, or of one and a full text, most of the shorter one must be in the other. Anonymous
employers have no id: their jobs are never linked.

When a full text is read, the links of that job are judged anew (:func:`judge_anew`): by the texts
that are known in full alone, so that what is known of two others by excerpts stays as it is.

``jobs.repost_of`` leads to the original, never to another repost. The original is what was stored
first (it is what people were told of), and of those stored at once, or parted later, the oldest.
Two transactions that store reposts of each other at the same moment, or their full texts, do not
see each other, and change no link.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import russian_text
from ullgetthejob.vacancies.grade import UNKNOWN, Grade, grade_of, stored_grade

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from ullgetthejob.hh.models import Vacancy, VacancyDetail

    Connection = psycopg.Connection[dict[str, Any]]

MAX_AGE_DIFFERENCE = timedelta(days=60)
MIN_SIMILARITY = 0.8  # of what either text has, both have
SHINGLE = 3
SHORT_TEXT_WORDS = 12  # words; a word more or less would change too many of its shingles
MAX_CANDIDATES = 100  # vacancies of one key, the newest: a big employer posts thousands

BRACKETED = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
# What a place begins with, where it is not just its name: г. Казань, метро Сокол, ул. Мира.
PLACE = re.compile(
    r"(г|гор|город|пос|посёлок|поселок|пгт|дер|деревня|село|м|метро|ул|улица|пр-т|проспект|р-н|район)"
    r"(\.|\s|$)",
    re.IGNORECASE,
)

# The jobs stored before which have the key of a new one and were published near it.
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
UPDATE_VACANCIES_LINKED = """
    UPDATE jobs SET repost_of = link.original_id
    FROM unnest(%(ids)s::text[], %(originals)s::text[]) AS link (id, original_id)
    WHERE external_id = link.id
"""


@dataclass(frozen=True)
class Posting:
    """A vacancy as far as it matters here. *excerpt*: what a search shows; *text*: the whole, empty
    before it was read."""

    original_id: str
    published_at: datetime
    excerpt: str
    text: str
    grade: Grade = UNKNOWN
    is_open: bool = True
    id: str = ""

    def is_near(self, other: Posting) -> bool:
        """Return whether both were published so near each other that they can be one job."""
        return abs(self.published_at - other.published_at) <= MAX_AGE_DIFFERENCE

    def is_same_job(self, other: Posting) -> bool:
        """Whether both are one job; their keys are the same."""
        if not self.is_near(other):
            return False
        if self.is_open and other.is_open and self.grade.differs_from(other.grade):
            return False
        if self.text and other.text:
            return similar(self.text, other.text)
        return contained(self.text or self.excerpt, other.text or other.excerpt)


@dataclass(frozen=True)
class LinkChanges:
    """What links become: *originals*, by the ids of what moved. *parted*: the ids of all that were
    one group before, empty where nothing was parted."""

    originals: Mapping[str, str]
    parted: tuple[str, ...] = ()


NO_CHANGES = LinkChanges({})


def key_of(vacancy: Vacancy) -> bytes | None:
    """The same for all vacancies of an employer that have one title, but for the city; ``None``
    where nothing can be a repost of it."""
    city = vacancy.address.city if vacancy.address else None
    title = normalised(vacancy.name, cities=[vacancy.area.name or "", city or ""])
    if vacancy.employer.id is None or not title:
        return None
    return hashlib.sha256(f"{vacancy.employer.id}\n{title}".encode()).digest()


def normalised(title: str, *, cities: Iterable[str] = ()) -> str:
    """The words of a title, without the place: in brackets, or one of *cities* at the end."""
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


def similar(one: str, other: str) -> bool:
    """Whether two texts are much the same. Empty ones are like nothing."""
    if one == other:
        return bool(_words(one))
    first, second = _words(one), _words(other)
    if not first or not second:
        return False
    if first == second:
        return True
    size = 1 if min(len(first), len(second)) < SHORT_TEXT_WORDS else SHINGLE
    some, others = _shingles(first, size), _shingles(second, size)
    return len(some & others) >= MIN_SIMILARITY * len(some | others)


def contained(one: str, other: str) -> bool:
    """Return whether most of the shorter of two texts is in the longer one. Empty ones are in
    nothing."""
    first, second = _words(one), _words(other)
    if not first or not second:
        return False
    size = 1 if min(len(first), len(second)) < SHORT_TEXT_WORDS else SHINGLE
    some, others = _shingles(first, size), _shingles(second, size)
    return len(some & others) >= MIN_SIMILARITY * min(len(some), len(others))


def link(
    vacancies: Iterable[Vacancy], *, known_keys: Collection[bytes], connection: Connection
) -> dict[str, str]:
    """Link those of *vacancies* that are reposts, in the transaction that inserted them: their
    originals, by id. *known_keys*: those that other vacancies may have."""
    new = sorted(vacancies, key=lambda one: (one.published_at, len(one.id), one.id))
    keys = {one.id: key for one in new if (key := key_of(one)) is not None}
    if not keys:
        return {}
    ids = [one.id for one in new]
    near = _candidates(new, keys, known_keys, but_for=ids, connection=connection)
    found: dict[str, str] = {}
    for vacancy in new:
        if vacancy.id not in keys:
            continue
        postings = near[keys[vacancy.id]]
        own = posting(vacancy)
        same = next((one for one in postings if own.is_same_job(one)), None)
        if same is not None:
            found[vacancy.id] = same.original_id
            own = replace(own, original_id=same.original_id)
        postings.append(own)
    if found:
        values = {"ids": list(found), "originals": list(found.values())}
        connection.execute(UPDATE_VACANCIES_LINKED, values)
    return found


def posting(vacancy: Vacancy) -> Posting:
    """*vacancy*, as its own original."""
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
    """Judge the links of a stored vacancy, of which *detail* is the full text that was just read,
    and of those that are linked with it; nothing is written."""
    key = key_of(detail)
    if key is None:
        return NO_CHANGES
    near = _candidates([detail], {detail.id: key}, {key}, but_for=(), connection=connection)[key]
    kept = next((one for one in near if one.id == detail.id), None)
    if kept is None:
        return NO_CHANGES
    own = replace(posting(detail), original_id=kept.original_id)
    near = [own if one.id == detail.id else one for one in near]
    group = [one for one in near if one.original_id == own.original_id]
    if len(group) > 1:
        return LinkChanges(split_group(group), tuple(one.id for one in group))
    full = (one for one in near if one.text and one.id != own.id)
    same = next((one for one in full if own.is_same_job(one)), None)
    if same is None or own.original_id != own.id:
        return NO_CHANGES
    return LinkChanges({own.id: same.original_id})


def split_group(group: list[Posting]) -> dict[str, str]:
    """Return the new originals, by id, of those in a group of linked postings, the oldest first,
    whose full texts are not that of its original (unknown: of the oldest whose text is known)."""
    known = [one for one in group if one.text]
    known.sort(key=lambda one: one.id != one.original_id)
    if not known:
        return {}
    stay, left = _chain(known)
    moved: dict[str, str] = {}
    while left:
        together, left = _chain(left)
        # Those that are too far apart to be compared stay.
        if any(one.is_near(other) for one in together for other in stay):
            moved |= {one.id: together[0].id for one in together}
    return moved


def _chain(postings: list[Posting]) -> tuple[list[Posting], list[Posting]]:
    """Return the first one with those that are the same job as it, or as one of those; the rest."""
    chain, left = [postings[0]], postings[1:]
    for one in chain:
        same = [other for other in left if one.is_same_job(other)]
        chain += same
        left = [other for other in left if other not in same]
    return chain, left


def _candidates(
    new: Sequence[Vacancy],
    keys: dict[str, bytes],
    known_keys: Collection[bytes],
    *,
    but_for: Iterable[str],
    connection: Connection,
) -> dict[bytes, list[Posting]]:
    """What was stored before, by key, the oldest first, without the ids *but_for*."""
    moments: dict[bytes, list[datetime]] = defaultdict(list)
    for one in new:
        if keys.get(one.id) in known_keys:
            moments[keys[one.id]].append(one.published_at)
    near: dict[bytes, list[Posting]] = defaultdict(list)
    if not moments:
        return near
    values = {
        "keys": list(moments),
        "since": [min(published) - MAX_AGE_DIFFERENCE for published in moments.values()],
        "until": [max(published) + MAX_AGE_DIFFERENCE for published in moments.values()],
        "new": list(but_for),
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


@lru_cache(maxsize=1024)  # one is compared with many
def _words(text: str) -> tuple[str, ...]:
    return russian_text.canonical_words(text)


def _shingles(words: tuple[str, ...], size: int) -> set[tuple[str, ...]]:
    return {words[start : start + size] for start in range(len(words) - size + 1)}
