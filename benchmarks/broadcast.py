"""A message to 1,000 connections: Core's sockets beside boto3 with 32 threads.

``make bench-broadcast``. Both post 4 KB to each of 1,000 connections of an API that takes 15 ms for
a post, over TLS with a certificate that is verified: a server in a process of its own. Each sender
has a process of its own, too, keeps its connections from round to round (the first one warms up and
is dropped), and takes turns with the other within each round. What the server got is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import services

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[1]
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "a session token " * 20,  # as functions have one
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'layers' / 'core'}",
}
MESSAGE = b"x" * 4096
CONNECTIONS = 1000
THREADS = 32
LATENCY_S = 0.015
SENDERS = ("core", "boto3")
RATIO_TARGET = 3.0


def main() -> None:
    """The command line."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
    elif options.work:
        work(*options.work)
    else:
        sys.exit(0 if report(measure(options.rounds)) else 1)


def measure(rounds: int) -> dict[str, list[dict[str, float]]]:
    """What each round of each sender took."""
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in SENDERS}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        certify(Path(folder))
        server = stack.enter_context(process("--serve", folder))
        endpoint = f"https://localhost:{server.read()['port']}/ws"
        environment = {"SSL_CERT_FILE": f"{folder}/certificate.pem"}
        environment["AWS_CA_BUNDLE"] = environment["SSL_CERT_FILE"]
        senders = {
            name: stack.enter_context(process("--work", name, endpoint, **environment))
            for name in SENDERS
        }
        for number in range(rounds + 1):
            for name in reversed(SENDERS) if number % 2 else SENDERS:
                figure = senders[name].ask()
                got = server.ask()["got"]
                assert got == CONNECTIONS, f"{name} sent {got} messages"
                if number:
                    figures[name].append(figure)
            print(f"\rround {number}/{rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return figures


def report(figures: dict[str, list[dict[str, float]]]) -> bool:
    """Print the table; whether Core's sockets meet the target."""
    medians = {
        name: {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        for name, rounds in figures.items()
    }
    print(f"{'':24} {'core':>9} {'boto3':>9} {'ratio':>7}")
    for measured in medians["core"]:
        core, boto3 = (medians[name][measured] for name in SENDERS)
        print(f"{measured:24} {core:9.1f} {boto3:9.1f} {core / boto3:7.2f}")
    rates = "messages a second"
    ratio = medians["core"][rates] / medians["boto3"][rates]
    by_round = [
        core[rates] / boto3[rates]
        for core, boto3 in zip(figures["core"], figures["boto3"], strict=True)
    ]
    met = ratio >= RATIO_TARGET
    print(
        f"core: {ratio:.2f} x the messages a second of boto3 with {THREADS} threads "
        f"(rounds {min(by_round):.2f} to {max(by_round):.2f}; target {RATIO_TARGET:.2f}): "
        f"{'met' if met else 'MISSED'}"
    )
    return met


# ── processes ────────────────────────────────────────────────────────────────────────────────────


class Process:
    """A process that answers each line with a line of JSON."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running

    def ask(self) -> dict[str, Any]:
        """Let it do its work once; what came of it."""
        assert self._running.stdin is not None
        self._running.stdin.write("\n")
        self._running.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        """What it says."""
        assert self._running.stdout is not None
        answer: dict[str, Any] = json.loads(self._running.stdout.readline())
        return answer


@contextlib.contextmanager
def process(*arguments: str, **environment: str) -> Iterator[Process]:
    """This file in another role."""
    running = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.broadcast", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **VARIABLES, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Process(running)
    finally:
        running.kill()
        running.communicate()


def work(name: str, endpoint: str) -> None:
    """A sender: one round a line of its input."""
    send = {"core": core_sender, "boto3": boto3_sender}[name](endpoint)
    ids = [f"L0SM9cOFvHcCI{number:02x}=" for number in range(CONNECTIONS)]
    for _ in sys.stdin:
        spent, began = _cpu_s(), time.perf_counter()
        send(ids)
        seconds, spent = time.perf_counter() - began, _cpu_s() - spent
        figures = {
            "messages a second": CONNECTIONS / seconds,
            "all of them, ms": seconds * 1000,
            "CPU a message, us": spent / CONNECTIONS * 1e6,
        }
        print(json.dumps(figures), flush=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def core_sender(endpoint: str) -> Any:
    """What the broadcaster posts with."""
    from ullgetthejob.realtime import sockets

    def send(ids: list[str]) -> None:
        async def posted() -> None:
            here = sockets.client_for(endpoint)
            await asyncio.gather(*(here.post(id, MESSAGE) for id in ids))

        sockets.run(posted())

    return send


def boto3_sender(endpoint: str) -> Any:
    """The SDK, as one would use it."""
    from concurrent.futures import ThreadPoolExecutor

    import boto3
    from botocore.config import Config

    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=endpoint,
        config=Config(max_pool_connections=THREADS),
    )
    pool = ThreadPoolExecutor(THREADS)

    def send(ids: list[str]) -> None:
        list(pool.map(lambda id: client.post_to_connection(ConnectionId=id, Data=MESSAGE), ids))

    return send


# ── the server ───────────────────────────────────────────────────────────────────────────────────


async def serve(folder: Path) -> None:
    """Answer every request after a while; tell how many there were since it was asked last."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    server = await asyncio.get_running_loop().create_server(
        _Connection, "localhost", 0, ssl=context, backlog=1024
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        got, _Connection.got = _Connection.got, 0
        print(json.dumps({"got": got}), flush=True)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as far as posts of a known length go: it must cost less than any sender."""

    got = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._waiting = b""

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        head, found, rest = self._waiting.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if b"100-continue" in head.lower() and not rest:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(rest) >= length:
            assert rest == MESSAGE, "what is that?"
            self._waiting = b""
            asyncio.get_running_loop().call_later(LATENCY_S, self._answer)

    def _answer(self) -> None:
        _Connection.got += 1
        self._write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(data)


def certify(folder: Path) -> None:
    """A certificate of localhost's that signs itself, and its key."""
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
    main()
