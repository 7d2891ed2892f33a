"""A person with channels of notifications, and the receivers behind them: a webhook's server and an
SMTP server, both real, in threads of the tests."""

from __future__ import annotations

import email
import json
import ssl
from datetime import UTC, datetime, timedelta
from email import policy
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from aiosmtpd.controller import Controller

from tests.fixtures.http_servers import Handler, Server
from tests.fixtures.ports import free_port
from tests.harness.context import CORE, make_context
from ullgetthejob.notifications import channel_store, delivery, planner, settings_store
from ullgetthejob.notifications.preferences import Preferences
from ullgetthejob.platform import postgres
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)  # 12:30 in Moscow
ENVIRONMENT = {
    "SECRET_KEY_BASE": "a secret key base of tests, long enough",
    "PUBLIC_URL": "https://core.example.com",
    "EMAIL_FROM": "core@example.com",
    "WEBHOOK_ADDRESSES": "any",
}


class WebhookReceiver(Server):
    """A server that keeps the requests it gets. *answers*: status and headers of the next ones, 204
    when there is none left; ``None`` closes the connection without an answer. *certificate*: the
    PEM file of a certificate for localhost and its key; without one it is a server of HTTP."""

    def __init__(self, certificate=None):
        super().__init__(WebhookHandler)
        self.requests = []
        self.answers = []
        self.on_request = None
        self._scheme = "http"
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            self.socket = tls.wrap_socket(self.socket, server_side=True)
            self._scheme = "https"

    @property
    def url(self):
        """Return the webhook's address."""
        return f"{self._scheme}://localhost:{self.server_port}/hook?key=a-secret"

    @property
    def messages(self):
        """Return the bodies."""
        return [json.loads(body) for _, body in self.requests]

    @property
    def ids(self):
        """Return the webhook-ids."""
        return [headers["webhook-id"] for headers, _ in self.requests]


class WebhookHandler(Handler):
    """Answers as its receiver says."""

    server: WebhookReceiver

    def respond(self) -> None:
        """Keep the request, and answer."""
        receiver = self.server
        receiver.requests.append((dict(self.headers.items()), self.read_body()))
        if receiver.on_request is not None:
            receiver.on_request()
        answer = receiver.answers.pop(0) if receiver.answers else (204, {})
        if answer is None:
            self.connection.close()
            return
        status, headers = answer
        self.answer(status, headers=headers)


class MailServer:
    """An SMTP server that keeps what it gets. *answers*: what it says to the next recipients;
    *hangs_up*: after how many e-mails it closes the connection instead of answering."""

    def __init__(self):
        self.mails = []
        self.answers = []
        self.hang_ups = 0
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, _session, envelope):  # noqa: N802
        self.mails.append(email.message_from_bytes(envelope.content, policy=policy.default))
        if self.hang_ups:
            self.hang_ups -= 1
            server.transport.close()
        return "250 OK"

    def stop(self):
        self._controller.stop()


class Notified:
    """An account whose person is notified. *now*: the domain time, which tests move."""

    def __init__(self, database_url):
        self.database_url = database_url
        self.now = START
        self.account_id = self.insert_account()
        self.user_id = uuid4()
        self.connection.execute(
            "INSERT INTO users (id, email, password_hash, inserted_at, updated_at, account_id)"
            " VALUES (%s, %s, '!', %s, %s, %s)",
            (self.user_id, f"{self.user_id}@session.invalid", START, START, self.account_id),
        )

    @property
    def connection(self):
        return postgres.connection()

    @property
    def context(self):
        return make_context(self.connection, lambda: self.now, caller=CORE)

    def insert_account(self):
        [row] = self.rows(
            "INSERT INTO accounts (hh_user_id, access_state, access_changed_at, created_at)"
            " VALUES (%s, 'ok', %s, %s) RETURNING id",
            uuid4().hex, START, START,
        )  # fmt: skip
        return UUID(str(row["id"]))

    def rows(self, sql, *values):
        return self.connection.execute(sql, values).fetchall()

    def wait(self, **duration):
        self.now += timedelta(**duration)

    def set(self, **preferences):
        settings_store.replace(
            self.account_id, Preferences(**preferences), connection=self.connection, now=self.now
        )

    def add(self, kind, address, *, language="ru", secret=None):
        """Add an active channel and return its id."""
        if secret is None:
            return channel_store.activate(
                self.account_id, kind, address, language=language, connection=self.connection,
                now=self.now,
            )  # fmt: skip
        with self.connection.transaction():
            seq = channel_store.lock_account(self.account_id, connection=self.connection)
            channel_id = channel_store.insert(
                self.account_id, kind, address, language, "unconfirmed", seq, self.connection,
                self.now, secret,
            )  # fmt: skip
            channel_store.activate_by_id(
                channel_id, self.account_id, connection=self.connection, now=self.now
            )
        return channel_id

    def application(self, *, state="submitted", reason=None, hh_state=None, title="Инженер"):
        """Append the event of an application's change and return the application's id. The
        application is stored where a state may still change."""
        ledger_id, job_id = uuid4(), str(uuid4().int)[:9]
        self.rows(
            "INSERT INTO jobs (id, external_id, title, company, url, inserted_at, updated_at)"
            " VALUES (gen_random_uuid(), %s, %s, 'Полярная почта', 'https://hh.ru', %s, %s)"
            " RETURNING id",
            job_id, title, START, START,
        )  # fmt: skip
        self.rows(
            "INSERT INTO application_ledger (id, account_id, user_id, vacancy_id, state,"
            " created_at, updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id",
            ledger_id, self.account_id, self.user_id, job_id, state, START, START,
        )  # fmt: skip
        data = {
            "application_id": str(ledger_id), "job_id": job_id, "state": state, "reason": reason,
            "next_attempt_at": None, "hh_state": hh_state, "viewed": False,
        }  # fmt: skip
        self.append("application.updated", data)
        return ledger_id

    def invite(self, **options):
        return self.application(reason="invitation", hh_state="invitation", **options)

    def append(self, event_type, data):
        return event_log.append(
            self.account_id, event_type, data, connection=self.connection, now=self.now
        )

    def plan(self):
        return planner.run(self.account_id, self.context)

    def run(self):
        """Process a wake-up; return whether work is left."""
        return delivery.run(self.account_id, self.context)

    def run_later(self, **duration):
        """Process a wake-up now, and one after *duration*."""
        self.run()
        self.wait(**(duration or {"minutes": 1}))
        self.run()

    def notifications(self, *columns):
        names = ", ".join(columns or ("kind", "state"))
        rows = self.rows(f"SELECT {names} FROM notifications ORDER BY created_at, id")
        return [tuple(row.values()) for row in rows]


@pytest.fixture
def notified(database_url, dynamodb_tables, monkeypatch) -> Iterator[Notified]:
    for name, value in {**ENVIRONMENT, "DATABASE_URL": database_url}.items():
        monkeypatch.setenv(name, value)
    for name in ("SMTP_URL", "SECRET_KEY_BASE_PREVIOUS", "TOKEN_KEY_ID_PREVIOUS"):
        monkeypatch.delenv(name, raising=False)
    postgres.close()
    yield Notified(database_url)
    postgres.close()


@pytest.fixture
def webhook() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def mail_server(monkeypatch) -> Iterator[MailServer]:
    server = MailServer()
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{server.port}")
    yield server
    server.stop()
