"""*hh.ru*: the sandbox's clock, era, limits and faults, its calls, and what employers see of
applications and of resumes."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.dashboard.page import PATH, NotFound, Page
from local.dashboard.system import Refused
from local.dashboard.tables import Button, Column, table
from local.sandbox.eras import eras

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.dashboard.system import System

RATE_WINDOW_S = 10
RATES = (0, 1, 60, 600, 3600)
JUMPS = {"1 minute": 60, "15 minutes": 900, "1 hour": 3600, "6 hours": 21_600, "1 day": 86_400}
ACTS = {
    "viewed": "Look",
    "invitation": "Invite",
    "discard": "Refuse",
    "interview": "Interview",
    "hired": "Hire",
}
DONE = {
    "viewed": "looked at the application",
    "invitation": "invited the applicant",
    "discard": "refused the applicant",
    "interview": "asked for an interview",
    "hired": "hired the applicant",
    "message": "wrote to the applicant",
}
# What hh.ru's moderators, or the person on the site, do with a resume.
RESUME_ACTS: dict[str, tuple[str, dict[str, Any]]] = {
    "block": ("Block", {"status": "blocked", "notes": ["block_no_function"]}),
    "moderate": ("Check", {"status": "on_moderation", "notes": []}),
    "publish": ("Let pass", {"status": "published", "notes": []}),
    "hide": ("Hide", {"access": "no_one"}),
    "show": ("Show", {"access": "clients"}),
}
FAULTS = (
    *("captcha", "too_many_requests", "server_error", "bad_gateway", "service_unavailable"),
    *("edge_block", "legal_block", "vpn_check", "slow", "truncated", "errors_with_200", "empty"),
    *("drop", "lost", "token_revoked", "exchange_limit", "repeated_item", "overlapping_pages"),
    "withdrawn",
)
APPLICATIONS = (
    Column("at", "Received", "time"),
    Column("negotiation_id", "Application", "code"),
    Column("person", "Applicant"),
    Column("vacancy", "Vacancy"),
    Column("employer", "Employer"),
    Column("by", "By"),
    Column("outcome", "Outcome", "badge"),
    Column("state", "State", "badge"),
    Column("act", "Employer", "buttons"),
)
RESUMES = (
    Column("person", "Applicant"),
    Column("id", "Resume", "code"),
    Column("status", "Status", "badge"),
    Column("access", "Seen by"),
    Column("published_at", "Raised", "time"),
    Column("act", "hh.ru", "buttons"),
)
CALLS = (
    Column("at", "Time", "time"),
    Column("method", "Method"),
    Column("path", "Path", "code"),
    Column("status", "Status", "badge"),
    Column("faults", "Faults"),
)
ROUTES = (Column("route", "Method of the API", "code"), Column("calls", "Calls", "int"))
SET_FAULTS = (
    Column("kind", "Fault", "code"),
    Column("path", "Path", "code"),
    Column("times", "Times left", "int"),
    Column("used", "Used", "int"),
)


async def read(system: System, query: Mapping[str, str], negotiation: str) -> dict[str, Any]:
    """Return the values of the page, or of one application as its employer sees it.

    Raises :class:`Refused` and :class:`NotFound`.
    """
    applications = (await system.sandbox("GET", "/applications"))["applications"]
    if negotiation:
        return await _read_application(system, applications, negotiation)
    state, answer, people = await asyncio.gather(
        *(system.sandbox("GET", path) for path in ("/state", "/hits", "/people"))
    )
    hits = answer["hits"]
    routes = [
        {"route": route, "calls": calls} for route, calls in state["calls"]["by_route"].items()
    ]
    calls = [_call_row(hit) for hit in hits]
    return {
        "state": state,
        "now": datetime.fromisoformat(state["clock"]["now"]),
        "rates": RATES,
        "jumps": JUMPS,
        "fault_kinds": FAULTS,
        "eras": eras(),
        "rate_now": calls_per_second(calls, state["clock"]),
        "pace": system.pace,
        "tables": [
            table(
                *("applications", "What employers received", APPLICATIONS),
                [_application_row(row) for row in applications],
                query,
                sort="-at",
                empty="No applications yet.",
            ),
            table(
                *("resumes", "Resumes", RESUMES, _resume_rows(people["people"]), query),
                sort="person",
            ),
            table("faults", "Faults that are on", SET_FAULTS, state["faults"], query, sort="kind"),
            table("routes", "Calls by method", ROUTES, routes, query, sort="-calls"),
            table("calls", "The last 200 calls", CALLS, calls, query, sort="-at"),
        ],
    }


async def _read_application(
    system: System, applications: list[dict[str, Any]], negotiation: str
) -> dict[str, Any]:
    """Return the values of the page of one application. Raises :class:`NotFound`."""
    found = [row for row in applications if row["negotiation_id"] == negotiation]
    if not found:
        raise NotFound("No employer has an application with this number.")
    talk: dict[str, Any] = {"messages": [], "messaging_status": "resume_deleted"}
    if found[0]["state"] is not None:
        talk = await system.sandbox("GET", f"/applications/{negotiation}/messages")
    return {
        "application": found[0],
        # The letter is above.
        "messages": [
            _shown(message)
            for message in talk["messages"]
            if message["text"] and message["state"]["id"] != "response"
        ],
        "messaging_status": talk["messaging_status"],
        "buttons": _buttons(found[0]),
        "message": _message(found[0]),
    }


def _call_row(hit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a call, with neither query nor letter: they are the person's."""
    return {
        "at": datetime.fromisoformat(hit["at"]),
        "method": hit["method"],
        "path": hit["path"],
        "status": hit["status"],
        "faults": ", ".join(map(str, hit["faults"])),
    }


def calls_per_second(calls: list[dict[str, Any]], clock: Mapping[str, Any]) -> float | None:
    """Return the calls per second of real time in the last ten seconds; ``None`` while the clock is
    paused, which dates the calls."""
    if not clock["rate"]:
        return None
    since = datetime.fromisoformat(clock["now"]) - timedelta(seconds=RATE_WINDOW_S * clock["rate"])
    return len([call for call in calls if call["at"] >= since]) / RATE_WINDOW_S


def _application_row(row: Mapping[str, Any]) -> dict[str, Any]:
    number = row["negotiation_id"]
    state = row["state"]
    if state == "response":
        state = "viewed" if row["viewed"] else "not viewed"
    return {
        "at": datetime.fromisoformat(row["at"]),
        "negotiation_id": number,
        "negotiation_id_href": f"{PATH}/hh/{number}" if number else "",
        "person": row["person"],
        "vacancy": row["vacancy"],
        "employer": row["employer"],
        "by": row["by"],
        "outcome": row["outcome"],
        "state": state,
        "act": [
            button
            for button in _buttons(row)
            if button.fields["act"] in ("viewed", "invitation", "discard")
        ],
    }


def _resume_rows(people: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the resumes of the sandbox's people; not their titles, which are the person's."""
    rows = []
    for person in people:
        for resume in person["resumes"]:
            fields = {"person": person["key"], "id": resume["id"]}
            published_at = resume["published_at"]
            rows.append(
                {
                    **{name: resume[name] for name in ("id", "status", "access")},
                    "person": person["key"],
                    "published_at": published_at and datetime.fromisoformat(published_at),
                    "act": [
                        Button(label, f"{PATH}/hh/resume", fields | {"act": act}, kind="quiet")
                        for act, (label, _) in RESUME_ACTS.items()
                    ],
                }
            )
    return rows


def _shown(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message of hh.ru's shape as the page shows it."""
    is_unseen = (
        message["author"]["participant_type"] == "applicant" and not message["viewed_by_opponent"]
    )
    return {
        "created_at": datetime.fromisoformat(message["created_at"]),
        "author": message["author"]["participant_type"],
        "state": message["state"]["id"],
        "reason": "not viewed by the employer" if is_unseen else None,
        "text": message["text"],
    }


def _buttons(row: Mapping[str, Any]) -> list[Button]:
    if row["negotiation_id"] is None or row["state"] is None:
        return []
    fields = {"id": str(row["negotiation_id"])}
    return [
        Button(label, f"{PATH}/hh/act", fields | {"act": act}, kind="quiet")
        for act, label in ACTS.items()
    ]


def _message(row: Mapping[str, Any]) -> Button | None:
    if row["negotiation_id"] is None:
        return None
    fields = {"id": str(row["negotiation_id"]), "act": "message"}
    return Button("Write", f"{PATH}/hh/act", fields, "text", "Message to the applicant")


# ── buttons ──────────────────────────────────────────────────────────────────────────────────────


async def act(system: System, form: Mapping[str, str]) -> str:
    """Let the employer of an application act. Raises :class:`Refused`."""
    content = {"act": form.get("act", "")}
    if form.get("text"):
        content["text"] = form["text"]
    number = form.get("id", "")
    if not number.isascii() or not number.isdigit():
        raise Refused("no application has this number")
    await system.sandbox("POST", f"/applications/{number}/act", content)
    return (
        f"The employer {DONE.get(content['act'], content['act'])} ({number})."
        " Core sees it when it next reads hh.ru: jump the clock to see it sooner."
    )


async def change_resume(system: System, form: Mapping[str, str]) -> str:
    """Change what employers see of a resume. Raises :class:`Refused`."""
    person, resume_id = form.get("person", ""), form.get("id", "")
    known = RESUME_ACTS.get(form.get("act", ""))
    if known is None or not (person.isascii() and person.isalnum() and resume_id.isalnum()):
        raise Refused("no resume has this id")
    path = f"/people/{person}/resumes/{resume_id}"
    resume = await system.sandbox("POST", path, known[1])
    return f"The resume is {resume['status']}, and its access is {resume['access']}."


async def set_rate(system: System, form: Mapping[str, str]) -> str:
    """Pause the clock, or let it run at another rate. Raises :class:`Refused`."""
    rate = _number(form, "rate")
    await system.sandbox("POST", "/clock", {"rate": rate})
    return "The clock is paused." if rate == 0 else f"The clock runs at {rate:g} × real time."


async def jump(system: System, form: Mapping[str, str]) -> str:
    """Move the clock ahead. Raises :class:`Refused`."""
    clock = await system.sandbox("POST", "/clock", {"advance_seconds": _number(form, "seconds")})
    return f"The clock jumped to {datetime.fromisoformat(clock['now']):%d %b %Y %H:%M:%S} UTC."


async def set_mode(system: System, form: Mapping[str, str]) -> str:
    """Open or close applicants' methods. Raises :class:`Refused`."""
    mode = (await system.sandbox("POST", "/mode", {"mode": form.get("mode")}))["mode"]
    return f"hh.ru is {mode} to applicants' methods."


async def set_era(system: System, form: Mapping[str, str]) -> str:
    """Switch to another era of hh.ru. Raises :class:`Refused`."""
    era = (await system.sandbox("POST", "/era", {"era": form.get("era")}))["era"]
    return f"hh.ru is of the era {era}: {eras()[era].summary}."


async def set_limits(system: System, form: Mapping[str, str]) -> str:
    """Change hh.ru's own limits. Raises :class:`Refused`."""
    names = ("calls_per_second", "applications_per_day")
    limits = {name: int(_number(form, name)) for name in names}
    await system.sandbox("POST", "/limit", limits)
    return (
        f"hh.ru takes {limits['calls_per_second']} calls a second from an address, and"
        f" {limits['applications_per_day']} applications from a person in 24 hours."
    )


async def set_fault(system: System, form: Mapping[str, str]) -> str:
    """Switch a fault on. Raises :class:`Refused`."""
    content: dict[str, Any] = {"kind": form.get("kind", "")}
    if form.get("path"):
        content["path"] = form["path"]
    if form.get("times"):
        content["times"] = int(_number(form, "times"))
    await system.sandbox("POST", "/faults", content)
    times = f" for {content['times']} calls" if "times" in content else " until switched off"
    return f"The fault {content['kind']} is on{times}."


async def clear_faults(system: System, _form: Mapping[str, str]) -> str:
    """Switch all faults off. Raises :class:`Refused`."""
    await system.sandbox("DELETE", "/faults")
    return "All faults are off."


async def set_employers(system: System, form: Mapping[str, str]) -> str:
    """Let employers act of their own accord, or not. Raises :class:`Refused`."""
    acts = form.get("act") == "true"
    await system.sandbox("POST", "/employers", {"act": acts})
    return "Employers act of their own accord." if acts else "Employers only act by your buttons."


def _number(form: Mapping[str, str], name: str) -> float:
    try:
        number = float(form.get(name, ""))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refused(f"{name} must be a number")
    return number


PAGE = Page(
    "hh",
    "hh.ru",
    "hh.html",
    read,
    "employer.html",
    actions={
        "act": act,
        "resume": change_resume,
        "rate": set_rate,
        "jump": jump,
        "mode": set_mode,
        "era": set_era,
        "limits": set_limits,
        "fault": set_fault,
        "clear_faults": clear_faults,
        "employers": set_employers,
    },
)
