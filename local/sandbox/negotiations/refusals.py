"""hh.ru's refusals of an application or of a message to an employer.

Business refusals of ``/negotiations`` are 400 or 403 with ``type`` ``negotiations``; some carry the
legacy keys as well. Where sources disagree about the status, each status has an entry (``_403``,
``_429``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.sandbox.errors import ApiError


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of refusal. *argument* is the legacy ``bad_argument``."""

    status: int
    value: str
    description: str | None = None
    argument: str | None = None
    type: str = "negotiations"

    def error(self) -> ApiError:
        """Return a new exception for the refusal."""
        description = self.description or ("Bad Request" if self.status == 400 else "Forbidden")
        legacy: dict[str, Any] = {}
        if self.argument is not None:
            legacy = {
                "bad_argument": self.argument,
                "bad_arguments": [{"name": self.argument, "description": description}],
            }
        return ApiError(self.status, self.type, self.value, description=description, **legacy)


_NO_RESUME = ("resume_not_found", "Resume not found or not available", "resume_id")
_LIMIT = ("limit_exceeded", "Daily negotiations limit is exceeded")

# By the names that faults and vacancies order them with; most are hh.ru's own values.
REFUSALS: dict[str, Refusal] = {
    "vacancy_not_found": Refusal(400, "vacancy_not_found", "Vacancy not found", "vacancy_id"),
    "resume_not_found": Refusal(400, *_NO_RESUME),
    "resume_not_found_403": Refusal(403, *_NO_RESUME),
    "limit_exceeded": Refusal(400, *_LIMIT),
    "limit_exceeded_403": Refusal(403, *_LIMIT),
    "limit_exceeded_429": Refusal(429, *_LIMIT),
    "inappropriate_language": Refusal(400, "inappropriate_language"),
    "resource_policy_violation": Refusal(400, "resource_policy_violation"),
    "already_applied": Refusal(403, "already_applied", "Already applied", "vacancy_id"),
    # No code of hh.ru's is known for a missing letter; this is what a mobile client looks for.
    "letter_required": Refusal(400, "message", "letter required", "message", "bad_argument"),
    # The applicant did not consent to be visible in another country; the second since 2026.
    "country_visibility": Refusal(
        400,
        "enable_applicant_visibility_in_country",
        '"enable_applicant_visibility_in_country" param required',
        type="bad_argument",
    ),
    "applicant_visibility": Refusal(
        400,
        "required_applicant_visibility_id",
        '"required_applicant_visibility_id" param required',
        type="bad_argument",
    ),
    **{
        value: Refusal(403, value)
        for value in (
            "inappropriate_language_message", "resource_policy_violation_message", "empty_message",
            "too_long_message", "test_required", "invalid_vacancy", "resume_visibility_conflict",
            "application_denied", "edit_forbidden", "wrong_state", "archived", "resume_deleted",
            "chat_archived", "topic_archived", "disabled_by_employer", "no_invitation",
            "in_a_row_limit", "overall_limit", "message_cannot_be_empty", "address_not_found",
            "not_enough_purchased_services",
        )
    },
    "chat_is_not_ready": Refusal(425, "chat_is_not_ready", "Too Early"),
    "topic_not_found": Refusal(404, "topic_not_found", "Not Found"),
}  # fmt: skip


def refuse(name: str) -> ApiError:
    """Return a new exception for the refusal of that name in :data:`REFUSALS`."""
    return REFUSALS[name].error()


def missing(*names: str) -> ApiError:
    """Return a 400 for fields that are absent: for a body that is no form, all of them."""
    error = ApiError(
        400,
        "bad_argument",
        names[0],
        description="Bad Request",
        bad_argument=names[0],
        bad_arguments=[{"name": name, "description": "required"} for name in names],
    )
    error.errors = [{"type": "bad_argument", "value": name} for name in names]
    return error
