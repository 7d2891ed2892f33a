"""When an application first reached each stage: seen, answered, invited, offered.

hh.ru shows only the present state of a negotiation: an invitation that was followed by a refusal
is a refusal there. The ledger keeps the first time of each stage (``first_seen_at`` and so on),
which nothing overwrites. A later stage includes the earlier ones, so the times never contradict
each other: who was invited was answered, and who was answered was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.hh.models import Negotiation

# hh.ru: states of negotiations are an open set. Applicants are shown invitation, discard, interview
# and hired; the others are the stages of an employer's vacancy.
INVITED = frozenset({"invitation", "interview", "phone_interview", "assessment"})
OFFERED = frozenset({"offer", "hired"})
# The states that are not the employer's: the first one, and what the applicant has hidden.
NOT_OF_EMPLOYER = frozenset({"response", "hidden"})


@dataclass(frozen=True)
class StageTimes:
    """The times at which a reading of a negotiation shows each stage, ``None`` for a stage that it
    does not show."""

    seen_at: datetime | None = None
    answered_at: datetime | None = None
    invited_at: datetime | None = None
    offered_at: datetime | None = None


def find_stages(negotiation: Negotiation, *, now: datetime) -> StageTimes:
    """Return the stages that a negotiation read at *now* has reached.

    An answer is a state that the employer has set, or a message that the person has not read yet.
    Its time is hh.ru's last update, which is not earlier than the answer; hh.ru gives no time of a
    view, so that is the time of the reading.
    """
    at = min(negotiation.updated_at, now)
    is_offered = negotiation.state in OFFERED
    is_invited = is_offered or negotiation.state in INVITED
    is_answered = (
        is_invited or negotiation.state not in NOT_OF_EMPLOYER or negotiation.has_unread_message
    )
    return StageTimes(
        seen_at=at if is_answered else now if negotiation.viewed else None,
        answered_at=at if is_answered else None,
        invited_at=at if is_invited else None,
        offered_at=at if is_offered else None,
    )
