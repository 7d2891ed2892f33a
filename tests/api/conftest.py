"""The API with its database, its AWS and hh.ru's sandbox, for all of these tests together."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import schemathesis

from local.clock import FILE_NAME, LocalClock
from tests.api import documents, world
from tests.fixtures import bff
from tests.fixtures.aws import use_local_aws
from tests.fixtures.core import reset_environment
from tests.fixtures.database import create_database, drop_database
from tests.fixtures.hh_sandbox import REDIRECT_URI, USER_AGENT
from tests.fixtures.ports import free_port
from ullgetthejob.platform import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import BaseSchema

    from tests.api.world import World
    from tests.fixtures.aws import LocalAws
    from tests.fixtures.hh_sandbox import HhSandbox

REPORT = pytest.StashKey[dict[str, Any]]()


@pytest.fixture(scope="session")
def api_world(
    local_aws: LocalAws,
    postgres_url: str,
    _migrated_template: str,
    hh_sandbox_process: HhSandbox,
    pytestconfig: pytest.Config,
) -> Iterator[World]:
    """Return the people whom the requests meet: see :class:`World`."""
    name = f"test_{uuid4().hex}"
    receiver = bff.Bff(free_port())
    hh_sandbox_process.reset()
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        url = create_database(postgres_url, name, _migrated_template)
        stack.callback(drop_database, postgres_url, name)
        server = receiver.serve()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        use_local_aws(local_aws, environment)
        for variable, value in {
            "DATABASE_URL": url,
            "ORCHESTRATOR_SECRET": bff.SECRET,
            "ADMIN_SECRET": world.ADMIN_SECRET,
            "SECRET_KEY_BASE": "a secret key base of tests, long enough",
            "TELEGRAM_WEBHOOK_SECRET": world.TELEGRAM_SECRET,
            "TELEGRAM_BOT_TOKEN": "1:token-of-a-bot",
            "TELEGRAM_BOT_NAME": "a_bot",
            "TELEGRAM_API_URL": f"http://127.0.0.1:{free_port()}",  # does not answer: 503
            "HH_API_URL": hh_sandbox_process.url,
            "HH_OAUTH_URL": f"{hh_sandbox_process.url}/oauth",
            "HH_REDIRECT_URI": REDIRECT_URI,
            "HH_CLIENT_ID": hh_sandbox_process.client_id,
            "HH_CLIENT_SECRET": hh_sandbox_process.client_secret,
            "HH_USER_AGENT": USER_AGENT,
            "HH_CALLS_PER_SECOND": "1000",
            "API_BASE_URL": receiver.url,
            "WEBSOCKET_URL": "ws://127.0.0.1/ws",
        }.items():
            environment.setenv(variable, value)
        reset_environment()
        stack.callback(reset_environment)
        clock.install(LocalClock(hh_sandbox_process.data_dir / FILE_NAME).now)
        stack.callback(clock.install, None)
        people = world.World(hh_sandbox_process)
        people.fill()
        pytestconfig.stash[REPORT] = people.answers
        yield people


@pytest.fixture(scope="session")
def api_schema(api_world: World) -> BaseSchema:
    """Return docs/openapi.json with the ids that exist, and the API behind it."""
    config = schemathesis.Config.from_dict(
        {
            "generation": {"with-security-parameters": False},
            "phases": {"coverage": {"unexpected-methods": []}},
        }
    )
    schema = schemathesis.openapi.from_dict(
        documents.with_known_values(api_world.known), config=config
    )
    schema.app = api_world.application
    return schema


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the number of cases of each route, by status."""
    answers = config.stash.get(REPORT, {})
    if not answers:
        return
    terminalreporter.section("cases by route")
    for key, statuses in sorted(answers.items()):
        shown = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
        terminalreporter.write_line(f"{statuses.total():6} {key:45} {shown}")
    total = sum(statuses.total() for statuses in answers.values())
    terminalreporter.write_line(f"{total:6} cases of {len(answers)} routes")
