"""Pages of listings by number and by cursor."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import AwareDatetime, ValidationError

from ullgetthejob.platform import paging
from ullgetthejob.platform.errors import Invalid
from ullgetthejob.platform.paging import Keyset, PageQuery

KEYSET = Keyset(tuple[AwareDatetime, UUID], "at", "id")
AT = datetime(2026, 11, 24, 9, 30, 0, 123_456, tzinfo=UTC)


def rows(count: int) -> list[dict[str, object]]:
    return [{"at": AT, "id": UUID(int=number), "name": "x"} for number in range(count)]


def test_page_without_cursor_begins_at_its_number() -> None:
    assert KEYSET.values(PageQuery(page=3, per_page=20)) == {
        "after_at": None,
        "after_id": None,
        "limit": 21,
        "offset": 60,
    }


def test_cursor_of_a_page_is_the_key_of_its_last_row() -> None:
    page, cursor = KEYSET.split(rows(3), PageQuery(per_page=2))
    assert page == rows(2)
    values = KEYSET.values(PageQuery(per_page=2, cursor=cursor))
    assert values == {"after_at": AT, "after_id": UUID(int=1), "limit": 3, "offset": 0}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_last_page_has_no_cursor(count: int) -> None:
    assert KEYSET.split(rows(count), PageQuery(per_page=2)) == (rows(count), None)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "ж",
        "!!!!",
        base64.urlsafe_b64encode(b"[]").decode(),
        base64.urlsafe_b64encode(b'["2026-11-24T09:30:00Z", "1; DROP TABLE jobs"]').decode(),
        base64.urlsafe_b64encode(b'["2026-11-24T09:30:00", null]').decode(),
        base64.urlsafe_b64encode(b"\xff").decode(),
    ],
)
def test_text_that_is_no_cursor_is_refused_by_its_field(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        KEYSET.values(PageQuery(cursor=cursor))
    assert refused.value.details == {
        "fields": [{"field": "cursor", "message": "is not the next_cursor of a page"}]
    }


def test_numbers_reach_the_first_rows_only() -> None:
    assert PageQuery(page=paging.MAX_OFFSET // 100, per_page=100)
    with pytest.raises(ValidationError, match="page: numbers reach the first 10,000 rows"):
        PageQuery(page=paging.MAX_OFFSET // 100 + 1, per_page=100)


def test_page_beside_cursor_is_refused() -> None:
    with pytest.raises(ValidationError, match="page: not together with cursor"):
        PageQuery(page=1, cursor="x")
