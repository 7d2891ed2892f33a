"""The archive of ``ugtj people export``: the parts that Core sends, as one."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import CommandError

if TYPE_CHECKING:
    from cli.core_api import CoreApi


def write(core: CoreApi, user_id: str, output: Path) -> dict[str, int]:
    """Write the whole export of a user to *output*, which only the owner can read; return the
    number of lines of each file.

    Raises :class:`CommandError`, also when the file exists; nothing is left of an export that
    failed.
    """
    if output.exists():
        raise CommandError(f"{output} exists", "name another file with --output")
    lines: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        manifest = _collect(core, user_id, Path(folder), lines)
        try:
            output.touch(mode=0o600, exist_ok=False)
            with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(Path(folder).iterdir()):
                    archive.write(path, path.name)
                content = {**manifest, "lines": lines, "next": None}
                archive.writestr("manifest.json", json.dumps(content, indent=2) + "\n")
        except OSError as error:
            step = "name another file with --output"
            raise CommandError(f"{output} cannot be written: {error.strerror}", step) from None
    return dict(lines)


def _collect(core: CoreApi, user_id: str, folder: Path, lines: Counter[str]) -> dict[str, Any]:
    """Append the files of each part to those in *folder*; return the manifest of the first."""
    first: dict[str, Any] = {}
    cursor = None
    while True:
        content = core.download(f"/api/accounts/{user_id}/export", cursor=cursor)
        with zipfile.ZipFile(io.BytesIO(content)) as part:
            manifest = json.loads(part.read("manifest.json"))
            for name in manifest["lines"]:
                with (folder / f"{Path(name).name}.jsonl").open("ab") as file:
                    file.write(part.read(f"{name}.jsonl"))
        lines.update(manifest["lines"])
        first = first or manifest
        cursor = manifest["next"]
        if cursor is None:
            return first
