"""The code of a function on disk: its import paths, and changes to it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local.template.resources import Function, Template

# Reading the folders costs milliseconds: a call after a pause does so, and under load one a second.
_PAUSE_S = 0.05
_SCAN_INTERVAL_S = 1.0


def import_paths(function: Function, template: Template, links: Path) -> list[Path]:
    """Return folders for ``sys.path``, in Lambda's order: the function's own, then its layers.

    A layer of requirements has no folder: this Python has its packages. A layer that *is*
    a package (``migrations``) appears under its name in a folder of links, as in ``/opt/python``,
    so that its neighbours in the repository are not importable.
    """
    paths = [function.code]
    for logical_id in function.layers:
        content = template.layers[logical_id].content
        if any(content.glob("*.py")):
            paths.append(_link_package(content, links / logical_id))
        elif any(content.glob("*/*.py")):
            paths.append(content)
    return paths


def _link_package(package: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / package.name
    if not link.is_symlink() or link.resolve() != package:
        link.unlink(missing_ok=True)
        link.symlink_to(package, target_is_directory=True)
    return folder


class Code:
    """The source files below *folders*; :meth:`generation` rises with every change to them."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = list(folders)
        self._files = dict(self._scan())
        self._generation = 0
        self._scanned_at = self._asked_at = time.monotonic()

    def generation(self) -> int:
        """Return the number of observed changes; scan the files unless calls follow each other and
        that was done within the last second."""
        now = time.monotonic()
        is_after_pause, self._asked_at = now - self._asked_at >= _PAUSE_S, now
        if is_after_pause or now - self._scanned_at >= _SCAN_INTERVAL_S:
            files = dict(self._scan())
            if files != self._files:
                _delete_bytecode(
                    path for path, seen in files.items() if seen != self._files.get(path)
                )
                self._files = files
                self._generation += 1
            self._scanned_at = time.monotonic()
        return self._generation

    def _scan(self) -> Iterator[tuple[str, tuple[int, int]]]:
        folders = [str(folder) for folder in self._folders]
        while folders:
            with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        if entry.name != "__pycache__":
                            folders.append(entry.path)
                    elif not entry.name.endswith((".pyc", ".swp", "~")):
                        stat = entry.stat()
                        yield entry.path, (stat.st_mtime_ns, stat.st_size)


def _delete_bytecode(sources: Iterable[str]) -> None:
    """Delete bytecode, which Python trusts if size and *second* of the source are equal."""
    for source in sources:
        if source.endswith(".py"):
            Path(importlib.util.cache_from_source(source)).unlink(missing_ok=True)
