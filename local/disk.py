"""The disk under ``DATA_DIR`` when it is full: one message, and all goes on when there is room.

What cannot be written is not accepted: Postgres, DynamoDB and the sandbox answer with an error, and
callers try again. What only people read (logs), or what only saves work after the next start (when
a rule fired last, which event was shown last), is left out meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.postgres.server import EmbeddedPostgres

FULL_BELOW_BYTES = 1_000_000
LOOK_S = 2


def is_full_error(error: BaseException) -> bool:
    """Whether *error* says that there is no room on a disk."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in (
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_IOERR_WRITE,
        )
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_full(folder: Path) -> bool:
    """Whether hardly anything can be written below *folder*."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < FULL_BELOW_BYTES


def message(folder: Path) -> str:
    """What a person is told."""
    return (
        f"The disk under DATA_DIR ({folder}) is full. What was accepted is kept; nothing new is, "
        "until there is room."
    )


async def watch(
    folder: Path, postgres: EmbeddedPostgres | None, tell: Callable[[str], object]
) -> None:
    """Say when the disk is full, and when it is not any more, until cancelled.

    A *postgres* that has ended for want of room is started again: it goes on from its write-ahead
    log.
    """
    from local.postgres.binaries import PostgresError  # the sandbox needs nothing of it

    full = starved = False
    while True:
        was_full, full = full, await asyncio.to_thread(is_full, folder)
        if full and not was_full:
            tell(message(folder))
        if postgres is not None and (full or starved):
            starved = not await asyncio.to_thread(lambda: postgres.running)
        if postgres is not None and starved and not full:
            try:
                await asyncio.to_thread(postgres.start)
                tell("Postgres had ended, and runs again.")
            except PostgresError as error:
                tell(str(error))
        if was_full and not full:
            tell(f"There is room under DATA_DIR ({folder}) again.")
        await asyncio.sleep(LOOK_S)
