"""``python -m local run|services``: the cloud on a laptop. See ``--help`` of each."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from local import cloud
from local.disk import is_full, message
from local.postgres.server import PostgresError
from local.sandbox.eras import eras
from local.services import ServiceError
from local.settings import SettingsError, read
from local.template.cloudformation import TemplateError
from local.terminal import Formatter, printable

_ERAS = "\n                 ".join(f"{era.name}: {era.summary}" for era in eras().values())
SETTINGS = f"""
settings (the environment, else .env, else the default in brackets):
  PORT           the port of the API (4000)
  DATA_DIR       the folder of durable state (.data)
  DATABASE_URL   another Postgres than the embedded one
  HH_API_URL     another hh.ru than the sandbox, the real one included
  HH_OAUTH_URL   the address of its OAuth pages, such as https://hh.ru/oauth
  HH_REDIRECT_URI      the address that it redirects people to (http://localhost:PORT/dev/connect)
  ERA            the era of the sandbox: which of hh.ru's methods answer (2025)
                 {_ERAS}
  SANDBOX_AUTO_LOGIN   the person of the sandbox who consents without a form (none)
  DEMO_PERSON          the person whom the demo user is connected to (anna), or off
  THROTTLES            on or off: whether the template's throttles apply (on)
  CONCURRENCY          processes of each function, instead of what the template reserves
  LOGS                 which log lines of functions the terminal shows: problems or all (problems)
and every variable that template.yaml declares for a function.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 1, with a message, for a failure."""
    options = _parser().parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    settings = None
    try:
        settings = read({**os.environ, **({"ERA": options.era} if options.era else {})})
        if options.command == "run":
            asyncio.run(cloud.run(settings))
        else:
            asyncio.run(cloud.serve_services(settings, options.container_host))
    except (SettingsError, TemplateError, ServiceError, PostgresError, OSError) as error:
        full = settings is not None and is_full(settings.data_dir)
        if isinstance(error, OSError) and not full:
            raise
        text = message(settings.data_dir) if settings is not None and full else str(error)
        print(printable(text), file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    form = argparse.RawDescriptionHelpFormatter
    run = commands.add_parser(
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
        help="this machine's address for containers (172.17.0.1 where Docker has it, as on Linux;"
        " host.docker.internal for Docker Desktop)",
    )
    for command in (run, services):
        command.add_argument(
            "--era", choices=tuple(eras()), help="the era of the sandbox, in place of ERA"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
