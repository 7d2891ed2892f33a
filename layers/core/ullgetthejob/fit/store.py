"""Storage of an account's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from ullgetthejob.fit.models import Weights, WeightsAnswer
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

SELECT_WEIGHTS = "SELECT weights, updated_at FROM fit_weights WHERE account_id = %(account_id)s"
UPSERT_WEIGHTS = """
    INSERT INTO fit_weights (account_id, weights, updated_at)
    VALUES (%(account_id)s, %(weights)s::jsonb, %(now)s)
    ON CONFLICT (account_id) DO UPDATE
    SET weights = excluded.weights, updated_at = excluded.updated_at
"""


def read_weights(account_id: UUID | None, *, connection: Connection) -> WeightsAnswer:
    """Return the account's weights; the defaults if none are stored, or cannot be read."""
    row = connection.execute(SELECT_WEIGHTS, {"account_id": account_id}).fetchone()
    if row is None:
        return WeightsAnswer(weights=Weights(), updated_at=None)
    try:
        weights = Weights.model_validate(row["weights"])
    except ValidationError:
        logger.error("stored weights of the fit cannot be read", account_id=str(account_id))
        return WeightsAnswer(weights=Weights(), updated_at=None)
    return WeightsAnswer(weights=weights, updated_at=row["updated_at"])


def write_weights(
    account_id: UUID, weights: Weights, *, connection: Connection, now: datetime
) -> None:
    """Store the account's weights in place of earlier ones."""
    values = {"account_id": account_id, "weights": weights.model_dump_json(), "now": now}
    connection.execute(UPSERT_WEIGHTS, values)
