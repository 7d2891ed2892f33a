"""The address of Postgres: a URL, or a secret in RDS's shape with full verification of TLS."""

import json

import certifi
import pytest
from psycopg.conninfo import conninfo_to_dict

from ullgetthejob.platform import postgres, settings
from ullgetthejob.platform.errors import Unavailable

RDS = {
    "engine": "postgres",
    "host": "db.example.org",
    "port": 6432,
    "username": "core",
    "password": "p'a ss\\word",
    "dbname": "jobs",
}


def test_url_is_used_unchanged(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@h:5/d")
    assert postgres.conninfo() == "postgresql://u:p@h:5/d"


def test_rds_secret_gets_full_tls_verification(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", json.dumps(RDS))
    monkeypatch.delenv("DATABASE_TLS_ROOT_CERTIFICATES", raising=False)
    assert conninfo_to_dict(postgres.conninfo()) == {
        "host": "db.example.org",
        "port": "6432",
        "user": "core",
        "password": "p'a ss\\word",
        "dbname": "jobs",
        "sslmode": "verify-full",
        "sslrootcert": certifi.where(),
    }


def test_another_root_certificate_can_be_trusted(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", json.dumps(RDS))
    monkeypatch.setenv("DATABASE_TLS_ROOT_CERTIFICATES", "/opt/rds.pem")
    assert conninfo_to_dict(postgres.conninfo())["sslrootcert"] == "/opt/rds.pem"


def test_unset_variable_is_named(monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(settings.SettingMissing, match="DATABASE_URL"):
        postgres.conninfo()


@pytest.mark.parametrize(
    ("address", "password"),
    [
        ("postgresql://u:50%off@h:5/d", "50%off"),
        ("postgresql://u:50%25off@h:5/d", "50%off"),
        ("postgresql+psycopg://u:p@h:5/d", "p"),
        ("postgres://u:p@h:5/d", "p"),
        ("host=h port=5 user=u dbname=d password='50%off'", "50%off"),
    ],
)
def test_address_is_read_in_common_notations(monkeypatch, address, password):
    monkeypatch.setenv("DATABASE_URL", address)
    parts = conninfo_to_dict(postgres.conninfo())
    assert (parts["host"], parts["port"], parts["user"], parts["dbname"]) == ("h", "5", "u", "d")
    assert parts["password"] == password


@pytest.mark.parametrize("key", ["host", "username", "password"])
def test_secret_of_another_shape_names_the_missing_key(monkeypatch, caplog, key):
    secret = {name: value for name, value in RDS.items() if name != key}
    monkeypatch.setenv("DATABASE_URL", json.dumps(secret))
    with pytest.raises(Unavailable):
        postgres.conninfo()
    (logged,) = [vars(record) for record in caplog.records]
    assert (logged["variable"], logged["key"]) == ("DATABASE_URL", key)
    assert "p'a ss" not in caplog.text
