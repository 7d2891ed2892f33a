"""Run an earlier release's integration tests, with its code, on the schema of this checkout.

A deployment migrates before it changes functions, and a rollback leaves the schema: so code has to
run on the next schema, too (docs/decisions/0009-schema-first.md). The release is checked out into a
temporary worktree of git, in which the migrations are replaced by those of here: its tests'
fixtures then make the new schema. Left out are its tests of the migrations themselves.

Run it with ``make test-previous-release REVISION=… ONLY="tests/integration/test_apply.py"``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
VERSIONS = Path("migrations/versions")
ABOUT_MIGRATIONS = ("test_migrations*", "test_schema_first.py", "test_migrate_cloud.py")


def main() -> int:
    """Run the tests and return pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--revision", help="of git; default: the newest tag, else before the newest migration"
    )
    parser.add_argument("only", nargs="*", default=["tests/integration"], help="files to run")
    arguments = parser.parse_args()
    try:
        revision = arguments.revision or find_previous()
        commit = run_git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except subprocess.CalledProcessError:
        print(f"There is no commit {arguments.revision or 'before this one'}.", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="ullgetthejob-previous-"))
    folder.chmod(0o755)  # Postgres's user enters it
    checkout = folder / "release"
    run_git("worktree", "add", "--detach", "--quiet", str(checkout), commit)
    try:
        replaced = replace_migrations(checkout)
        added = ", ".join(replaced) or "none"
        print(f"Release {commit[:12]} on this schema; migrations that it does not know: {added}")
        return run_tests(checkout, arguments.only)
    finally:
        run_git("worktree", "remove", "--force", str(checkout))
        shutil.rmtree(folder, ignore_errors=True)


def find_previous() -> str:
    """Return the newest tag, else the commit before the newest migration."""
    tags = run_git("tag", "--list", "--merged", "HEAD", "--sort=-creatordate")
    if tags:
        return tags.splitlines()[0]
    newest = run_git("log", "-1", "--diff-filter=A", "--format=%H", "--", str(VERSIONS))
    return f"{newest}^"


def replace_migrations(checkout: Path) -> list[str]:
    """Put the migrations of here into *checkout*; return the names of those it did not have."""
    own = {file.name for file in (checkout / VERSIONS).glob("*.py")}
    shutil.rmtree(checkout / VERSIONS)
    shutil.copytree(
        REPOSITORY / VERSIONS, checkout / VERSIONS, ignore=shutil.ignore_patterns("__pycache__")
    )
    return sorted(file.stem for file in (checkout / VERSIONS).glob("*.py") if file.name not in own)


def run_tests(checkout: Path, only: list[str]) -> int:
    """Run pytest in *checkout*, with the packages of here."""
    python = REPOSITORY / ".venv" / "bin" / "python"
    ignored = [f"--ignore-glob=*/{name}" for name in ABOUT_MIGRATIONS]
    command = [str(python), "-m", "pytest", "-q", "-m", "not hh_api", *ignored, *only]
    return subprocess.run(command, cwd=checkout, check=False).returncode


def run_git(*arguments: str) -> str:
    """Return the output of git. Raises ``subprocess.CalledProcessError``."""
    ran = subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    return ran.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
