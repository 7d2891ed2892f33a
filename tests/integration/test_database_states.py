"""A database that is read-only, hangs or refuses: a 503 within seconds, and recovery afterwards."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from functions.health import app as health
from tests.fixtures.core import ADMIN_HEADER, SERVICE_HEADER
from tests.fixtures.wire import every_route, send
from ullgetthejob.platform import aws, postgres, secrets
from ullgetthejob.platform.authentication import require_service
from ullgetthejob.platform.errors import Unauthorized, Unavailable

ROUTES = every_route()
HANG_S = 10  # less than postgres.STATEMENT_DEADLINE_S, which applies if a deadline is not observed


def read_only(url, word):
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SET default_transaction_read_only = off")
        other.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {word}')
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def write():
    with postgres.session() as connection:
        connection.execute(
            "INSERT INTO accounts (hh_user_id, access_changed_at, created_at)"
            " VALUES (%s, now(), now())",
            [uuid4().hex],
        )


def healthy():
    context = SimpleNamespace(aws_request_id="health")
    return health.handler({"routeKey": "GET /api/v1/system/health"}, context)["statusCode"]


def test_read_only_database_is_unavailable_and_unhealthy(database):
    write()
    assert healthy() == 200
    read_only(database, "on")
    for _ in range(2):
        with pytest.raises(postgres.DatabaseUnavailable):
            write()
        assert healthy() == 503
    read_only(database, "off")
    write()
    assert healthy() == 200


def test_connection_with_a_refused_write_is_replaced(database):
    write()
    before = postgres.connection()
    before.execute("SET default_transaction_read_only = on")  # as on a server that was demoted
    with pytest.raises(postgres.DatabaseUnavailable):
        write()
    write()
    assert postgres.connection() is not before


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"password": "another"}, "password_refused"),
        ({"host": "no-such-host.invalid"}, "host_unknown"),
        ({"port": "9"}, "connection_refused"),
        ({"sslmode": "require"}, "certificate_refused"),
        ({"dbname": "no_such_database"}, "role_refused"),
    ],
)
def test_refused_connection_logs_the_cause_but_no_value(
    database, monkeypatch, caplog, change, cause
):
    url = make_conninfo(database, **change)
    monkeypatch.setenv("DATABASE_URL", url)
    postgres.close()
    with pytest.raises(postgres.DatabaseUnavailable) as raised:
        write()
    (logged,) = [vars(record) for record in caplog.records if "refused a connection" in record.msg]
    assert logged["cause"] == cause
    assert raised.value.__cause__ is None
    for value in (conninfo_to_dict(url)["password"], *change.values()):
        assert value not in caplog.text or value == "9"


@contextmanager
def stopped(pid):
    """Stop a server process, so that it hangs while its kernel still acknowledges packets."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_statement_on_a_hanging_server_meets_the_deadline(database):
    write()
    pid = postgres.connection().info.backend_pid
    with stopped(pid):
        began = time.monotonic()
        with postgres.deadline(0.3), pytest.raises(postgres.DatabaseUnavailable):
            write()
        assert time.monotonic() - began < HANG_S
        write()  # on another connection


def test_transaction_on_a_hanging_server_meets_the_deadline(database):
    write()
    pid = postgres.connection().info.backend_pid

    def stop_the_server_within():
        with postgres.session() as connection, connection.transaction():
            connection.execute("SELECT 1")
            os.kill(pid, signal.SIGSTOP)
            connection.execute("SELECT 2")

    began = time.monotonic()
    try:
        with postgres.deadline(0.3), pytest.raises(postgres.DatabaseUnavailable):
            stop_the_server_within()
        assert time.monotonic() - began < HANG_S
    finally:
        os.kill(pid, signal.SIGCONT)


class Proxy:
    """A proxy to the server that can drop all data in both directions."""

    def __init__(self, host, port):
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.hangs = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                if not self.hangs.is_set():
                    target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self):
        self._listener.close()


@pytest.fixture
def proxy(core, monkeypatch):
    parts = conninfo_to_dict(core.database_url)
    proxy = Proxy(parts["host"], parts["port"])
    monkeypatch.setenv(
        "DATABASE_URL", make_conninfo(core.database_url, host="127.0.0.1", port=proxy.port)
    )
    monkeypatch.setenv("ADMIN_SECRET", ADMIN_HEADER[1])
    monkeypatch.setenv("HH_ACCESS_TOKEN", core.sandbox.token())
    monkeypatch.setattr(postgres, "REQUEST_DEADLINE_S", 0.5)
    monkeypatch.setattr(postgres, "HEALTH_DEADLINE_S", 0.5)
    monkeypatch.setattr(postgres, "CONNECT_TIMEOUT_S", 2)
    postgres.close()
    yield proxy
    postgres.close()
    proxy.close()


def test_routes_answer_503_in_time_while_the_database_hangs(core, proxy):
    session_id, jwt = core.log_in("anna")
    unavailable = 0
    for key, route in ROUTES.items():
        proxy.hangs.clear()
        postgres.close()
        postgres.connection().execute("SELECT 1")
        proxy.hangs.set()
        ids = {"user_id": session_id, "act": "pause"}
        names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
        is_user = route.auth.value in ("user", "user or service")
        began = time.monotonic()
        reply = send(
            route.method,
            route.path,
            headers=[
                SERVICE_HEADER,
                ADMIN_HEADER,
                *([("Authorization", f"Bearer {jwt}")] if is_user else []),
            ],
            parameters={name: ids.get(name, "1") for name in names},
            query={"workflow_id": str(uuid4())} if route.query and "queue" in route.path else {},
            body={"user_id": session_id, "job_external_id": "1", "refresh_token": "r"}
            if route.method != "GET"
            else None,
        )
        assert time.monotonic() - began < HANG_S, key
        assert reply.status < 500 or reply.status == 503, (key, reply)
        unavailable += reply.status == 503
    assert unavailable > len(ROUTES) / 2


class SecretsManager:
    """Secrets Manager as far as :mod:`secrets` uses it: successive versions, or an error."""

    def __init__(self, monkeypatch, *versions):
        self.versions = iter(versions)
        self.reads = 0
        self.fails = False
        monkeypatch.setattr(aws, "call", self.call)
        monkeypatch.setenv("ORCHESTRATOR_SECRET", "secretsmanager:arn:core")
        monkeypatch.setenv("ORCHESTRATOR_SECRET_PREVIOUS", "")

    def call(self, service, operation, request):
        assert (service, operation) == ("secretsmanager", "GetSecretValue")
        self.reads += 1
        if self.fails:
            raise aws.AwsError("ThrottlingException", {})
        return {"SecretString": next(self.versions)}


@pytest.fixture
def moment(monkeypatch):
    """Replace the clock of the module by one that a test sets."""
    secrets.clear_cache()
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(secrets.time, "monotonic", lambda: now.s)
    yield now
    secrets.clear_cache()


def accepts(sent):
    try:
        require_service({"x-core-secret": sent}, b"")
    except Unauthorized:
        return False
    return True


def test_rotated_secret_is_read_at_once_but_not_often(monkeypatch, moment):
    manager = SecretsManager(monkeypatch, "old", "new", "new")
    assert accepts("old")
    moment.s += 60
    assert accepts("new")
    assert not any(accepts("wrong") for _ in range(100))
    assert manager.reads == 2
    moment.s += 6
    assert not any(accepts("wrong") for _ in range(100))
    assert manager.reads == 3


def test_cached_secret_is_used_while_unreadable(monkeypatch, moment):
    manager = SecretsManager(monkeypatch, "good")
    assert accepts("good")
    moment.s += 60
    manager.fails = True
    with pytest.raises(Unavailable):
        accepts("wrong")
    assert not any(accepts("wrong") for _ in range(100))
    assert accepts("good")
    assert manager.reads == 2
