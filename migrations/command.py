"""The commands of the function ``migrator``: what an event may say, and running it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from migrations import upgrade as migrations

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


def run(command: Command, conninfo: str) -> migrations.Migrated:
    """Run *command* on the database at *conninfo*. Raises ``MigrationError``."""
    if command.action == "current":
        revision = migrations.current(conninfo)
        return migrations.Migrated(revision, revision, ())
    if command.action == "downgrade":
        return migrations.downgrade(conninfo, str(command.revision), drop_data=command.drop_data)
    return migrations.upgrade(conninfo, command.revision or "head")
