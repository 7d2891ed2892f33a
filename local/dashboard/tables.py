"""Tables that sort and page by the query string: ``?requests.sort=-ms&requests.page=2``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ROWS_PER_PAGE = 25

Kind = Literal["text", "code", "badge", "int", "decimal", "ms", "bytes", "time", "age", "buttons"]
Row = dict[str, Any]
NUMERIC: tuple[Kind, ...] = ("int", "decimal", "ms", "bytes", "age")


@dataclass(frozen=True)
class Column:
    """A column: *key* of the rows' values. A row's ``<key>_href`` makes the cell a link."""

    key: str
    title: str
    kind: Kind = "text"

    @property
    def is_numeric(self) -> bool:
        """Return whether its cells are aligned to the right."""
        return self.kind in NUMERIC


@dataclass(frozen=True)
class Button:
    """A form of one button: *action* is the path that it posts *fields* to. *input_name*: of a text
    field beside it, labelled *input_label*."""

    label: str
    action: str
    fields: Mapping[str, str] = field(default_factory=dict)
    input_name: str = ""
    input_label: str = ""
    kind: Literal["", "quiet", "danger"] = ""


@dataclass(frozen=True)
class Table:
    """One page of a sorted table. *name*: prefix of its query parameters; *total*: of all rows."""

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    total: int
    sort: str
    descending: bool
    page: int
    query: Mapping[str, str]
    empty: str = "Nothing yet."

    @property
    def pages(self) -> int:
        """Return the number of pages, at least one."""
        return max(1, -(-self.total // ROWS_PER_PAGE))

    @property
    def first(self) -> int:
        """Return the number of the first row shown, from one."""
        return (self.page - 1) * ROWS_PER_PAGE + 1

    def direction_of(self, column: Column) -> str:
        """Return the value of ``aria-sort``."""
        if column.key != self.sort:
            return "none"
        return "descending" if self.descending else "ascending"

    def sort_href(self, column: Column) -> str:
        """Return the link that sorts by *column*: numbers from the largest, then the other way."""
        descending = column.is_numeric or column.kind == "time"
        if column.key == self.sort:
            descending = not self.descending
        return self._href({"sort": ("-" if descending else "") + column.key})

    def page_href(self, page: int) -> str:
        """Return the link to another page of it."""
        return self._href({"sort": self._sort_text, "page": str(page)})

    @property
    def _sort_text(self) -> str:
        return ("-" if self.descending else "") + self.sort

    def _href(self, values: Mapping[str, str]) -> str:
        others = {
            name: value
            for name, value in self.query.items()
            if not name.startswith(f"{self.name}.") and value
        }
        own = {f"{self.name}.{name}": value for name, value in values.items()}
        return f"?{urlencode(others | own)}#{self.name}"


def table(
    name: str,
    title: str,
    columns: Sequence[Column],
    rows: Iterable[Row],
    query: Mapping[str, str],
    *,
    sort: str,
    empty: str = "Nothing yet.",
) -> Table:
    """Return the page of *rows* that *query* asks for; *sort*: the order without one, such as
    ``-ms``. An unknown column or page is that default."""
    found = list(rows)
    keys = {column.key for column in columns if column.kind != "buttons"}
    wanted = query.get(f"{name}.sort", sort)
    if wanted.lstrip("-") not in keys:
        wanted = sort
    key, descending = wanted.lstrip("-"), wanted.startswith("-")
    known = [row for row in found if row.get(key) is not None]
    known.sort(key=lambda row: _sortable(row[key]), reverse=descending)
    ordered = known + [row for row in found if row.get(key) is None]
    number = query.get(f"{name}.page", "1")
    last = max(1, -(-len(ordered) // ROWS_PER_PAGE))
    # Python refuses to read a number of thousands of digits.
    is_number = number.isascii() and number.isdigit() and len(number) <= 9
    page = min(last, max(1, int(number))) if is_number else 1
    start = (page - 1) * ROWS_PER_PAGE
    return Table(
        name=name,
        title=title,
        columns=columns,
        rows=ordered[start : start + ROWS_PER_PAGE],
        total=len(ordered),
        sort=key,
        descending=descending,
        page=page,
        query=query,
        empty=empty,
    )


def _sortable(value: Any) -> tuple[int, Any]:
    if isinstance(value, datetime):
        return 1, value.timestamp()
    if isinstance(value, bool | int | float):
        return 1, float(value)
    return 2, str(value).casefold()
