"""The schedule of a saved search: jitter, working hours, clocks that are put forward and back."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from ullgetthejob.platform.working_hours import WorkingHours, check_zone, is_open, opening
from ullgetthejob.saved_searches.schedule import next_run

ID = UUID("11111111-1111-4111-8111-111111111111")
MOSCOW = "Europe/Moscow"
MINUTE = timedelta(minutes=1)
# Summer time by an hour and by half an hour, at midnight, none, and a skipped day (2011).
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
def test_next_run_is_after_the_last_and_in_working_hours(after, interval, zone, open_in):
    moment = next_run(after, interval, open_in, zone, ID)
    assert moment >= after + timedelta(seconds=120)
    assert is_open(open_in, zone, moment)
    assert moment == next_run(after, interval, open_in, zone, ID)


@given(after=moments, interval=intervals, zone=zones, open_in=working_hours)
def test_next_run_is_within_the_interval_or_at_the_opening(after, interval, zone, open_in):
    unbounded = next_run(after, interval, None, zone, ID)
    wait = (unbounded - after).total_seconds()
    assert max(120, 0.9 * interval - 61) <= wait <= interval - 60
    bounded = next_run(after, interval, open_in, zone, ID)
    assert bounded == opening(open_in, zone, unbounded)
    assert bounded == unbounded or not is_open(open_in, zone, unbounded)


@given(open_in=working_hours, zone=zones, moment=moments, share=st.floats(0, 1, exclude_max=True))
@example(hours("02:30", "02:45", [7]), "Europe/Berlin", utc("2026-03-28"), 0.5)
def test_hours_are_closed_between_a_moment_and_the_opening(open_in, zone, moment, share):
    opens = opening(open_in, zone, moment)
    assert moment <= opens <= moment + timedelta(days=15)
    between = moment + (opens - moment) * share  # may be rounded up to the opening itself
    assert between == opens or not is_open(open_in, zone, between)


@given(open_in=working_hours, zone=zones, moment=years)
def test_hours_are_local_wall_clock_times(open_in, zone, moment):
    """Where no clock changes within two days, the plain reading of the clock decides."""
    there = moment.astimezone(ZoneInfo(zone))
    near = [moment + timedelta(hours=number) for number in range(-48, 49)]
    if len({hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in near}) > 1:
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
def test_opening_is_the_next_moment_in_working_hours(open_in, moment, expected):
    assert opening(open_in, MOSCOW, local(moment, MOSCOW)) == local(expected, MOSCOW)


def test_opening_keeps_its_local_time_over_clock_changes():
    nine = hours("09:00", "20:00")
    for day, expected in (("2026-03-28", 8), ("2026-03-29", 7), ("2026-10-25", 8)):
        opens = opening(nine, "Europe/Berlin", utc(day))
        assert opens == utc(f"{day}T0{expected}:00")


def test_skipped_hour_begins_at_the_clock_change():
    clock_change = utc("2026-03-29T01:00")
    half_past_two = hours("02:30", "05:00")
    assert opening(half_past_two, "Europe/Berlin", utc("2026-03-28T23:00")) == clock_change
    until_then = hours("00:00", "02:30")
    assert is_open(until_then, "Europe/Berlin", clock_change - MINUTE)
    assert not is_open(until_then, "Europe/Berlin", clock_change)
    inside = hours("02:10", "02:50")
    assert opening(inside, "Europe/Berlin", utc("2026-03-28T23:00")) == utc("2026-03-30T00:10")


def test_repeated_hour_is_open_both_times():
    night = hours("02:30", "02:45")
    opens, closes = utc("2026-10-25T00:30"), utc("2026-10-25T01:45")
    assert opening(night, "Europe/Berlin", utc("2026-10-24T12:00")) == opens
    assert all(is_open(night, "Europe/Berlin", opens + n * MINUTE) for n in range(75))
    assert not is_open(night, "Europe/Berlin", closes)


def test_day_skipped_by_a_zone_opens_a_week_later():
    fridays = hours("09:00", "18:00", [5])
    opens = opening(fridays, "Pacific/Apia", local("2011-12-29T20:00", "Pacific/Apia"))
    assert opens == local("2012-01-06T09:00", "Pacific/Apia")


def test_jitter_spreads_searches_over_a_tenth_of_the_interval():
    after = utc("2026-11-23T12:00")
    waits = [(next_run(after, 1800, None, MOSCOW, n) - after).total_seconds() for n in range(1000)]
    assert 1560 <= min(waits) < 1580
    assert 1720 < max(waits) <= 1740
    tenths = [sum(1560 + 18 * n <= wait < 1578 + 18 * n for wait in waits) for n in range(10)]
    assert min(tenths) > 50


@pytest.mark.parametrize(
    "name", [MOSCOW, "UTC", "Etc/GMT+3", "America/Argentina/Buenos_Aires", "Asia/Ust-Nera"]
)
def test_iana_zone_is_accepted(name):
    assert check_zone(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "Moscow", "Europe", "europe/moscow", "Europe/Moscow ", "Europe/Moscow\n"),
        *("../etc/passwd", "/etc/localtime", "localtime", "right/UTC", "posix/UTC", "tzdata.zi"),
        *("Europe//Moscow", "Europe/Москва", "\0", "A" * 5_000, "Europe/../UTC", "+03:00", "MSK"),
    ],
)
def test_unknown_zone_is_refused(name):
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
def test_invalid_working_hours_are_refused(wrong):
    with pytest.raises(ValidationError):
        WorkingHours.model_validate(wrong)


def test_working_hours_survive_json_with_days_in_order():
    read = hours("09:00", "20:00", [5, 1, 5])
    assert read.model_dump() == {"from": "09:00", "to": "20:00", "days": (1, 5)}
    assert WorkingHours.model_validate_json(read.model_dump_json()) == read
