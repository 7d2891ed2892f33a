"""``make db-…`` as a developer runs it: real processes, exit status and words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from local.postgres import EmbeddedPostgres
from migrations.upgrade import current

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a database command in a folder of its own, where no ``.env`` of the developer's is."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("DATA_DIR", raising=False)

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "layers" / "core")))
        return subprocess.run(
            [sys.executable, "-m", "local.database", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_works_on_the_embedded_server_and_stops_it_again(run, tmp_path):
    done = run("migrate")
    assert "the embedded database: nothing → 0003" in done.stdout
    server = EmbeddedPostgres(tmp_path / ".data" / "postgres")
    assert not server.running
    with server:
        assert "seeded, 1 new rows" in run("seed").stdout
        assert server.running, "it was running before, so it stays"
        assert current(server.url) == "0003"
        assert "0003 → 0002" in run("rollback").stdout
        assert "emptied" in run("reset").stdout
        assert current(server.url) == "0003"


def test_the_environment_wins_over_dotenv(run, tmp_path, database_url):
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://nobody@127.0.0.1:1/none\n")
    assert "it is at 0003" in run("migrate", DATABASE_URL=database_url).stdout
    failed = run("migrate")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "cannot be reached" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_dotenv_wins_over_the_embedded_server(run, tmp_path, empty_database_url):
    (tmp_path / ".env").write_text(f"DATABASE_URL={empty_database_url}\n")
    done = run("migrate", "0001")
    assert "at 127.0.0.1: nothing → 0001" in done.stdout
    assert current(empty_database_url) == "0001"
    assert not (tmp_path / ".data").exists()


def test_rollback_says_what_would_be_lost_and_obeys(run, database_url):
    run("seed", DATABASE_URL=database_url)
    refused = run("rollback", "base", DATABASE_URL=database_url)
    assert refused.returncode == 1
    assert "would lose all of users" in refused.stderr
    assert "→ nothing" in run("rollback", "--drop-data", "base", DATABASE_URL=database_url).stdout
    assert "nothing to roll back" in run("rollback", DATABASE_URL=database_url).stdout


def test_reset_of_a_database_that_is_not_embedded_wants_force(run, database_url):
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


def test_a_new_migration_is_numbered_and_runs(tmp_path, empty_database_url):
    """On a copy: the file would otherwise be a revision of the project while other tests run."""
    copy = tmp_path / "copy"
    for folder in ("local", "migrations"):
        names = REPOSITORY.joinpath(folder).rglob("*.*")
        for source in names:
            if source.is_file() and source.suffix in (".py", ".mako"):
                target = copy / source.relative_to(REPOSITORY)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(source.read_text())
    environment = {**os.environ, "PYTHONPATH": str(copy), "DATABASE_URL": empty_database_url}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "local.database", *arguments],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    assert "migrations/versions/0004_notes_on_jobs.py" in run("new", "Notes on jobs")
    made = copy / "migrations" / "versions" / "0004_notes_on_jobs.py"
    assert made.read_text().startswith('"""Notes on jobs.\n')
    assert "nothing → 0004" in run("migrate")
    assert "0004 → 0003" in run("rollback")
