"""The dashboard's view of a local run, put together from what ``make run`` has started."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from local.clock import LocalClock
from local.dashboard.system import System
from local.dashboard.trail import Trail
from local.dev_connect.core import Core

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.event_sources.service import EventSources
    from local.functions.service import LambdaService
    from local.services import Services
    from local.template.resources import Template


def describe(
    template: Template,
    functions: LambdaService,
    sources: EventSources,
    services: Services,
    environments: Mapping[str, Mapping[str, str]],
    logs: Path,
    origin: str,
) -> System:
    """Return the system that the dashboard shows. *environments*: the variables of functions;
    *logs*: the folder of the logs; *origin*: of the API."""

    def setting(name: str, default: str) -> str:
        found = (environment.get(name) for environment in environments.values())
        return next(filter(None, found), default)

    clock = services.clock
    return System(
        template=template,
        functions=functions,
        sources=sources,
        services=services.status,
        now=LocalClock(clock).now if clock is not None else lambda: datetime.now(UTC),
        trail=Trail(logs),
        data_dir=services.settings.data_dir,
        aws=services.addresses["AWS_ENDPOINT_URL"],
        hh=None if services.settings.hh_api_url else services.addresses["HH_API_URL"],
        receivers=services.receivers,
        database_url=services.addresses["DATABASE_URL"],
        core=lambda: Core(origin, setting("ORCHESTRATOR_SECRET", "")),
        bucket=(
            int(setting("RATE_LIMIT_SUBMIT_CAPACITY", "20")),
            float(setting("RATE_LIMIT_SUBMIT_PER_HOUR", "8")),
        ),
        pace=float(setting("HH_CALLS_PER_SECOND", "3")),
    )
