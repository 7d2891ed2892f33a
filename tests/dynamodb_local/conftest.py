"""What the tests on AWS's DynamoDB Local need: Java, its jar, tables in it.

Collected only when asked for by name (``make test-dynamodb-local``): it takes Java and npm.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from local.template.reader import load
from tests.dynamodb_local import package
from tests.dynamodb_local.server import DynamoDbLocal
from ullgetthejob.platform import aws

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLDEST_JAVA = 17  # AWS: DynamoDB Local 3 needs it


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = any("dynamodb_local" in str(argument) for argument in config.invocation_params.args)
    return None if asked else True


@pytest.fixture(scope="session")
def dynamodb_local_folder() -> Path:
    """Where DynamoDB Local's jar lies; skips where it cannot run."""
    if _java() < OLDEST_JAVA:
        pytest.skip(f"DynamoDB Local needs Java {OLDEST_JAVA} or newer on PATH; install it")
    if shutil.which("npm") is None:
        pytest.skip("DynamoDB Local comes in an npm package; install npm")
    return package.folder()


def _java() -> int:
    """Java's major version; 0 without Java."""
    if shutil.which("java") is None:
        return 0
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


@pytest.fixture(scope="session")
def dynamodb_local_server(
    dynamodb_local_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DynamoDbLocal]:
    log = tmp_path_factory.mktemp("dynamodb-local") / "log"
    server = DynamoDbLocal(dynamodb_local_folder, log)
    yield server
    server.stop()


@pytest.fixture
def dynamodb_local(
    dynamodb_local_server: DynamoDbLocal,
    dynamodb_tables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """The tables of template.yaml, empty, in DynamoDB Local; KMS and Secrets Manager stay local.

    The environment is that of ``dynamodb_tables``, plus AWS_ENDPOINT_URL_DYNAMODB. It is set in
    ``os.environ``: processes that a test starts inherit it, and nothing must be passed to them (see
    :func:`tests.dynamodb_local.parallel.at_once`). Its value is that of ``dynamodb_tables``: the
    variables that name a table or a key, such as ``{"LEASE_TABLE": …, "TOKEN_KEY_ID": …}``.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local_server.url)
    aws.reset_connections()
    for name in aws.call("dynamodb", "ListTables", {})["TableNames"]:
        aws.call("dynamodb", "DeleteTable", {"TableName": name})
    for table in load().tables.values():
        aws.call("dynamodb", "CreateTable", table.create_arguments())
    return dynamodb_tables
