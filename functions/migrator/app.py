"""Migration of the database to a revision of ``migrations/versions``."""

from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from migrations import deployment
from migrations import upgrade as migrations
from migrations.command import Command, run
from ullgetthejob.platform import invocation, postgres, settings
from ullgetthejob.platform.telemetry import logger, trace

settings.require()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Return ``{"revision_before", "revision_after", "applied"}``. Raises ``ValueError`` for an
    event that cannot be read, and ``MigrationError``. CloudFormation's requests are answered as it
    needs: see ``migrations/deployment.py``."""
    with invocation.measured(context):
        if deployment.is_request(event):
            return deployment.respond(event, _bring_up_to_date)
        return _migrate(event)


def _bring_up_to_date() -> migrations.Migrated:
    try:
        return deployment.bring_up_to_date(postgres.conninfo())
    except Exception as error:
        logger.error("migration failed", **trace(error))
        raise


def _migrate(event: dict[str, Any]) -> dict[str, Any]:
    try:
        migrated = run(Command.model_validate(event), postgres.conninfo())
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))} {problem['msg']}" for problem in error.errors()
        )
        raise ValueError(f"the event is not understood: {problems.strip()}") from None
    except migrations.MigrationError as error:
        logger.error("migration failed", **trace(error))
        raise type(error)(str(error)) from None  # its cause may quote rows
    return asdict(migrated) | {"applied": list(migrated.applied)}
