"""The commands of ``make db-…``, run as real processes in a clean checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from local.postgres.server import EmbeddedPostgres
from migrations.upgrade import current
from tests.fixtures.revisions import ALL, HEAD, NEXT

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """Only the code, without ``.env`` and data: a new migration here affects no other test."""
    for folder in ("local", "migrations", "layers/core"):
        for source in REPOSITORY.joinpath(folder).rglob("*"):
            if source.suffix in (".py", ".mako"):
                target = tmp_path / source.relative_to(REPOSITORY)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
    return tmp_path


@pytest.fixture
def run(checkout):
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"DATABASE_URL", "DATA_DIR", "PYTHONPATH"}
        return subprocess.run(
            [sys.executable, "-m", "local.database", *arguments],
            cwd=checkout,
            env={name: os.environ[name] for name in os.environ.keys() - own}
            | {"DEMO_PERSON": "off"}  # connecting a person needs the whole code
            | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def test_commands_start_and_stop_the_embedded_server(run, checkout):
    done = run("migrate")
    assert f"the embedded database: nothing → {HEAD}" in done.stdout, done.stderr
    server = EmbeddedPostgres(checkout / ".data" / "postgres")
    assert not server.running
    with server:
        assert "seeded, 1 new rows" in run("seed").stdout
        assert server.running, "it was running before, so it stays"
        assert f"{HEAD} → {ALL[-2]}" in run("rollback").stdout
        assert "emptied" in run("reset").stdout
        assert current(server.url) == HEAD


def test_environment_precedes_dotenv_and_embedded_server(run, checkout, database_url):
    (checkout / ".env").write_text("DATABASE_URL=postgresql://nobody@127.0.0.1:1/none\n")
    assert f"it is at {HEAD}" in run("migrate", DATABASE_URL=database_url).stdout
    failed = run("migrate")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "cannot be reached" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (checkout / ".data" / "postgres").exists()


PASSWORD = "pa%ss/w0rd-of-a-test"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://core:{PASSWORD}@127.0.0.1:9/jobs",
        f"postgresql+psycopg://core:{PASSWORD.replace('/', '%2F')}@127.0.0.1:9/jobs",
        f"postgresql://core:{PASSWORD}@[127.0.0.1:9/jobs",
        f"host=127.0.0.1 port=9 password={PASSWORD} dbname=jobs nonsense",
        f"host=127.0.0.1 port=none password={PASSWORD}",
        f"mysql://core:{PASSWORD}@127.0.0.1:9/jobs",
    ],
)
@pytest.mark.parametrize("command", [["migrate"], ["rollback"], ["seed"]])
def test_password_of_address_is_never_printed(run, address, command):
    failed = run(*command, DATABASE_URL=address)
    assert failed.returncode == 1
    output = failed.stdout + failed.stderr
    assert "Traceback" not in output
    for spelling in (PASSWORD, "w0rd", PASSWORD.replace("%", "%25")):
        assert spelling not in output
    assert "address of the database" in output or "cannot be" in output


def test_address_with_driver_in_scheme_is_accepted(run, database_url):
    done = run(
        "migrate", DATABASE_URL=database_url.replace("postgresql://", "postgresql+psycopg://")
    )
    assert f"it is at {HEAD}" in done.stdout, done


def test_rollback_refuses_data_loss_until_confirmed(run, database_url):
    run("seed", DATABASE_URL=database_url)
    refused = run("rollback", "base", DATABASE_URL=database_url)
    assert refused.returncode == 1
    assert "would lose all of users" in refused.stderr
    assert "→ nothing" in run("rollback", "--drop-data", "base", DATABASE_URL=database_url).stdout
    assert "nothing to roll back" in run("rollback", DATABASE_URL=database_url).stdout


def test_reset_of_other_database_requires_force(run, database_url):
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE sessions (user_id uuid REFERENCES users)")
    refused = run("reset", DATABASE_URL=database_url)
    assert refused.returncode == 1
    assert "make db-reset FORCE=1" in refused.stderr
    done = run("reset", DATABASE_URL=database_url, FORCE="1")
    assert "emptied" in done.stdout
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('sessions')").fetchone() == (None,)
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)


def test_new_migration_is_numbered_and_runs(run, checkout, empty_database_url):
    assert f"migrations/versions/{NEXT}_notes_on_jobs.py" in run("new", "Notes on jobs").stdout
    migration = checkout / "migrations" / "versions" / f"{NEXT}_notes_on_jobs.py"
    assert migration.read_text().startswith('"""Notes on jobs.\n')
    assert f"nothing → {NEXT}" in run("migrate", DATABASE_URL=empty_database_url).stdout
    assert f"{NEXT} → {HEAD}" in run("rollback", DATABASE_URL=empty_database_url).stdout
