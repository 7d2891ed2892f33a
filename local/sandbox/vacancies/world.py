"""The vacancies that exist at a time: a pure function of seed and time, and those made by hand.

Vacancy *k* is published ``interval * k`` seconds (plus less than one interval) after ``BEGINNING``
and closes 3 to 30 days later; the interval is chosen so that about the wanted number is open at any
time. So a restart gives the same world, a moved clock publishes and closes what that time would
have, and only what a person published or closed has to be stored.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from local.sandbox.seeded_random import SeededRandom
from local.sandbox.vacancies import letters, vacancy_maker, variants

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.sandbox.vacancies.vacancy import Shape, Vacancy

DAY = 86_400
MEAN_LIFE = 14 * DAY
LONGEST_LIFE = 30 * DAY
BEGINNING = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
# hh.ru: about 38,000 ids a day in 2026.
FIRST_ID = 99_800_000
IDS_PER_SECOND = 0.443


class World:
    """All vacancies, generated and made by hand. Not thread-safe: for one event loop."""

    def __init__(self, seed: int, size: int, shape: Shape = "both") -> None:
        self.seed = seed
        self.size = size
        self.shape = shape
        self.interval = MEAN_LIFE / size
        self.open: dict[str, Vacancy] = {}
        self.by_hand: dict[str, Vacancy] = {}
        self.closed_by_hand: dict[str, float] = {}
        self._closings: list[tuple[float, str]] = []
        self._made: dict[int, Vacancy] = {}  # by number; not published yet
        self._next = 0
        self._last_id_by_hand = 0
        self._last_look = -math.inf

    def restore(self, by_hand: Iterable[Vacancy], closed: Mapping[str, float]) -> None:
        """Add what was published and closed by hand in an earlier run."""
        self.closed_by_hand.update(closed)
        for vacancy in by_hand:
            self.by_hand[vacancy.id] = vacancy
            self._last_id_by_hand = max(self._last_id_by_hand, int(vacancy.id))

    async def prepare(self, moment: float) -> None:
        """Make the vacancies that will be open at *moment*, which takes seconds for one that lies
        weeks ahead; calls are answered meanwhile."""
        newest = self._newest(moment)
        for number in range(max(self._next, self._oldest_possible(newest)), newest + 1):
            if number not in self._made and self._closes(number) > moment:
                self._made[number] = made = self._make(number)
                _ = made.stems
                await asyncio.sleep(0)

    def at(self, now: float) -> dict[str, Vacancy]:
        """Return the open vacancies at *now* (seconds since the epoch) by id, the oldest first."""
        newest = self._newest(now)
        if now - self._last_look > LONGEST_LIFE or now < self._last_look:
            self._start_over(now, newest)
        self._add_made_until(newest, now)
        while self._closings and self._closings[0][0] <= now:
            self.open.pop(heapq.heappop(self._closings)[1], None)
        self._last_look = now
        return self.open

    def find(self, vacancy_id: str, now: float) -> tuple[Vacancy, bool] | None:
        """Return a vacancy and whether it is archived, ``None`` if it was never published."""
        vacancy = self.at(now).get(vacancy_id)
        if vacancy is not None:
            return vacancy, False
        vacancy = self.by_hand.get(vacancy_id)
        if vacancy is None:
            number = self._number(vacancy_id)
            if number is None or self._published(number) > now:
                return None
            vacancy = self._make(number)
        return (vacancy, True) if vacancy.published <= now else None

    def free_id(self, now: float) -> str:
        """Return a free id for a vacancy that is published by hand now; ids grow with time."""
        candidate = max(self._id_at(now), self._last_id_by_hand + 1)
        while self._number(str(candidate)) is not None:
            candidate += 1
        return str(candidate)

    def publish(self, vacancy: Vacancy) -> None:
        """Add a vacancy made by hand."""
        self.by_hand[vacancy.id] = vacancy
        self._last_id_by_hand = max(self._last_id_by_hand, int(vacancy.id))
        self._add(vacancy, vacancy.published)

    def delete_published(self) -> None:
        """Delete the vacancies made by hand; no later one gets an id of theirs."""
        for vacancy_id in self.by_hand:
            self.open.pop(vacancy_id, None)
            self.closed_by_hand.pop(vacancy_id, None)
        self.by_hand.clear()

    def close(self, vacancy_id: str, now: float) -> bool:
        """Archive an open vacancy; return ``False`` if none has that id."""
        if self.at(now).pop(vacancy_id, None) is None:
            return False
        self.closed_by_hand[vacancy_id] = now
        return True

    def _start_over(self, now: float, newest: int) -> None:
        self.open.clear()
        self._closings.clear()
        self._next = self._oldest_possible(newest)
        for vacancy in self.by_hand.values():
            if vacancy.published <= now:
                self._add(vacancy, now)

    def _add_made_until(self, newest: int, now: float) -> None:
        """Add the vacancies from the next one to *newest*. After a jump, most candidates have
        closed already, and _closes is much cheaper than _make."""
        for number in range(self._next, newest + 1):
            if self._closes(number) > now:
                made = self._made.pop(number, None)
                self._add(made or self._make(number), now)
        self._next = max(self._next, newest + 1)
        for number in [number for number in self._made if number < self._next]:
            del self._made[number]

    def _oldest_possible(self, newest: int) -> int:
        """Return the number of the oldest vacancy that may be open when *newest* is published."""
        return newest - math.ceil(LONGEST_LIFE / self.interval)

    def _add(self, vacancy: Vacancy, now: float) -> None:
        closed = min(vacancy.closes, self.closed_by_hand.get(vacancy.id, math.inf))
        if closed > now:
            _ = vacancy.stems  # computed now, so that the first search by text is not slow
            self.open[vacancy.id] = vacancy
            heapq.heappush(self._closings, (closed, vacancy.id))

    def _newest(self, now: float) -> int:
        number = math.floor((now - BEGINNING) / self.interval)
        return number if self._published(number) <= now else number - 1

    def _published(self, number: int) -> float:
        late = SeededRandom(self.seed, "published", number).uniform() * 0.999
        return math.floor(BEGINNING + (number + late) * self.interval)

    def _closes(self, number: int) -> float:
        # The power favours short lives; the mean of 3 + 27 * u ** p is MEAN_LIFE at p = 1.45.
        days = 3 + 27 * math.pow(SeededRandom(self.seed, "closes", number).uniform(), 1.45)
        return self._published(number) + days * DAY

    def _id_at(self, moment: float) -> int:
        return FIRST_ID + math.floor((moment - BEGINNING) * IDS_PER_SECOND)

    def _number(self, vacancy_id: str) -> int | None:
        """Return the number of the generated vacancy with that id, ``None`` if there is none."""
        offset = (int(vacancy_id) - FIRST_ID) / IDS_PER_SECOND / self.interval
        for number in (math.floor(offset) - 1, math.floor(offset), math.floor(offset) + 1):
            if str(self._id_at(self._published(number))) == vacancy_id:
                return number
        return None

    def _make(self, number: int) -> Vacancy:
        vacancy = self._generate(number)
        relation = variants.relation_of(self.seed, number, self.interval)
        if relation is None:
            return letters.type_vacancy(vacancy, self.seed, number)
        original = self._generate(relation.original)
        if self._is_unrepeated(relation, original, vacancy.published):
            return letters.type_vacancy(vacancy, self.seed, number)
        rng = SeededRandom(self.seed, "variant's content", number)
        variant = variants.derive(relation.kind, original, vacancy, rng)
        # A copied text keeps its typing errors; a reworded one gets new ones.
        typed = number if relation.kind == "repost" else relation.original
        return letters.type_vacancy(variant, self.seed, typed)

    def _is_unrepeated(
        self, relation: variants.Relation, original: Vacancy, published: float
    ) -> bool:
        """Return whether *original* cannot be repeated: anonymous vacancies cannot be told apart,
        and another grade is published only while the original is open."""
        return original.kind == "anonymous" or (
            relation.kind == "other_grade" and self._closes(relation.original) <= published
        )

    def _generate(self, number: int) -> Vacancy:
        published = self._published(number)
        return vacancy_maker.make(
            self.seed,
            number,
            str(self._id_at(published)),
            published,
            self._closes(number),
            self.shape,
        )
