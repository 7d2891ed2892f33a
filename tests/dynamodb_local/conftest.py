"""Fixtures of the tests on AWS's DynamoDB Local: Java, its jar, its tables.

Collected only when requested by name (``make test-dynamodb-local``), since it needs Java and npm.
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
    arguments = config.invocation_params.args
    is_requested = any("dynamodb_local" in str(argument) for argument in arguments)
    return None if is_requested else True


@pytest.fixture(scope="session")
def dynamodb_local_folder() -> Path:
    """Return the folder of DynamoDB Local's jar; skip the tests if it cannot run."""
    if _java() < OLDEST_JAVA:
        pytest.skip(f"DynamoDB Local needs Java {OLDEST_JAVA} or newer on PATH; install it")
    if shutil.which("npm") is None:
        pytest.skip("DynamoDB Local comes in an npm package; install npm")
    return package.folder()


def _java() -> int:
    """Return Java's major version; 0 without Java."""
    if shutil.which("java") is None:
        return 0
    ran = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(\d+)', ran.stderr)
    return int(match[1]) if match else 0


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
    """Create the empty tables of template.yaml in DynamoDB Local; KMS and Secrets Manager stay on
    the local AWS.

    The environment is that of ``dynamodb_tables``, plus AWS_ENDPOINT_URL_DYNAMODB. It is set in
    ``os.environ``, so the processes that a test starts inherit it (see
    :func:`tests.dynamodb_local.parallel.run_in_parallel`). Returns the value of
    ``dynamodb_tables``: the variables that name a table or a key, such as
    ``{"LEASE_TABLE": …, "TOKEN_KEY_ID": …}``.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local_server.url)
    aws.reset_connections()
    for name in aws.call("dynamodb", "ListTables", {})["TableNames"]:
        aws.call("dynamodb", "DeleteTable", {"TableName": name})
    for table in load().tables.values():
        aws.call("dynamodb", "CreateTable", table.create_arguments())
    return dynamodb_tables
