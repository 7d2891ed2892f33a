"""*Results*: the funnel of a person with its intervals, by group, and what has no answer yet.

Everything comes from ``/api/stats``, called as the BFF calls Core.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from local.dashboard.page import PATH, Page
from local.dashboard.pages.apply import list_people
from local.dashboard.tables import Column, table
from local.dev_connect.core import CoreRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.dashboard.system import System

BAR_WIDTH = 240
GROUPS = {
    "none": "nothing",
    "search": "saved search",
    "template": "letter template",
    "resume": "resume",
    "fit": "fit",
    "hour": "hour of sending",
    "weekday": "weekday of sending",
    "employer_size": "size of the employer",
}
MEANINGS = {
    "found": "by a saved search",
    "told": "announced to the person",
    "applied": "at hh.ru",
    "seen": "by the employer",
    "answered": "in any way",
    "invited": "even if refused later",
    "offer": "offered or hired",
}
VERDICTS = {
    "higher": "higher than the others",
    "lower": "lower than the others",
    "not_different": "no difference shown",
    "too_few": "too few to say",
}
COMPARED = (
    Column("label", "Group"),
    Column("found", "Found", "int"),
    Column("told", "Told", "int"),
    Column("applied", "Applied", "int"),
    Column("seen", "Seen", "int"),
    Column("answered", "Answered", "int"),
    Column("invited", "Invited", "int"),
    Column("rate", "Invited, of applied"),
    Column("verdict", "Invited within 14 days"),
    Column("median", "Half answered within, h", "int"),
)
SILENT = (
    Column("submitted_at", "Sent", "time"),
    Column("application_id", "Application", "code"),
    Column("title", "Vacancy"),
    Column("days", "Days", "int"),
    Column("seen", "Seen"),
    Column("suggestion", "What you could do"),
    Column("link", "At", "code"),
)


async def read(system: System, query: Mapping[str, str], _argument: str) -> dict[str, Any]:
    """Return the results of the person that *query* chooses. Raises :class:`Refused` and
    ``psycopg.Error``."""
    by = query.get("by", "none")
    by = by if by in GROUPS else "none"
    people, user_id = await list_people(system, query.get("user", ""))
    stats: dict[str, Any] | None = None
    silent: dict[str, Any] = {"items": [], "found": 0}
    problem = ""
    if people:
        try:
            async with system.core() as core:
                stats, silent = await core.stats(user_id, by), await core.silent(user_id)
        except CoreRefused as refused:
            stats, problem = None, str(refused)
    account = next((person["account"] for person in people if person["id"] == user_id), "")
    rows = [_silent_row(item, account) for item in silent["items"]]
    return {
        "people": people,
        "user_id": user_id,
        "by": by,
        "by_names": GROUPS,
        "meanings": MEANINGS,
        "bar_width": BAR_WIDTH,
        "stats": stats,
        "is_empty": stats is not None and not any(s["count"] for s in stats["all"]["stages"]),
        "problem": problem,
        "claim": write_claim,
        "groups": table(
            "groups",
            f"By {GROUPS[by]}",
            COMPARED,
            [_group_row(group) for group in stats["groups"]] if stats else [],
            query,
            sort="-applied",
        ),
        "silent": table(
            *(
                "silent",
                f"No answer for 14 days: {silent['found']}, the latest",
                SILENT,
                rows,
                query,
            ),
            sort="-submitted_at",
            empty="None: applications appear here when two weeks have brought no answer.",
        ),
    }


def write_claim(rate: Mapping[str, Any] | None) -> str:
    """Return what may be said about a rate."""
    if rate is None:
        return ""
    if rate["rate"] is None:
        return f"too few to say (n = {rate['n']})"
    low, high = rate["low"], rate["high"]
    return f"{rate['rate']:.0%}, between {low:.0%} and {high:.0%} (n = {rate['n']})"


def _group_row(group: Mapping[str, Any]) -> dict[str, Any]:
    stages = {stage["stage"]: stage for stage in group["stages"]}
    verdict = next((c["verdict"] for c in group["comparisons"] if c["stage"] == "invited"), "")
    return {
        "label": group["label"],
        **{name: stage["count"] for name, stage in stages.items()},
        "rate": write_claim(stages["invited"]["rate"]),
        "verdict": VERDICTS.get(verdict, ""),
        "median": group["time_to_answer"]["of_all"]["median"],
    }


def _silent_row(item: Mapping[str, Any], account: str) -> dict[str, Any]:
    return {
        **item,
        "submitted_at": datetime.fromisoformat(item["submitted_at"]),
        "application_id_href": f"{PATH}/people/{account}/{item['application_id']}",
        "title": " · ".join(filter(None, (item["title"], item["company"]))) or item["job_id"],
        "seen": "yes" if item["seen"] else "no",
        "suggestion": item["suggestion"]["en"],
    }


# Reading calls Core: the stream does not repeat it.
PAGE = Page("results", "Results", "results.html", read, is_live=False)
