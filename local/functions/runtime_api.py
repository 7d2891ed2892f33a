"""The Runtime API of functions' processes: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

Its calls name no process, so each process has a port of its own. Its clients accept only
``host:port``, so the address cannot hold a secret: instead the owner of a connection is looked up,
and only the process and its children are served.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

from local.functions.worker import PAYLOAD_LIMIT, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from local.child import Lifeline


class _Connection(asyncio.Protocol):
    """A connection to the Runtime API of *worker*. httptools calls the methods ``on_…``."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._parser = httptools.HttpRequestParser(self)
        self._calls: list[tuple[str, str, bytes, str]] = []  # method, path, body, type of the error
        self._is_own = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._is_own = self._worker.owns(transport.get_extra_info("peername")[:2])
        self._worker.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._worker.disconnected(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()
        calls, self._calls = self._calls, []
        for method, path, body, error in calls:
            self._serve(method, path, body, error)

    def on_message_begin(self) -> None:
        self._path, self._body, self._error = b"", bytearray(), b"Unhandled"

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"lambda-runtime-function-error-type":
            self._error = value

    def on_body(self, chunk: bytes) -> None:
        if len(self._body) <= PAYLOAD_LIMIT:  # the rest of a body that is too large is not kept
            self._body += chunk

    def on_message_complete(self) -> None:
        texts = (self._parser.get_method(), self._path, self._error)
        method, path, error = (text.decode("latin-1") for text in texts)
        self._calls.append((method, path, bytes(self._body), error))

    def _serve(self, method: str, path: str, body: bytes, error: str) -> None:
        if not self._is_own:
            self.refuse(403, "Forbidden", "this is another process's Runtime API")
            return
        match method, *path.split("/")[1:]:
            case "GET", "2018-06-01", "runtime", "invocation", "next":
                self._worker.next_invocation(self)
            case "POST", "2018-06-01", "runtime", "invocation", request_id, "response":
                self._worker.finish_invocation(self, request_id, body, None)
            case "POST", "2018-06-01", "runtime", "invocation", request_id, "error":
                self._worker.finish_invocation(self, request_id, body, error)
            case "POST", "2018-06-01", "runtime", "init", "error":
                self._worker.init_failed(self, body, error)
            case _:
                self.refuse(404, "NotFound", "no such operation")

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Answer the request with a JSON *body*."""
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def accept(self) -> None:
        """Answer the request with 202."""
        self.answer(202, b'{"status":"OK"}', {})

    def refuse(self, status: int, kind: str, message: str) -> None:
        """Answer the request with an error."""
        error = {"errorType": kind, "errorMessage": message}
        self.answer(status, json.dumps(error).encode(), {})

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class RuntimeApi:
    """Starts processes and serves each its Runtime API."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._workers: set[Worker] = set()

    async def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Callable[[Iterable[str]], None],
    ) -> Worker:
        """Start *command* in *folder* with *environment* and a Runtime API of its own."""
        listener = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env={**environment, "AWS_LAMBDA_RUNTIME_API": address},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=[self._lifeline.read_end],
                start_new_session=True,  # no Ctrl-C of the terminal; killpg reaches its children
            )
        except BaseException:
            listener.close()
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        worker = Worker(process, read_end, log)
        self._workers.add(worker)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(partial(_Connection, worker), sock=listener)
        worker.exited.add_done_callback(lambda _: self._remove(worker, server))
        return worker

    async def close(self) -> None:
        """Kill every process and stop serving."""
        await asyncio.gather(*(worker.kill() for worker in list(self._workers)))

    def _remove(self, worker: Worker, server: asyncio.Server) -> None:
        self._workers.remove(worker)
        server.close()
        for connection in list(worker.connections):
            connection.close()
