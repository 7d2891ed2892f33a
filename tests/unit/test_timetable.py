"""When a saved search runs next: jitter, working hours, clocks that are put forward and back."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from ullgetthejob.saved_searches.schedule import (
    WorkingHours,
    check_zone,
    is_open,
    next_run,
    opening,
)

ID = UUID("11111111-1111-4111-8111-111111111111")
MOSCOW = "Europe/Moscow"
MINUTE = timedelta(minutes=1)
# Summer time by an hour and by half of one, at midnight, none, and a day that was left out (2011).
ZONES = (
    *(MOSCOW, "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC"),
    *("America/Santiago", "Asia/Kathmandu", "Pacific/Apia", "Pacific/Kiritimati", "Asia/Almaty"),
)


def hours(opens, closes, days=None):
    return WorkingHours.model_validate({"from": opens, "to": closes, "days": days})


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text, zone, *, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


clocks = st.times().map(lambda at: f"{at.hour:02}:{at.minute:02}")
working_hours = st.builds(
    hours, clocks, clocks, st.none() | st.sets(st.integers(1, 7), min_size=1).map(sorted)
)
years = st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
# around the nights in which clocks were changed somewhere
changes = st.builds(
    lambda night, minutes: utc(night) + timedelta(minutes=minutes),
    st.sampled_from(
        ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2011-12-30", "2026-04-05"]
    ),
    st.integers(-2_880, 2_880),
)
moments = years | changes
zones = st.sampled_from(ZONES)
intervals = st.integers(300, 604_800)


@given(after=moments, interval=intervals, zone=zones, open_in=st.none() | working_hours)
def test_a_run_comes_after_the_last_and_in_the_working_hours(after, interval, zone, open_in):
    moment = next_run(after, interval, open_in, zone, ID)
    assert moment >= after + timedelta(seconds=120)
    assert is_open(open_in, zone, moment)
    assert moment == next_run(after, interval, open_in, zone, ID)


@given(after=moments, interval=intervals, zone=zones, open_in=working_hours)
def test_nobody_waits_longer_than_the_interval_but_for_the_hours(after, interval, zone, open_in):
    unbounded = next_run(after, interval, None, zone, ID)
    wait = (unbounded - after).total_seconds()
    assert max(120, 0.9 * interval - 61) <= wait <= interval - 60
    bounded = next_run(after, interval, open_in, zone, ID)
    assert bounded == opening(open_in, zone, unbounded)
    assert bounded == unbounded or not is_open(open_in, zone, unbounded)


@given(open_in=working_hours, zone=zones, moment=moments, share=st.floats(0, 1, exclude_max=True))
@example(hours("02:30", "02:45", [7]), "Europe/Berlin", utc("2026-03-28"), 0.5)
def test_between_a_moment_and_the_opening_it_is_closed(open_in, zone, moment, share):
    opens = opening(open_in, zone, moment)
    assert moment <= opens <= moment + timedelta(days=15)
    between = moment + (opens - moment) * share  # may be rounded up to the opening itself
    assert between == opens or not is_open(open_in, zone, between)


@given(open_in=working_hours, zone=zones, moment=years)
def test_hours_are_those_of_the_clock_on_the_wall(open_in, zone, moment):
    """Where no clock is put on or back within a day, the plain reading of the clock decides."""
    there = moment.astimezone(ZoneInfo(zone))
    near = [moment + timedelta(hours=number) for number in range(-48, 49)]
    if len({one.astimezone(ZoneInfo(zone)).utcoffset() for one in near}) > 1:
        return
    shown = f"{there.hour:02}:{there.minute:02}"
    days = open_in.days or range(1, 8)
    today, yesterday = there.isoweekday() in days, (there.isoweekday() - 2) % 7 + 1 in days
    if open_in.opens < open_in.closes:
        expected = today and open_in.opens <= shown < open_in.closes
    else:
        expected = (today and shown >= open_in.opens) or (yesterday and shown < open_in.closes)
    assert is_open(open_in, zone, moment) is expected


@pytest.mark.parametrize(
    ("open_in", "moment", "expected"),
    [
        (hours("09:00", "20:00"), "2026-11-23T08:59", "2026-11-23T09:00"),
        (hours("09:00", "20:00"), "2026-11-23T09:00", "2026-11-23T09:00"),
        (hours("09:00", "20:00"), "2026-11-23T19:59", "2026-11-23T19:59"),
        (hours("09:00", "20:00"), "2026-11-23T20:00", "2026-11-24T09:00"),
        (hours("22:00", "06:00"), "2026-11-23T21:00", "2026-11-23T22:00"),
        (hours("22:00", "06:00"), "2026-11-24T05:59", "2026-11-24T05:59"),
        (hours("22:00", "06:00"), "2026-11-24T06:00", "2026-11-24T22:00"),
        # a night belongs to the day on which it begins: Friday's ends on Saturday
        (hours("22:00", "06:00", [5]), "2026-11-28T05:00", "2026-11-28T05:00"),
        (hours("22:00", "06:00", [5]), "2026-11-27T05:00", "2026-11-27T22:00"),
        (hours("09:00", "18:00", [1, 2, 3, 4, 5]), "2026-11-27T18:00", "2026-11-30T09:00"),
        (hours("09:00", "18:00", [1]), "2026-11-23T18:00", "2026-11-30T09:00"),
        (hours("00:00", "00:00", [6, 7]), "2026-11-27T12:00", "2026-11-28T00:00"),
        (hours("00:00", "00:00", [6, 7]), "2026-11-29T23:59", "2026-11-29T23:59"),
        (hours("09:00", "00:00"), "2026-11-23T23:59", "2026-11-23T23:59"),
    ],
)
def test_when_it_opens(open_in, moment, expected):
    assert opening(open_in, MOSCOW, local(moment, MOSCOW)) == local(expected, MOSCOW)


def test_hours_stay_those_of_the_wall_when_summer_begins_and_ends():
    nine = hours("09:00", "20:00")
    for day, expected in (("2026-03-28", 8), ("2026-03-29", 7), ("2026-10-25", 8)):
        opens = opening(nine, "Europe/Berlin", utc(day))
        assert opens == utc(f"{day}T0{expected}:00")


def test_an_hour_that_does_not_exist_begins_when_it_is_passed_over():
    passed_over = utc("2026-03-29T01:00")
    half_past_two = hours("02:30", "05:00")
    assert opening(half_past_two, "Europe/Berlin", utc("2026-03-28T23:00")) == passed_over
    until_then = hours("00:00", "02:30")
    assert is_open(until_then, "Europe/Berlin", passed_over - MINUTE)
    assert not is_open(until_then, "Europe/Berlin", passed_over)
    inside = hours("02:10", "02:50")
    assert opening(inside, "Europe/Berlin", utc("2026-03-28T23:00")) == utc("2026-03-30T00:10")


def test_an_hour_that_comes_twice_counts_as_one():
    night = hours("02:30", "02:45")
    opens, closes = utc("2026-10-25T00:30"), utc("2026-10-25T01:45")
    assert opening(night, "Europe/Berlin", utc("2026-10-24T12:00")) == opens
    assert all(is_open(night, "Europe/Berlin", opens + n * MINUTE) for n in range(75))
    assert not is_open(night, "Europe/Berlin", closes)


def test_a_day_that_a_zone_left_out_is_waited_for_until_the_next():
    fridays = hours("09:00", "18:00", [5])
    opens = opening(fridays, "Pacific/Apia", local("2011-12-29T20:00", "Pacific/Apia"))
    assert opens == local("2012-01-06T09:00", "Pacific/Apia")


def test_searches_of_one_moment_spread_over_a_tenth_of_the_interval():
    after = utc("2026-11-23T12:00")
    waits = [(next_run(after, 1800, None, MOSCOW, n) - after).total_seconds() for n in range(1000)]
    assert 1560 <= min(waits) < 1580
    assert 1720 < max(waits) <= 1740
    each = [sum(1560 + 18 * n <= wait < 1578 + 18 * n for wait in waits) for n in range(10)]
    assert min(each) > 50


@pytest.mark.parametrize(
    "name", [MOSCOW, "UTC", "Etc/GMT+3", "America/Argentina/Buenos_Aires", "Asia/Ust-Nera"]
)
def test_zones_that_there_are(name):
    assert check_zone(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "Moscow", "Europe", "europe/moscow", "Europe/Moscow ", "Europe/Moscow\n"),
        *("../etc/passwd", "/etc/localtime", "localtime", "right/UTC", "posix/UTC", "tzdata.zi"),
        *("Europe//Moscow", "Europe/Москва", "\0", "A" * 5_000, "Europe/../UTC", "+03:00", "MSK"),
    ],
)
def test_zones_that_there_are_not(name):
    with pytest.raises(ValueError, match="time zone"):
        check_zone(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"from": "9:00", "to": "20:00"},
        {"from": "09:00", "to": "24:00"},
        {"from": "09:00", "to": "20:60"},
        {"from": "09:00\n", "to": "20:00"},
        {"from": "09:00"},
        {"opens": "09:00", "closes": "20:00"},
        {"from": "09:00", "to": "20:00", "days": []},
        {"from": "09:00", "to": "20:00", "days": [0]},
        {"from": "09:00", "to": "20:00", "days": [8]},
        {"from": "09:00", "to": "20:00", "zone": "UTC"},
        {"from": "٠٩:00", "to": "20:00"},
    ],
)
def test_hours_that_cannot_be(wrong):
    with pytest.raises(ValidationError):
        WorkingHours.model_validate(wrong)


def test_hours_are_written_as_they_are_read_with_their_days_in_order():
    read = hours("09:00", "20:00", [5, 1, 5])
    assert read.model_dump() == {"from": "09:00", "to": "20:00", "days": (1, 5)}
    assert WorkingHours.model_validate_json(read.model_dump_json()) == read
