"""A message to 1,000 connections: Core's sender compared with boto3 in 32 threads.

``make bench-broadcast``. Both post 4 KB to each of 1,000 connections of an API that takes 15 ms per
post, over verified TLS, served by a separate process. Each sender also has its own process and
keeps its connections from round to round (the first round warms up and is dropped); the senders
alternate within each round. The server counts the messages that it receives.
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
    """Run the benchmark from the command line."""
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
    """Return the figures of each round, by sender."""
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
                figure = senders[name].run_once()
                received = server.run_once()["received"]
                assert received == CONNECTIONS, f"{name} sent {received} messages"
                if number:
                    figures[name].append(figure)
            print(f"\rround {number}/{rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return figures


def report(figures: dict[str, list[dict[str, float]]]) -> bool:
    """Print the table; return whether Core's sender meets the target."""
    medians = {
        name: {key: statistics.median(figure[key] for figure in rounds) for key in rounds[0]}
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
    """A process that responds to each line of input with a line of JSON."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running

    def run_once(self) -> dict[str, Any]:
        """Let the process do its work once, and return the result."""
        assert self._running.stdin is not None
        self._running.stdin.write("\n")
        self._running.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        """Return the next line of its output."""
        assert self._running.stdout is not None
        result: dict[str, Any] = json.loads(self._running.stdout.readline())
        return result


@contextlib.contextmanager
def process(*arguments: str, **environment: str) -> Iterator[Process]:
    """Run this file in another role, as a separate process."""
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
    """Run a sender, which sends one round per line of its input."""
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
    """Return a function that sends with the broadcaster's client."""
    from ullgetthejob.realtime import sockets

    def send(ids: list[str]) -> None:
        async def post_all() -> None:
            client = sockets.client_for(endpoint)
            posts = (client.post(connection_id, MESSAGE) for connection_id in ids)
            await asyncio.gather(*posts)

        sockets.run(post_all())

    return send


def boto3_sender(endpoint: str) -> Any:
    """Return a function that sends with the SDK in a pool of threads."""
    from concurrent.futures import ThreadPoolExecutor

    import boto3
    from botocore.config import Config

    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=endpoint,
        config=Config(max_pool_connections=THREADS),
    )
    pool = ThreadPoolExecutor(THREADS)

    def post(connection_id: str) -> None:
        client.post_to_connection(ConnectionId=connection_id, Data=MESSAGE)

    def send(ids: list[str]) -> None:
        list(pool.map(post, ids))

    return send


# ── the server ───────────────────────────────────────────────────────────────────────────────────


async def serve(folder: Path) -> None:
    """Respond to every request after the latency; report the number of requests since the last
    report for each line of input."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    server = await asyncio.get_running_loop().create_server(
        _Connection, "localhost", 0, ssl=context, backlog=1024
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        received, _Connection.received = _Connection.received, 0
        print(json.dumps({"received": received}), flush=True)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 for posts of a known length only, so that it costs less than any sender."""

    received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if b"100-continue" in head.lower() and not rest:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(rest) >= length:
            assert rest == MESSAGE, "an unexpected message"
            self._buffer = b""
            asyncio.get_running_loop().call_later(LATENCY_S, self._respond)

    def _respond(self) -> None:
        _Connection.received += 1
        self._write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

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
    main()
