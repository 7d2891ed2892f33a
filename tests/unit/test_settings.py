"""Settings: set, unset and invalid values."""

import pytest

from ullgetthejob.platform import settings


def test_text_is_read_or_its_default(monkeypatch):
    monkeypatch.setenv("A", "x")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)
    assert settings.text("A") == "x"
    assert settings.text("EMPTY", "d") == "d"
    assert settings.text("UNSET", "") == ""
    for name in ("EMPTY", "UNSET"):
        with pytest.raises(settings.SettingMissing, match=name):
            settings.text(name)


def test_number_is_read_or_refused(monkeypatch):
    monkeypatch.setenv("A", "2.5")
    assert settings.number("A", 3) == 2.5
    monkeypatch.setenv("A", "")
    assert settings.number("A", 3) == 3
    monkeypatch.setenv("A", "three")
    with pytest.raises(ValueError, match=r"A must be a number"):
        settings.number("A", 3)


def test_flag_is_read_or_refused(monkeypatch):
    for value, meaning in (("true", True), ("True", True), ("false", False), ("", False)):
        monkeypatch.setenv("A", value)
        assert settings.flag("A") is meaning
    monkeypatch.setenv("A", "yes")
    with pytest.raises(ValueError, match=r"A must be true or false"):
        settings.flag("A")
