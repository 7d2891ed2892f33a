"""Schedule expressions against plain models: every day, or every minute, looked at in turn."""

import calendar
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.event_sources.schedule import parse

HORIZON_DAYS = 800
MONTHS = [name.upper() for name in calendar.month_abbr]
WEEKDAYS = ["", "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
MINUTE = timedelta(minutes=1)


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def following(expression, start, count, zone="UTC"):
    """The next moments, in the form YYYY-MM-DD HH:MM."""
    schedule, found, now = parse(expression, zone), [], moment(start)
    while len(found) < count and (now := schedule.next_after(now)) is not None:
        found.append(now.strftime("%Y-%m-%d %H:%M"))
    return found


# ── examples, from AWS's own documentation where it has them ─────────────────────────────────────


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 10 * * ? *)", ["2026-02-01 10:00", "2026-02-02 10:00"]),
        ("cron(15 12 * * ? *)", ["2026-02-01 12:15", "2026-02-02 12:15"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-02-02 18:00", "2026-02-03 18:00"]),
        ("cron(0 8 1 * ? *)", ["2026-02-01 08:00", "2026-03-01 08:00"]),
        ("cron(0/15 * * * ? *)", ["2026-02-01 00:15", "2026-02-01 00:30"]),
        ("cron(0/5 8-17 ? * MON-FRI *)", ["2026-02-02 08:00", "2026-02-02 08:05"]),
        ("cron(0/30 20-23 ? * 2-6 *)", ["2026-02-02 20:00", "2026-02-02 20:30"]),
        ("cron(0 9 ? * 2#1 *)", ["2026-02-02 09:00", "2026-03-02 09:00"]),
        ("cron(0 9 ? * 3#5 *)", ["2026-03-31 09:00", "2026-06-30 09:00"]),
        ("cron(0 9 ? * 6L *)", ["2026-02-27 09:00", "2026-03-27 09:00"]),
        ("cron(0 9 ? * FRIL *)", ["2026-02-27 09:00", "2026-03-27 09:00"]),
        ("cron(0 9 ? * L *)", ["2026-02-07 09:00", "2026-02-14 09:00"]),
        ("cron(0 9 L * ? *)", ["2026-02-28 09:00", "2026-03-31 09:00"]),
        ("cron(0 9 LW * ? *)", ["2026-02-27 09:00", "2026-03-31 09:00"]),
        ("cron(0 9 1W * ? *)", ["2026-02-02 09:00", "2026-03-02 09:00"]),
        ("cron(0 9 31W * ? *)", ["2026-03-31 09:00", "2026-05-29 09:00"]),
        ("cron(0 9 29 FEB ? *)", ["2028-02-29 09:00", "2032-02-29 09:00"]),
        ("cron(0 9 3W 1,jul ? 2027-2028)", ["2027-01-04 09:00", "2027-07-02 09:00"]),
        ("cron(1/20,59 0 1 3 ? 2027)", ["2027-03-01 00:01", "2027-03-01 00:21"]),
        ("cron(0 0 1 1 ? 2020)", []),
        ("rate(1 minute)", ["2026-02-01 00:01", "2026-02-01 00:02"]),
        ("rate(5 minutes)", ["2026-02-01 00:05", "2026-02-01 00:10"]),
        ("rate(36 hours)", ["2026-02-02 12:00", "2026-02-04 00:00"]),
        ("rate(1 day)", ["2026-02-02 00:00", "2026-02-03 00:00"]),
    ],
)
def test_the_next_moments(expression, expected):
    assert following(expression, "2026-02-01 00:00", 2) == expected


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("at(2026-01-01T00:00:00)", "neither rate"),
        ("every minute", "neither rate"),
        ("rate(0 minutes)", "not a positive number"),
        ("rate(1.5 hours)", "not a positive number"),
        ("rate(1 week)", "not a positive number"),
        ("cron(0 10 * * *)", "not six fields"),
        ("cron(0 10 * * * *)", "one of day-of-month and day-of-week must be"),
        ("cron(0 10 ? * ? *)", "one of day-of-month and day-of-week must be"),
        ("cron(60 10 * * ? *)", "'60' is not within the minutes 0-59"),
        ("cron(0 24 * * ? *)", "'24' is not within the hours 0-23"),
        ("cron(0 0 0 * ? *)", "'0' is not within the day-of-month 1-31"),
        ("cron(0 0 32W * ? *)", "'32' is not within the day-of-month 1-31"),
        ("cron(0 0 L-3 * ? *)", "'L-3' cannot be read as day-of-month"),
        ("cron(0 0 * MAI ? *)", "'MAI' cannot be read as month"),
        ("cron(0 0 ? * FRI-MON *)", "'FRI-MON' is not within the day-of-week 1-7"),
        ("cron(0 0 ? * 2/2 *)", "has no increments"),
        ("cron(0 0 ? * 3#6 *)", "'3#6' cannot be read as day-of-week"),
        ("cron(0 0 ? * 3#1,6#3 *)", "cannot be read as day-of-week"),
        ("cron(0/0 0 * * ? *)", "'0/0' is not within the minutes"),
        ("cron(0 0 * * ? 2200)", "'2200' is not within the year 1970-2199"),
    ],
)
def test_what_aws_does_not_know_is_refused(expression, problem):
    with pytest.raises(ValueError, match=problem.replace("?", r"\?")):
        parse(expression)


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone 'Mars/Olympus'"):
        parse("cron(0 0 * * ? *)", "Mars/Olympus")


def test_a_rate_keeps_its_beat_over_a_jump():
    schedule = parse("rate(7 minutes)")
    start = moment("2026-02-01 00:03")
    assert schedule.latest(start, start + 6 * MINUTE) is None
    assert schedule.latest(start, start + 7 * MINUTE) == start + 7 * MINUTE
    assert schedule.latest(start, start + 100 * MINUTE) == start + 98 * MINUTE


# ── against models ───────────────────────────────────────────────────────────────────────────────


@st.composite
def numbers(draw, low, high, names=()):
    """A field's text, and the numbers it means."""
    texts, meant = [], set()
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(low, high))
        end = draw(st.integers(start, high))
        step = draw(st.integers(1, high))

        def name(number):
            return draw(st.sampled_from([str(number), names[number]])) if names else str(number)

        text, numbers = draw(
            st.sampled_from(
                [
                    ("*", range(low, high + 1)),
                    (name(start), [start]),
                    (f"{name(start)}-{name(end)}", range(start, end + 1)),
                    (f"{name(start)}/{step}", range(start, high + 1, step)),
                    (f"*/{step}", range(low, high + 1, step)),
                    (f"{name(start)}-{name(end)}/{step}", range(start, end + 1, step)),
                ]
            )
        )
        texts.append(text)
        meant.update(numbers)
    return ",".join(texts), meant


def aws_weekday(day):
    return (day.weekday() + 1) % 7 + 1


def days_of_month(day):
    return [day.replace(day=n + 1) for n in range(calendar.monthrange(day.year, day.month)[1])]


def is_nearest_weekday(day, wanted):
    month = days_of_month(day)
    if wanted > len(month):
        return False
    working = [each.day for each in month if each.weekday() < 5]
    return day.day == min(working, key=lambda n: abs(n - wanted))


@st.composite
def days(draw):
    """The two day fields, and whether they mean a day."""
    n, weekday = draw(st.integers(1, 31)), draw(st.integers(1, 7))
    week = draw(st.integers(1, 5))
    listed, meant = draw(numbers(1, 31))
    # AWS knows no increments of weekdays.
    weekdays, meant_weekdays = draw(
        numbers(1, 7, WEEKDAYS).filter(lambda field: "/" not in field[0])
    )

    def same_weekday(day):
        return [each for each in days_of_month(day) if aws_weekday(each) == weekday]

    return draw(
        st.sampled_from(
            [
                (listed, "?", lambda day: day.day in meant),
                ("L", "?", lambda day: day == days_of_month(day)[-1]),
                ("LW", "?", lambda day: is_nearest_weekday(day, len(days_of_month(day)))),
                (f"{n}W", "?", lambda day: is_nearest_weekday(day, n)),
                ("?", weekdays, lambda day: aws_weekday(day) in meant_weekdays),
                ("?", "L", lambda day: aws_weekday(day) == 7),
                ("?", f"{WEEKDAYS[weekday]}L", lambda day: day == same_weekday(day)[-1]),
                (
                    "?",
                    f"{weekday}#{week}",
                    lambda day: (
                        len(same_weekday(day)) >= week and day == same_weekday(day)[week - 1]
                    ),
                ),
            ]
        )
    )


YEARS = [
    ("*", range(1970, 2200)),
    ("2025", [2025]),
    ("2024-2026,2029", [2024, 2025, 2026, 2029]),
    ("2024/3", range(2024, 2200, 3)),
    ("*/2", range(1970, 2200, 2)),
]


@st.composite
def crons(draw):
    """An expression, the minutes of a day at which it fires, and whether it does on a day."""
    minute, minutes = draw(numbers(0, 59))
    hour, hours = draw(numbers(0, 23))
    month, months = draw(numbers(1, 12, MONTHS))
    day_of_month, day_of_week, falls_on = draw(days())
    year, years = draw(st.sampled_from(YEARS))
    return (
        f"cron({minute} {hour} {day_of_month} {month} {day_of_week} {year})",
        sorted(60 * h + m for h in hours for m in minutes),
        lambda day: day.year in years and day.month in months and falls_on(day),
    )


moments = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


def fires(minutes, falls_on, first, last):
    """Every moment on the days from *first* to *last*."""
    day = first
    while day <= last:
        if falls_on(day):
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            yield from (start + minute * MINUTE for minute in minutes)
        day += timedelta(days=1)


@settings(max_examples=300, deadline=None)
@given(crons(), moments)
def test_the_next_moment_is_the_first_that_a_walk_over_all_days_finds(cron, now):
    expression, minutes, falls_on = cron
    end = now.date() + timedelta(days=HORIZON_DAYS)
    walk = fires(minutes, falls_on, now.date(), end)
    expected = next((each for each in walk if each > now), None)

    found = parse(expression).next_after(now)

    assert found == expected or (expected is None and (found is None or found.date() > end))


@settings(max_examples=300, deadline=None)
@given(crons(), moments, st.timedeltas(timedelta(0), timedelta(days=90)))
def test_the_latest_moment_is_the_last_that_a_walk_over_all_days_finds(cron, after, passed):
    expression, minutes, falls_on = cron
    until = after + passed
    walk = fires(minutes, falls_on, after.date(), until.date())
    expected = max((each for each in walk if after < each <= until), default=None)

    assert parse(expression).latest(after, until) == expected


CLOCK_CHANGES = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),  # by half an hour
    "Europe/Moscow": (date(2026, 1, 1),),
}


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([(zone, day) for zone, days in CLOCK_CHANGES.items() for day in days]),
    numbers(0, 59),
    numbers(0, 23),
    st.integers(0, 3 * 1440),
    st.integers(0, 3 * 1440),
)
def test_a_wall_clock_that_changes_skips_times_and_repeats_none(place, minute, hour, a, b):
    zone, change = place
    schedule = parse(f"cron({minute[0]} {hour[0]} * * ? *)", zone)
    first = datetime(change.year, change.month, change.day, tzinfo=UTC) - timedelta(days=1)
    every_minute = [first + number * MINUTE for number in range(3 * 1440 + 1)]
    expected = [
        each
        for each in every_minute
        if (wall := each.astimezone(ZoneInfo(zone))).fold == 0
        and wall.minute in minute[1]
        and wall.hour in hour[1]
    ]
    start, end = first + min(a, b) * MINUTE, first + max(a, b) * MINUTE

    found = schedule.next_after(start)
    later = [each for each in expected if each > start]
    assert found == later[0] if later else found > every_minute[-1]
    between = [each for each in expected if start < each <= end]
    assert schedule.latest(start, end) == (between[-1] if between else None)
