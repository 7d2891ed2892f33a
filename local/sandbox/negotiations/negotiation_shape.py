"""hh.ru's JSON of negotiations and their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.sandbox.dictionaries import catalogue
from local.sandbox.negotiations.negotiation import FROM_APPLICANT, FROM_EMPLOYER, MOST_IN_A_ROW
from local.sandbox.vacancies import vacancy_shape
from local.sandbox.vacancies.vacancy_shape import moment

if TYPE_CHECKING:
    from local.sandbox.negotiations.negotiation import Negotiation, Step
    from local.sandbox.resumes.resume_store import Resume
    from local.sandbox.vacancies.vacancy import Vacancy

API = "https://api.hh.ru"
# Seen in answers, in no dictionary.
_MORE_STATES = {"interview": "Собеседование", "hired": "Выход на работу", "text": "Текст"}
_VACANCY = (
    "id", "premium", "name", "department", "has_test", "response_letter_required", "area", "salary",
    "salary_range", "type", "address", "response_url", "sort_point_distance", "published_at",
    "created_at", "archived", "apply_alternate_url", "show_contacts", "show_logo_in_search",
    "insider_interview", "url", "alternate_url", "employer", "professional_roles",
)  # fmt: skip


def state(id_: str) -> dict[str, str]:
    """Return ``{"id", "name"}`` of a state."""
    if id_ in _MORE_STATES:
        return {"id": id_, "name": _MORE_STATES[id_]}
    return catalogue.names("negotiations_state")[id_]


def messaging_status(negotiation: Negotiation, vacancy: Vacancy | None, archived: bool) -> str:
    """Return hh.ru's ``messaging_status``: ``ok`` where the applicant may write, or why not."""
    if archived:
        return "archived"
    if vacancy is not None and not vacancy.allow_messages:
        return "disabled_by_employer"
    return "in_a_row_limit" if negotiation.in_a_row >= MOST_IN_A_ROW else "ok"


def _resume(resume: Resume) -> dict[str, Any]:
    return {
        "id": resume.id,
        "title": resume.body.get("title"),
        "url": f"{API}/resumes/{resume.id}",
        "alternate_url": f"https://hh.ru/resume/{resume.id}",
        "created_at": moment(resume.created_at),
        "updated_at": moment(resume.updated_at),
    }


def _vacancy(vacancy: Vacancy, archived: bool) -> dict[str, Any]:
    shaped = vacancy_shape.item(vacancy) | {"archived": archived}
    return {key: shaped[key] for key in _VACANCY if key in shaped}


def item(
    negotiation: Negotiation, resume: Resume | None, vacancy: Vacancy | None, archived: bool
) -> dict[str, Any]:
    """Return a negotiation. *vacancy* is ``None`` where it was deleted."""
    url = f"{API}/negotiations/{negotiation.id}"
    unread = negotiation.unread
    return {
        "id": negotiation.id,
        "state": state(negotiation.state),
        "created_at": moment(negotiation.applied_at),
        "updated_at": moment(negotiation.updated_at),
        "resume": _resume(resume) if resume else None,
        "viewed_by_opponent": negotiation.viewed_at is not None,
        "has_updates": unread > 0,
        "messages_url": f"{url}/messages",
        "url": url,
        "counters": {"messages": len(negotiation.messages), "unread_messages": unread},
        "chat_states": {"response_reminder_state": {"allowed": False}},
        "source": "NEGOTIATION",
        "chat_id": negotiation.chat_id,
        "messaging_status": messaging_status(negotiation, vacancy, archived),
        "decline_allowed": negotiation.state in ("invitation", "interview"),
        "read": unread == 0,
        "has_new_messages": unread > 0,
        "applicant_question_state": False,
        "hidden": False,
        "vacancy": _vacancy(vacancy, archived) if vacancy else None,
        "tags": [],
        "phone_calls": None,
        "job_search_status": None,
    }


def message(step: Step, negotiation: Negotiation) -> dict[str, Any]:
    """Return one message of a conversation."""
    of_applicant = step.kind in FROM_APPLICANT
    later = negotiation.steps[negotiation.steps.index(step) + 1 :] if of_applicant else ()
    seen_by_employer = any(other.kind in (*FROM_EMPLOYER, "viewed") for other in later)
    viewed_by_me = of_applicant or step.seen
    return {
        "id": step.message_id,
        "text": step.text,
        "state": state("text" if step.kind in ("message", "reply") else step.kind),
        "author": {"participant_type": "applicant" if of_applicant else "employer"},
        "created_at": moment(step.at),
        "viewed_by_me": viewed_by_me,
        "viewed_by_opponent": not of_applicant or seen_by_employer,
        "read": viewed_by_me,
        "editable": False,
        "address": None,
    }
