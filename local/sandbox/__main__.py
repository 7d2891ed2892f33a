"""``python -m local.sandbox``: serve the hh.ru sandbox until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import os
import signal
import stat
import sys
from pathlib import Path

from aiohttp import web

from local.request_deadlines import AppRunner
from local.sandbox.eras import DEFAULT_ERA, eras
from local.sandbox.people import people
from local.sandbox.server import create_app
from local.sandbox.state import DEFAULT_REDIRECT_URI, Settings

# Enough for a search with 3,000 Russian letters, percent-encoded.
LONGEST_LINE_BYTES = 64 * 1024
# The registered application if the environment names none.
DEMO_CLIENT_ID = "sandbox-application"
DEMO_CLIENT_SECRET = "sandbox-application-secret"  # noqa: S105 - opens the sandbox only


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.sandbox",
        description="A faithful hh.ru for development and tests.",
        epilog="HH_CLIENT_ID and HH_CLIENT_SECRET name the registered application"
        f" (default {DEMO_CLIENT_ID} / {DEMO_CLIENT_SECRET}). HH_REDIRECT_URI is --redirect-uri."
        " SANDBOX_AUTO_LOGIN=<person> consents at once instead of showing the login page."
        " The control routes and the people: GET /_sandbox/",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=4010, help="0 for a free port (%(default)s)")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(".data"),
        help="folder of clock.json and sandbox/, which survive a restart (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the generated vacancies (1)")
    parser.add_argument(
        "--vacancies",
        type=_positive,
        default=4_000,
        help="approximate number of open vacancies at any time (%(default)s)",
    )
    _add_behaviour(parser)
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="exit when standard input, a pipe, closes: a killed supervisor leaves no orphan",
    )
    return parser


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--era",
        choices=tuple(eras()),
        default=DEFAULT_ERA,
        help="which of hh.ru's methods answer (%(default)s): "
        + "; ".join(f"{era.name}: {era.summary}" for era in eras().values()),
    )
    parser.add_argument(
        "--shape",
        choices=("both", "old", "new"),
        default="both",
        help="keys of vacancies: schedule and employment (old), work_format and employment_form"
        " (new), or some of each kind as real answers have them (%(default)s)",
    )
    parser.add_argument(
        "--calls-per-second", type=_positive, default=10, help="limit per address (%(default)s)"
    )
    parser.add_argument(
        "--redirect-uri",
        default=os.environ.get("HH_REDIRECT_URI") or DEFAULT_REDIRECT_URI,
        help="the redirect address that the application registered (%(default)s)",
    )


async def _stdin_closed(stop: asyncio.Event) -> None:
    """Set *stop* when the other end of the pipe closes."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1_024):
        pass
    stop.set()


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, and print the address. Raises ``OSError`` for a taken port."""
    app = create_app(
        Settings(
            data_dir=options.data_dir,
            client_id=os.environ.get("HH_CLIENT_ID") or DEMO_CLIENT_ID,
            client_secret=os.environ.get("HH_CLIENT_SECRET") or DEMO_CLIENT_SECRET,
            seed=options.seed,
            vacancies=options.vacancies,
            era=options.era,
            shape=options.shape,
            calls_per_second=options.calls_per_second,
            redirect_uri=options.redirect_uri,
            auto_login=os.environ.get("SANDBOX_AUTO_LOGIN") or None,
        )
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Slow responses are not waited for.
    runner = AppRunner(app, access_log=None, shutdown_timeout=0.1, max_line_size=LONGEST_LINE_BYTES)
    await runner.setup()
    watch = asyncio.create_task(_stdin_closed(stop)) if options.exit_with_parent else None
    try:
        site = web.TCPSite(runner, options.host, options.port)
        await site.start()
        port = runner.addresses[0][1]
        print(f"hh.ru sandbox listens at http://{options.host}:{port}", flush=True)
        await stop.wait()
    finally:
        if watch is not None:
            watch.cancel()
        await runner.cleanup()


def main() -> None:
    """Run the sandbox; exit with a one-line message if the port is taken."""
    parser = arguments()
    options = parser.parse_args()
    auto_login = os.environ.get("SANDBOX_AUTO_LOGIN")
    if auto_login and people.find(auto_login) is None:
        known = ", ".join(person.key for person in people.all_people().values())
        parser.error(f"SANDBOX_AUTO_LOGIN: unknown person {auto_login!r}; known are {known}")
    if options.exit_with_parent:
        kind = os.fstat(sys.stdin.fileno()).st_mode
        if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
            parser.error("--exit-with-parent needs a pipe as standard input")
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(options))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(
            f"Port {options.port} is taken: another process listens on {options.host}."
            " Choose another with --port."
        )


if __name__ == "__main__":
    main()
