"""A DynamoDB Local process for tests."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from tests.fixtures.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

START_LIMIT_S = 60
# Java cannot detect the end of its parent. This shell does: its input is a pipe without any data,
# which the kernel closes when the tests end, SIGKILL included.
ENDING_WITH_PARENT = 'exec 3<&0; "$@" & server=$!; { read _ <&3; kill -9 $server; } & wait $server'
_DIRECT = build_opener(ProxyHandler({}))  # a proxy in the environment cannot reach loopback


class DynamoDbLocal:
    """DynamoDB Local at *url*, in memory, with the jar in *folder*; it ends with this process.

    All credentials and regions share the same tables.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *("sh", "-c", ENDING_WITH_PARENT, "sh"),
                    *("java", "-Xmx256m", f"-Djava.library.path={folder}/DynamoDBLocal_lib"),
                    *("-jar", str(folder / "DynamoDBLocal.jar")),
                    *("-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)),
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not is_responding(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"DynamoDB Local does not start:\n{log.read_text()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)


def is_responding(url: str) -> bool:
    """Return whether the server responds at *url*."""
    try:
        _DIRECT.open(url, timeout=5).close()
    except HTTPError as error:  # it responds: an unsigned GET is a 400
        error.close()
    except OSError:
        return False
    return True
