"""AWS for the benchmark of the broadcast: ``@connections`` and the connection table, over TLS.

It answers each call after a fixed latency and costs less than any sender: HTTP/1.1 for requests of
a known length only. Of DynamoDB it knows ``Query`` of a partition and ``UpdateItem`` with the
lease's conditions, which it evaluates by their meaning: a lease that another sender holds, or that
is lost, fails the condition. Posts and items are counted and kept, so that the benchmark can check
that a round did all of its work.

Each line of its input is a command: ``{"items": […]}`` replaces the table's items; ``{}`` asks for
the report, ``{"posts": n, "items": […]}``, and begins to count anew.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import re
import ssl
import sys
from pathlib import Path
from typing import Any

POST_LATENCY_S = 0.015
TABLE_LATENCY_S = 0.004
SET = re.compile(r"(#?\w+) = (:\w+)")
REMOVE = re.compile(r"REMOVE ([\w, ]+)")

Item = dict[str, dict[str, Any]]


async def serve(folder: Path) -> None:
    """Serve with the certificate in *folder*; print the port, then a report for each command."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    server = await asyncio.get_running_loop().create_server(
        _Connection, "localhost", 0, ssl=context, backlog=1024
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        report = {"posts": _Connection.posts, "items": list(_Table.items.values())}
        _Connection.posts = 0
        if "items" in command:
            _Table.items = {
                (item["pk"]["S"], item["sk"]["S"]): item for item in command.pop("items")
            }
            report = {}
        print(json.dumps(report), flush=True)


class _Table:
    """The connection table."""

    items: dict[tuple[str, str], Item] = {}  # noqa: RUF012 - the server's only table

    @classmethod
    def query(cls, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = request["ExpressionAttributeValues"][":pk"]["S"]
        return 200, {"Items": [item for (pk, _), item in cls.items.items() if pk == wanted]}

    @classmethod
    def update(cls, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        item = cls.items[request["Key"]["pk"]["S"], request["Key"]["sk"]["S"]]
        values = request["ExpressionAttributeValues"]
        if ":now" in values:  # the lease is acquired
            until = int(item.get("sending_until", {"N": "0"})["N"])
            is_allowed = until <= int(values[":now"]["N"])
        else:
            is_allowed = item.get("sender") == values[":sender"]
        if not is_allowed:
            return 400, {"__type": "ConditionalCheckFailedException", "Item": item}
        expression, _, _ = request["UpdateExpression"].partition(" REMOVE ")
        item.update({name.strip("#"): values[value] for name, value in SET.findall(expression)})
        if removed := REMOVE.search(request["UpdateExpression"]):
            for name in removed[1].split(", "):
                item.pop(name, None)
        return 200, {"Attributes": item}


class _Connection(asyncio.Protocol):
    """A TCP connection of a sender."""

    posts = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        length = int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if b"100-continue" in lower and not rest:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(rest) >= length:
            self._buffer = b""
            if head.startswith(b"POST / "):
                self._later(TABLE_LATENCY_S, *self._call_table(lower, rest))
            else:
                _Connection.posts += 1
                self._later(POST_LATENCY_S, 200, None)

    @staticmethod
    def _call_table(head: bytes, body: bytes) -> tuple[int, dict[str, Any]]:
        operation = _Table.query if b".query\r\n" in head else _Table.update
        return operation(json.loads(body))

    def _later(self, latency_s: float, status: int, content: dict[str, Any] | None) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        asyncio.get_running_loop().call_later(latency_s, self._write, head + body)

    def _write(self, data: bytes) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(data)


def certify(folder: Path) -> None:
    """Write a self-signed certificate of localhost, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
