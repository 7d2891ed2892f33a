"""What employers do with an application, and when: a pure function of applicant and vacancy.

Most employers view an application within days; some of those write, invite or refuse, the others
never respond. For one seed, the same person's application to the same vacancy always has the same
outcome.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from local.sandbox.seeded_random import SeededRandom

HOUR_S = 3_600.0
SOONEST_LOOK_S, LATEST_LOOK_S = 0.5 * HOUR_S, 96 * HOUR_S
SOONEST_REPLY_S, LATEST_REPLY_S = 1 * HOUR_S, 120 * HOUR_S

INVITATIONS = (
    "Здравствуйте! Ваше резюме нас заинтересовало. Приглашаем вас на собеседование, напишите,"
    " пожалуйста, когда вам удобно.",
    "Добрый день! Будем рады познакомиться. Собеседование проходит онлайн, около часа.",
)
DISCARDS = (
    "Благодарим за отклик. К сожалению, сейчас мы не готовы пригласить вас на следующий этап.",
    "Спасибо за интерес к нашей компании. Мы остановились на другом кандидате.",
)
QUESTIONS = (
    "Здравствуйте! Подскажите, пожалуйста, когда вы готовы выйти на работу?",
    "Добрый день! Есть ли у вас опыт с похожими задачами?",
)
ANSWERS = ("Спасибо, приняли.", "Хорошо, вернёмся к вам с ответом.", "Спасибо! Будем на связи.")


@dataclass(frozen=True, slots=True)
class EmployerAction:
    """Something that an employer does: ``viewed``, ``message``, ``invitation`` or ``discard``.

    *at*: seconds since the epoch.
    """

    at: float
    kind: str
    text: str | None = None


def _delay_s(rng: SeededRandom, soonest: float, latest: float) -> float:
    """Return a delay in seconds between the two bounds; short delays are the most frequent."""
    return soonest * math.pow(latest / soonest, rng.uniform())


def plan(seed: int, person_id: str, vacancy_id: str, applied_at: float) -> list[EmployerAction]:
    """Return all that an employer will do of its own accord, in order of time."""
    # The label is part of the seed: another one would change every outcome.
    rng = SeededRandom(seed, "conduct", person_id, vacancy_id)
    at = applied_at + _delay_s(rng, SOONEST_LOOK_S, LATEST_LOOK_S)
    if not rng.happens(0.75):
        return []
    actions = [EmployerAction(at, "viewed")]
    if rng.happens(0.15):
        at += _delay_s(rng, SOONEST_REPLY_S, LATEST_REPLY_S)
        actions.append(EmployerAction(at, "message", rng.pick(QUESTIONS)))
    end = rng.weighted({"silence": 45, "discard": 38, "invitation": 17})
    at += _delay_s(rng, SOONEST_REPLY_S, LATEST_REPLY_S)
    if end == "invitation":
        actions.append(EmployerAction(at, "invitation", rng.pick(INVITATIONS)))
    elif end == "discard":
        actions.append(EmployerAction(at, "discard", rng.pick(DISCARDS)))
    return actions


def reply_to(seed: int, message_id: str, written_at: float) -> EmployerAction | None:
    """Return the employer's reply to an applicant's message, ``None`` if it does not reply."""
    rng = SeededRandom(seed, "answer", message_id)
    if not rng.happens(0.6):
        return None
    at = written_at + _delay_s(rng, SOONEST_REPLY_S, 24 * HOUR_S)
    return EmployerAction(at, "message", rng.pick(ANSWERS))
