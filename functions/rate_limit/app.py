"""/api/rate-limit/* and POST /api/v1/rate-limit/check: the limits on a person's applications."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import ADMIN, SERVICE, Api
from ullgetthejob.rate_limits import status
from ullgetthejob.rate_limits.status import (
    Allowed,
    CheckBody,
    LimitStatus,
    Refused,
    Reset,
    StatusQuery,
)

settings.require(
    *settings.SERVICE_CALLS,
    *settings.SUBMIT_BUCKET,
    settings.ADMIN_SECRET,
    settings.ADMIN_SECRET_PREVIOUS,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people, bootstrap.open_context)


@api.get("/api/rate-limit/status", auth=SERVICE)
def show_rate_limit(query: StatusQuery, optional_user: Person, context: Context) -> LimitStatus:  # noqa: ARG001
    """Return both limits on a person's applications, without spending a token."""
    return status.read_status(optional_user, connection=context.connection, now=context.now())


@api.get("/api/rate-limit/status/{user_id}", auth=SERVICE)
def show_rate_limit_of(optional_user: Person, context: Context) -> LimitStatus:
    """Return both limits on the applications of the user in the path, without spending a token."""
    return status.read_status(optional_user, connection=context.connection, now=context.now())


@api.post("/api/v1/rate-limit/check", auth=SERVICE)
def spend_token(body: CheckBody, optional_user: Person, context: Context) -> Allowed | Refused:  # noqa: ARG001
    """Spend one token, once per Idempotency-Key, or return when the next one is available."""
    return status.spend_token(optional_user, context)


@api.delete("/api/rate-limit/{user_id}", auth=ADMIN)
def reset_rate_limit(optional_user: Person, context: Context) -> Reset:
    """Refill a person's bucket; the count of the last 24 hours stays. Needs X-Admin-Secret."""
    return status.refill(optional_user, context)


handler = api.handler
