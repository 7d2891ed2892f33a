"""News: what a run found that is new to an account is written to its event log, once.

A run that has ended has saved searches attached (``saved_searches.run_id``). Each is told in a
transaction of its own, which also detaches it: whoever comes second, or again after a crash, finds
it detached. What was found is new to an account if it was told of neither the vacancy nor another
posting of the same job, has not applied to it, and the vacancy is open, as far as is known: it was
not closed, and the last reading of the whole search found it.

``account_vacancies`` keeps what was told, and ``seq`` of the event that did: a row with a ``seq``
is one of the ``jobs`` of that event, and the other way round. Another posting of a job that was
told is kept without a ``seq``; it is told after all if it turns out to be another job
(:mod:`.regrouping`).

Locks: the account first, as whatever changes a saved search does; then, last of all, the saved
search, which the claim of a run locks without wanting an account. Accounts come in the order of
their ids, if one transaction should ever tell several. The ledger of applications, and whatever
else writes an event, locks its own rows first and then the account's; here nothing of theirs is
locked (the ledger and the vacancies are only read), so whoever has the account here never waits for
somebody who waits for it, and no deadlock is possible.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform.telemetry import count
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

MAX_ALSO_BYTES = 8 * 1024  # one job in all cities must not fill a frame: the rest has its own
MAX_URL_CHARS = 2_000
PRIORITY_HIGH = 999_999  # more than there are jobs, or parts, of one run

SELECT_ENDED_RUN = """
    SELECT id, query_id, state, reason, found, fetched, new, changed, failed, finished_at
    FROM fetch_runs WHERE id = %(run_id)s AND state <> 'running'
"""
SELECT_ATTACHED_SEARCHES = """
    SELECT id, account_id FROM saved_searches
    WHERE run_id = %(run_id)s AND query_id = %(query_id)s AND NOT paused
    ORDER BY account_id, id
"""
# Not FOR UPDATE: rows that refer to the account may be written meanwhile.
LOCK_ACCOUNT = "SELECT FROM accounts WHERE id = %(account_id)s FOR NO KEY UPDATE"
# After the lock, as a statement of its own: it must see what the one before has committed.
LOCK_ATTACHED_SEARCH = """
    SELECT search.id, search.account_id, search.name, search.told_match, query.last_match,
           query.full_from
    FROM saved_searches AS search JOIN search_queries AS query ON query.id = search.query_id
    WHERE search.id = %(id)s AND search.run_id = %(run_id)s AND NOT search.paused
"""
SELECT_NEW_VACANCIES = """
    SELECT job.external_id AS id, coalesce(job.repost_of, job.external_id) AS original_id,
           job.title, job.company, job.salary, job.area, job.url, job.published_at, job.has_test,
           EXISTS (
               SELECT FROM account_vacancies AS told
               WHERE told.account_id = %(account_id)s AND told.seq IS NOT NULL
                   AND told.original_id = coalesce(job.repost_of, job.external_id)
           ) AS is_known
    FROM search_matches AS match JOIN jobs AS job ON job.external_id = match.vacancy_id
    WHERE match.query_id = %(query_id)s
        AND match.number > %(told_match)s AND match.number <= %(last_match)s
        AND match.seen_at >= coalesce(%(full_from)s::timestamptz, '-infinity')
        AND job.closed_at IS NULL
        AND NOT EXISTS (
            SELECT FROM account_vacancies AS told
            WHERE told.account_id = %(account_id)s AND told.vacancy_id = match.vacancy_id
                AND told.seq IS NOT NULL
        )
        AND NOT EXISTS (
            SELECT FROM application_ledger AS applied
            WHERE applied.account_id = %(account_id)s AND applied.vacancy_id = match.vacancy_id
        )
    ORDER BY match.number
"""
INSERT_NOTIFIED_VACANCIES = """
    INSERT INTO account_vacancies (
        account_id, vacancy_id, original_id, saved_search_id, seq, at
    )
    SELECT %(account_id)s, told.id, told.original_id, %(search_id)s, told.seq, %(now)s
    FROM unnest(%(ids)s::text[], %(originals)s::text[], %(seqs)s::bigint[])
        AS told (id, original_id, seq)
    ON CONFLICT (account_id, vacancy_id) DO UPDATE SET
        original_id = excluded.original_id, saved_search_id = excluded.saved_search_id,
        seq = excluded.seq, at = excluded.at
"""
# A newer run that it was attached to meanwhile stays.
UPDATE_SEARCH_DETACHED = """
    UPDATE saved_searches SET
        told_match = greatest(told_match, %(last_match)s),
        run_id = CASE WHEN run_id <> %(run_id)s THEN run_id END
    WHERE id = %(id)s
"""


@dataclass
class _Job:
    """A job to announce: its row of NEWS, and the other postings of it that came with it."""

    row: dict[str, Any]
    also: list[dict[str, Any]] = field(default_factory=list)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield it as clients see it: more than once where it is in more places than one entry has
        room for, each with the places that the ones before did not have."""
        others = [{"id": other["id"], "area": other["area"]} for other in self.also]
        for places in _chunks(others, MAX_ALSO_BYTES) or [[]]:
            yield {**self._entry(), **({"also": places} if places else {})}

    def _entry(self) -> dict[str, Any]:
        row = self.row
        entry = {name: row[name] for name in ("id", "title", "company", "salary", "area")}
        entry["url"] = row["url"] if len(row["url"] or "") <= MAX_URL_CHARS else None
        entry["published_at"] = _text(row["published_at"])
        entry["has_test"] = row["has_test"]
        return entry


def notify_accounts(run_id: UUID, *, connection: Connection, now: datetime) -> int:
    """Tell the accounts whose saved searches are attached to a run what it found; how many jobs
    were announced, each account's counted. Nothing before the run has ended."""
    run = connection.execute(SELECT_ENDED_RUN, {"run_id": run_id}).fetchone()
    if run is None:
        return 0
    values = {"run_id": run_id, "query_id": run["query_id"]}
    attached = connection.execute(SELECT_ATTACHED_SEARCHES, values).fetchall()
    told = sum(_notify_account(run, each, connection=connection, now=now) for each in attached)
    if told:
        count("VacanciesNotified", told)
    return told


def split(jobs: Iterable[dict[str, Any]], head: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """*jobs* in parts that each make, with *head*, the data of one event; none has a job twice."""
    room = event_log.MAX_DATA_BYTES - _size(
        _part(head, [], PRIORITY_HIGH, PRIORITY_HIGH, PRIORITY_HIGH)
    )
    parts: list[list[dict[str, Any]]] = []
    left = 0
    for one in jobs:
        needed = _size(one) + len(", ")
        if not parts or needed > left or parts[-1][-1]["id"] == one["id"]:
            parts.append([])
            left = room
        parts[-1].append(one)
        left -= needed
    return parts


def _notify_account(
    run: dict[str, Any], attached: dict[str, Any], *, connection: Connection, now: datetime
) -> int:
    """Tell one account; of how many jobs."""
    with connection.transaction():
        connection.execute(LOCK_ACCOUNT, attached)
        values = {"id": attached["id"], "run_id": run["id"]}
        search = connection.execute(LOCK_ATTACHED_SEARCH, values).fetchone()
        if search is None:
            return 0
        found = connection.execute(
            SELECT_NEW_VACANCIES, {**search, "query_id": run["query_id"]}
        ).fetchall()
        jobs = _grouped(found)
        seqs = _append_events(run, search, jobs, connection=connection, now=now)
        if found:
            written = {
                "account_id": search["account_id"],
                "search_id": search["id"],
                "now": now,
                "ids": [row["id"] for row in found],
                "originals": [row["original_id"] for row in found],
                "seqs": [seqs.get(row["id"]) for row in found],
            }
            connection.execute(INSERT_NOTIFIED_VACANCIES, written)
        data = {
            "search_id": str(search["id"]),
            "search_name": search["name"],
            "run_id": str(run["id"]),
            **{name: run[name] for name in ("state", "reason", "found", "fetched")},
            **{name: run[name] for name in ("new", "changed", "failed")},
            "told": len(jobs),
            "finished_at": _text(run["finished_at"]),
        }
        event_log.append(
            search["account_id"], "fetch.completed", data, connection=connection, now=now
        )
        connection.execute(UPDATE_SEARCH_DETACHED, {**values, "last_match": search["last_match"]})
    return len(jobs)


def _grouped(found: list[dict[str, Any]]) -> list[_Job]:
    """What is to be announced, in the order of finding: jobs that are not known, once each."""
    jobs: dict[str, _Job] = {}
    for row in found:
        if row["is_known"]:
            continue
        if row["original_id"] in jobs:
            jobs[row["original_id"]].also.append(row)
        else:
            jobs[row["original_id"]] = _Job(row)
    return list(jobs.values())


def _append_events(
    run: dict[str, Any],
    search: dict[str, Any],
    jobs: list[_Job],
    *,
    connection: Connection,
    now: datetime,
) -> dict[str, int]:
    """Write ``jobs.new``, in as many events as it takes; by which each vacancy was told."""
    head = {
        "search_id": str(search["id"]),
        "search_name": search["name"],
        "run_id": str(run["id"]),
    }
    parts = split((entry for job in jobs for entry in job.entries()), head)
    seqs: dict[str, int] = {}
    for number, part in enumerate(parts, start=1):
        seq = event_log.append(
            search["account_id"],
            "jobs.new",
            _part(head, part, number, len(parts), len(jobs)),
            connection=connection,
            now=now,
        )
        seqs = {one["id"]: seq for one in part} | seqs  # of a job in several parts, the first
    return seqs


def _part(
    head: dict[str, Any], jobs: list[dict[str, Any]], number: int, parts: int, total: int
) -> dict[str, Any]:
    return {**head, "jobs": jobs, "part": number, "parts": parts, "total": total}


def _chunks(entries: Iterable[dict[str, Any]], most_bytes: int) -> list[list[dict[str, Any]]]:
    """Return *entries* in lists of at most *most_bytes* each."""
    chunks: list[list[dict[str, Any]]] = []
    left = 0
    for entry in entries:
        needed = _size(entry) + len(", ")
        if not chunks or needed > left:
            chunks.append([])
            left = most_bytes
        chunks[-1].append(entry)
        left -= needed
    return chunks


def _size(value: Any) -> int:
    """How many bytes of an event it takes, as :func:`events.append` writes it."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
