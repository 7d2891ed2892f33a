"""A full disk under ``DATA_DIR``: one message, and recovery once there is space.

Writes that fail are not acknowledged: Postgres, DynamoDB and the sandbox return an error, and
callers retry. Logs, and state that only saves work after the next start (the last firing of a rule,
the last event shown), are dropped until then.
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
POLL_INTERVAL_S = 2


def is_full_error(error: BaseException) -> bool:
    """Return whether *error* means that a disk is full."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in (
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_IOERR_WRITE,
        )
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_full(folder: Path) -> bool:
    """Return whether the disk of *folder* is full, or nearly so."""
    stats = os.statvfs(folder)
    return stats.f_bavail * stats.f_frsize < FULL_BELOW_BYTES


def message(folder: Path) -> str:
    """Return the message for people."""
    return (
        f"The disk under DATA_DIR ({folder}) is full. What was accepted is kept; nothing new is, "
        "until there is room."
    )


async def watch(
    folder: Path, postgres: EmbeddedPostgres | None, report: Callable[[str], object]
) -> None:
    """Report when the disk becomes full, and when it has space again, until cancelled.

    A *postgres* that ended on a full disk is restarted: it recovers from its write-ahead log.
    """
    from local.postgres.binaries import PostgresError  # not needed by the sandbox

    full = starved = False
    while True:
        was_full, full = full, await asyncio.to_thread(is_full, folder)
        if full and not was_full:
            report(message(folder))
        if postgres is not None and (full or starved):
            starved = not await asyncio.to_thread(lambda: postgres.running)
        if postgres is not None and starved and not full:
            try:
                await asyncio.to_thread(postgres.start)
                report("Postgres had ended, and runs again.")
            except PostgresError as error:
                report(str(error))
        if was_full and not full:
            report(f"There is room under DATA_DIR ({folder}) again.")
        await asyncio.sleep(POLL_INTERVAL_S)
