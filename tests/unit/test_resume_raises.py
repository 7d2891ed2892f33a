"""Raising resumes without a database: schedules, what hh.ru's answers mean, who sees a resume."""

from datetime import datetime, timedelta

import pytest
from pydantic import ValidationError

from ullgetthejob.resume_raises import answers, rules, visibility
from ullgetthejob.resume_raises.models import MESSAGES, Schedule

OFFICE = {"from": "09:00", "to": "18:00", "days": [1, 2, 3, 4, 5]}
EVERY = Schedule.model_validate({"mode": "every_four_hours"})
IN_OFFICE = Schedule.model_validate({"mode": "every_four_hours", "working_hours": OFFICE})
AT_TIMES = Schedule.model_validate({"mode": "at_times", "times": ["09:00", "12:00"]})
WEEKENDS = Schedule.model_validate({"mode": "at_times", "times": ["23:59"], "days": [6, 7]})
PUBLISHED = {
    "status": {"id": "published"},
    "blocked": False,
    "finished": True,
    "can_publish_or_update": True,
    "next_publish_at": "2026-11-24T08:00:00+0300",
    "updated_at": "2026-11-24T04:00:00+0300",
    "access": {"type": {"id": "clients"}},
}


def at(text):
    """Return a time of Moscow in November 2026, such as ``24 09:00``, or ``24 09:00:30``."""
    return datetime.fromisoformat(f"2026-11-{text.replace(' ', 'T')}+03:00")


# ── schedules ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schedule", "now", "allowed", "due"),
    [
        (Schedule(), "24 10:00", None, None),
        (EVERY, "24 03:00", None, "24 03:00"),
        (EVERY, "24 03:00", "24 05:30", "24 05:30"),
        (EVERY, "24 03:00", "23 05:30", "24 03:00"),
        (IN_OFFICE, "24 03:00", None, "24 09:00"),
        (IN_OFFICE, "24 17:00", "24 18:00", "25 09:00"),
        (IN_OFFICE, "27 17:30", "27 21:00", "30 09:00"),  # from Friday to Monday
        (AT_TIMES, "24 08:00", None, "24 09:00"),
        (AT_TIMES, "24 09:00:05", "24 13:00", "24 13:00"),  # of twelve, as soon as allowed
        (AT_TIMES, "24 12:00", None, "25 09:00"),
        (AT_TIMES, "24 13:00", "24 17:00", "25 09:00"),
        (WEEKENDS, "24 13:00", None, "28 23:59"),
        (WEEKENDS, "28 23:59:10", "29 03:59", "29 23:59"),
    ],
)
def test_schedule_is_due_in_its_hours_once_allowed(schedule, now, allowed, due):
    found = rules.next_due(schedule, now=at(now), allowed_at=allowed and at(allowed))
    assert found == (due and at(due))


@pytest.mark.parametrize(
    ("schedule", "due", "now", "allowed", "still"),
    [
        (EVERY, "24 03:00", "24 03:01", None, "24 03:01"),
        (EVERY, "24 03:00", "25 03:01", None, "25 03:01"),
        (IN_OFFICE, "24 17:00", "24 17:59", None, "24 17:59"),
        (IN_OFFICE, "24 17:00", "24 18:00", None, "25 09:00"),
        (IN_OFFICE, "24 17:00", "24 17:01", "24 19:00", "25 09:00"),
        (AT_TIMES, "24 09:00", "24 09:59", None, "24 09:00"),
        (AT_TIMES, "24 09:00", "24 10:01", None, "24 12:00"),
        (AT_TIMES, "24 12:00", "24 12:01", "24 12:30", "24 12:30"),
        (Schedule(), "24 09:00", "24 09:00", None, None),
    ],
)
def test_due_raise_is_made_postponed_or_skipped(schedule, due, now, allowed, still):
    allowed_at = allowed and at(allowed)
    found = rules.still_due(schedule, at(due), now=at(now), allowed_at=allowed_at)
    assert found == (still and at(still))


def test_hour_that_the_clock_skips_is_skipped():
    schedule = Schedule.model_validate(
        {"mode": "at_times", "times": ["02:30"], "time_zone": "Europe/Berlin"}
    )
    before = datetime.fromisoformat("2026-03-28T12:00:00+01:00")
    assert rules.next_due(schedule, now=before) == before + timedelta(days=1, hours=13.5)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"mode": "at_times"}, "times"),
        ({"mode": "off", "times": ["09:00"]}, "times"),
        ({"mode": "at_times", "times": []}, "times"),
        ({"mode": "at_times", "times": ["09:00"] * 7}, "times"),
        ({"mode": "at_times", "times": ["24:00"]}, "times"),
        ({"mode": "at_times", "times": ["09:00"], "working_hours": OFFICE}, "working_hours"),
        ({"mode": "every_four_hours", "days": [1]}, "days"),
        ({"mode": "every_four_hours", "time_zone": "Mars/Base"}, "time_zone"),
        ({"mode": "hourly"}, "mode"),
    ],
)
def test_schedule_that_makes_no_sense_is_refused(sent, field):
    with pytest.raises(ValidationError, match=field):
        Schedule.model_validate(sent)


# ── hh.ru's answers ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, None),
        ({"can_publish_or_update": None, "next_publish_at": None}, None),
        ({"next_publish_at": "2026-11-24T12:00:00+0300"}, "too_early"),
        ({"next_publish_at": "soon"}, None),
        ({"can_publish_or_update": False}, "not_allowed"),
        ({"can_publish_or_update": False, "finished": False}, "resume_incomplete"),
        ({"status": {"id": "not_published"}, "finished": False}, "not_published"),
        ({"status": {"id": "blocked"}, "blocked": True}, "blocked"),
        ({"blocked": True}, "blocked"),
        ({"status": {"id": "on_moderation"}}, "on_moderation"),
        ({"status": None}, None),
    ],
)
def test_refusal_is_what_hh_shows(change, outcome):
    assert rules.refusal({**PUBLISHED, **change}, now=at("24 10:00")) == outcome


def test_raise_is_proven_by_the_next_time_allowed():
    assert rules.is_raised_since(PUBLISHED, at("24 04:00"))
    assert not rules.is_raised_since(PUBLISHED, at("24 08:00"))
    assert not rules.is_raised_since({**PUBLISHED, "next_publish_at": None}, at("24 04:00"))
    assert rules.updated_at(PUBLISHED) == at("24 04:00")


def test_refused_raise_is_not_tried_every_minute():
    now, later = at("24 10:00"), at("24 12:00")
    assert rules.retry_at("blocked", now=now, allowed_at=at("24 08:00")) == now + rules.INTERVAL
    assert rules.retry_at("too_early", now=now, allowed_at=None) == now + rules.INTERVAL
    assert rules.retry_at("too_early", now=now, allowed_at=later) == now
    assert rules.retry_at("interrupted", now=now, allowed_at=None) == now


def test_link_is_given_where_the_person_has_to_act():
    linked = {outcome for outcome in MESSAGES if answers.link_of("a1", outcome)}
    assert linked == set(MESSAGES) - {"raised", "too_early", "interrupted"}
    assert answers.link_of("a1", None) is None


# ── visibility ───────────────────────────────────────────────────────────────────────────────────

NOTE = {"id": "block_no_function", "name": "Опишите подробнее свои обязанности и функции."}
MISSING = {"mandatory": [{"id": "contact", "name": "Контакты"}, {"id": "x"}, None, {"name": 1}]}


@pytest.mark.parametrize(
    ("change", "seen_by", "reasons"),
    [
        ({}, "all", []),
        ({"access": None}, "all", []),
        ({"access": {"type": {"id": "no_one"}}}, "none", [("hidden_from_all", [])]),
        ({"access": {"type": {"id": "direct"}}}, "none", [("by_link_only", [])]),
        ({"access": {"type": {"id": "whitelist"}}}, "some", [("chosen_companies", [])]),
        ({"access": {"type": {"id": "blacklist"}}}, "some", [("some_companies_excluded", [])]),
        ({"status": {"id": "on_moderation"}}, "none", [("on_moderation", [])]),
        ({"blocked": True, "moderation_note": [NOTE]}, "none", [("blocked", [NOTE["name"]])]),
        ({"status": {"id": "blocked"}, "moderation_note": {"a": 1}}, "none", [("blocked", [])]),
        ({"status": {"id": "not_published"}, "finished": False}, "none",
         [("not_published", []), ("resume_incomplete", [])]),
        ({"status": {"id": "not_published"}, "progress": MISSING}, "none",
         [("not_published", []), ("resume_incomplete", ["Контакты"])]),
        ({"blocked": True, "access": {"type": {"id": "no_one"}}}, "none",
         [("blocked", []), ("hidden_from_all", [])]),
    ],
)  # fmt: skip
def test_visibility_says_who_sees_it_and_why_not(change, seen_by, reasons):
    found = visibility.describe({**PUBLISHED, **change})
    assert found.seen_by == seen_by
    assert [(reason.code, reason.notes) for reason in found.reasons] == reasons
    assert all(reason.ru and reason.en for reason in found.reasons)


def test_notes_of_hh_are_bounded():
    notes = [{"name": "x" * 100_000}] * 1_000
    [reason] = visibility.describe({**PUBLISHED, "blocked": True, "moderation_note": notes}).reasons
    assert len(reason.notes) == visibility.MAX_NOTES
    assert {len(note) for note in reason.notes} == {visibility.MAX_NOTE_CHARS}
