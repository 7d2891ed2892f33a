"""GET /api/v1/system/health: whether Core can answer, for load balancers and people."""

from ullgetthejob.platform import postgres
from ullgetthejob.platform.http import ANYONE, Answer, Api
from ullgetthejob.platform.telemetry import logger, trace

api = Api()


@api.get("/api/v1/system/health", who=ANYONE)
def read_health() -> Answer:
    """``{"status": "ok", "db": "up"}``, or 503 with ``down`` when Postgres does not answer."""
    try:
        postgres.connection().execute("SELECT 1")
    except Exception as error:
        logger.warning("database down", **trace(error))
        postgres.close()
        return Answer(503, {"status": "unavailable", "db": "down"}, {"retry-after": "5"})
    return Answer(200, {"status": "ok", "db": "up"})


handler = api.handler
