"""What invocations by the WebSocket API's routes have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import invocation, postgres, settings
from ullgetthejob.platform.telemetry import count, logger, trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

# The end of an account's log, while the session that was proven then is still valid.
SELECT_END_OF_LOG = """
    SELECT a.last_event_seq FROM users u JOIN accounts a ON a.id = u.account_id
    WHERE u.id = %(user_id)s AND a.id = %(account_id)s
      AND (u.tokens_valid_from IS NULL OR u.tokens_valid_from <= %(proven_at)s)
"""


def respond(
    event: dict[str, Any], context: Any, handle: Callable[[dict[str, Any], dict[str, Any]], int]
) -> dict[str, int]:
    """Return the response of Lambda to an event that *handle* answers with a status; it gets the
    event and its ``requestContext``. Only the status of ``$connect`` reaches the client."""
    request = event["requestContext"]
    keys = {
        "request_id": str(getattr(context, "aws_request_id", "")),
        "route": request["routeKey"],
        "connection_id": request["connectionId"],
    }
    with invocation.measured(context, **keys) as current:
        try:
            status = handle(event, request)
        except Exception as error:
            logger.error("unexpected error", **trace(error))
            count("UnexpectedError")
            status = 500
        current.result = status
    return {"statusCode": status}


def endpoint_of(request: dict[str, Any]) -> str:
    """Return the address of ``@connections``: the setting, else the origin of the request."""
    domain = request["domainName"]
    scheme = "http" if ":" in domain else "https"  # a port means the local cloud
    return settings.WEBSOCKET_API_ENDPOINT.get() or f"{scheme}://{domain}/{request['stage']}"


def read_end_of_log(user_id: UUID, account_id: UUID, proven_at: datetime) -> int | None:
    """Return the seq of the account's last event; ``None`` if the session that was proven at
    *proven_at* is valid no longer."""
    values = {"user_id": user_id, "account_id": account_id, "proven_at": proven_at}
    with postgres.session() as connection:
        row = connection.execute(SELECT_END_OF_LOG, values).fetchone()
    return None if row is None else int(row["last_event_seq"])
