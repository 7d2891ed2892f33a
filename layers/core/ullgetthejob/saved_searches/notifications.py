"""Notifications: vacancies of a run that are new to an account are written to its event log, once.

A run that has ended has saved searches attached (``saved_searches.run_id``). Each is notified in a
transaction of its own, which also detaches it: a second worker, or a retry after a crash, finds it
detached. A vacancy is new to an account that has been notified of neither it nor another posting of
the same job, and has not applied to it; and it must be open, as far as is known: it was not closed,
and the last full run of the search that missed nothing found it.

``account_vacancies`` stores the vacancies that an account was notified of, with the ``seq`` of the
event: a row with a ``seq`` is one of the ``jobs`` of that event, and vice versa. Another posting of
such a job is stored without a ``seq``; the account is notified of it later if it turns out to be
another job (:mod:`ullgetthejob.vacancies.regrouping`). One that a rule of the account drops
(:mod:`ullgetthejob.filters.announcements`) is stored without a ``seq`` and with the rule: that was
decided once, and it is never announced, whatever becomes of the rules. Which postings are one job,
``jobs`` says; ``original_id`` is what it said when the account was notified.

What is announced by a saved search that has an autopilot becomes items of its campaign
(:mod:`ullgetthejob.autopilot.found`) in the same transaction.

Locks: the account first, as every change of a saved search does; then, last, the saved search,
which the claim of a run locks without an account. Accounts come in the order of their ids, if one
transaction should ever notify several. The ledger of applications, and all else that writes an
event, locks its own rows first and then the account's; none of those rows are locked here (the
ledger and the vacancies are only read), so a transaction that holds the account here never waits
for one that waits for it, and no deadlock is possible.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

from ullgetthejob.autopilot import found as autopilot_found
from ullgetthejob.filters import announcements
from ullgetthejob.platform.telemetry import count
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

MAX_ALSO_BYTES = 8 * 1024  # a job in all cities must not fill an event: the rest goes to others
MAX_URL_CHARS = 2_000
MAX_NUMBER = 999_999  # more than the jobs, or parts, of any run: the widest number of an event

SELECT_ENDED_RUN = """
    SELECT id, query_id, state, trigger, reason, found, fetched, new, changed, failed, finished_at
    FROM fetch_runs WHERE id = %(run_id)s AND state <> 'running'
"""
SELECT_ATTACHED_SEARCHES = """
    SELECT id, account_id FROM saved_searches
    WHERE run_id = %(run_id)s AND query_id = %(query_id)s AND NOT paused
    ORDER BY account_id, id
"""
# Not FOR UPDATE: rows that refer to the account may be written at the same time.
LOCK_ACCOUNT = "SELECT FROM accounts WHERE id = %(account_id)s FOR NO KEY UPDATE"
# A statement of its own, after the account's lock: it must see what the last holder committed.
LOCK_ATTACHED_SEARCH = """
    SELECT search.id, search.account_id, search.name, search.told_match, query.last_match,
           query.read_whole_from, pilot.mode, pilot.since_match
    FROM saved_searches AS search JOIN search_queries AS query ON query.id = search.query_id
    LEFT JOIN autopilots AS pilot ON pilot.saved_search_id = search.id
    WHERE search.id = %(id)s AND search.run_id = %(run_id)s AND NOT search.paused
"""
SELECT_NEW_VACANCIES = """
    SELECT job.external_id AS id, coalesce(job.repost_of, job.external_id) AS original_id,
           job.title, job.company, job.salary, job.area, job.url, job.published_at, job.has_test,
           match.number,
           EXISTS (
               SELECT FROM (
                   SELECT coalesce(job.repost_of, job.external_id)
                   UNION ALL
                   SELECT other.external_id FROM jobs AS other
                   WHERE other.repost_of = coalesce(job.repost_of, job.external_id)
               ) AS posting (id)
               JOIN account_vacancies AS notified ON notified.vacancy_id = posting.id
               WHERE notified.account_id = %(account_id)s AND notified.seq IS NOT NULL
           ) AS is_known
    FROM search_matches AS match JOIN jobs AS job ON job.external_id = match.vacancy_id
    WHERE match.query_id = %(query_id)s
        AND match.number > %(told_match)s AND match.number <= %(last_match)s
        AND match.seen_at >= coalesce(%(read_whole_from)s::timestamptz, '-infinity')
        AND job.closed_at IS NULL
        AND NOT EXISTS (
            SELECT FROM account_vacancies AS notified
            WHERE notified.account_id = %(account_id)s AND notified.vacancy_id = match.vacancy_id
                AND (notified.seq IS NOT NULL OR notified.filtered_by IS NOT NULL)
        )
        AND NOT EXISTS (
            SELECT FROM application_ledger AS applied
            WHERE applied.account_id = %(account_id)s AND applied.vacancy_id = match.vacancy_id
        )
    ORDER BY match.number
"""
INSERT_NOTIFIED_VACANCIES = """
    INSERT INTO account_vacancies (
        account_id, vacancy_id, original_id, saved_search_id, seq, at, filtered_by
    )
    SELECT %(account_id)s, found.id, found.original_id, %(search_id)s, found.seq, %(now)s,
        found.filtered_by
    FROM unnest(%(ids)s::text[], %(originals)s::text[], %(seqs)s::bigint[], %(rules)s::text[])
        AS found (id, original_id, seq, filtered_by)
    ON CONFLICT (account_id, vacancy_id) DO UPDATE SET
        original_id = excluded.original_id, saved_search_id = excluded.saved_search_id,
        seq = excluded.seq, at = excluded.at, filtered_by = excluded.filtered_by
"""
# A newer run that the search was attached to in between stays.
UPDATE_SEARCH_DETACHED = """
    UPDATE saved_searches SET
        told_match = greatest(told_match, %(last_match)s),
        run_id = CASE WHEN run_id <> %(run_id)s THEN run_id END
    WHERE id = %(id)s
"""


@dataclass
class _Job:
    """A job to announce: its row of SELECT_NEW_VACANCIES, and those of its other postings."""

    row: dict[str, Any]
    also: list[dict[str, Any]] = field(default_factory=list)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the job as clients see it: several times if it is in more places than one entry has
        room for, each time with further places."""
        also = [{"id": posting["id"], "area": posting["area"]} for posting in self.also]
        for places in _chunks(also, MAX_ALSO_BYTES) or [[]]:
            yield {**self._entry(), **({"also": places} if places else {})}

    def _entry(self) -> dict[str, Any]:
        row = self.row
        entry = {name: row[name] for name in ("id", "title", "company", "salary", "area")}
        entry["url"] = row["url"] if len(row["url"] or "") <= MAX_URL_CHARS else None
        entry["published_at"] = _text(row["published_at"])
        entry["has_test"] = row["has_test"]
        return entry


def notify_accounts(run_id: UUID, *, connection: Connection, now: datetime) -> int:
    """Notify the accounts whose saved searches are attached to a run of what it found; return the
    number of jobs announced, summed over the accounts: 0 before the run has ended."""
    run = connection.execute(SELECT_ENDED_RUN, {"run_id": run_id}).fetchone()
    if run is None:
        return 0
    values = {"run_id": run_id, "query_id": run["query_id"]}
    attached = connection.execute(SELECT_ATTACHED_SEARCHES, values).fetchall()
    announced = sum(
        _notify_account(run, search, connection=connection, now=now) for search in attached
    )
    if announced:
        count("VacanciesNotified", announced)
    return announced


def split(jobs: Iterable[dict[str, Any]], head: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Return *jobs* in parts that each fit, with *head*, into the data of one event; none has a job
    twice."""
    room = event_log.MAX_DATA_BYTES - _size(_part(head, [], MAX_NUMBER, MAX_NUMBER, MAX_NUMBER))
    parts: list[list[dict[str, Any]]] = []
    left = 0
    for entry in jobs:
        needed = _size(entry) + len(", ")
        if not parts or needed > left or parts[-1][-1]["id"] == entry["id"]:
            parts.append([])
            left = room
        parts[-1].append(entry)
        left -= needed
    return parts


def _notify_account(
    run: dict[str, Any], attached: dict[str, Any], *, connection: Connection, now: datetime
) -> int:
    """Notify the account of one attached saved search; return the number of jobs announced."""
    with connection.transaction():
        connection.execute(LOCK_ACCOUNT, attached)
        values = {"id": attached["id"], "run_id": run["id"]}
        search = connection.execute(LOCK_ATTACHED_SEARCH, values).fetchone()
        if search is None:
            return 0
        found = connection.execute(
            SELECT_NEW_VACANCIES, {**search, "query_id": run["query_id"]}
        ).fetchall()
        new_ids = [row["id"] for row in found if not row["is_known"]]
        dropped = announcements.find_dropped(search["account_id"], new_ids, connection=connection)
        jobs = _group_postings(row for row in found if row["id"] not in dropped)
        seqs = _append_events(run, search, jobs, connection=connection, now=now)
        if found:
            notified = {
                "account_id": search["account_id"],
                "search_id": search["id"],
                "now": now,
                "ids": [row["id"] for row in found],
                "originals": [row["original_id"] for row in found],
                "seqs": [seqs.get(row["id"]) for row in found],
                "rules": [dropped.get(row["id"]) for row in found],
            }
            connection.execute(INSERT_NOTIFIED_VACANCIES, notified)
        _hand_to_autopilot(search, jobs, connection=connection, now=now)
        if _is_news(run, jobs, dropped):
            data = {
                **_event_head(run, search),
                **{name: run[name] for name in ("state", "reason", "found", "fetched")},
                **{name: run[name] for name in ("new", "changed", "failed")},
                "told": len(jobs),
                "filtered": len(dropped),
                "finished_at": _text(run["finished_at"]),
            }
            event_log.append(
                search["account_id"], "fetch.completed", data, connection=connection, now=now
            )
        connection.execute(UPDATE_SEARCH_DETACHED, {**values, "last_match": search["last_match"]})
    return len(jobs)


def _hand_to_autopilot(
    search: dict[str, Any], jobs: list[_Job], *, connection: Connection, now: datetime
) -> None:
    """Add the *jobs*, each by the posting that was found first, to the campaign of the search's
    autopilot, if that is on, without those that were found before."""
    if search["mode"] in (None, "off"):
        return
    ids = [job.row["id"] for job in jobs if job.row["number"] > search["since_match"]]
    if ids:
        autopilot_found.add_items(search["id"], ids, connection=connection, now=now)


def _is_news(run: dict[str, Any], jobs: list[_Job], dropped: Mapping[str, str]) -> bool:
    """Return whether an account is notified of the run's end: not if it found nothing new, as most
    runs do, and was begun by the schedule."""
    found_any = bool(jobs) or bool(dropped)
    return found_any or run["trigger"] == "request" or run["state"] != "completed"


def _group_postings(found: Iterable[dict[str, Any]]) -> list[_Job]:
    """Return the jobs to announce, in the order of *found*: those not known yet, once each."""
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
    """Append ``jobs.new``, in as many events as needed; return the event's seq by vacancy id."""
    head = _event_head(run, search)
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
        # Of a job in several parts, the first one counts.
        seqs = {entry["id"]: seq for entry in part} | seqs
    return seqs


def _event_head(run: dict[str, Any], search: dict[str, Any]) -> dict[str, str]:
    return {
        "search_id": str(search["id"]),
        "search_name": search["name"],
        "run_id": str(run["id"]),
    }


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
    """Return the bytes that *value* takes in an event, as :func:`event_log.append` writes it."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
