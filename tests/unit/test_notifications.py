"""Events of new jobs fit into the size of an event, for all titles of jobs."""

import json
from datetime import UTC, datetime
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from ullgetthejob.realtime.event_log import MAX_DATA_BYTES
from ullgetthejob.saved_searches import notifications

HEAD = {"search_id": str(uuid4()), "search_name": "Поиск" * 40, "run_id": str(uuid4())}
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def sizes(parts):
    total = sum(map(len, parts))
    for number, part in enumerate(parts, start=1):
        data = {**HEAD, "jobs": part, "part": number, "parts": len(parts), "total": total}
        yield len(json.dumps(data, ensure_ascii=False).encode())


@given(st.lists(st.text(max_size=8_000), max_size=30))
def test_jobs_are_split_at_their_boundaries_in_order(titles):
    jobs = [{"id": str(number), "title": title} for number, title in enumerate(titles)]
    parts = notifications.split(jobs, HEAD)
    assert [job for part in parts for job in part] == jobs
    assert all(parts)
    big = [title for title in titles if len(json.dumps(title, ensure_ascii=False)) > 7_000]
    if not big:
        assert max(sizes(parts), default=0) <= MAX_DATA_BYTES


def test_jobs_take_no_more_events_than_needed():
    jobs = [{"id": str(number), "title": "Я" * 255} for number in range(2_000)]
    parts = notifications.split(jobs, HEAD)
    event_sizes = list(sizes(parts))
    assert max(event_sizes) <= MAX_DATA_BYTES
    assert min(event_sizes[:-1]) > MAX_DATA_BYTES - 700


def test_longest_job_with_all_its_cities_is_split_into_parts():
    row = dict.fromkeys(("id", "title", "company", "salary", "area"), "\x01" * 255)
    row |= {"url": "\x01" * 2_000, "published_at": NOW, "has_test": True}
    entries = list(notifications._Job(row, [row] * 300).entries())
    assert len(entries) > 1
    assert sum(len(entry["also"]) for entry in entries) == 300
    parts = notifications.split(entries, HEAD)
    assert max(sizes(parts)) <= MAX_DATA_BYTES
    assert all(len(part) == 1 for part in parts), "no part has a job twice"


def test_job_in_327_towns_is_announced_with_each_of_them():
    row = {"title": "Продавец", "company": "Сеть", "salary": None, "url": None, "has_test": False}
    towns = [
        {**row, "id": str(number), "area": f"Город под названием № {number}", "published_at": NOW}
        for number in range(327)
    ]
    entries = list(notifications._Job(towns[0], towns[1:]).entries())
    announced = {towns[0]["id"]} | {place["id"] for entry in entries for place in entry["also"]}
    assert announced == {town["id"] for town in towns}
    assert {entry["id"] for entry in entries} == {"0"}


def test_overlong_url_is_left_out():
    row = dict.fromkeys(("id", "title", "company", "salary", "area"), "1")
    row |= {"url": "https://hh.example/" + "v" * 2_000, "published_at": None, "has_test": False}
    [entry] = notifications._Job(row).entries()
    assert entry["url"] is None
    assert entry["published_at"] is None
    assert "also" not in entry
