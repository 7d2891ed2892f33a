"""A process that starts a server also ends it, by whatever signal the process itself ends."""

import contextlib
import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from local.postgres.server import EmbeddedPostgres
from local.settings import REPOSITORY
from tests.fixtures.waiting import until

LIMIT_S = 120
OWNER = """
import pathlib, sys, time
from local.postgres.server import EmbeddedPostgres
server = EmbeddedPostgres(pathlib.Path(sys.argv[1]), durable=False, ends_with_us=True)
print(server.start(), flush=True)
time.sleep(600)
"""


def processes_of(folder):
    """Return the processes whose command line or working directory names *folder*."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd", "status"]):
        with contextlib.suppress(psutil.Error):
            description = " ".join(process.info["cmdline"] or []) + (process.info["cwd"] or "")
            if str(folder) in description and process.pid != os.getpid():
                found.append(process)
    return found


def started(arguments, **environment):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("ends")
    made.chmod(0o755)
    made.parent.chmod(0o755)
    yield made
    for process in processes_of(made):
        with contextlib.suppress(psutil.Error):
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_embedded_postgres_ends_with_its_owner(folder, number):
    with started(["-c", OWNER, str(folder / "postgres")]) as owner:
        assert owner.stdout.readline().startswith("postgresql://")
        assert EmbeddedPostgres(folder / "postgres").running
        owner.send_signal(number)
    until(lambda: processes_of(folder), operator.not_, limit_s=LIMIT_S)


def test_adopted_server_keeps_running(folder):
    """A second run adopts the server while the killed first one is still being cleaned up."""
    with started(["-c", OWNER, str(folder / "postgres")]) as owner:
        owner.stdout.readline()
        with EmbeddedPostgres(folder / "postgres", durable=False, ends_with_us=True) as second:
            owner.kill()
            owner.wait()
            time.sleep(3)
            assert second.running
    until(lambda: processes_of(folder), operator.not_, limit_s=LIMIT_S)


def test_server_without_an_owner_outlives_its_starter(folder):
    program = OWNER.replace(", ends_with_us=True", "").replace("time.sleep(600)", "")
    with started(["-c", program, str(folder / "postgres")]) as starter:
        starter.communicate()
    server = EmbeddedPostgres(folder / "postgres")
    assert server.running
    server.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_store_benchmark_leaves_no_server(folder, number):
    arguments = ["-m", "benchmarks.store", "--rounds", "100000"]
    paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "layers/core")))
    with started(arguments, TMPDIR=str(folder), PYTHONPATH=paths) as benchmark:
        servers = list[Path]()

        def is_up():
            servers[:] = [
                path.parent for path in folder.glob("bench-store-*/postgres/cluster/postmaster.pid")
            ]
            return bool(servers) or benchmark.poll() is not None

        until(is_up, limit_s=LIMIT_S)
        assert benchmark.poll() is None, benchmark.stdout.read()
        benchmark.send_signal(number)
    until(lambda: processes_of(folder), operator.not_, limit_s=LIMIT_S)
    if number != signal.SIGKILL:
        assert not list(folder.iterdir())


def test_processes_of_a_benchmark_end_with_it(folder):
    program = """
import pathlib, sys, time
from benchmarks import services
with services.running(pathlib.Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(600)
"""
    paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "layers/core")))
    data_dir = str(folder / "data")
    with started(["-c", program, data_dir], PYTHONPATH=paths) as benchmark:
        assert benchmark.stdout.readline() == "up\n"
        assert len(processes_of(folder)) > 3
        benchmark.kill()
    until(lambda: processes_of(folder), operator.not_, limit_s=LIMIT_S)
