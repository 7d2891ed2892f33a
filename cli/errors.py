"""Errors of libraries and of the package as errors of a command: one sentence, a next step, a code.

The libraries are not imported for it: an error of one that is not loaded cannot have been raised.
"""

from __future__ import annotations

import sys
from typing import Any

from cli.output import FAILED, UNREACHABLE, USAGE, CommandError


def describe(error: Exception) -> CommandError:
    """Return any error as that of a command."""
    if isinstance(error, CommandError):
        return error
    if _is(error, "local.settings", "SettingsError"):
        return CommandError(str(error), "the settings of make run are in README", code=USAGE)
    if _is(error, "botocore.exceptions", "BotoCoreError", "ClientError"):
        from cli import aws_client

        return aws_client.describe(error)
    if _is(error, "migrations.upgrade", "MigrationError"):
        return CommandError(str(error), "ugtj db status")
    if _is(error, "alembic.util", "CommandError"):
        return CommandError(str(error), "ugtj db status shows the newest revision", code=USAGE)
    if _is(error, "local.postgres.server", "PostgresError"):
        return CommandError(str(error), "ugtj doctor", code=UNREACHABLE)
    if _is(error, "psycopg", "Error"):
        return _describe_postgres(error)
    if _is(error, "httpx", "InvalidURL"):
        return CommandError(f"an address cannot be used: {error}", "ugtj doctor", code=USAGE)
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return CommandError(f"{name}{error.strerror}", "ugtj doctor")
    step = "UGTJ_TRACEBACK=1 shows where; the answer may be that of another program than Core"
    return CommandError(f"{type(error).__name__}: {str(error)[:200]}", step, code=FAILED)


def _describe_postgres(error: Any) -> CommandError:
    """Return an error of Postgres without the text of rows and addresses, which it may quote."""
    from ullgetthejob.platform.database_address import SENTENCES, cause_of

    told = error.diag.message_primary if error.sqlstate else None
    reason = told or SENTENCES.get(cause_of(error), "it does not answer")
    code = FAILED if error.sqlstate else UNREACHABLE
    return CommandError(f"the database cannot be used: {reason}", "ugtj doctor", code=code)


def _is(error: Exception, module: str, *names: str) -> bool:
    loaded = sys.modules.get(module)
    kinds = [getattr(loaded, name) for name in names if hasattr(loaded, name)]
    return isinstance(error, tuple(kinds))
