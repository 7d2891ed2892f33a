"""Settings: set, unset and malformed values, and the check at the start of a function."""

import pytest

from ullgetthejob.platform import settings
from ullgetthejob.platform.settings import Setting, SettingInvalid, SettingMissing

DECLARED = {name: value for name, value in vars(settings).items() if isinstance(value, Setting)}


def test_constants_have_the_names_of_their_variables():
    assert DECLARED
    assert all(name == setting.name for name, setting in DECLARED.items())


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_unset_setting_is_its_default_or_missing(monkeypatch, name):
    monkeypatch.setenv(name, "")
    setting = DECLARED[name]
    assert setting.get() == setting.default
    if setting.default is None:
        with pytest.raises(SettingMissing, match=name):
            setting()
    else:
        assert setting() == setting.default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("LEASE_TABLE", "a table", "a table"),
        ("HH_API_URL", "http://127.0.0.1:8080/api", "http://127.0.0.1:8080/api"),
        ("WEBSOCKET_URL", "wss://example.org/ws", "wss://example.org/ws"),
        ("HH_CALLS_PER_SECOND", "2.5", 2.5),
        ("RATE_LIMIT_SUBMIT_CAPACITY", "20.0", 20),
        ("FETCH_DETAILS_PER_RUN", "0", 0),
        ("REQUIRE_SIGNATURE", "True", True),
        ("BFF_BROADCAST", "off", "off"),
        ("ADMIN_SECRET", "s3cret", "s3cret"),
        (
            "ADMIN_SECRET",
            "secretsmanager:arn:x@OLD",
            "secretsmanager:arn:x@OLD",
        ),
    ],
)
def test_value_is_parsed(monkeypatch, name, text, value):
    monkeypatch.setenv(name, text)
    assert DECLARED[name]() == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HH_API_URL", "api.hh.ru"),
        ("HH_API_URL", "https:// secret"),
        ("WEBSOCKET_URL", "https://example.org"),
        ("HH_CALLS_PER_SECOND", "three"),
        ("HH_CALLS_PER_SECOND", "0"),
        ("HH_CALLS_PER_SECOND", "nan"),
        ("RATE_LIMIT_SUBMIT_CAPACITY", "0.5"),
        ("RATE_LIMIT_SUBMIT_PER_HOUR", "inf"),
        ("FETCH_DETAILS_PER_RUN", "-1"),
        ("REQUIRE_SIGNATURE", "yes"),
        ("BFF_BROADCAST", "maybe"),
        ("ADMIN_SECRET", "secretsmanager:"),
    ],
)
def test_malformed_value_is_refused_and_not_quoted(monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingInvalid, match=f"{name} must be ") as raised:
        DECLARED[name]()
    assert text not in str(raised.value).replace(str(DECLARED[name]), "")


def test_all_wrong_settings_are_named_at_the_start_in_lambda(monkeypatch):
    monkeypatch.delenv("LEASE_TABLE", raising=False)
    monkeypatch.setenv("HH_CALLS_PER_SECOND", "three")
    monkeypatch.setenv("REQUIRE_SIGNATURE", "true")
    monkeypatch.setenv("DATABASE_URL", "postgresql://x")
    needed = (settings.LEASE_TABLE, settings.HH_CALLS_PER_SECOND, settings.REQUIRE_SIGNATURE)
    settings.require(*needed)  # outside of Lambda: nothing
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9")
    with pytest.raises(SettingInvalid) as raised:
        settings.require(*needed)
    assert str(raised.value) == (
        "LEASE_TABLE is not set; it must be a text (DynamoDB table of leases); "
        "HH_CALLS_PER_SECOND must be a number above 0 (calls to hh.ru per second)"
    )
