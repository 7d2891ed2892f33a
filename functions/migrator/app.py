"""Brings the database to a revision of ``migrations/versions``; the operator invokes it."""

from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from migrations import upgrade as migrations
from ullgetthejob.platform import postgres
from ullgetthejob.platform.telemetry import logger, trace

Revision = Annotated[str, StringConstraints(pattern=r"^(head|base|[0-9]{4}|[+-][1-9][0-9]*)$")]


class Command(BaseModel):
    """The event: ``{"revision": "head"}`` goes up, ``{"action": "current"}`` only tells.

    Going down is ``{"action": "downgrade", "revision": "0002", "confirm": true}``, and needs
    ``"drop_data": true`` besides where it would lose what people entered.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    action: Literal["upgrade", "current", "downgrade"] = "upgrade"
    revision: Revision | None = None
    confirm: bool = False
    drop_data: bool = False

    @model_validator(mode="after")
    def _downgrade_is_meant(self) -> Self:
        if self.action == "downgrade" and not (self.revision and self.confirm):
            raise ValueError('a downgrade needs "revision" and "confirm": true')
        return self


def run(command: Command) -> migrations.Migrated:
    """Do what *command* says on the database of ``DATABASE_URL``."""
    conninfo = postgres.conninfo()
    if command.action == "current":
        revision = migrations.current(conninfo)
        return migrations.Migrated(revision, revision, ())
    if command.action == "downgrade":
        return migrations.downgrade(conninfo, str(command.revision), drop_data=command.drop_data)
    return migrations.upgrade(conninfo, command.revision or "head")


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"revision_before", "revision_after", "applied"}``; a failure is the invocation's error."""
    try:
        done = run(Command.model_validate(event))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}" for e in error.errors())
        raise ValueError(f"the event is not understood: {wrong.strip()}") from None
    except migrations.MigrationError as error:
        logger.error("migration failed", **trace(error))
        raise type(error)(str(error)) from None  # what it came from may quote rows
    logger.info("migrated", before=done.revision_before, after=done.revision_after)
    return asdict(done) | {"applied": list(done.applied)}
