"""The backing services of a local run: Postgres, AWS, hh.ru's sandbox and the receivers of
notifications, and their addresses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

import psycopg

from local import disk
from local.clock import FILE_NAME
from local.postgres.server import EmbeddedPostgres
from local.receivers import server as receivers
from local.receivers.state import Settings as ReceiverSettings
from local.settings import REPOSITORY, write_privately
from local.terminal import printable
from ullgetthejob.platform.database_address import SENTENCES, cause_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.child import Lifeline
    from local.functions.logs import Logs
    from local.settings import Settings

START_LIMIT_S = 60
STOP_LIMIT_S = 5
# The kinds of updates that the bot handles, as Core's setWebhook asks for them.
UPDATE_KINDS = ("message", "callback_query", "my_chat_member")
_CHILD = Path(__file__).with_name("child.py")
_DIRECT = build_opener(ProxyHandler({}))  # without proxies, which cannot reach loopback


class ServiceError(Exception):
    """A service does not start; the message names it and quotes the end of its output."""


def say(text: str) -> None:
    """Print *text* to the terminal, escaped."""
    print(printable(text), flush=True)


class Ports:
    """The ports of inner services, stable across starts unless another process takes them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def choose(self, name: str) -> int:
        """Return the port of the service *name*."""
        if not _is_free(self._ports.get(name, 0)):
            self._ports[name] = 0
        if not self._ports.get(name):
            self._ports[name] = next(port for port in iter(_any_port, 0) if _is_free(port))
            write_privately(self._path, json.dumps(self._ports, indent=2) + "\n")
        return self._ports[name]


def _any_port() -> int:
    """Return a port below those of outgoing connections, which cannot take it before its server."""
    return random.randrange(20_000, 32_000)  # noqa: S311 - no secret


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class Server:
    """A local server in a process of its own, which ends with this process."""

    def __init__(
        self, name: str, port: int, process: asyncio.subprocess.Process, logs: Logs
    ) -> None:
        self.name = name
        self.port = port
        self.process = process
        self._logs = logs
        self._stopping = False
        self._last_lines: list[str] = []
        self._output = asyncio.ensure_future(self._log_output())

    @classmethod
    async def start(
        cls,
        name: str,
        module: str,
        port: int,
        arguments: Sequence[str],
        *,
        lifeline: Lifeline,
        logs: Logs,
        environment: Mapping[str, str],
    ) -> Server:
        """Start ``python -m module --port port arguments``."""
        command = [module, "--port", str(port), *arguments]
        paths = [str(REPOSITORY), str(REPOSITORY / "layers" / "core")]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(_CHILD), str(lifeline.read_end), *command),
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
            pass_fds=[lifeline.read_end],
            start_new_session=True,  # Ctrl-C in the terminal is for this process
        )
        return cls(name, port, process, logs)

    async def ready(self, health: str) -> None:
        """Wait until the URL *health* answers. Raises :class:`ServiceError`."""
        until = time.monotonic() + START_LIMIT_S
        while not await asyncio.to_thread(_answers, health):
            if self.process.returncode is not None or time.monotonic() > until:
                await self.stop()
                output = "\n".join(self._last_lines) or "It printed nothing."
                raise ServiceError(f"{self.name} does not start.\n{output}")
            await asyncio.sleep(0.03)

    async def stop(self) -> None:
        """Stop it with SIGTERM, after :data:`STOP_LIMIT_S` with SIGKILL."""
        self._stopping = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_LIMIT_S)
        except TimeoutError:
            os.killpg(self.process.pid, signal.SIGKILL)
        await self._output

    async def _log_output(self) -> None:
        assert self.process.stdout is not None  # noqa: S101  it is a pipe
        async for line in self.process.stdout:
            text = line.decode("utf-8", "replace").rstrip()
            self._last_lines = [*self._last_lines[-20:], text]
            self._logs.write(self.name, text, echo=False)
        await self.process.wait()
        if not self._stopping:
            say(f"[{self.name}] has ended; see {self._logs.folder / self.name}.log")


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


class Services:
    """The services that the settings do not replace by external ones."""

    def __init__(self, settings: Settings, logs: Logs, lifeline: Lifeline) -> None:
        self.settings = settings
        self._logs = logs
        self._lifeline = lifeline
        self._ports = Ports(settings.data_dir / "ports.json")
        self._servers: list[Server] = []
        self._postgres: EmbeddedPostgres | None = None
        self._watch: asyncio.Future[None] | None = None
        self._receivers = contextlib.AsyncExitStack()
        self._receiver_ports: list[int] = []
        self.receivers = ""  # the address of the receivers of notifications
        self.addresses: dict[str, str] = {}  # of services, by the variables of functions

    @property
    def ports(self) -> list[int]:
        """Return the ports of the local servers."""
        return [*(server.port for server in self._servers), *self._receiver_ports]

    def status(self) -> dict[str, object]:
        """Return the state of the services for the status page."""
        return {
            "services": {
                server.name: "ended" if server.process.returncode is not None else "runs"
                for server in self._servers
            },
            "hh": self.settings.hh_api_url or self.addresses.get("HH_API_URL"),
        }

    @property
    def clock(self) -> Path | None:
        """Return the clock's file, or ``None`` without the sandbox."""
        return None if self.settings.hh_api_url else self.settings.data_dir / FILE_NAME

    async def start(self, *, postgres_addresses: Sequence[str] = ()) -> None:
        """Start all services concurrently.

        Raises :class:`SettingsError` before any starts; :class:`ServiceError`, ``PostgresError``.
        """
        era = self.settings.era
        starting = [
            asyncio.ensure_future(self._start_database(postgres_addresses)),
            asyncio.ensure_future(self._start_aws()),
            asyncio.ensure_future(self._start_receivers()),
        ]
        if self.settings.hh_api_url is None:
            starting.append(asyncio.ensure_future(self._start_sandbox(era)))
        try:
            await asyncio.gather(*starting)
            watching = disk.watch(self.settings.data_dir, self._postgres, say)
            self._watch = asyncio.ensure_future(watching)
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)

    async def stop(self) -> None:
        """Stop all services."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._receivers.aclose()
        await asyncio.gather(*(server.stop() for server in self._servers))
        if self._postgres is not None:
            await asyncio.to_thread(self._postgres.stop)

    async def _start_database(self, extra_addresses: Sequence[str]) -> None:
        begun = time.monotonic()
        url, where = self.settings.database_url, "DATABASE_URL"
        if url is None:
            where = "Postgres"
            self._postgres = EmbeddedPostgres(
                self.settings.data_dir / "postgres",
                extra_addresses=extra_addresses,
                ends_with_us=True,
            )
            url = await asyncio.to_thread(self._postgres.start)
            say(f"  Postgres   ready in {time.monotonic() - begun:.1f} s")
        done = await asyncio.to_thread(_migrate, url, seed=self._postgres is not None)
        say(f"  Database   {done} ({where}, {time.monotonic() - begun:.1f} s)")
        self.addresses["DATABASE_URL"] = url

    async def _start_aws(self) -> None:
        begun = time.monotonic()
        port = self._ports.choose("aws")
        folder = self.settings.data_dir / "aws"
        server = await self._serve("aws", "local.aws", port, ["--data-dir", str(folder)], {})
        await server.ready(f"http://127.0.0.1:{port}/_local/health")
        self.addresses["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        say(f"  AWS        ready in {time.monotonic() - begun:.1f} s")

    async def _start_sandbox(self, era: str) -> None:
        begun = time.monotonic()
        port = self._ports.choose("hh")
        application = {
            **{name: self.settings.secret(name) for name in ("HH_CLIENT_ID", "HH_CLIENT_SECRET")},
            "HH_REDIRECT_URI": self.settings.redirect_uri,
            "SANDBOX_AUTO_LOGIN": self.settings.given.get("SANDBOX_AUTO_LOGIN", ""),
        }
        arguments = ["--data-dir", str(self.settings.data_dir), "--era", era]
        server = await self._serve("hh", "local.sandbox", port, arguments, application)
        await server.ready(f"http://127.0.0.1:{port}/_sandbox/health")
        url = f"http://127.0.0.1:{port}"
        self.addresses |= {"HH_API_URL": url, "HH_OAUTH_URL": f"{url}/oauth"}
        took_s = time.monotonic() - begun
        say(f"  hh.ru      a sandbox of the era {era}, ready in {took_s:.1f} s")

    async def _start_receivers(self) -> None:
        """Serve the receivers of notifications in this process: they do little, and a process of
        their own would cost the memory of another interpreter."""
        begun = time.monotonic()
        port, smtp_port = self._ports.choose("receivers"), self._ports.choose("smtp")
        settings = ReceiverSettings(
            self.settings.data_dir, bot_token=self.settings.secret("TELEGRAM_BOT_TOKEN")
        )
        running = await self._receivers.enter_async_context(
            receivers.serving(settings, port=port, smtp_port=smtp_port)
        )
        running.store.set_webhook(
            f"http://127.0.0.1:{self.settings.port}/telegram",
            self.settings.secret("TELEGRAM_WEBHOOK_SECRET"),
            list(UPDATE_KINDS),
        )
        self._receiver_ports = [port, smtp_port]
        self.receivers = url = f"http://127.0.0.1:{port}"
        self.addresses |= {
            "TELEGRAM_API_URL": url,
            "TELEGRAM_BOT_NAME": settings.bot_name,
            "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
            "EMAIL_FROM": "UllGetTheJob <notifications@localhost>",
            "WEBHOOK_ADDRESSES": "any",  # the receiver of webhooks is on this machine
        }
        say(f"  Receivers  of Telegram, e-mail, webhooks in {time.monotonic() - begun:.1f} s")

    async def _serve(
        self,
        name: str,
        module: str,
        port: int,
        arguments: Sequence[str],
        environment: Mapping[str, str],
    ) -> Server:
        server = await Server.start(
            name,
            module,
            port,
            arguments,
            lifeline=self._lifeline,
            logs=self._logs,
            environment=environment,
        )
        self._servers.append(server)
        return server


def _migrate(url: str, *, seed: bool) -> str:
    """Migrate the database and, if embedded, seed it; return the outcome. Raises
    :class:`ServiceError`."""
    from migrations import seed as seeds  # Alembic loads slowly, while other services start
    from migrations import upgrade

    try:
        done = upgrade.upgrade(url)
        if seed:
            seeds.seed(url)
    except upgrade.MigrationError as error:
        raise ServiceError(f"The database cannot be brought up to date: {error}") from None
    except psycopg.Error as error:
        reason = error.diag.message_primary or SENTENCES[cause_of(error)]
        raise ServiceError(f"The database cannot be used. Postgres says: {reason}") from None
    return f"at revision {done.revision_after}"
