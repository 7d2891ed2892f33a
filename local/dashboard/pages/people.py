"""*People*: each person's access, limits, searches, campaigns, applications and sockets.

Names, letters and search texts are not read: a person's page may be open on any screen. An
application's page has the conversation with its employer, and a field to reply.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.dashboard import decisions
from local.dashboard.application_counts import COUNT_APPLICATIONS, SELECT_VERSION
from local.dashboard.bucket import Bucket
from local.dashboard.page import PATH, NotFound, Page
from local.dashboard.system import Refused
from local.dashboard.tables import Column, table
from local.dev_connect.core import CoreRefused
from ullgetthejob.rate_limits.daily_limit import DAY, DAY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.dashboard.system import System

# All people, or one. Campaigns have no index by account: they are counted in one pass.
SELECT_PEOPLE = """
    SELECT a.id, a.access_state, a.access_reason, a.access_until, a.created_at, a.last_event_seq,
           (SELECT string_agg(DISTINCT m.method, ', ' ORDER BY m.method) FROM hh_method_access m
            WHERE m.state = 'closed' AND (m.account_id IS NULL OR m.account_id = a.id)) AS closed,
           (SELECT count(*) FROM users u WHERE u.account_id = a.id) AS sessions,
           (SELECT count(*) FROM saved_searches s WHERE s.account_id = a.id) AS searches,
           coalesce(counted.campaigns, 0) AS campaigns,
           (SELECT count(*) FROM application_attempts t
              LEFT JOIN application_outcomes o ON o.attempt_id = t.id
            WHERE t.account_id = a.id AND t.at > %(since)s AND coalesce(o.counts, true)) AS today
    FROM accounts a LEFT JOIN (
        SELECT account_id, count(*) AS campaigns FROM campaigns GROUP BY account_id
    ) counted ON counted.account_id = a.id
    WHERE %(id)s::uuid IS NULL OR a.id = %(id)s
"""
SELECT_SEARCHES = """
    SELECT s.id, s.interval_seconds, s.paused, s.next_run_at,
           (SELECT count(*) FROM account_vacancies v
            WHERE v.account_id = s.account_id AND v.saved_search_id = s.id) AS told,
           r.state, r.found, r.new, r.calls, r.started_at, r.reason
    FROM saved_searches s LEFT JOIN LATERAL (
        SELECT * FROM fetch_runs f WHERE f.query_id = s.query_id
        ORDER BY f.started_at DESC NULLS LAST LIMIT 1) r ON true
    WHERE s.account_id = %(account_id)s
"""
SELECT_RUNS = """
    SELECT DISTINCT f.id, f.state, f.trigger, f.reason, f.is_full, f.found, f.new, f.changed,
           f.failed, f.calls, f.attempts, f.started_at, f.finished_at
    FROM fetch_runs f JOIN saved_searches s ON s.query_id = f.query_id
    WHERE s.account_id = %(account_id)s ORDER BY f.started_at DESC NULLS LAST LIMIT 200
"""
SELECT_CAMPAIGNS = """
    SELECT c.workflow_id, c.state, c.job_count, c.created_at,
           count(q.id) AS items,
           count(q.id) FILTER (WHERE q.status = 'submitted') AS submitted,
           count(q.id) FILTER (WHERE q.status = 'pending') AS pending,
           count(q.id) FILTER (WHERE q.status = 'failed') AS failed
    FROM campaigns c LEFT JOIN application_queue q ON q.workflow_id = c.workflow_id
    WHERE c.account_id = %(account_id)s GROUP BY c.workflow_id
"""
SELECT_APPLICATIONS = """
    SELECT id, vacancy_id, state, reason, due_at, updated_at, hh_state, hh_viewed, by_hand,
           resume_reason, submitted_at, created_at
    FROM application_ledger WHERE account_id = %(account_id)s ORDER BY updated_at DESC LIMIT 2000
"""
SELECT_RAISES = """
    SELECT resume_id, coalesce(schedule ->> 'mode', 'off') AS mode, outcome, raised_at, raised_by,
           hh_updated_at, next_raise_at, due_at
    FROM resume_raises WHERE account_id = %(account_id)s
"""
# For the account, and for all accounts.
SELECT_METHODS = """
    SELECT method, CASE WHEN account_id IS NULL THEN 'all' ELSE 'account' END AS held_for, state,
           reason, since, confirmed_at, probe_at, probes
    FROM hh_method_access WHERE account_id IS NULL OR account_id = %(account_id)s
"""
SELECT_LAST_USER = """
    SELECT id FROM users WHERE account_id::text = %(id)s ORDER BY updated_at DESC, id LIMIT 1
"""
APPLICATION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
METHODS = (
    Column("method", "Method of hh.ru"),
    Column("held_for", "For"),
    Column("state", "State", "badge"),
    Column("reason", "Reason"),
    Column("since", "Since", "time"),
    Column("confirmed_at", "Last answer", "time"),
    Column("probe_at", "Next probe", "time"),
    Column("probes", "Refusals in a row", "int"),
)
RAISES = (
    Column("resume_id", "Resume", "code"),
    Column("mode", "Schedule"),
    Column("outcome", "Last raise", "badge"),
    Column("raised_at", "Raised", "time"),
    Column("raised_by", "By"),
    Column("hh_updated_at", "hh.ru says", "time"),
    Column("next_raise_at", "Allowed from", "time"),
    Column("due_at", "Next", "time"),
)
PEOPLE = (
    Column("id", "Account", "code"),
    Column("access", "Access", "badge"),
    Column("closed", "Closed to Core"),
    Column("tokens", "Tokens", "int"),
    Column("next_token", "Next token in", "age"),
    Column("today", "In 24 h, of 200", "int"),
    Column("searches", "Searches", "int"),
    Column("campaigns", "Campaigns", "int"),
    Column("applications", "Applications", "int"),
    Column("invited", "Invited", "int"),
    Column("sockets", "Sockets", "int"),
    Column("sessions", "Sessions", "int"),
)
SEARCHES = (
    Column("id", "Search", "code"),
    Column("state", "Last run", "badge"),
    Column("found", "Found", "int"),
    Column("new", "New", "int"),
    Column("told", "Told, in all", "int"),
    Column("calls", "Calls", "int"),
    Column("started_at", "Started", "time"),
    Column("next_run_at", "Next", "time"),
    Column("interval_seconds", "Every", "age"),
    Column("paused", "Paused", "badge"),
)
RUNS = (
    Column("started_at", "Started", "time"),
    Column("state", "State", "badge"),
    Column("trigger", "Trigger"),
    Column("found", "Found", "int"),
    Column("new", "New", "int"),
    Column("changed", "Changed", "int"),
    Column("failed", "Failed", "int"),
    Column("calls", "Calls", "int"),
    Column("attempts", "Attempts", "int"),
    Column("reason", "Reason"),
)
CAMPAIGNS = (
    Column("workflow_id", "Campaign", "code"),
    Column("state", "State", "badge"),
    Column("items", "Vacancies", "int"),
    Column("submitted", "Submitted", "int"),
    Column("pending", "Waiting", "int"),
    Column("failed", "Not sent", "int"),
    Column("created_at", "Begun", "time"),
)
APPLICATIONS = (
    Column("updated_at", "Changed", "time"),
    Column("id", "Application", "code"),
    Column("vacancy_id", "Vacancy", "code"),
    Column("state", "State", "badge"),
    Column("hh_state", "At hh.ru", "badge"),
    Column("reason", "Reason"),
    Column("due_at", "Due", "time"),
)
SOCKETS = (
    Column("id", "Connection", "code"),
    Column("state", "State", "badge"),
    Column("connected", "Connected", "time"),
    Column("sent_seq", "Sent up to", "int"),
    Column("topics", "Topics"),
)


async def read(system: System, query: Mapping[str, str], argument: str) -> dict[str, Any]:
    """Return the values of the list, of a person, or of an application (``account/application``).

    Raises :class:`NotFound` and ``psycopg.Error``.
    """
    account, _, application = argument.partition("/")
    if application:
        return await decisions.read(system, _uuid(account), _uuid(application))
    if account:
        return await _read_person(system, query, _uuid(account))
    people = await _rows(system)
    return {"table": table("people", "People", PEOPLE, people, query, sort="-applications")}


async def _rows(system: System, account_id: uuid.UUID | None = None) -> list[dict[str, Any]]:
    """Return the rows of all people, or of one."""
    now = system.now()
    values = {"id": account_id, "since": now - DAY}
    counted = {} if account_id is None else {"counts": (COUNT_APPLICATIONS, values)}
    found = await system.select_each(
        {"people": (SELECT_PEOPLE, values), "version": (SELECT_VERSION, None), **counted}
    )
    counts = found.get("counts")
    if counts is None:
        counts = await system.counts.read(system.select, found["version"][0])
    applications: Counter[uuid.UUID] = Counter()
    invited: Counter[uuid.UUID] = Counter()
    for row in counts:
        applications[row["account_id"]] += row["applications"]
        invited[row["account_id"]] += row["invited"]
    buckets = {item["pk"]: item for item in await system.items("BucketTable", "submit#")}
    sockets = Counter(item["pk"] for item in await system.items("ConnectionTable", "account#"))
    rows = []
    for person in found["people"]:
        bucket = Bucket.of(buckets.get(f"submit#{person['id']}"), system.bucket, now)
        next_at = bucket.next_at
        rows.append(
            person
            | {
                "id": str(person["id"]),
                "applications": applications[person["id"]],
                "invited": invited[person["id"]],
                "id_href": f"{PATH}/people/{person['id']}",
                "access": current_access(person, now),
                "tokens": bucket.tokens,
                "next_token": None if next_at is None else (next_at - now).total_seconds(),
                "sockets": sockets[f"account#{person['id']}"],
            }
        )
    return rows


def current_access(account: Mapping[str, Any], now: datetime) -> str:
    """Return the state of an account's access: a state that has ended is ok."""
    until = account["access_until"]
    if account["access_state"] == "limited_until" and until is not None and until <= now:
        return "ok"
    if account["access_state"] == "closed":  # by an earlier release: methods have their own states
        return "ok"
    return str(account["access_state"])


async def _read_person(
    system: System, query: Mapping[str, str], account_id: uuid.UUID
) -> dict[str, Any]:
    people = await _rows(system, account_id)
    if not people:
        raise NotFound("There is no account with this id.")
    [person] = people
    now = system.now()
    values = {"account_id": account_id}
    found = await system.select_each(
        {
            "searches": (SELECT_SEARCHES, values),
            "runs": (SELECT_RUNS, values),
            "campaigns": (SELECT_CAMPAIGNS, values),
            "applications": (SELECT_APPLICATIONS, values),
            "methods": (SELECT_METHODS, values),
            "raises": (SELECT_RAISES, values),
        }
    )
    _link_applications(found["applications"], account_id)
    for search in found["searches"]:
        search["paused"] = "paused" if search["paused"] else "no"
    items = await system.items("BucketTable", f"submit#{account_id}")
    sockets = await _read_sockets(system, account_id)
    return {
        "person": person,
        "bucket": Bucket.of(items[0] if items else None, system.bucket, now),
        "day_limit": DAY_LIMIT,
        "window": timedelta(hours=24),
        "states": Counter(row["state"] for row in found["applications"]),
        "application": None,
        "tables": [
            table(
                *("applications", "Applications", APPLICATIONS, found["applications"], query),
                sort="-updated_at",
            ),
            table("methods", "Methods of hh.ru", METHODS, found["methods"], query, sort="method"),
            table(
                "campaigns", "Campaigns", CAMPAIGNS, found["campaigns"], query, sort="-created_at"
            ),
            table(*("raises", "Resumes, raised", RAISES, found["raises"], query), sort="resume_id"),
            table("searches", "Saved searches", SEARCHES, found["searches"], query, sort="id"),
            table("runs", "Runs of their searches", RUNS, found["runs"], query, sort="-started_at"),
            table("sockets", "Sockets", SOCKETS, sockets, query, sort="-connected"),
        ],
    }


def _link_applications(applications: list[dict[str, Any]], account_id: uuid.UUID) -> None:
    """Give the rows of applications the addresses of their pages."""
    for application in applications:
        application["id"] = str(application["id"])
        application["id_href"] = f"{PATH}/people/{account_id}/{application['id']}"


async def _read_sockets(system: System, account_id: uuid.UUID) -> list[dict[str, Any]]:
    """Return the rows of the account's connections."""
    return [
        {
            "id": item["sk"],
            "state": item.get("state", ""),
            "connected": datetime.fromtimestamp(item.get("connected_at", 0) / 1000, UTC),
            "sent_seq": item.get("sent_seq"),
            "topics": ", ".join(item.get("topics") or ["all"]),
        }
        for item in await system.items("ConnectionTable", f"account#{account_id}")
    ]


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise NotFound("This is not the id of a person or an application.") from None


async def issue_handoff_link(system: System, form: Mapping[str, str]) -> str:
    """Issue a link to the handoff page for an account's latest session. Raises
    :class:`Refused`."""
    users = await system.select(SELECT_LAST_USER, {"id": form.get("account", "")})
    if not users:
        raise Refused("the account has no session")
    try:
        async with system.core() as core:
            url = await core.handoff_link(str(users[0]["id"]))
    except CoreRefused as refused:
        raise Refused(str(refused)) from None
    return f"This opens once, within an hour: {url}"


async def reply(system: System, form: Mapping[str, str]) -> str:
    """Reply to the employer of an application, as its person. Raises :class:`Refused`."""
    users = await system.select(SELECT_LAST_USER, {"id": form.get("account", "")})
    if not users:
        raise Refused("the account has no session")
    application = form.get("application", "")
    if not APPLICATION_ID.fullmatch(application):
        raise Refused("this is not the id of an application")
    try:
        async with system.core() as core:
            replied = await core.reply(
                str(users[0]["id"]), application, form.get("text", ""), form.get("key") or None
            )
    except CoreRefused as refused:
        raise Refused(str(refused)) from None
    found = ", ".join(f"{finding['rule']}: {finding['text']}" for finding in replied["findings"])
    warning = f" Look again at {found}." if found else ""
    return f"The reply is {replied['message']['state']}.{warning}"


PAGE = Page(
    "people",
    "People",
    "people.html",
    read,
    "person.html",
    actions={"handoff_link": issue_handoff_link, "reply": reply},
)
