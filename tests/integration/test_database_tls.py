"""A secret's connection is encrypted and the server verified, whatever the secret's form."""

from __future__ import annotations

import json

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from local.template.cloudformation import REGION
from tests.fixtures.tls_postgres import HOST, TlsPostgres
from ullgetthejob.platform import aws, postgres, secrets


@pytest.fixture
def server(database_url, tmp_path):
    parts = conninfo_to_dict(database_url)
    with TlsPostgres(tmp_path, parts["host"], int(parts["port"])) as server:
        yield server


@pytest.fixture
def keep(local_aws, monkeypatch, server):
    """Return a function that stores the database's secret, as functions read it."""
    variables = {
        "AWS_ENDPOINT_URL": local_aws.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "DATABASE_TLS_ROOT_CERTIFICATES": str(server.authority),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = local_aws.client("secretsmanager")
    arn = client.create_secret(Name=f"database-{server.port}", SecretString="-")["ARN"]

    def store(content):
        client.put_secret_value(SecretId=arn, SecretString=content)
        monkeypatch.setenv("DATABASE_URL", f"secretsmanager:{arn}")
        aws.reset_connections()
        secrets.clear_cache()
        postgres.close()

    yield store
    postgres.close()
    aws.reset_connections()
    secrets.clear_cache()
    client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def url_of(database_url, host, port, query=""):
    parts = conninfo_to_dict(database_url)
    return (
        f"postgresql://{parts['user']}:{parts['password']}@{host}:{port}/{parts['dbname']}{query}"
    )


def select_one():
    return postgres.connection().execute("SELECT 1 AS one").fetchone()["one"]


def refused(caplog):
    with pytest.raises(postgres.DatabaseUnavailable):
        postgres.connection()
    return [vars(record)["cause"] for record in caplog.records if "cause" in vars(record)]


@pytest.mark.parametrize("query", ["", "?sslmode=disable", "?sslmode=require"])
def test_url_as_secret_connects_with_verified_tls(keep, server, database_url, query):
    keep(url_of(database_url, HOST, server.port, query))
    assert select_one() == 1
    assert postgres.connection().pgconn.ssl_in_use
    assert server.encrypted == 1


def test_url_as_secret_refuses_a_server_without_tls(keep, database_url, caplog):
    plain = conninfo_to_dict(database_url)["port"]
    url = url_of(database_url, HOST, plain)
    psycopg.connect(url).close()  # the server itself takes it
    keep(url)
    assert refused(caplog) == ["certificate_refused"]


@pytest.mark.parametrize("choice", ["public", "rds", "/no/such/file.pem"])
def test_url_as_secret_refuses_an_authority_that_is_not_trusted(
    keep, server, database_url, monkeypatch, caplog, choice
):
    monkeypatch.setenv("DATABASE_TLS_ROOT_CERTIFICATES", choice)
    keep(url_of(database_url, HOST, server.port, "?sslmode=require"))
    assert refused(caplog) == ["certificate_refused"]
    assert server.encrypted == 0


def test_certificate_of_another_host_is_refused(keep, server, database_url, caplog):
    parts = conninfo_to_dict(database_url)
    fields = {"username": parts["user"], "password": parts["password"], "dbname": parts["dbname"]}
    keep(json.dumps({**fields, "host": "localhost", "port": server.port}))
    assert refused(caplog) == ["certificate_refused"]


def test_secret_that_rds_manages_connects(keep, server, database_url, monkeypatch):
    parts = conninfo_to_dict(database_url)
    keep(json.dumps({"username": parts["user"], "password": parts["password"]}))
    monkeypatch.setenv("DATABASE_HOST", HOST)
    monkeypatch.setenv("DATABASE_PORT", str(server.port))
    monkeypatch.setenv("DATABASE_NAME", parts["dbname"])
    assert select_one() == 1
    assert postgres.connection().pgconn.ssl_in_use


def test_secret_that_rds_manages_without_a_host_names_the_key(keep, server, database_url, caplog):
    keep(json.dumps({"username": "u", "password": "pass-word"}))
    with pytest.raises(secrets.Unavailable):
        postgres.connection()
    (logged,) = [vars(record) for record in caplog.records if "lacks a key" in record.msg]
    assert logged["key"] == "host"
    assert "pass-word" not in caplog.text
