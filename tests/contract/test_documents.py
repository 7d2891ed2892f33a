"""README and the documents name only files, folders and modules that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers" / "core" / "ullgetthejob"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A path with a folder and a file's ending, or a folder with its slash; no part of a URL or a route.
FILE = re.compile(r"(?<![\w/.{*$-])[\w.-]+(?:/[\w.-]+)*\.(?:py|md|ya?ml|toml|json|sql|sh|txt)\b")
FOLDER = re.compile(r"`([\w.-]+(?:/[\w.-]+)*/)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
MODULE = re.compile(r"\bullgetthejob(?:\.[a-z_]+)+")
# Written when the system runs, or by the operator.
MADE_LATER = re.compile(r"^(?:\.data|\.aws-sam|tmp)/|^parameters-\w+\.yaml$")

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def exists(name: str, document: Path) -> bool:
    """Return whether *name* is a path in the repository, beside *document* or in the package."""
    return any((folder / name).exists() for folder in (ROOT, document.parent, PACKAGE))


@every_document
def test_file_named_in_document_exists(document: Path) -> None:
    text = document.read_text()
    names = {name for name in FILE.findall(text) if "/" in name or name.endswith(".py")}
    names |= set(FOLDER.findall(text)) | set(LINK.findall(text))
    missing = {name for name in names if not MADE_LATER.match(name) and not exists(name, document)}
    assert missing == set()


@every_document
def test_module_named_in_document_exists(document: Path) -> None:
    for name in MODULE.findall(document.read_text()):
        path = ROOT / "layers" / "core" / Path(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_readme_names_every_room_of_the_package() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    named = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert rooms <= named


def test_file_check_finds_names() -> None:
    """The pattern still matches the forms in which documents name files."""
    text = "`a/b.py`, [x](docs/c.md), `https://x.org/d.json`, `GET /e/f.py`, `g.py`"
    assert FILE.findall(text) == ["a/b.py", "docs/c.md", "g.py"]


@pytest.mark.parametrize("message", ["a periodic step failed", "unexpected error", "work failed"])
def test_log_message_named_in_runbooks_is_written(message: str) -> None:
    named = (ROOT / "docs" / "runbooks.md").read_text()
    named += (ROOT / "monitoring" / "alarms.yaml").read_text()
    assert message in named
    sources = PACKAGE.rglob("*.py")
    assert any(f'"{message}"' in source.read_text() for source in sources)
