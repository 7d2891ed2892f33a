"""/api/rate-limit/* and POST /api/v1/rate-limit/check: how many applications may go out."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications import limits
from ullgetthejob.applications.limits import (
    Allowed,
    CheckBody,
    LimitStatus,
    Refused,
    Reset,
    StatusQuery,
)
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import ADMIN, SERVICE, Api

api = Api(people)


@api.get("/api/rate-limit/status", who=SERVICE)
def show_rate_limit(query: StatusQuery, anybody: Person) -> LimitStatus:  # noqa: ARG001
    """Both limits on a person's applications, as they stand; nothing is spent."""
    with postgres.session() as connection:
        return limits.status(anybody, connection=connection, now=clock.now())


@api.get("/api/rate-limit/status/{user_id}", who=SERVICE)
def show_rate_limit_of(anybody: Person) -> LimitStatus:
    """The same, with the user in the path."""
    with postgres.session() as connection:
        return limits.status(anybody, connection=connection, now=clock.now())


@api.post("/api/v1/rate-limit/check", who=SERVICE)
def spend_token(body: CheckBody, anybody: Person, caller: Caller) -> Allowed | Refused:  # noqa: ARG001
    """Spend one token, once for each Idempotency-Key; or say when the next one comes."""
    with postgres.session() as connection:
        return limits.check(anybody, caller=caller, connection=connection, now=clock.now())


@api.delete("/api/rate-limit/{user_id}", who=ADMIN)
def reset_rate_limit(anybody: Person, caller: Caller) -> Reset:
    """Fill a person's bucket; the count of the last 24 hours stays. Needs X-Admin-Secret."""
    with postgres.session() as connection:
        return limits.reset(anybody, caller=caller, connection=connection, now=clock.now())


handler = api.handler
