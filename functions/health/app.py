"""Whether Core can serve requests, for load balancers and operators: /api/v1/system/*."""

from typing import Literal

from ullgetthejob.accounts import method_status
from ullgetthejob.platform import postgres, schema, settings
from ullgetthejob.platform.http import ANYONE, Api, Response
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import logger, trace

settings.require()

api = Api()


class Health(Model):
    """The health of Core, whether Postgres accepts writes, and what hh.ru lets Core do for all."""

    status: Literal["ok", "unavailable"]
    db: Literal["up", "down"]
    hh_methods: list[method_status.MethodAnswer]


@api.get("/api/v1/system/health", auth=ANYONE, answers=(200, 503))
def read_health() -> Response[Health]:
    """Return 200 when Postgres accepts writes, else 503."""
    try:
        postgres.require_writable()
        methods = method_status.list_methods(None, connection=postgres.connection())
    except Exception as error:
        logger.warning("database down", **trace(error))
        postgres.close()
        body = Health(status="unavailable", db="down", hh_methods=[])
        return Response(503, body, {"retry-after": "5"})
    return Response(200, Health(status="ok", db="up", hh_methods=methods))


class Readiness(Model):
    """Whether Core can serve requests; the schema's revision, the database's and the code's."""

    status: Literal["ready", "unavailable"] = "unavailable"
    db: Literal["up", "down"] = "down"
    revision: str | None = None
    needed: str
    commit: str


@api.get("/api/v1/system/ready", auth=ANYONE, answers=(200, 503))
def read_readiness() -> Response[Readiness]:
    """Return 200 when Postgres accepts writes and its schema is new enough, else 503."""
    body = Readiness(needed=schema.REVISION, commit=settings.COMMIT())
    try:
        postgres.require_writable()
        body.db = "up"
        with postgres.deadline(postgres.HEALTH_DEADLINE_S):
            body.revision = schema.read_revision(postgres.connection())
    except Exception as error:
        logger.warning("database down", **trace(error))
        postgres.close()
    if body.db == "down" or not schema.is_new_enough(body.revision):
        return Response(503, body, {"retry-after": "5"})
    body.status = "ready"
    return Response(200, body)


handler = api.handler
