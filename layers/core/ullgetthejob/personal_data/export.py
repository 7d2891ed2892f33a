"""The export of a person's data: a ZIP archive with a file of JSON lines for each kind of thing.

A file has the name of the table (or of the DynamoDB items) and one row a line, with every column
but secrets. ``manifest.json`` says how many lines each file has, which columns are withheld, and,
where the archive would outgrow an answer of Lambda (6 MB, in base64) or take too long, with which
cursor the next part is got; the files of all parts, appended to each other by name, are the export.

Tokens are never in it, nor what is derived of them.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import time
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg

from ullgetthejob.accounts import audit
from ullgetthejob.personal_data import tables
from ullgetthejob.personal_data.tables import TABLES, Table
from ullgetthejob.platform.errors import Invalid
from ullgetthejob.platform.files import File
from ullgetthejob.platform.telemetry import count
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.realtime import connections

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.personal_data.models import ExportQuery
    from ullgetthejob.platform.context import Context

VERSION = 1
MEDIA_TYPE = "application/zip"
MAX_ARCHIVE_BYTES = 3_500_000  # 4.7 MB in base64; a batch of rows may be added to it
BUDGET_S = 4.0  # the function has 10, and a read of rows may take 5
ROWS_PER_READ = 1000
PLACES = {table.name: place for place, table in enumerate(TABLES)}


@dataclass
class _Part:
    """A part of an export that is being written. *next*: table and key after which the next one
    begins."""

    buffer: io.BytesIO = field(default_factory=io.BytesIO)
    counts: dict[str, int] = field(default_factory=dict)
    next: tuple[str, str | None] | None = None
    ends: float = field(default_factory=lambda: time.monotonic() + BUDGET_S)

    @property
    def is_full(self) -> bool:
        return self.buffer.tell() >= MAX_ARCHIVE_BYTES or time.monotonic() >= self.ends


def export(query: ExportQuery, person: Person, context: Context) -> File:
    """Return a part of all that Core has of the person and of the person's other sessions; of an
    unknown user, an archive without lines.

    Raises :class:`Invalid` for a malformed cursor, :class:`Unavailable`.
    """
    context = context.with_fixed_time()
    start = _read_cursor(query.cursor)
    values: dict[str, Any] = {"user_id": person.user_id, "account_id": person.account_id}
    rows = context.connection.execute(tables.SELECT_USERS_OF_PERSON, values).fetchall()
    values["user_ids"] = user_ids = [row["id"] for row in rows]
    part = _Part()
    with zipfile.ZipFile(part.buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if start is None:
            _write_items(archive, part, person, user_ids, context)
        _write_tables(archive, part, start or (TABLES[0].name, None), values, context)
        archive.writestr("manifest.json", _manifest(part, person, context))
    if user_ids and start is None:
        audit.record("account.export", person, context)
    count("PersonalDataExports")
    headers = {}
    if part.next is not None:
        address = f"/api/accounts/{person.user_id}/export?cursor={quote(_to_cursor(part.next))}"
        headers["link"] = f'<{address}>; rel="next"'  # RFC 8288
    name = f"ullgetthejob-{person.user_id}.zip"
    return File(part.buffer.getvalue(), MEDIA_TYPE, name, headers)


def _write_items(
    archive: zipfile.ZipFile, part: _Part, person: Person, user_ids: list[UUID], context: Context
) -> None:
    """Write what DynamoDB has: the open sockets, and the token buckets that are not full."""
    owners = [*user_ids, *([person.account_id] if person.account_id else [])]
    open_sockets = connections.list_of_account(person.account_id) if person.account_id else []
    sockets = [
        {
            "user_id": str(socket.user_id),
            "state": socket.state,
            "connected_at_ms": socket.connected_at_ms,
            "topics": socket.topics,
            "sent_seq": socket.sent_seq,
        }
        for socket in open_sockets
    ]
    buckets = []
    for owner in owners:
        level = token_bucket.read_level("submit", owner, now=context.now())
        if level.last_refill is not None or level.next_refill is not None:
            refill = level.next_refill.isoformat() if level.next_refill else None
            buckets.append({"owner": str(owner), "tokens": level.tokens, "next_refill": refill})
    for name, items in (("websocket_connections", sockets), ("token_buckets", buckets)):
        lines = [json.dumps(item, ensure_ascii=False) for item in items]
        archive.writestr(f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
        part.counts[name] = len(lines)


def _write_tables(
    archive: zipfile.ZipFile,
    part: _Part,
    start: tuple[str, str | None],
    values: dict[str, Any],
    context: Context,
) -> None:
    """Write the tables from *start* on, until the part is full."""
    after = start[1]
    for table in TABLES[PLACES[start[0]] :]:
        if part.is_full:
            part.next = (table.name, None)
            return
        if not _exists(table, context):
            continue
        with archive.open(f"{table.name}.jsonl", "w", force_zip64=False) as file:
            part.counts[table.name], last = _write_rows(file, part, table, after, values, context)
        if last is not None:
            part.next = (table.name, last)
            return
        after = None


def _write_rows(
    file: Any,
    part: _Part,
    table: Table,
    after: str | None,
    values: dict[str, Any],
    context: Context,
) -> tuple[int, str | None]:
    """Write the table's rows after the key *after*; return how many, and the last key if more may
    follow in the next part."""
    written = 0
    while True:
        rows = _read_rows(table, after, values, context)
        file.write("".join(f"{row['line']}\n" for row in rows).encode())
        written += len(rows)
        if table.key is None or len(rows) < ROWS_PER_READ:
            return written, None
        after = rows[-1]["key"]
        if part.is_full:
            return written, after


def _read_rows(
    table: Table, after: str | None, values: dict[str, Any], context: Context
) -> list[dict[str, Any]]:
    statement = tables.SELECT_ROWS.format(
        table=table.name, where=table.where, key=table.key or "NULL"
    )
    if table.key is not None:
        condition = "" if after is None else f" WHERE {table.key} > %(after)s"
        statement += f"{condition} ORDER BY {table.key} LIMIT {ROWS_PER_READ}"
    given = {**values, "withheld": list(table.withheld), "after": after}
    try:
        return context.connection.execute(statement, given).fetchall()
    except psycopg.DataError:  # the key of a cursor that was made up
        raise _invalid_cursor() from None


def _exists(table: Table, context: Context) -> bool:
    """Return whether the table is there: a migration of the BFF's drops the original's tokens."""
    row = context.connection.execute(tables.SELECT_TABLE_EXISTS, {"table": table.name}).fetchone()
    return row is not None and bool(row["is_there"])


def _manifest(part: _Part, person: Person, context: Context) -> str:
    content = {
        "version": VERSION,
        "user_id": str(person.user_id),
        "account_id": str(person.account_id) if person.account_id else None,
        "at": context.now().isoformat(),
        "lines": part.counts,
        "withheld": {table.name: table.withheld for table in TABLES if table.withheld},
        "next": _to_cursor(part.next) if part.next else None,
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _to_cursor(place: tuple[str, str | None]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _read_cursor(cursor: str | None) -> tuple[str, str | None] | None:
    """Return table and key. They select nothing but the person's rows, whatever they are."""
    if cursor is None:
        return None
    try:
        name, key = json.loads(base64.urlsafe_b64decode(cursor))
        table = TABLES[PLACES[name]]
    except (ValueError, TypeError, KeyError, binascii.Error):
        raise _invalid_cursor() from None
    if not (key is None or (isinstance(key, str) and table.key is not None)):
        raise _invalid_cursor()
    return name, key


def _invalid_cursor() -> Invalid:
    return Invalid.field("cursor", "must be that of a manifest")
