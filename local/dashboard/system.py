"""The running system as the pages read it: processes, queues, items, sandbox, logs, database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import psycopg
from psycopg.rows import dict_row

from local.dashboard.application_counts import ApplicationCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from local.dashboard.trail import Trail
    from local.dev_connect.core import Core
    from local.event_sources.service import EventSources
    from local.functions.service import LambdaService
    from local.template.resources import Template

SANDBOX_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 2_000
ITEMS_FILE = "items.sqlite"


class Refused(Exception):
    """An action was refused, or a part of the system does not answer; the message says why."""


@dataclass
class System:
    """Handles of the running cloud. *hh*: the sandbox's address, ``None`` with another hh.ru;
    *receivers*: the address of the receivers of notifications;
    *bucket*: capacity and tokens an hour of the bucket of applications; *pace*: calls to hh.ru per
    second; *core*: returns a client of the API, as the BFF has one."""

    template: Template
    functions: LambdaService
    sources: EventSources
    services: Callable[[], dict[str, Any]]
    now: Callable[[], datetime]
    trail: Trail
    data_dir: Path
    aws: str
    hh: str | None
    receivers: str
    database_url: str
    core: Callable[[], Core]
    bucket: tuple[int, float]
    pace: float
    started: float = field(default_factory=time.monotonic)
    spent_s: float = 0.0  # by the pages, in this process
    counts: ApplicationCounts = field(default_factory=ApplicationCounts)

    # ── the database ─────────────────────────────────────────────────────────────────────────

    async def select(
        self, statement: str, values: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of a statement that reads. Raises ``psycopg.Error``."""
        return (await self.select_each({"rows": (statement, values)}))["rows"]

    async def select_each(
        self, statements: Mapping[str, tuple[str, Mapping[str, Any] | None]]
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of each statement by its name, read over one connection."""
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c default_transaction_read_only=on"
        connection = await psycopg.AsyncConnection.connect(
            self.database_url,
            row_factory=dict_row,
            connect_timeout=3,
            options=options,
            application_name="dashboard",
        )
        async with connection:
            return {
                name: await (await connection.execute(statement, values)).fetchall()
                for name, (statement, values) in statements.items()
            }

    # ── DynamoDB ─────────────────────────────────────────────────────────────────────────────

    async def items(self, table: str, prefix: str = "") -> list[dict[str, Any]]:
        """Return the unexpired items of a DynamoDB table whose ``pk`` begins with *prefix*. Raises
        :class:`Refused`."""
        try:
            return await asyncio.to_thread(self._read_items, table, prefix)
        except sqlite3.Error as error:
            raise Refused(f"DATA_DIR's {ITEMS_FILE} cannot be read: {error}") from None

    def _read_items(self, table: str, prefix: str) -> list[dict[str, Any]]:
        path = self.data_dir / "aws" / ITEMS_FILE
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT item FROM items WHERE table_name = ?", (table,)
            ).fetchall()
        found = [_plain(json.loads(item)) for (item,) in rows]
        return [item for item in found if str(item.get("pk", "")).startswith(prefix)]

    # ── queues ───────────────────────────────────────────────────────────────────────────────

    async def messages(self) -> dict[str, list[dict[str, Any]]]:
        """Return the messages of each queue by its name, without receiving them. Raises
        :class:`Refused`."""
        found = await self._call("GET", f"{self.aws}/_local/queues")
        return dict(found["queues"])

    # ── hh.ru's sandbox ──────────────────────────────────────────────────────────────────────

    async def sandbox(self, method: str, path: str, content: Any = None) -> Any:
        """Call a control route of the sandbox, such as ``/clock``, and return its JSON. Raises
        :class:`Refused`."""
        if self.hh is None:
            raise Refused("HH_API_URL names another hh.ru than the sandbox: it has no controls")
        return await self._call(method, f"{self.hh}/_sandbox{path}", content)

    # ── the receivers of notifications ───────────────────────────────────────────────────────

    async def receivers_call(self, method: str, path: str, content: Any = None) -> Any:
        """Call a control route of the receivers, such as ``/state``, and return its JSON. Raises
        :class:`Refused`."""
        return await self._call(method, f"{self.receivers}/_receivers{path}", content)

    async def _call(self, method: str, url: str, content: Any = None) -> Any:
        timeout = aiohttp.ClientTimeout(total=SANDBOX_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, url, json=content) as response,
            ):
                answer = await response.json(content_type=None)
                if response.status >= 400:
                    reason = answer.get("error") if isinstance(answer, dict) else None
                    raise Refused(str(reason or f"status {response.status}"))
                return answer
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Refused(f"no answer: {type(error).__name__}") from None


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a DynamoDB item without their types."""
    return {name: _plain_value(value) for name, value in item.items()}


def _plain_value(typed: dict[str, Any]) -> Any:
    [(kind, value)] = typed.items()
    match kind:
        case "N":
            return float(value) if "." in value else int(value)
        case "M":
            return _plain(value)
        case "L":
            return [_plain_value(item) for item in value]
        case "NULL":
            return None
        case _:
            return value


def moment(ms: float) -> datetime:
    """Return the time that is *ms* after the epoch."""
    return datetime.fromtimestamp(ms / 1000, UTC)
