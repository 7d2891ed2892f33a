"""GET /api/v1/system/health: whether Core can serve requests, for load balancers and operators."""

from typing import Literal

from pydantic import BaseModel

from ullgetthejob.platform import postgres, settings
from ullgetthejob.platform.http import ANYONE, Api, Response
from ullgetthejob.platform.telemetry import logger, trace

settings.require()

settings.require()

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


handler = api.handler
