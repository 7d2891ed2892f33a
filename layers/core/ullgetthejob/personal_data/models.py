"""What callers send and get for a person's data. The functions import it when they start."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ullgetthejob.platform.models import Model


class ExportQuery(Model):
    """Which part of the export; the first by default."""

    cursor: str | None = Field(
        None, max_length=600, description="``next`` of the manifest of the part before"
    )


class DeletionAccepted(Model):
    """The answer when the deletion is certain: it goes on by itself."""

    success: Literal[True] = True
    status: Literal["deleting"] = "deleting"
    message: str = (
        "the sessions have ended and nothing more is sent; the rest is deleted within minutes. "
        "While hh.ru does not answer, Core tries for three days to revoke its tokens; Core can be "
        "removed in the settings of hh.ru, too"
    )
