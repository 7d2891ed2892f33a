"""*Now*: what goes wrong and the next step, the numbers, the picture of the system."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from local.dashboard import activity, picture
from local.dashboard.application_counts import SELECT_VERSION
from local.dashboard.page import PATH, Page
from local.dashboard.rendering import age, milliseconds, number
from local.dashboard.system import Refused, System, moment

if TYPE_CHECKING:
    from collections.abc import Mapping

OVERDUE = timedelta(minutes=5)
RECENT_PROBLEMS = timedelta(minutes=10)
COUNT_ALL = """
    SELECT (SELECT count(*) FROM accounts) AS people,
           (SELECT count(*) FROM saved_searches) AS saved_searches,
           (SELECT count(*) FROM saved_searches WHERE paused) AS paused_searches,
           (SELECT count(*) FROM campaigns) AS campaigns,
           (SELECT count(*) FROM jobs) AS vacancies,
           (SELECT count(*) FROM fetch_runs WHERE state = 'running') AS runs_under_way
"""
COUNT_OVERDUE_APPLICATIONS = """
    SELECT count(*) AS overdue FROM application_ledger WHERE due_at < %(before)s
      AND state IN ('queued', 'preparing', 'waiting_quota', 'submitting', 'uncertain')
"""
SELECT_ACCOUNTS_WITHOUT_ACCESS = """
    SELECT id, access_state, access_reason FROM accounts WHERE access_state NOT IN ('ok', 'closed')
    ORDER BY access_changed_at DESC LIMIT 20
"""
SELECT_CLOSED_METHODS = """
    SELECT method, reason, probe_at, account_id IS NULL AS for_all, count(*) AS holders
    FROM hh_method_access WHERE state = 'closed'
    GROUP BY method, reason, probe_at, for_all ORDER BY for_all DESC, method LIMIT 20
"""
STEPS = {
    "reauth_required": "The person connects again at /dev/connect.",
    "captcha": "The person solves hh.ru's captcha, then presses “I solved it”.",
    "limited_until": "Nothing to do: it ends by itself.",
}


@dataclass(frozen=True)
class Problem:
    """Something that goes wrong, and the next step; *href*: where to look."""

    what: str
    step: str
    href: str = ""
    tone: str = "bad"


async def read(system: System, _query: Mapping[str, str], _argument: str) -> dict[str, Any]:
    """Return the values of the template. Parts that do not answer are problems on the page."""
    problems: list[Problem] = []
    facts, messages, sandbox, sockets, paces = await asyncio.gather(
        _read_database(system, problems),
        _read_queues(system, problems),
        _read_sandbox(system, problems),
        _read_items(system, problems, "ConnectionTable", "account#"),
        _read_items(system, problems, "PacerTable"),
    )
    problems += _process_problems(system) + _log_problems(system) + _pause_problems(paces)
    problems.sort(key=lambda problem: problem.tone)  # bad, then warn
    status = system.functions.status()
    requests = activity.requests_summary(system.trail)
    series = activity.series(system.trail)
    return {
        "problems": problems,
        "requests": requests,
        "facts": facts,
        "states": facts["states"],
        "queue_depth": sum(map(len, messages.values())),
        "sockets": len(sockets),
        "invocations": _total(status, "invocations"),
        "function_errors": _total(status, "errors") + _total(status, "timeouts"),
        "sandbox": sandbox,
        "chart": json.dumps(series),
        "series": series,
        "picture": _picture(system, messages, len(sockets), sandbox),
        "cost": system,
    }


async def _read_database(system: System, problems: list[Problem]) -> dict[str, Any]:
    now = system.now()
    statements: dict[str, tuple[str, Mapping[str, Any] | None]] = {
        "all": (COUNT_ALL, None),
        "overdue": (COUNT_OVERDUE_APPLICATIONS, {"before": now - OVERDUE}),
        "access": (SELECT_ACCOUNTS_WITHOUT_ACCESS, None),
        "closed": (SELECT_CLOSED_METHODS, None),
        "version": (SELECT_VERSION, None),
    }
    try:
        found = await system.select_each(statements)
        counts = await system.counts.read(system.select, found["version"][0])
    except psycopg.Error as error:
        step = "Restart make run; its Postgres writes postgres/server.log in DATA_DIR."
        problems.append(Problem(f"The database does not answer ({type(error).__name__})", step))
        return {"states": [], "all": None}
    overdue = found["overdue"][0]["overdue"]
    if overdue:
        what = f"{number(overdue)} applications are overdue by more than 5 minutes"
        problems.append(Problem(what, "Look for dead letters and errors.", f"{PATH}/queues"))
    for account in found["access"]:
        state = account["access_state"]
        what = f"A person's access to hh.ru is {state}"
        href = f"{PATH}/people/{account['id']}"
        problems.append(Problem(what, STEPS.get(state, "Look at the person."), href, "warn"))
    for closed in found["closed"]:
        whom = "everybody" if closed["for_all"] else f"{number(closed['holders'])} people"
        what = f"hh.ru keeps {closed['method']} closed to {whom} ({closed['reason']})"
        step = f"Core calls it once at {closed['probe_at']:%d %b %H:%M}; docs/hh-access.md."
        problems.append(Problem(what, step, f"{PATH}/people", "warn"))
    states: Counter[str] = Counter()
    for row in counts:
        states[row["state"]] += row["applications"]
    return {
        "states": [{"state": state, "applications": n} for state, n in states.items()],
        "all": {**found["all"][0], "invited": sum(row["invited"] for row in counts)},
    }


async def _read_queues(system: System, problems: list[Problem]) -> dict[str, list[dict[str, Any]]]:
    try:
        messages = await system.messages()
    except Refused as refused:
        problems.append(Problem(f"SQS: {refused}", "Restart make run; see logs/aws.log."))
        return {}
    dead = {queue.dead_letter_arn for queue in system.template.queues.values()}
    for queue in system.template.queues.values():
        waiting = len(messages.get(queue.name, ()))
        if queue.arn in dead and waiting:
            step = "Look at their content, mend the cause, then “Send again”."
            what = f"{waiting} dead letters wait in {queue.name}"
            problems.append(Problem(what, step, f"{PATH}/queues"))
    return messages


async def _read_sandbox(system: System, problems: list[Problem]) -> dict[str, Any] | None:
    if system.hh is None:
        return None
    try:
        state: dict[str, Any] = await system.sandbox("GET", "/state")
    except Refused as refused:
        problems.append(Problem(f"hh.ru's sandbox: {refused}", "Restart make run; see logs/hh.log"))
        return None
    if state["faults"]:
        kinds = ", ".join(sorted({fault["kind"] for fault in state["faults"]}))
        problems.append(
            Problem(f"Faults are on: {kinds}", "Switch them off.", f"{PATH}/hh", "warn")
        )
    if state["clock"]["rate"] == 0:
        problems.append(Problem("The clock is paused", "Let it run.", f"{PATH}/hh", "warn"))
    if state["mode"] == "closed":
        text = f"hh.ru refuses methods of applicants, as in its era {state['era']}"
        problems.append(Problem(text, "Open it to let people apply.", f"{PATH}/hh", "warn"))
    return state


def _process_problems(system: System) -> list[Problem]:
    services: dict[str, str] = system.services().get("services", {})
    return [
        Problem(f"The server {name} has ended", f"Restart make run; see logs/{name}.log.")
        for name, state in services.items()
        if state != "runs"
    ]


def _log_problems(system: System) -> list[Problem]:
    """Return the problems of the functions' latest lines, one for each function and message."""
    since = datetime.now(UTC) - RECENT_PROBLEMS
    counted: Counter[tuple[str, str, bool]] = Counter()
    for line in system.trail.problems:
        if line.at >= since:
            counted[line.source, line.message[:120], line.level == "WARNING"] += 1
    return [
        Problem(
            f"{source}: {text}" + (f" ({count} times)" if count > 1 else ""),
            "Read its log.",
            f"{PATH}/functions/{source}?level=problems",
            "warn" if is_warning else "bad",
        )
        for (source, text, is_warning), count in counted.most_common(6)
    ]


async def _read_items(
    system: System, problems: list[Problem], table: str, prefix: str = ""
) -> list[dict[str, Any]]:
    try:
        return await system.items(table, prefix)
    except Refused as refused:
        problems.append(Problem(f"DynamoDB: {refused}", "Restart make run; see logs/aws.log."))
        return []


def _pause_problems(paces: list[dict[str, Any]]) -> list[Problem]:
    now_ms = datetime.now(UTC).timestamp() * 1000
    return [
        Problem(
            f"Calls to hh.ru are paused ({item.get('pause_reason', 'unknown')}) until"
            f" {moment(item['paused_until']):%H:%M:%S} UTC",
            "It ends by itself; look at hh.ru's answers.",
            f"{PATH}/hh",
        )
        for item in paces
        if item.get("paused_until", 0) > now_ms
    ]


def _total(status: Mapping[str, Mapping[str, Any]], counter: str) -> int:
    return sum(int(function[counter]) for function in status.values())


# ── the picture ──────────────────────────────────────────────────────────────────────────────────


def _picture(
    system: System,
    messages: Mapping[str, list[dict[str, Any]]],
    sockets: int,
    sandbox: Mapping[str, Any] | None,
) -> picture.Picture:
    template = system.template
    requests = activity.requests_summary(system.trail)
    nodes = [
        picture.Node(
            "http",
            "entry",
            "HTTP API",
            f"{requests.per_minute:.1f}/min · p50 {milliseconds(requests.p50)}",
            "bad" if requests.errors else "plain",
            f"{PATH}/requests",
        ),
        picture.Node("websocket", "entry", "WebSocket", f"{sockets} open", href=f"{PATH}/people"),
        picture.Node("rules", "entry", "EventBridge", _next_tick(system), href=f"{PATH}/queues"),
    ]
    for name, function in template.functions.items():
        found = activity.function_summary(system.trail, function.name)
        facts = f"{found.per_minute:.1f}/min · {milliseconds(found.p50)}"
        tone = "bad" if found.errors else "plain"
        href = f"{PATH}/functions/{function.name}"
        nodes.append(picture.Node(name, "function", function.name, facts, tone, href))
    dead = {queue.dead_letter_arn for queue in template.queues.values()}
    for name, queue in template.queues.items():
        waiting = messages.get(queue.name, [])
        tone = "bad" if queue.arn in dead and waiting else "plain"
        node = picture.Node(name, "queue", name, _depth(waiting), tone, f"{PATH}/queues")
        nodes.append(node)
    nodes.append(picture.Node("postgres", "store", "Postgres", "", href=f"{PATH}/database"))
    nodes += [picture.Node(name, "store", name, "DynamoDB") for name in template.tables]
    calls = f"{number(sandbox['calls']['total'])} calls" if sandbox else ""
    nodes.append(picture.Node("hh", "store", "hh.ru", calls, href=f"{PATH}/hh"))
    return picture.place(nodes, picture.edges(template, "hh", "postgres"))


def _depth(messages: list[dict[str, Any]]) -> str:
    if not messages:
        return "empty"
    oldest = min(message["sent_at"] or 0 for message in messages) / 1000
    return f"{len(messages)} · oldest {age(datetime.now(UTC).timestamp() - oldest)}"


def _next_tick(system: System) -> str:
    rules = system.sources.rules_status().values()
    moments = [str(rule["next"]) for rule in rules if rule["next"]]
    if not moments:
        return "no rules"
    seconds = (datetime.fromisoformat(min(moments)) - system.now()).total_seconds()
    return f"next in {age(max(0, seconds))}"


PAGE = Page("now", "Now", "now.html", read)
