"""The demo user is connected by ``make run`` and by ``make db-seed``, without a person."""

import os
import shlex
import subprocess
import sys
import time

import httpx
import pytest

from migrations.seed import DEMO_USER_ID
from tests.fixtures.local_cloud import ROOT, SETTINGS, new_cloud


@pytest.fixture
def own_cloud():
    with new_cloud(DEMO_PERSON="anna") as cloud:
        yield cloud


@pytest.fixture
def database_command(own_cloud):
    def run(command, **environment):
        kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        own = {"PORT": str(own_cloud.port), "DATA_DIR": str(own_cloud.data_dir)}
        return subprocess.run(
            [sys.executable, "-m", "local.database", command],
            cwd=ROOT,
            env=kept | own | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def account(cloud):
    with cloud.client() as core:
        return core.get(f"/api/accounts/{DEMO_USER_ID}").json()


def try_the_line(said):
    """Run the command that the seed printed, and return the resumes' titles."""
    [line] = [line for line in said.splitlines() if line.startswith("  curl ")]
    command = shlex.split(line)
    authorization = command[command.index("-H") + 1].removeprefix("Authorization: ")
    answer = httpx.get(command[2], headers={"Authorization": authorization}, timeout=30)
    return {resume["title"] for resume in answer.json()["items"]}


def test_seed_without_a_run_connects_and_stops_its_services(own_cloud, database_command):
    done = database_command("seed")
    assert done.returncode == 0, done.stderr
    assert "is connected to hh.ru, as anna" in done.stdout
    assert own_cloud.processes() == []

    again = database_command("seed")
    assert "was connected to hh.ru already" in again.stdout, again.stderr

    own_cloud.start()
    assert "Python-разработчик" in try_the_line(done.stdout)


def test_seed_beside_a_run_uses_that_run(own_cloud, database_command):
    own_cloud.start()
    own_cloud.wait_until_printed("The demo user is connected, as anna")
    connected = account(own_cloud)
    assert connected["connected"]
    assert "was connected to hh.ru already" in database_command("seed").stdout

    own_cloud.sandbox("POST", "/people/anna/revoke")
    reset = database_command("reset")
    assert reset.returncode == 0, reset.stderr
    assert "is connected to hh.ru, as anna" in reset.stdout
    assert "Python-разработчик" in try_the_line(reset.stdout)


def test_disconnected_demo_user_stays_so_after_restart(own_cloud, database_command):
    jwt = database_command("seed").stdout.partition("Bearer ")[2].partition("'")[0]
    own_cloud.start()
    headers = {"Authorization": f"Bearer {jwt}"}
    httpx.delete(f"{own_cloud.url}/api/hh/connection", headers=headers, timeout=30)
    own_cloud.stop()

    own_cloud.start()
    time.sleep(3)  # as long as connecting takes
    assert not account(own_cloud)["connected"]
    assert "is connected to hh.ru, as anna" in database_command("seed").stdout


@pytest.mark.parametrize(
    ("setting", "value"),
    [("DEMO_PERSON", "off"), ("HH_API_URL", "https://hh.example"), ("DATABASE_URL", None)],
)
def test_seed_without_a_sandbox_says_why(database_command, database_url, setting, value):
    database_command("migrate", DATABASE_URL=database_url)
    done = database_command("seed", **{setting: value or database_url})
    assert done.returncode == 0, done.stderr
    assert "1 new rows" in done.stdout
    assert f"is not connected to hh.ru: {setting}" in done.stdout


def test_unknown_demo_user_gives_a_clear_message(database_command):
    done = database_command("seed", DEMO_PERSON="nobody")
    assert done.returncode == 1
    assert "The demo user is not connected to hh.ru: the sandbox does not let nobody in" in (
        done.stderr
    )
    assert "Traceback" not in done.stderr
