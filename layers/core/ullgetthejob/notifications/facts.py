"""What an account's events are for its person: the facts that notifications tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ullgetthejob.notifications.messages import Kind

# States of hh.ru's negotiations: an open set, with parts such as "invitation_by_phone".
INVITED = ("invitation", "interview", "phone_interview", "assessment", "offer", "hired")
REFUSED = ("discard",)
TEXT = "text"  # the state of a message that changes none
# Reasons of "needs_person" that say what account.updated says already.
OF_THE_ACCESS = frozenset({"reauth_required", "captcha"})
# Access states that a person has to know of.
TROUBLE = frozenset({"reauth_required", "captcha"})
# Reasons of what the person did on purpose.
ON_PURPOSE = frozenset({"disconnected", "not_connected", "unsubscribed", "deleted"})
# Why the schedule no longer raises a resume, where the person has to do something.
NOT_RAISED = frozenset(
    {"hh_closed", "not_published", "blocked", "resume_incomplete", "not_allowed"}
)
MAX_FACTS = 50  # of one message; the others are counted
MAX_TEXT = 200  # characters of a title or a name


@dataclass(frozen=True)
class Fact:
    """Something to tell. *key*: facts of a kind with the same key are about the same, and the later
    one replaces the earlier. *data*: JSON, with nothing but what the event has."""

    kind: Kind
    key: str
    data: dict[str, Any]


def facts_of(event: dict[str, Any]) -> Iterator[Fact]:
    """Yield the facts of an event of the log (``seq``, ``type``, ``data``)."""
    data = event["data"]
    match event["type"]:
        case "application.updated":
            yield from _of_application(data)
        case "account.updated" if data.get("handoff_link") == "requested":
            yield Fact("link", "link", {})
        case "account.updated":
            yield from _of_access(data)
        case "channel.updated":
            yield from _of_channel(data)
        case "resume.updated":
            yield from _of_resume(data)
        # A message that comes with another state is told as that: see application.updated.
        case "message.received" if data.get("hh_state") in (None, TEXT):
            yield Fact("message", str(data.get("application_id")), _application(data))
        case "jobs.new":
            for job in data["jobs"]:
                yield Fact("new_vacancies", job["id"], _job(job, data))


def _of_access(data: dict[str, Any]) -> Iterator[Fact]:
    if data.get("state") in TROUBLE and data.get("reason") not in ON_PURPOSE:
        about = {"what": data["state"], "reason": data.get("reason")}
        yield Fact("trouble", "access", about)


def _of_channel(data: dict[str, Any]) -> Iterator[Fact]:
    if data.get("state") == "disabled" and data.get("reason") not in ON_PURPOSE:
        about = {"what": "channel", "channel": data["kind"], "reason": data["reason"]}
        yield Fact("trouble", f"channel {data['channel_id']}", about)


def _of_resume(data: dict[str, Any]) -> Iterator[Fact]:
    if data.get("by") == "schedule" and data.get("outcome") in NOT_RAISED:
        about = {"what": "resume", "reason": data["outcome"], "link": data["link"]}
        yield Fact("trouble", f"resume {data['resume_id']}", about)


def _of_application(data: dict[str, Any]) -> Iterator[Fact]:
    kind = _kind_of(data)
    if kind is not None:
        yield Fact(kind, data["application_id"], _application(data))


def _kind_of(data: dict[str, Any]) -> Kind | None:
    """Return what a change of an application is for its person, ``None`` for nothing to tell."""
    state, reason = data.get("state"), data.get("reason") or ""
    # What the employer did is the reason, and hh.ru's state at the same time.
    if state == "submitted" and reason == data.get("hh_state"):
        if reason.startswith(INVITED):
            return "invitation"
        return "refusal" if reason.startswith(REFUSED) else None
    if state == "review":
        return "review"
    if state in ("handoff", "needs_person") and reason not in OF_THE_ACCESS:
        return "waits_for_you"
    return None


def counts_of(event: dict[str, Any]) -> dict[str, int]:
    """Return what an event adds to the counts of a digest."""
    counts: dict[str, int] = {}
    for fact in facts_of(event):
        if fact.kind not in ("link", "trouble"):
            counts[fact.kind] = counts.get(fact.kind, 0) + 1
    data = event["data"]
    is_sent = event["type"] == "application.updated" and data.get("state") == "submitted"
    if is_sent and data.get("hh_state") in (None, "response") and not data.get("viewed"):
        counts["applied"] = 1
    return counts


def _application(data: dict[str, Any]) -> dict[str, Any]:
    kept = ("application_id", "job_id", "state", "reason")
    return {name: data.get(name) for name in kept}


def _job(job: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    return {
        "job_id": job["id"],
        "title": _short(job.get("title")),
        "company": _short(job.get("company")),
        "search_name": _short(data.get("search_name")),
    }


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
