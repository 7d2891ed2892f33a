"""docs/my-data.md names every place that holds something of a person."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local.template.cloudformation import read
from ullgetthejob.personal_data.tables import TABLES, WITHOUT_PEOPLE

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "my-data.md").read_text()
TEMPLATE = read(ROOT / "template.yaml")
STORES = [
    name
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] in ("AWS::DynamoDB::Table", "AWS::SQS::Queue")
    and not name.endswith("DeadLetters")
]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.partition("## Where everything lies")[2].splitlines()
    if line.startswith("| ") and not line.startswith("| place")
]
BY_PLACE = {
    name: (exported, deleted)
    for places, exported, deleted, _ in ROWS
    for name in re.findall(r"`(\w+)`", places)
}


@pytest.mark.parametrize("name", [*WITHOUT_PEOPLE, *STORES])
def test_every_table_and_queue_is_named(name: str) -> None:
    # The public feed names vacancies alone.
    known = f"`{name}`" in TEXT or name in ("PublicFeedQueue", "alembic_version_core")
    assert known, name


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_says_when_it_is_deleted(table) -> None:
    exported, deleted = BY_PLACE[table.name]
    assert exported.startswith(("yes", "dates"))
    words = {"sessions": "in the request", "account": "by the worker", "anonymous": "anonymous"}
    assert words[table.deletion] in deleted
