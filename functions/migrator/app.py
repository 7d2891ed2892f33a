"""Migration of the database to a revision of ``migrations/versions``, invoked by the operator."""

from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from migrations import upgrade as migrations
from ullgetthejob.platform import postgres, settings
from ullgetthejob.platform.telemetry import logger, trace

settings.require()

settings.require()

settings.require()

Revision = Annotated[str, StringConstraints(pattern=r"^(head|base|[0-9]{4}|[+-][1-9][0-9]*)$")]


class Command(BaseModel):
    """The event: ``{"revision": "head"}`` upgrades, ``{"action": "current"}`` reads the revision.

    A downgrade is ``{"action": "downgrade", "revision": "0002", "confirm": true}``, and also needs
    ``"drop_data": true`` if it would delete data that users entered.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    action: Literal["upgrade", "current", "downgrade"] = "upgrade"
    revision: Revision | None = None
    confirm: bool = False
    drop_data: bool = False

    @model_validator(mode="after")
    def _require_confirmation(self) -> Self:
        if self.action == "downgrade" and not (self.revision and self.confirm):
            raise ValueError('a downgrade needs "revision" and "confirm": true')
        return self


def run(command: Command) -> migrations.Migrated:
    """Run *command* on the database of ``DATABASE_URL``. Raises ``MigrationError``."""
    conninfo = postgres.conninfo()
    if command.action == "current":
        revision = migrations.current(conninfo)
        return migrations.Migrated(revision, revision, ())
    if command.action == "downgrade":
        return migrations.downgrade(conninfo, str(command.revision), drop_data=command.drop_data)
    return migrations.upgrade(conninfo, command.revision or "head")


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return ``{"revision_before", "revision_after", "applied"}``. Raises ``ValueError`` for an
    event that cannot be read, and ``MigrationError``."""
    try:
        migrated = run(Command.model_validate(event))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))} {problem['msg']}" for problem in error.errors()
        )
        raise ValueError(f"the event is not understood: {problems.strip()}") from None
    except migrations.MigrationError as error:
        logger.error("migration failed", **trace(error))
        raise type(error)(str(error)) from None  # its cause may quote rows
    logger.info("migrated", before=migrated.revision_before, after=migrated.revision_after)
    return asdict(migrated) | {"applied": list(migrated.applied)}
