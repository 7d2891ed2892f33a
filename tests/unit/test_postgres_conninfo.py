"""The address of Postgres: a URL, or a secret in RDS's shape with full verification of TLS."""

import json

import certifi
import pytest
from psycopg.conninfo import conninfo_to_dict

from ullgetthejob.platform import database_address, postgres, settings
from ullgetthejob.platform.database_address import Stated
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


# ── the forms of a secret ────────────────────────────────────────────────────────────────────────

HELD = {"sslmode": "verify-full", "sslrootcert": certifi.where()}


def parts_of(content, **stated):
    text = content if isinstance(content, str) else json.dumps(content)
    return conninfo_to_dict(database_address.conninfo_of_secret(text, Stated(**stated)))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:p@h/d",
        "postgresql://u:p@h/d?sslmode=disable",
        "postgresql://u:p@h/d?sslmode=require&channel_binding=require",  # as Neon shows it
        "postgresql://u:p@h/d?sslmode=verify-ca&sslrootcert=system",
        "postgresql://u:p@localhost,h/d",
        "postgresql://u:p@localhost/d?hostaddr=10.0.0.1",
        "host=h user=u password=p dbname=d sslmode=prefer",
        "user=u password=p dbname=d",
    ],
)
def test_url_as_secret_is_held_to_tls(address):
    assert parts_of(address).items() >= HELD.items()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "%2Fvar%2Frun"])
def test_url_of_this_machine_needs_no_tls(host):
    assert "sslmode" not in parts_of(f"postgresql://u:p@{host}/d")


def test_url_with_certificates_of_its_own_keeps_them():
    parts = parts_of("postgresql://u:p@h/d?sslrootcert=/opt/own.pem")
    assert (parts["sslmode"], parts["sslrootcert"]) == ("verify-full", "/opt/own.pem")


def test_rds_secret_takes_host_and_name_from_parameters():
    managed = {"username": "postgres", "password": "p&w"}
    with pytest.raises(database_address.KeyMissing, match="host"):
        parts_of(managed)
    parts = parts_of(managed, root_certificates="rds", host="db.rds.test", port="6432", name="jobs")
    assert parts == {
        "host": "db.rds.test",
        "port": "6432",
        "user": "postgres",
        "password": "p&w",
        "dbname": "jobs",
        "sslmode": "verify-full",
        "sslrootcert": str(database_address.RDS_CERTIFICATES),
    }
    parts = parts_of(managed, host="db.rds.test")
    assert (parts["port"], parts["dbname"]) == ("5432", "ullgetthejob")


def test_parameters_precede_the_secret():
    assert parts_of(RDS, host="proxy.test")["host"] == "proxy.test"
    parts = parts_of("postgresql://u:p@h:5/d?hostaddr=10.0.0.1", host="proxy.test", name="other")
    assert (parts["host"], parts["port"], parts["dbname"]) == ("proxy.test", "5", "other")
    assert "hostaddr" not in parts


def test_settings_of_the_database_are_read(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", json.dumps({"username": "u", "password": "p"}))
    monkeypatch.setenv("DATABASE_TLS_ROOT_CERTIFICATES", "rds")
    monkeypatch.setenv("DATABASE_HOST", "db.rds.test")
    monkeypatch.setenv("DATABASE_PORT", "6432")
    monkeypatch.setenv("DATABASE_NAME", "jobs")
    parts = conninfo_to_dict(postgres.conninfo())
    assert (parts["host"], parts["port"], parts["dbname"]) == ("db.rds.test", "6432", "jobs")
    assert parts["sslrootcert"] == str(database_address.RDS_CERTIFICATES)


def test_missing_file_of_certificates_is_no_refused_role():
    error = OSError('root certificate file "/opt/no.pem" does not exist')
    assert database_address.cause_of(error) == "certificate_refused"
