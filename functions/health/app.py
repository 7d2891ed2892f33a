"""Whether Core can serve requests, for load balancers and operators: /api/v1/system/*."""

from typing import Literal

from pydantic import BaseModel

from ullgetthejob.platform import postgres, schema, settings
from ullgetthejob.platform.http import ANYONE, Api, Response
from ullgetthejob.platform.telemetry import logger, trace

settings.require()

api = Api()


class Health(BaseModel):
    """The health of Core, and whether Postgres accepts writes."""

    status: Literal["ok", "unavailable"]
    db: Literal["up", "down"]


@api.get("/api/v1/system/health", auth=ANYONE, answers=(200, 503))
def read_health() -> Response[Health]:
    """Return 200 when Postgres accepts writes, else 503."""
    try:
        postgres.require_writable()
    except Exception as error:
        logger.warning("database down", **trace(error))
        postgres.close()
        return Response(503, Health(status="unavailable", db="down"), {"retry-after": "5"})
    return Response(200, Health(status="ok", db="up"))


class Readiness(BaseModel):
    """Whether Core can serve requests; the schema's revision, the database's and the code's."""

    status: Literal["ready", "unavailable"]
    db: Literal["up", "down"]
    revision: str | None
    needed: str
    commit: str


@api.get("/api/v1/system/ready", auth=ANYONE, answers=(200, 503))
def read_readiness() -> Response[Readiness]:
    """Return 200 when Postgres accepts writes and its schema is new enough, else 503."""
    revision, db = None, "down"
    try:
        postgres.require_writable()
        db = "up"
        with postgres.deadline(postgres.HEALTH_DEADLINE_S), postgres.session() as connection:
            revision = schema.read_revision(connection)
    except Exception as error:
        logger.warning("database down", **trace(error))
        postgres.close()
    status = "ready" if db == "up" and schema.is_new_enough(revision) else "unavailable"
    body = Readiness(
        status=status, db=db, revision=revision, needed=schema.REVISION, commit=settings.COMMIT()
    )
    if status == "ready":
        return Response(200, body)
    return Response(503, body, {"retry-after": "5"})


handler = api.handler
