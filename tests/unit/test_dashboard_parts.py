"""Tables by the query string, the gates of an application, and the picture of a bucket."""

from datetime import UTC, datetime, timedelta

import pytest

from local.dashboard import decisions, picture
from local.dashboard.bucket import Bucket
from local.dashboard.tables import ROWS_PER_PAGE, Column, table
from local.template.reader import load

COLUMNS = (Column("name", "Name"), Column("ms", "Duration", "ms"))
ROWS = [{"name": f"row {number:02}", "ms": (number * 7) % 60} for number in range(60)]
AT = datetime(2026, 1, 1, tzinfo=UTC)


def names(found):
    return [row["name"] for row in found.rows]


def test_table_sorts_and_pages_by_the_query():
    query = {"rows.sort": "-ms", "rows.page": "2", "status": "5xx"}
    found = table("rows", "Rows", COLUMNS, ROWS, query, sort="name")
    ordered = sorted(ROWS, key=lambda row: -row["ms"])
    assert found.rows == ordered[ROWS_PER_PAGE : 2 * ROWS_PER_PAGE]
    assert (found.total, found.pages, found.first) == (60, 3, ROWS_PER_PAGE + 1)
    assert found.direction_of(COLUMNS[1]) == "descending"
    assert found.sort_href(COLUMNS[1]) == "?status=5xx&rows.sort=ms#rows"
    assert "rows.page=3" in found.page_href(3)


@pytest.mark.parametrize("page", ["0", "-1", "99", "x", "", "²"])
def test_table_shows_an_existing_page_for_any_number(page):
    found = table("rows", "Rows", COLUMNS, ROWS, {"rows.page": page}, sort="name")
    assert 1 <= found.page <= found.pages
    assert found.rows


def test_table_with_an_unknown_column_is_in_its_default_order():
    found = table("rows", "Rows", COLUMNS, ROWS, {"rows.sort": "-secret"}, sort="name")
    assert names(found)[0] == "row 00"


def test_rows_without_a_value_come_last_in_both_orders():
    rows = [{"name": "none", "ms": None}, {"name": "one", "ms": 1}, {"name": "two", "ms": 2}]
    for sort in ("ms", "-ms"):
        assert names(table("rows", "", COLUMNS, rows, {}, sort=sort))[-1] == "none"


def history(*moves):
    return [
        {"at": AT + timedelta(seconds=number), "state": state, "reason": reason}
        for number, (state, reason) in enumerate(moves)
    ]


def answers(*moves):
    return [asked.answer for asked in decisions.answer_gates(history(*moves))]


def test_submitted_application_has_passed_every_gate():
    moves = ("queued", None), ("preparing", None), ("submitting", None), ("submitted", None)
    assert answers(*moves) == ["passed"] * len(decisions.GATES)


def test_filtered_application_is_stopped_by_the_filters_alone():
    found = answers(("queued", None), ("preparing", None), ("refused", "filtered_salary"))
    assert found[:2] == ["passed", "passed"]
    assert found[3] == "stopped"
    assert "stopped" not in found[4:]


def test_application_without_a_token_waits_and_then_passes():
    waiting = ("queued", None), ("waiting_quota", "quota")
    assert answers(*waiting)[1] == "waited"
    later = *waiting, ("preparing", None), ("submitting", None), ("submitted", None)
    [quota] = [
        asked
        for asked in decisions.answer_gates(history(*later))
        if asked.gate == decisions.GATES[1].name
    ]
    assert (quota.answer, quota.reason) == ("passed", "after waiting: quota")


def test_bucket_shows_tokens_and_the_moment_of_the_next():
    hour_ms = 3_600_000
    now_ms = int(AT.timestamp() * 1000)
    full = Bucket.of(None, (20, 8.0), AT)
    assert (full.tokens, full.next_at) == (20, None)
    # Two spent now: full again in a quarter of an hour.
    spent = Bucket.of({"tat": now_ms + hour_ms // 4}, (20, 8.0), AT)
    assert (spent.tokens, spent.next_at) == (18, AT + timedelta(minutes=7.5))
    assert spent.share == 0
    half = Bucket.of({"tat": now_ms + hour_ms // 4}, (20, 8.0), AT + timedelta(minutes=3.75))
    assert half.share == pytest.approx(0.5)


def test_picture_has_a_line_for_every_event_source():
    template = load()
    lines = picture.edges(template, "hh", "postgres")
    for name, function in template.functions.items():
        assert (("http", name) in lines) == bool(function.routes)
        assert (("rules", name) in lines) == bool(function.rules)
        assert {(source.queue, name) for source in function.queue_sources} <= lines
    nodes = [picture.Node(name, "function", name, "") for name in template.functions]
    nodes += [picture.Node(name, "queue", name, "") for name in template.queues]
    placed = picture.place(nodes, lines)
    assert len({(node.x, node.y) for node in placed.nodes}) == len(nodes)
    assert all(node.y + node.height <= placed.height for node in placed.nodes)
