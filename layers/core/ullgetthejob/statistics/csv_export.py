"""The statistics as CSV (RFC 4180), in UTF-8 with a byte order mark, which Excel needs.

A cell that a spreadsheet would take for a formula begins with an apostrophe: titles and names are
written by strangers. The applications come in parts that fit into an answer of Lambda: the header
Link (rel="next") names the next one. Only the first part has the mark and the heading, so that the
parts, one after the other, are the file.
"""

from __future__ import annotations

import base64
import csv
import io
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, ConfigDict, TypeAdapter, ValidationError

from ullgetthejob.platform.errors import Invalid
from ullgetthejob.platform.files import File
from ullgetthejob.statistics import funnel, store

if TYPE_CHECKING:
    from datetime import date, datetime

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context
    from ullgetthejob.statistics.models import CsvQuery, Rate, StageCount

MEDIA_TYPE = "text/csv; charset=utf-8"
MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # the byte order mark
# A tab or a line break at the beginning may hide a formula behind it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
SEPARATORS = {"comma": ",", "semicolon": ";"}
MAX_BYTES = 3_500_000  # 4.7 MB in base64; a batch of rows may be added to it
BUDGET_S = 4.0  # the function has 10
ROWS_PER_READ = 1000
KEY = TypeAdapter(tuple[AwareDatetime, UUID], config=ConfigDict(defer_build=True))
APPLICATIONS = (
    *("application_id", "vacancy_id", "title", "company", "origin", "submitted_at", "seen_at"),
    *("answered_at", "invited_at", "offer_at", "hours_to_answer", "state_at_hh", "resume_id"),
    *("letter_template", "fit", "search"),
)
FUNNEL = ("group", "stage", "count", "of", "n", "reached", "rate", "low", "high")


def export(query: CsvQuery, person: Person, context: Context) -> File:
    """Return the applications of a period, or a part of them, or the funnel, as a file. Raises
    :class:`Invalid` for a cursor that is none."""
    context = context.with_fixed_time()
    output = io.StringIO(newline="")
    writer = csv.writer(output, delimiter=SEPARATORS[query.separator])
    first, last = funnel.resolve_days(query, context.now())
    headers = {}
    if query.table == "funnel":
        output.write(MARK)
        writer.writerow(FUNNEL)
        for label, stage in funnel.list_rates(funnel.read_stats(query, person, context)):
            writer.writerow([plain_cell(label), *_stage_cells(stage)])
    else:
        rest = _write_applications(output, writer, query, (first, last), person, context)
        if rest is not None:
            headers["link"] = f'<{_address(query, first, last, person, rest)}>; rel="next"'
    name = f"{query.table}-{first}-{last}.csv"
    return File(output.getvalue().encode(), MEDIA_TYPE, name, headers)


def plain_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def _write_applications(
    output: io.StringIO,
    writer: Any,
    query: CsvQuery,
    days: tuple[date, date],
    person: Person,
    context: Context,
) -> str | None:
    """Write the applications after the cursor; return the cursor of the next part, ``None`` after
    the last row."""
    values: dict[str, Any] = {
        "account_id": person.account_id,
        **funnel.period_values(*days, query.time_zone),
        "limit": ROWS_PER_READ,
    }
    values["after_submitted_at"], values["after_id"] = _read_cursor(query.cursor)
    if query.cursor is None:
        output.write(MARK)
        writer.writerow(APPLICATIONS)
    zone, ends = ZoneInfo(query.time_zone), time.monotonic() + BUDGET_S
    while True:
        rows = context.connection.execute(store.SELECT_RESULTS, values).fetchall()
        writer.writerows([plain_cell(cell) for cell in _cells(row, zone)] for row in rows)
        if len(rows) < ROWS_PER_READ:
            return None
        values["after_submitted_at"], values["after_id"] = rows[-1]["submitted_at"], rows[-1]["id"]
        # A letter of Russian has two bytes.
        if 2 * output.tell() >= MAX_BYTES or time.monotonic() >= ends:
            key = KEY.dump_json((values["after_submitted_at"], values["after_id"]))
            return base64.urlsafe_b64encode(key).decode().rstrip("=")


def _cells(row: dict[str, Any], zone: ZoneInfo) -> list[Any]:
    sent, answered = row["submitted_at"], row["first_answered_at"]
    hours = None if answered is None else round((answered - sent).total_seconds() / 3600, 1)
    return [
        str(row["id"]),
        row["vacancy_id"],
        row["title"],
        row["company"],
        "by hand" if row["by_hand"] else "Core",
        _local(sent, zone),
        _local(row["first_seen_at"], zone),
        _local(answered, zone),
        _local(row["first_invited_at"], zone),
        _local(row["first_offered_at"], zone),
        None if hours is None else max(0.0, hours),
        row["hh_state"],
        row["resume_id"],
        row["template"],
        row["fit"],
        row["search"],
    ]


def _stage_cells(stage: StageCount) -> list[Any]:
    rate = stage.rate
    return [stage.stage, stage.count, *_rate_cells(rate)]


def _rate_cells(rate: Rate | None) -> list[Any]:
    if rate is None:
        return [None] * 6
    shares = (rate.rate, rate.low, rate.high)
    return [rate.of, rate.n, rate.reached, *(s if s is None else round(s, 4) for s in shares)]


def _local(moment: datetime | None, zone: ZoneInfo) -> str | None:
    """Return a time of the period's zone as spreadsheets read it."""
    return None if moment is None else moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def _address(query: CsvQuery, first: date, last: date, person: Person, cursor: str) -> str:
    """Return the address of the next part."""
    values = {
        "user_id": person.user_id,
        "from": first,
        "to": last,
        "time_zone": query.time_zone,
        "separator": query.separator,
        "cursor": cursor,
    }
    return f"/api/stats.csv?{urlencode(values)}"


def _read_cursor(cursor: str | None) -> tuple[Any, Any]:
    if cursor is None:
        return None, None
    try:
        return KEY.validate_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, ValidationError):
        raise Invalid.field("cursor", "is not that of the header Link of a part") from None
