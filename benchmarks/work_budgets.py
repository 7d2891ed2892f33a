"""How much work each operation may make: the budgets that tests hold, and ``make bench-work``
prints beside what was counted.

A budget is what the operation needs, not what it happened to do: a call that says nothing new is
not in it. *before*: what was counted when the budgets were introduced, for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """The most calls of an operation: *statements* of the package, *transactions* (BEGIN, COMMIT,
    SAVEPOINT and their like), *aws*, *hh*. *before*: the same four, once."""

    statements: int
    transactions: int
    aws: int
    hh: int
    before: tuple[int, int, int, int] | None = None


BUDGETS = {
    # person, methods, quota, filters, and the application with all that belongs to it; the bucket,
    # and wake-ups of applier and broadcaster
    "submit": Budget(5, 0, 3, 0, before=(10, 2, 3, 0)),
    "submit with a key": Budget(6, 0, 3, 0, before=(12, 2, 3, 0)),
    # lease and bucket twice, a slot of the pacer for each call, the token's decryption, and two
    # wake-ups of the broadcaster
    "application": Budget(26, 6, 9, 2, before=(51, 14, 12, 3)),
    "application to a vacancy read lately": Budget(24, 4, 8, 1, before=(51, 14, 12, 3)),
    # lease twice, a slot of the pacer, and two wake-ups of the broadcaster
    "saved-search run with new vacancies": Budget(25, 4, 5, 1, before=(29, 4, 5, 1)),
    "saved-search run without news": Budget(19, 4, 3, 1, before=(24, 4, 3, 1)),
    # of a backfill: each further vacancy
    "vacancy in full": Budget(5, 0, 1, 1, before=(7, 0, 1, 1)),
}
