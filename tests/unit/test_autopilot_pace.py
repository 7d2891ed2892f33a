"""The pace of an autopilot: its ceilings, its hours, and clocks that are put forward and back."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ullgetthejob.applications import ledger
from ullgetthejob.autopilot import store
from ullgetthejob.autopilot.models import ApplySettings, to_settings
from ullgetthejob.autopilot.pace import DAY, Bucket, Pace, forecast
from ullgetthejob.platform.working_hours import WorkingHours, is_open

PERSON = Bucket(20, timedelta(minutes=7.5))
NOON = datetime(2026, 11, 24, 9, tzinfo=UTC)  # in Moscow, a Tuesday
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def hours(opens, closes, days=None):
    return WorkingHours.model_validate({"from": opens, "to": closes, "days": days})


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_pace(*, most=200, share=100, within=None, zone="Europe/Moscow"):
    return Pace(most, share, within, zone)


def slots(pace, sent=(), count=1, now=NOON):
    return [(slot.at, slot.reason) for slot in forecast(pace, sent, count, bucket=PERSON, now=now)]


def test_first_application_is_sent_now():
    assert slots(make_pace()) == [(NOON, None)]


def test_day_ceiling_waits_until_the_earliest_is_24_hours_old():
    sent = [NOON - 23 * HOUR, NOON - 2 * HOUR]
    assert slots(make_pace(most=2), sent) == [(NOON + HOUR, "max_per_day")]
    assert slots(make_pace(most=3), sent) == [(NOON, None)]


def test_application_of_exactly_24_hours_ago_does_not_count():
    assert slots(make_pace(most=1), [NOON - DAY]) == [(NOON, None)]


def test_share_of_the_bucket_bursts_less_and_refills_slower():
    half = slots(make_pace(share=50), count=12)
    assert half[:10] == [(NOON, None)] * 10
    assert half[10:] == [(NOON + 15 * MINUTE, "bucket_share"), (NOON + 30 * MINUTE, "bucket_share")]


def test_smallest_share_sends_one_at_a_time():
    at, reason = slots(make_pace(share=1), [NOON])[0]
    assert (at, reason) == (NOON + 750 * MINUTE, "bucket_share")


def test_outside_of_the_hours_waits_until_they_begin():
    night = utc("2026-11-24T20:30")  # 23:30 in Moscow
    pace = make_pace(within=hours("09:00", "18:00"))
    assert slots(pace, now=night) == [(utc("2026-11-25T06:00"), "working_hours")]
    assert slots(pace) == [(NOON, None)]


def test_days_without_hours_are_passed_over():
    friday = utc("2026-11-27T16:00")  # 19:00 in Moscow
    pace = make_pace(within=hours("09:00", "18:00", [1, 2, 3, 4, 5]))
    assert slots(pace, now=friday) == [(utc("2026-11-30T06:00"), "working_hours")]


def test_hours_over_midnight_are_open_on_both_days():
    pace = make_pace(within=hours("22:00", "02:00"))
    assert slots(pace, now=utc("2026-11-24T22:59"))[0][1] is None  # 01:59
    assert slots(pace, now=utc("2026-11-24T23:00")) == [(utc("2026-11-25T19:00"), "working_hours")]
    assert slots(pace, now=utc("2026-11-24T19:00"))[0][1] is None


def test_clock_put_forward_opens_hours_at_the_change():
    # Berlin, 29 March 2026: 02:00 becomes 03:00.
    pace = make_pace(within=hours("02:30", "05:00"), zone="Europe/Berlin")
    assert slots(pace, now=utc("2026-03-29T00:30")) == [(utc("2026-03-29T01:00"), "working_hours")]


def test_hours_end_at_the_later_time_when_the_clock_goes_back():
    # Berlin, 25 October 2026: 03:00 becomes 02:00, so 02:30 comes twice.
    pace = make_pace(within=hours("01:00", "02:30"), zone="Europe/Berlin")
    assert slots(pace, now=utc("2026-10-25T01:15")) == [(utc("2026-10-25T01:15"), None)]
    assert slots(pace, now=utc("2026-10-25T01:30")) == [(utc("2026-10-26T00:00"), "working_hours")]


def test_slot_that_the_day_frees_at_night_waits_for_the_morning():
    sent = [utc("2026-11-23T18:00")]  # 21:00 in Moscow, yesterday
    pace = make_pace(most=1, within=hours("09:00", "18:00"))
    assert slots(pace, sent) == [(utc("2026-11-25T06:00"), "working_hours")]


def test_forecast_fills_a_day_and_goes_on_with_the_next():
    pace = make_pace(most=2, within=hours("09:00", "18:00"))
    assert [at for at, _ in slots(pace, count=5)] == [
        *([NOON] * 2),
        *([NOON + DAY] * 2),
        NOON + 2 * DAY,
    ]


@given(
    most=st.integers(1, 200),
    share=st.integers(1, 100),
    opens=st.sampled_from(["00:00", "06:30", "09:00", "22:00"]),
    closes=st.sampled_from(["00:00", "02:00", "12:15", "18:00"]),
    zone=st.sampled_from(["Europe/Moscow", "Europe/Berlin", "Australia/Lord_Howe"]),
    back=st.lists(st.integers(0, 48 * 60), max_size=30),
    count=st.integers(1, 60),
)
def test_forecast_never_exceeds_a_ceiling(most, share, opens, closes, zone, back, count):
    pace = make_pace(most=most, share=share, within=hours(opens, closes), zone=zone)
    sent = sorted(NOON - minutes * MINUTE for minutes in back)
    found = [slot.at for slot in forecast(pace, sent, count, bucket=PERSON, now=NOON)]
    assert all(earlier <= later for earlier, later in pairwise(found))
    assert all(is_open(pace.hours, zone, at) for at in found)
    everything = sorted([*sent, *found])
    own = PERSON.share(share)
    for at in found:
        assert sum(at - DAY < moment <= at for moment in everything) <= max(
            most, sum(at - DAY < moment <= at for moment in sent)
        )
        later = [moment for moment in found if moment >= at]
        span = later[-1] - at
        assert len(later) <= own.capacity + span / own.interval + 1


def test_pausing_gives_as_long_a_life_as_a_new_application_has():
    assert store.TIME_TO_LIVE == ledger.APPLICATION_TTL


def test_change_keeps_the_fields_that_were_not_sent():
    before = ApplySettings(mode="auto", max_per_day=7, min_fit=60)
    change = ApplySettings.model_validate({"mode": "off", "min_fit": 70})
    assert before.changed_by(change) == ApplySettings(mode="off", max_per_day=7, min_fit=70)
    assert to_settings(None) == ApplySettings()
