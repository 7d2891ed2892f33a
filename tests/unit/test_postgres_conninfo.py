"""Where Postgres is: a URL as it is, or a secret in RDS's shape with TLS verified in full."""

import json

import certifi
import pytest
from psycopg.conninfo import conninfo_to_dict

from ullgetthejob.platform import postgres, settings

RDS = {
    "engine": "postgres",
    "host": "db.example.org",
    "port": 6432,
    "username": "core",
    "password": "p'a ss\\word",
    "dbname": "jobs",
}


def test_a_url_is_taken_as_it_is(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@h:5/d")
    assert postgres.conninfo() == "postgresql://u:p@h:5/d"


def test_a_secret_of_rds_is_verified_in_full(monkeypatch):
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


def test_another_authority_can_be_trusted(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", json.dumps(RDS))
    monkeypatch.setenv("DATABASE_TLS_ROOT_CERTIFICATES", "/opt/rds.pem")
    assert conninfo_to_dict(postgres.conninfo())["sslrootcert"] == "/opt/rds.pem"


def test_unset_names_the_variable(monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(settings.SettingMissing, match="DATABASE_URL"):
        postgres.conninfo()
