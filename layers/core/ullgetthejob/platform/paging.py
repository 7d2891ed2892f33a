"""Pages of listings: by number near the beginning, by cursor to any depth (keyset pagination).

A page by its number (``OFFSET``) reads all rows before it, so numbers reach the first
:data:`MAX_OFFSET` rows. ``next_cursor`` holds the key of a page's last row in the order of the
listing; the statement continues after it with an index, whatever the depth, and rows that were
added or removed meanwhile neither repeat nor hide others. A cursor is a position, no secret: the
listing's own conditions, the owner's first of all, hold with any cursor.
"""

from __future__ import annotations

import base64
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from ullgetthejob.platform.errors import Invalid
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from typing import Self

Key = TypeVar("Key", bound=tuple[Any, ...])
Row = dict[str, Any]

MAX_OFFSET = 10_000
CURSOR = "next_cursor of the page before: continues after it; not together with page"
FOUND = "the number of all of them; null where a cursor was sent: the first page said it"


class PageQuery(Model):
    """A page of a listing, by its number or by the cursor of the page before."""

    page: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0
    per_page: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: Annotated[str | None, Field(max_length=300, description=CURSOR)] = None

    @model_validator(mode="after")
    def _check_depth(self) -> Self:
        if self.cursor is not None and self.page:
            raise ValueError("page: not together with cursor")
        if self.page * self.per_page > MAX_OFFSET:
            raise ValueError(f"page: numbers reach the first {MAX_OFFSET:,} rows; use next_cursor")
        return self

    @property
    def limit_and_offset(self) -> dict[str, int]:
        """Return the values of ``LIMIT %(limit)s OFFSET %(offset)s``: one row more than a page
        has, which says whether another page follows."""
        return {"limit": self.per_page + 1, "offset": self.page * self.per_page}


class Page(Model):
    """A page of a listing."""

    page: int
    per_page: int
    next_cursor: str | None = Field(description="of the next page; null: this is the last")


class Keyset(Generic[Key]):
    """The key of a listing: the names of its columns, in the order of the listing, and the type of
    their values. The last one is unique, so that no two rows have one key."""

    def __init__(self, key: type[Key], *columns: str) -> None:
        self._key = key
        self._columns = columns

    @cached_property
    def _adapter(self) -> TypeAdapter[Key]:
        return TypeAdapter(self._key)

    def values(self, query: PageQuery) -> Row:
        """Return the values of a page's statement: ``after_<column>`` for each column, all null
        without a cursor, and ``limit`` and ``offset``. Raises :class:`Invalid`."""
        key: tuple[Any, ...] = (None,) * len(self._columns)
        if query.cursor is not None:
            key = self._parse(query.cursor)
        names = (f"after_{column}" for column in self._columns)
        return {**dict(zip(names, key, strict=True)), **query.limit_and_offset}

    def split(self, rows: list[Row], query: PageQuery) -> tuple[list[Row], str | None]:
        """Return the rows of the page, without the one more that was read, and its
        ``next_cursor``."""
        page = rows[: query.per_page]
        if len(rows) <= query.per_page:
            return page, None
        key = [page[-1][column] for column in self._columns]
        encoded = base64.urlsafe_b64encode(TypeAdapter(list[Any]).dump_json(key))
        return page, encoded.decode().rstrip("=")

    def _parse(self, cursor: str) -> Key:
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            return self._adapter.validate_json(text)
        except (ValueError, ValidationError):
            raise Invalid.field("cursor", "is not the next_cursor of a page") from None
