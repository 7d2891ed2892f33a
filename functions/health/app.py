"""GET /api/v1/system/health: whether Core can serve requests, for load balancers and operators."""

from typing import Literal

from pydantic import BaseModel

from ullgetthejob.accounts import method_status
from ullgetthejob.accounts.method_status import MethodAnswer
from ullgetthejob.platform import postgres, settings
from ullgetthejob.platform.http import ANYONE, Api, Response
from ullgetthejob.platform.telemetry import logger, trace

settings.require()

api = Api()


class Health(BaseModel):
    """The health of Core, whether Postgres accepts writes, and what hh.ru lets Core do for all."""

    status: Literal["ok", "unavailable"]
    db: Literal["up", "down"]
    hh_methods: list[MethodAnswer]


@api.get("/api/v1/system/health", auth=ANYONE, answers=(200, 503))
def read_health() -> Response[Health]:
    """Return 200 when Postgres accepts writes, else 503."""
    try:
        postgres.require_writable()
        methods = method_status.list_methods(None, connection=postgres.connection())
    except Exception as error:
        logger.warning("database down", **trace(error))
        postgres.close()
        return Response(
            503, Health(status="unavailable", db="down", hh_methods=[]), {"retry-after": "5"}
        )
    return Response(200, Health(status="ok", db="up", hh_methods=methods))


handler = api.handler
