"""What employers do with an application, and when: a pure function of who applied to what.

Most look at it within days; some of those write, invite or refuse, the others are never heard of
again. The same person's application to the same vacancy of a seed always fares the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from local.sandbox.chance import Chance

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
class Deed:
    """Something an employer does: ``viewed``, ``message``, ``invitation`` or ``discard``.

    *at*: seconds since the epoch.
    """

    at: float
    kind: str
    text: str | None = None


def _later(chance: Chance, soonest: float, latest: float) -> float:
    """A delay between the two; short ones are common and long ones happen."""
    return soonest * math.pow(latest / soonest, chance.uniform())


def plan(seed: int, person_id: str, vacancy_id: str, applied_at: float) -> list[Deed]:
    """All that an employer will do of itself, in order."""
    chance = Chance(seed, "conduct", person_id, vacancy_id)
    at = applied_at + _later(chance, SOONEST_LOOK_S, LATEST_LOOK_S)
    if not chance.happens(0.75):
        return []
    deeds = [Deed(at, "viewed")]
    if chance.happens(0.15):
        at += _later(chance, SOONEST_REPLY_S, LATEST_REPLY_S)
        deeds.append(Deed(at, "message", chance.pick(QUESTIONS)))
    end = chance.weighted({"silence": 45, "discard": 38, "invitation": 17})
    at += _later(chance, SOONEST_REPLY_S, LATEST_REPLY_S)
    if end == "invitation":
        deeds.append(Deed(at, "invitation", chance.pick(INVITATIONS)))
    elif end == "discard":
        deeds.append(Deed(at, "discard", chance.pick(DISCARDS)))
    return deeds


def answer(seed: int, message_id: str, written_at: float) -> Deed | None:
    """What an employer writes back to an applicant's message, if it does."""
    chance = Chance(seed, "answer", message_id)
    if not chance.happens(0.6):
        return None
    at = written_at + _later(chance, SOONEST_REPLY_S, 24 * HOUR_S)
    return Deed(at, "message", chance.pick(ANSWERS))
