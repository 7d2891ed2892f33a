"""When notifications are due: bursts, quiet hours and digests, over changes of the clock."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ullgetthejob.notifications import schedule
from ullgetthejob.notifications.messages import KINDS
from ullgetthejob.notifications.preferences import Digest, Preferences, QuietHours

BERLIN = ZoneInfo("Europe/Berlin")
PREFERENCES = Preferences(time_zone="Europe/Berlin")


def at(text):
    return datetime.fromisoformat(text)


def due(kind, now, channel="email", preferences=PREFERENCES):
    return schedule.due_at(kind, channel, preferences, now=at(now))


def test_invitation_waits_for_the_rest_of_its_burst():
    now = "2026-11-24T12:00+01:00"
    assert due("invitation", now) == at(now) + schedule.BURST


def test_quiet_hours_end_in_the_morning():
    assert due("invitation", "2026-11-24T23:00+01:00") == at("2026-11-25T08:00+01:00")
    assert due("invitation", "2026-11-25T03:00+01:00") == at("2026-11-25T08:00+01:00")
    assert due("invitation", "2026-11-25T08:00+01:00") == at("2026-11-25T08:01+01:00")
    # The burst ends when the quiet hours begin.
    assert due("invitation", "2026-11-24T21:59+01:00") == at("2026-11-25T08:00+01:00")


def test_quiet_hours_within_a_day():
    preferences = Preferences(
        time_zone="Europe/Berlin", quiet_hours=QuietHours(since="09:00", until="18:00")
    )
    assert due("trouble", "2026-11-24T12:00+01:00", preferences=preferences) == at(
        "2026-11-24T18:00+01:00"
    )
    assert due("trouble", "2026-11-24T18:00+01:00", preferences=preferences) == at(
        "2026-11-24T18:01+01:00"
    )


@pytest.mark.parametrize("quiet", [None, {"since": "07:00", "until": "07:00"}])
def test_without_quiet_hours_nothing_is_held(quiet):
    preferences = Preferences(time_zone="Europe/Berlin", quiet_hours=quiet)
    for hour in range(24):
        now = f"2026-11-24T{hour:02}:00+01:00"
        assert due("invitation", now, preferences=preferences) == at(now) + schedule.BURST


def test_quiet_hours_follow_the_wall_clock_when_it_changes():
    # On 29 March 2026 the clock goes from 2:00 to 3:00, on 25 October from 3:00 to 2:00.
    assert due("invitation", "2026-03-29T00:30+01:00") == at("2026-03-29T08:00+02:00")
    assert due("invitation", "2026-10-25T00:30+02:00") == at("2026-10-25T08:00+01:00")


def test_end_that_the_clock_skips_is_an_hour_later():
    quiet = QuietHours(since="22:00", until="02:30")
    preferences = Preferences(time_zone="Europe/Berlin", quiet_hours=quiet)
    assert due("invitation", "2026-03-28T23:00+01:00", preferences=preferences) == at(
        "2026-03-29T03:30+02:00"
    )


def test_end_that_comes_twice_is_the_first():
    quiet = QuietHours(since="22:00", until="02:30")
    preferences = Preferences(time_zone="Europe/Berlin", quiet_hours=quiet)
    assert due("invitation", "2026-10-24T23:00+02:00", preferences=preferences) == at(
        "2026-10-25T02:30+02:00"
    )


def test_link_and_webhooks_have_no_quiet_hours():
    night = "2026-11-24T23:00+01:00"
    assert due("link", night) == at(night)
    assert due("invitation", night, "webhook") == at(night) + schedule.BURST


def test_daily_kinds_come_at_the_digests_hour():
    assert due("waits_for_you", "2026-11-24T08:59+01:00") == at("2026-11-24T09:00+01:00")
    assert due("waits_for_you", "2026-11-24T09:00+01:00") == at("2026-11-25T09:00+01:00")
    now = "2026-11-24T09:00+01:00"
    assert due("waits_for_you", now, "webhook") == at(now) + schedule.BURST


def test_digest_comes_at_its_hour_when_the_clock_changes():
    digest = Digest(every="daily", hour=9)
    times = [at("2026-03-27T09:00+01:00")]
    for _ in range(3):
        times.append(schedule.next_digest(digest, BERLIN, now=times[-1]))
    assert times[1:] == [
        at("2026-03-28T09:00+01:00"), at("2026-03-29T09:00+02:00"), at("2026-03-30T09:00+02:00"),
    ]  # fmt: skip


def test_weekly_digest_comes_on_its_weekday():
    digest = Digest(every="weekly", hour=9, weekday=5)
    friday = at("2026-11-27T09:00+01:00")
    assert schedule.next_digest(digest, BERLIN, now=at("2026-11-24T12:00+01:00")) == friday
    assert schedule.next_digest(digest, BERLIN, now=friday) == friday + timedelta(days=7)
    assert schedule.next_digest(digest, BERLIN, now=friday - timedelta(seconds=1)) == friday


ZONES = st.sampled_from(["Europe/Berlin", "Europe/Moscow", "America/St_Johns", "Pacific/Apia"])
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
HOURS = st.times().map(lambda t: t.replace(second=0, microsecond=0))


@given(ZONES, MOMENTS, HOURS, HOURS, st.sampled_from(KINDS))
def test_nothing_is_due_in_quiet_hours_or_before_now(zone, now, since, until, kind):
    quiet = QuietHours(since=f"{since:%H:%M}", until=f"{until:%H:%M}")
    preferences = Preferences(time_zone=zone, quiet_hours=quiet)
    moment = schedule.due_at(kind, "email", preferences, now=now)
    assert now <= moment <= now + timedelta(days=9)
    if kind != "link":
        assert schedule.after_quiet(moment, kind, "email", preferences) - moment < timedelta(
            hours=2
        )


@given(ZONES, MOMENTS, HOURS)
def test_next_time_is_later_and_within_two_days(zone, now, clock):
    moment = schedule.next_time(ZoneInfo(zone), clock, now=now)
    assert now < moment <= now + timedelta(days=2, hours=2)
    shown = moment.astimezone(ZoneInfo(zone)).time()
    assert shown == clock or shown == time((clock.hour + 1) % 24, clock.minute)


@pytest.mark.parametrize(
    "wrong",
    [{"time_zone": "Mars/Olympus"}, {"time_zone": "../etc/passwd"}, {"time_zone": "/etc/passwd"},
     {"quiet_hours": {"since": "24:00"}}, {"digest": {"hour": 24}}, {"digest": {"weekday": 0}},
     {"kinds": {"weather": {"channels": []}}}, {"kinds": {"link": {"channels": ["pigeon"]}}},
     {"language": "de"}, {"more": 1}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        Preferences.model_validate(wrong)


def test_defaults_name_every_kind():
    kinds = Preferences().complete().kinds
    assert tuple(kinds) == KINDS
    assert kinds["waits_for_you"].when == kinds["new_vacancies"].when == "daily"
    assert kinds["invitation"].when == "now"
    assert "webhook" not in kinds["link"].channels
