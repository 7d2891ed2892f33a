"""Committed migrations never change, and the code knows the newest one."""

import pytest
from alembic.script import ScriptDirectory

from migrations import checksums, upgrade
from tests.fixtures.revisions import ALL, HEAD
from ullgetthejob.platform import schema

COMMAND = "run make db-checksums, and commit what it writes"


def test_committed_migration_is_unchanged():
    assert checksums.find_changed() == []


def test_every_migration_has_a_checksum():
    assert set(checksums.compute()) == set(checksums.read()), COMMAND


def test_code_needs_the_newest_revision():
    assert schema.REVISION == HEAD, COMMAND


def test_revisions_are_numbers_in_one_line():
    """So that the functions can compare them without Alembic."""
    scripts = ScriptDirectory.from_config(upgrade.configuration())
    listed = [script.revision for script in scripts.walk_revisions()]
    assert listed == list(reversed(ALL))
    assert all(len(revision) == 4 and revision.isdigit() for revision in listed)


def test_changed_migration_is_found_and_refused(tmp_path, monkeypatch, capsys):
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "0001_first.py").write_text("first")
    schema_file = tmp_path / "schema.py"
    schema_file.write_text('REVISION = "0000"  # kept\n')
    monkeypatch.setattr(checksums, "FOLDER", tmp_path)
    monkeypatch.setattr(checksums, "FILE", tmp_path / "checksums.txt")
    monkeypatch.setattr(checksums, "SCHEMA", schema_file)
    checksums.main()
    assert schema_file.read_text() == 'REVISION = "0001"  # kept\n'
    (versions / "0002_second.py").write_text("second")
    assert checksums.find_changed() == []
    (versions / "0001_first.py").write_text("edited")
    assert checksums.find_changed() == ["0001_first.py"]
    with pytest.raises(SystemExit, match="write another migration"):
        checksums.main()
    assert "0002" not in (tmp_path / "checksums.txt").read_text()
