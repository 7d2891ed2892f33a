"""The checksums of the committed migrations, and the revision that the code needs (make
db-checksums).

A migration that was run somewhere must not change: a database that has run it would never get the
change. ``checksums.txt`` holds the SHA-256 of each; new migrations are added to it, and a changed
one is refused. ``ullgetthejob.platform.schema`` names the newest revision, with which the functions
compare the database's: they have no access to this folder in the cloud.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
FILE = FOLDER / "checksums.txt"
SCHEMA = FOLDER.parent / "layers" / "core" / "ullgetthejob" / "platform" / "schema.py"


def compute() -> dict[str, str]:
    """Return the checksum of each migration, by the name of its file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((FOLDER / "versions").glob("[0-9]*.py"))
    }


def read() -> dict[str, str]:
    """Return the committed checksums, by the name of the file."""
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    return {name: checksum for checksum, name in (line.split() for line in lines)}


def find_changed() -> list[str]:
    """Return the committed migrations that differ from what was committed, or are missing."""
    present = compute()
    return [name for name, checksum in read().items() if present.get(name) != checksum]


def main() -> None:
    """Add the new migrations; refuse changed ones."""
    if changed := find_changed():
        sys.exit(
            f"{', '.join(changed)}: a committed migration was changed or deleted. Databases that "
            "have run it would not follow: restore it, and write another migration."
        )
    present = compute()
    FILE.write_text("".join(f"{checksum}  {name}\n" for name, checksum in present.items()))
    newest = max(present).split("_")[0]
    text = re.sub(r'^REVISION = "\d+"', f'REVISION = "{newest}"', SCHEMA.read_text(), flags=re.M)
    SCHEMA.write_text(text)
    print(f"{len(present)} migrations; the newest is {newest}")


if __name__ == "__main__":
    main()
