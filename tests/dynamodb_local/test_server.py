"""The server of this suite: it is the pinned version, and never outlives the tests."""

import signal
import subprocess
import sys

import pytest

from local.settings import REPOSITORY
from tests.dynamodb_local import package
from tests.dynamodb_local.server import is_responding
from tests.fixtures.waiting import until

START = """
import sys, time
from pathlib import Path
from tests.dynamodb_local.server import DynamoDbLocal
print(DynamoDbLocal(Path(sys.argv[1]), Path(sys.argv[2])).url, flush=True)
time.sleep(600)
"""


def test_package_other_than_the_pinned_one_is_refused(tmp_path):
    archive = tmp_path / "package.tgz"
    archive.write_bytes(b"another")
    with pytest.raises(package.PackageError, match="pinned is "):
        package.check(archive)


def test_server_ends_with_the_tests_at_a_sigkill(dynamodb_local_folder, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", START, str(dynamodb_local_folder), str(tmp_path / "log")],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        url = tests.stdout.readline().strip()
        assert is_responding(url)
        tests.send_signal(signal.SIGKILL)
    until(lambda: not is_responding(url))
