"""The allowed imports between the packages, and other rules about modules."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers" / "core" / "ullgetthejob"
BELOW = {"hh", "platform"}
# The actual graph of imports, which has no cycle.
MAY_IMPORT = {
    "platform": set(),
    "hh": {"platform"},
    "realtime": BELOW,
    "public_feed": BELOW,
    "accounts": BELOW | {"realtime"},
    "rate_limits": BELOW | {"accounts", "realtime"},
    "vacancies": BELOW | {"public_feed"},
    "fit": BELOW | {"accounts", "vacancies"},
    "letters": BELOW | {"accounts", "fit", "vacancies"},
    "filters": BELOW | {"accounts"},
    "autopilot": BELOW | {"accounts", "letters"},
    "saved_searches": BELOW
    | {"accounts", "autopilot", "filters", "fit", "public_feed", "realtime", "vacancies"},
    "applications": BELOW
    | {
        "accounts",
        "autopilot",
        "filters",
        "fit",
        "letters",
        "rate_limits",
        "realtime",
        "vacancies",
    },
    "handoff": BELOW | {"accounts", "applications", "realtime"},
    "notifications": BELOW | {"accounts", "applications", "handoff", "realtime"},
    "resume_raises": BELOW | {"accounts", "realtime"},
    "job_import": BELOW | {"accounts", "applications", "letters", "saved_searches", "vacancies"},
    "statistics": BELOW | {"accounts", "applications", "saved_searches"},
    "personal_data": BELOW | {"accounts", "applications", "rate_limits", "realtime"},
}


def imported_by(path):
    """Yield the dotted names that a file imports when it runs, also inside functions."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def python_files(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_package_imports_only_packages_below_it(package):
    for path in sorted((PACKAGE / package).rglob("*.py")):
        for name in imported_by(path):
            if name.startswith("ullgetthejob."):
                assert name.split(".")[1] in {package, *MAY_IMPORT[package]}, (
                    f"{path} imports {name}"
                )


def test_every_package_has_allowed_imports():
    packages = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert packages == set(MAY_IMPORT)


def test_allowed_imports_have_no_cycle():
    assert list(TopologicalSorter(MAY_IMPORT).static_order())


def test_only_functions_import_the_composition_root():
    """And benchmarks and tests do, which are not deployed."""
    for path in python_files("layers/core", "migrations", "local", "cli"):
        for name in imported_by(path):
            assert not name.startswith("ullgetthejob.bootstrap"), f"{path} imports {name}"


def test_composition_root_imports_no_domain_code():
    ours = [n for n in imported_by(PACKAGE / "bootstrap.py") if n.startswith("ullgetthejob.")]
    assert {name.split(".")[1] for name in ours} == BELOW


def test_domain_code_does_not_import_http():
    for path in python_files("layers/core"):
        for name in imported_by(path):
            assert path.name == "http.py" or not name.startswith("ullgetthejob.platform.http"), path


def test_deployed_code_does_not_import_local_or_tests():
    for path in python_files("layers/core", "functions", "migrations"):
        for name in imported_by(path):
            assert name.split(".")[0] not in {"cli", "local", "tests", "benchmarks"}, (
                f"{path}: {name}"
            )


def test_local_cloud_does_not_import_the_command_line():
    for path in python_files("local"):
        assert not any(name.split(".")[0] == "cli" for name in imported_by(path)), path


def test_function_is_a_short_file_of_its_own():
    for folder in sorted((ROOT / "functions").iterdir()):
        if folder.name == "__pycache__":
            continue
        files = [path for path in folder.iterdir() if path.name != "__pycache__"]
        assert [path.name for path in files] == ["app.py"]
        code = re.sub(r"settings\.require\(.*?\)\n\n", "", files[0].read_text(), flags=re.S)
        assert len(code.splitlines()) <= 65
        assert not any(name.startswith("boto") for name in imported_by(files[0]))


def test_every_function_has_fewer_than_50_lines():
    """With its signature and docstring."""
    for path in python_files("layers/core", "functions", "local", "cli"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                assert lines < 50, f"{path}:{node.lineno}: {node.name} has {lines} lines"


def test_names_of_tests_are_shorter_than_60_characters():
    for path in python_files("tests"):
        long = re.findall(r"def (test_\w{55,})", path.read_text())
        assert not long, path


def test_only_settings_read_the_environment():
    for path in python_files("layers/core", "functions"):
        if path.name != "settings.py":
            assert "os.environ" not in path.read_text(), path


def test_only_the_clock_reads_the_time():
    # The pacer spaces network packets, AWS checks the time of a signature and says when a secret
    # changed: real on purpose.
    real = {"clock.py", "pacer.py", "aws.py", "aws_credentials.py", "secrets.py"}
    for path in python_files("layers/core", "functions"):
        text = path.read_text()
        assert path.name in real or not re.search(r"datetime\.now|time\.time\b", text), path


def test_sql_never_asks_postgres_for_the_time():
    for path in python_files("layers/core"):
        for word in ("now()", "CURRENT_TIMESTAMP", "clock_timestamp"):
            assert not any(
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and word in node.value
                and "SELECT" in node.value.upper()
                for node in ast.walk(ast.parse(path.read_text()))
            ), path
