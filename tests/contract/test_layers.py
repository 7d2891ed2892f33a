"""``make build`` really makes layers that the functions' machine can load."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from local.template.cloudformation import read

REPOSITORY = Path(__file__).parents[2]
LAYERS = ("DependenciesLayer", "CoreLayer", "MigrationsLayer")
DEFAULT = read(REPOSITORY / "template.yaml")["Parameters"]["Architecture"]["Default"]

# Lambda's limit on a function and its layers, unpacked.
UNPACKED_LIMIT_BYTES = 250 * 1024 * 1024
# e_machine of the ELF specification: EM_AARCH64 and EM_X86_64.
ELF_MACHINE = {"arm64": 183, "x86_64": 62}
# The first four bytes of CPython 3.13's bytecode (3571 in its importlib); PEP 552's flags follow.
MAGIC_3_13 = (3571).to_bytes(2, "little") + b"\r\n"
UNCHECKED_HASH = 0b01


class Build(NamedTuple):
    """The layers that ``make build`` made, and its output."""

    machine: str
    folder: Path
    output: str

    def files(self, layer: str, pattern: str) -> list[Path]:
        return sorted((self.folder / layer).rglob(pattern))


@pytest.fixture(scope="module", params=ELF_MACHINE)
def build(request: pytest.FixtureRequest) -> Build:
    machine = request.param
    inherited = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "ARCH")}
    # Without ARCH "make build" builds for the template's own machine.
    argument = [] if machine == DEFAULT else [f"ARCH={machine}"]
    done = subprocess.run(
        ["make", "build", *argument],
        cwd=REPOSITORY,
        env=inherited,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return Build(machine, REPOSITORY / ".aws-sam" / machine / "build", done.stdout)


def python_3_13() -> bool:
    """Return whether the build can make bytecode: a working python3.13 in .venv or on PATH."""
    found = shutil.which("python3.13", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    probe = "import sys; sys.exit(sys.version_info[:2] != (3, 13))"
    return found is not None and subprocess.run([found, "-c", probe], check=False).returncode == 0


def test_libraries_are_of_the_templates_machine(build: Build) -> None:
    checked = []
    for layer in LAYERS:
        for library in [*build.files(layer, "*.so"), *build.files(layer, "*.so.*")]:
            header = library.read_bytes()[:20]
            assert header[:4] == b"\x7fELF", library
            assert struct.unpack_from("<H", header, 18) == (ELF_MACHINE[build.machine],), library
            checked.append(library.name.split(".")[0])
    assert {"_psycopg", "_pydantic_core"} <= set(checked)


def test_extensions_are_of_the_functions_python(build: Build) -> None:
    for layer in LAYERS:
        tags = [file.name.split(".")[1] for file in build.files(layer, "*.cpython-*.so")]
        assert all(tag.startswith("cpython-313-") for tag in tags), tags


def test_core_layer_is_the_package(build: Build) -> None:
    original = REPOSITORY / "layers/core"
    modules = {file.relative_to(original) for file in original.rglob("*.py")}
    root = build.folder / "CoreLayer/python"
    assert {file.relative_to(root) for file in root.rglob("*.py")} == modules
    modules.add(Path("ullgetthejob/platform/rds-certificates.pem"))  # DatabaseTlsRootCertificates
    for module in modules:
        assert (root / module).read_bytes() == (original / module).read_bytes()


def test_migrations_layer_has_alembic_and_all_versions(build: Build) -> None:
    root = build.folder / "MigrationsLayer/python"
    versions = {file.name for file in (REPOSITORY / "migrations/versions").glob("*.py")}
    assert versions
    assert {file.name for file in (root / "migrations/versions").glob("*.py")} == versions
    assert (root / "migrations/env.py").is_file()
    assert (root / "migrations/upgrade.py").is_file()
    assert (root / "alembic/__init__.py").is_file()
    assert (root / "sqlalchemy/__init__.py").is_file()


@pytest.mark.parametrize(
    ("layer", "lock"),
    [
        ("DependenciesLayer", "layers/dependencies/requirements.txt"),
        ("MigrationsLayer", "migrations/requirements.txt"),
    ],
)
def test_layer_has_exactly_the_pinned_packages(build: Build, layer: str, lock: str) -> None:
    lines = re.findall(r"^([\w.-]+)==(\S+)(.*)$", (REPOSITORY / lock).read_text(), re.MULTILINE)
    pinned = {(name.lower(), version) for name, version, rest in lines if "win32" not in rest}
    folders = [folder.stem.rpartition("-") for folder in build.files(layer, "*.dist-info")]
    held = {(name.lower().replace("_", "-"), version) for name, _, version in folders}
    assert held == {(name.replace("_", "-"), version) for name, version in pinned}


def test_layers_have_no_development_packages(build: Build) -> None:
    for layer in LAYERS:
        names = {path.name for path in build.files(layer, "*")}
        assert not names & {"tests", "testing", "bin", "Makefile", "requirements.txt", ".lock"}
        assert not [name for name in names if name.endswith(".pyi")]


def test_layers_fit_into_lambda(build: Build) -> None:
    files = [path for layer in LAYERS for path in build.files(layer, "*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < UNPACKED_LIMIT_BYTES


def test_bytecode_is_complete_or_reported_missing(build: Build) -> None:
    compiled = [path for layer in LAYERS for path in build.files(layer, "*.pyc")]
    if not python_3_13():
        assert compiled == []
        assert "carry no bytecode" in build.output
        return
    assert "carry no bytecode" not in build.output
    for layer in LAYERS:
        for module in build.files(layer, "*.py"):
            assert (module.parent / f"__pycache__/{module.stem}.cpython-313.pyc").is_file(), module
    for path in compiled:
        assert path.read_bytes()[:8] == MAGIC_3_13 + struct.pack("<I", UNCHECKED_HASH), path


def test_layers_have_no_sdk(build: Build) -> None:
    """Lambda's image has its own SDK, and no deployed code uses it."""
    packages = {path.name for path in (build.folder / "DependenciesLayer/python").iterdir()}
    assert not packages & {"boto3", "botocore"}
