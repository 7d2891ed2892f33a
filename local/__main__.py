"""``python -m local run|services``: the cloud on a laptop. See ``--help`` of each."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from local import cloud
from local.disk import is_full, message
from local.postgres.server import PostgresError
from local.services import ServiceError
from local.settings import SettingsError, read
from local.template.cloudformation import TemplateError
from local.terminal import Formatter, printable

SETTINGS = """
settings (the environment, else .env, else as said here):
  PORT           of the API (4000)
  DATA_DIR       what is kept from one start to the next (.data)
  DATABASE_URL   another Postgres than the embedded one
  HH_API_URL     another hh.ru than the sandbox, the real one included
  HH_OAUTH_URL   where that one has its OAuth pages, such as https://hh.ru/oauth
  HH_REDIRECT_URI      where it sends people back to (http://localhost:PORT/dev/connect)
  SANDBOX_AUTO_LOGIN   who of the sandbox's people consents at once (nobody)
  DEMO_PERSON          as whom the demo user is connected (anna); off: as nobody
  THROTTLES            off: more requests than the template's throttles let through (on)
  LOGS                 what the terminal shows of the functions' logs: problems or all (problems)
and every variable that template.yaml declares for a function.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a failure is a message and exit status 1."""
    options = _parser().parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    settings = None
    try:
        settings = read()
        if options.command == "run":
            asyncio.run(cloud.run(settings))
        else:
            asyncio.run(cloud.serve_services(settings, options.container_host))
    except (SettingsError, TemplateError, ServiceError, PostgresError, OSError) as error:
        full = settings is not None and is_full(settings.data_dir)
        if isinstance(error, OSError) and not full:
            raise
        said = message(settings.data_dir) if settings is not None and full else str(error)
        print(printable(said), file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    form = argparse.RawDescriptionHelpFormatter
    commands.add_parser(
        "run",
        formatter_class=form,
        help="the whole system on http://localhost:4000",
        description="Serve the whole system: API, functions, Postgres, AWS and hh.ru's sandbox.",
        epilog=SETTINGS,
    )
    services = commands.add_parser(
        "services",
        formatter_class=form,
        help="Postgres, AWS and hh.ru's sandbox alone, for sam local",
        description="Serve Postgres, AWS and hh.ru's sandbox, and write the --env-vars file.",
        epilog=SETTINGS,
    )
    services.add_argument(
        "--container-host",
        metavar="HOST",
        help="how a container reaches this machine (172.17.0.1 where Docker has it, as on Linux;"
        " host.docker.internal for Docker Desktop)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
