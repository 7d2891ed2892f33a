"""``python -m local``: starts, serves, ends without traces, and survives SIGKILL."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from local.settings import REPOSITORY
from tests.fixtures.ports import free_port

START_LIMIT_S = 60
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LOCAL_VARIABLES = (
    *("PORT", "DATABASE_URL", "HH_API_URL", "HH_OAUTH_URL", "HH_REDIRECT_URI"),
    *("SANDBOX_AUTO_LOGIN", "AWS_ENDPOINT_URL", "ERA"),
)


class Run:
    """A running ``python -m local <command>``."""

    def __init__(self, data_dir, *command, **environment):
        self.data_dir = data_dir
        self.output = data_dir.with_suffix(".out")
        kept = {k: v for k, v in os.environ.items() if k not in LOCAL_VARIABLES}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local", *command],
                cwd=REPOSITORY,
                env={**kept, "DATA_DIR": str(data_dir), "DEMO_PERSON": "off", **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def printed(self):
        return self.output.read_text()

    def wait_for_text(self, text):
        deadline = time.monotonic() + START_LIMIT_S
        while text not in self.printed:
            assert self.process.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.05)

    def end(self, number):
        """Send a signal to the supervisor alone; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)

    def others(self):
        """Return command lines that name this data folder, without Postgres and this process."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            line = " ".join(process.info["cmdline"] or [])
            alive = process.info["status"] != psutil.STATUS_ZOMBIE
            if alive and str(self.data_dir) in line:
                found.append(line)
        return found

    def assert_nothing_is_left(self):
        deadline = time.monotonic() + 20  # Postgres's guard waits for it to have stopped
        while self.others() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.others() == []


@pytest.fixture
def start(tmp_path):
    runs = []

    def started(*command, **environment):
        runs.append(Run(tmp_path / "data", *command, **environment))
        return runs[-1]

    yield started
    for run in runs:
        if run.process.poll() is None:
            run.end(signal.SIGKILL)
    from local.postgres.server import EmbeddedPostgres

    if (tmp_path / "data" / "postgres").exists():
        EmbeddedPostgres(tmp_path / "data" / "postgres").stop()


def search(run):
    """Run the printed example, as a person would paste it."""
    line = run.printed[run.printed.index("  curl ") : run.printed.index("\nCtrl-C stops")]
    answer = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    return json.loads(answer.stdout)


def test_local_cloud_serves_search_and_survives_sigkill(start):
    port = str(free_port())
    run = start("run", PORT=port)
    run.wait_for_text("Ctrl-C stops everything")
    # aws, the sandbox and Postgres's guard: no function runs before it is called
    assert len(run.others()) == 3
    first = search(run)
    assert first["jobs"]
    job = first["jobs"][0]["id"]
    assert len(run.others()) == 4

    run.end(signal.SIGKILL)
    run.assert_nothing_is_left()

    begun = time.monotonic()
    again = start("run", PORT=port)
    again.wait_for_text("Ctrl-C stops everything")
    assert search(again)["jobs"]
    assert time.monotonic() - begun < 100
    secret = json.loads((again.data_dir / "secrets.json").read_text())["ORCHESTRATOR_SECRET"]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/jobs/{job}")
    request.add_header("X-Core-Secret", secret)
    with DIRECT.open(request) as response:
        assert json.load(response)["job"]["id"] == job

    # Node looks for localhost at ::1 first.
    with DIRECT.open(f"http://[::1]:{port}/api/v1/system/health") as response:
        assert response.status == 200

    secrets = json.loads((again.data_dir / "secrets.json").read_text()).values()
    logs = "".join(path.read_text() for path in (again.data_dir / "logs").iterdir())
    logs += run.printed + again.printed
    assert "REPORT RequestId" in logs
    assert not [secret for secret in secrets if secret in logs]
    assert "postgresql://" not in logs

    assert again.end(signal.SIGINT) == 0
    again.assert_nothing_is_left()
    assert "Traceback" not in run.printed + again.printed
    with socket.create_server(("127.0.0.1", int(port))):
        pass


def test_signal_during_the_start_ends_it(start):
    run = start("run", PORT=str(free_port()))
    run.wait_for_text("Starting on")
    assert run.end(signal.SIGTERM) == 0
    run.assert_nothing_is_left()
    assert "Traceback" not in run.printed


def test_taken_port_gives_a_clear_message(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = start("run", PORT=str(port))
        assert run.process.wait(START_LIMIT_S) == 1
        assert run.printed == f"Port {port} is taken. Choose another: PORT={port + 1} make run\n"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PORT": "http"}, "PORT must be a number from 1 to 65535, not 'http'"),
        ({"HH_API_URL": "https://api.hh.ru"}, "HH_USER_AGENT must be set for the real hh.ru"),
        (
            {"DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/d", "HH_API_URL": "http://[::1]:1"},
            "The database cannot be",
        ),
    ],
)
def test_unusable_setting_gives_a_clear_message(start, environment, message):
    run = start("run", **{"PORT": str(free_port()), **environment})
    assert run.process.wait(START_LIMIT_S) == 1
    assert message in run.printed
    assert "Traceback" not in run.printed
    assert "hidden" not in run.printed
    run.assert_nothing_is_left()


def test_services_alone_write_the_env_file_of_sam_local(start):
    run = start("services", "--container-host", "host.docker.internal")
    run.wait_for_text("Ready")
    path = run.data_dir / "sam-env.json"
    variables = json.loads(path.read_text())["SearchFunction"]
    assert path.stat().st_mode & 0o077 == 0
    login = json.loads(path.read_text())["OauthFunction"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/oauth", login["HH_OAUTH_URL"])  # for browsers
    assert login["HH_REDIRECT_URI"] == "http://localhost:4000/dev/connect"
    assert "@host.docker.internal:" in variables["DATABASE_URL"]
    assert variables["ORCHESTRATOR_SECRET"]
    assert not [value for value in variables.values() if value.startswith("secretsmanager:")]
    aws = variables["AWS_ENDPOINT_URL"].replace("host.docker.internal", "127.0.0.1")
    with DIRECT.open(f"{aws}/_local/health") as response:
        assert response.status == 200

    second = start("services")
    assert second.process.wait(START_LIMIT_S) == 1
    assert "is in use by another run" in second.printed

    assert run.end(signal.SIGINT) == 0
    run.assert_nothing_is_left()
