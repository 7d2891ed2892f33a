"""The commands ``run`` and ``services``: start all services, wait for a signal, stop them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import ipaddress
import json
import os
import platform
import shlex
import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from local import browsers
from local.child import Lifeline
from local.dashboard import local_system
from local.dashboard.server import Dashboard
from local.dev_connect import demo
from local.dev_connect.core import Core, CoreRefused
from local.dev_connect.page import ConnectPage
from local.event_sources.service import EventSources
from local.forward import forward
from local.functions.logs import Logs
from local.functions.service import LambdaService
from local.gateway.http import Gateway
from local.live import counters, display
from local.live.follow import Follower
from local.sandbox.eras import eras
from local.services import Services, say
from local.settings import Settings, SettingsError, function_environments, write_privately
from local.template.cloudformation import REGION
from local.template.reader import load
from migrations.seed import DEMO_USER_ID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

    from local.template.resources import Template

T = TypeVar("T")

ENV_VARS_FILE = "sam-env.json"
CURSOR_FILE = "live-cursor"
DOCKER_BRIDGE = "172.17.0.1"

EXAMPLE = {
    "text": "JavaScript Developer",
    "area": "1",
    "experience": "between1And3",
    "employment": "full",
    "schedule": "remote",
}


class InUse(SettingsError):
    """Another process uses the data folder; *origin*: its API's, empty until that is served."""

    def __init__(self, data_dir: Path, origin: str) -> None:
        super().__init__(
            f"{data_dir} is in use by another run. Stop it, or choose another: DATA_DIR=..."
        )
        self.origin = origin


@dataclass(frozen=True)
class Cloud:
    """The running system. *environments*: the variables of functions, by logical id."""

    origin: str
    services: Services
    environments: dict[str, dict[str, str]]
    websocket_url: str
    functions: LambdaService

    def core(self) -> Core:
        """Return a client of its API that authenticates as the BFF."""
        return Core(self.origin, _of_any(self.environments, "ORCHESTRATOR_SECRET"))


async def run(settings: Settings) -> None:
    """Serve the whole system until a signal arrives."""
    begun = time.monotonic()
    stop = _stop_on_signals()
    async with contextlib.AsyncExitStack() as stack:
        cloud = await _unless(stop, stack.enter_async_context(serving(settings)))
        if cloud is None:
            return
        _welcome(settings, cloud, time.monotonic() - begun)
        await _unless(stop, _introduce_demo_user(settings, cloud))
        displays = [asyncio.create_task(display) for display in _displays(settings, cloud)]
        await stop.wait()
        say("Stopping ...")
        for task in displays:
            task.cancel()
        await asyncio.gather(*displays, return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Cloud]:
    """Serve the whole system while the context is open.

    Raises :class:`SettingsError`, such as :class:`InUse`, and the errors of :meth:`Services.start`.
    """
    template = load() if settings.throttled else load().without_throttles()
    if settings.concurrency is not None:
        template = template.with_concurrency(settings.concurrency)
    with _exclusive(settings.data_dir) as publish_origin, contextlib.ExitStack() as sockets:
        listeners = [sockets.enter_context(listener) for listener in _listen(settings.port)]
        say(f"Starting on {settings.data_dir}")
        logs, lifeline = Logs(settings.data_dir / "logs", echo=settings.echo), Lifeline()
        services = Services(settings, logs, lifeline)
        try:
            await services.start()
            async with _serving_core(
                settings, template, services, logs, lifeline, listeners
            ) as cloud:
                publish_origin(cloud.origin)
                yield cloud
        finally:
            await services.stop()
            lifeline.close()


@contextlib.asynccontextmanager
async def _serving_core(
    settings: Settings,
    template: Template,
    services: Services,
    logs: Logs,
    lifeline: Lifeline,
    listeners: list[socket.socket],
) -> AsyncIterator[Cloud]:
    """Serve the functions of *template* on *listeners*, in front of started *services*."""
    addresses = _addresses(settings, template, services)
    environments = function_environments(template, settings, addresses)
    functions = LambdaService(
        template,
        environments,
        data_dir=settings.data_dir,
        logs=logs,
        lifeline=lifeline,
        clock=services.clock,
    )
    sources = EventSources(
        template,
        functions,
        endpoint=services.addresses["AWS_ENDPOINT_URL"],
        clock=services.clock,
        data_dir=settings.data_dir,
        logs=logs,
    )
    origin = addresses["PUBLIC_URL"]
    described = local_system.describe(
        template, functions, sources, services, environments, logs.folder, origin
    )
    connect, dashboard = _connect_page(settings, environments), Dashboard(described)
    gateway = Gateway(template, functions, logs, services.status, connect, sources, dashboard)
    await gateway.start(listeners)
    sources.start()
    try:
        websocket_url = addresses.get("WEBSOCKET_URL", "none")
        yield Cloud(origin, services, environments, websocket_url, functions)
    finally:
        await gateway.stop()
        await sources.stop()
        await functions.close()


def _addresses(settings: Settings, template: Template, services: Services) -> dict[str, str]:
    """Return the variables of functions that say where services and this system are."""
    addresses = {
        **services.addresses,
        "PUBLIC_URL": f"http://localhost:{settings.port}",
        "EMAIL_FROM": "core@example.com",
        "WEBHOOK_ADDRESSES": "any",  # receivers run on this machine
    }
    if template.websocket is not None:
        addresses |= template.websocket.addresses(settings.port)
    return addresses


def _connect_page(settings: Settings, environments: dict[str, dict[str, str]]) -> ConnectPage:
    return ConnectPage(
        f"http://127.0.0.1:{settings.port}",
        _of_any(environments, "ORCHESTRATOR_SECRET"),
        redirect_uri=settings.redirect_uri,
        oauth_url=_of_any(environments, "HH_OAUTH_URL"),
    )


async def _introduce_demo_user(settings: Settings, cloud: Cloud) -> None:
    """Connect the demo user, unless an earlier start did so, and print the outcome."""
    if demo.obstacle(settings) is not None or settings.demo_person is None:
        return
    try:
        async with cloud.core() as core:
            jwt = await demo.connect(core, settings.demo_person, again=False)
    except CoreRefused as refused:
        say(f"The demo user is not connected: {refused}. To retry: make db-seed")
        return
    if jwt is not None:
        say(f"The demo user is connected, as {settings.demo_person} of the sandbox.")


def _displays(settings: Settings, cloud: Cloud) -> Iterator[Coroutine[Any, Any, None]]:
    """Yield the displays that run beside the system."""
    yield counters.show(cloud.functions.status, display.report)
    if demo.obstacle(settings) is None:
        yield _follow_demo_user(settings, cloud)


async def _follow_demo_user(settings: Settings, cloud: Cloud) -> None:
    cursor = settings.data_dir / CURSOR_FILE
    async with cloud.core() as core:
        await Follower(core, DEMO_USER_ID, cursor, display.report).run()


async def serve_services(settings: Settings, container_host: str | None) -> None:
    """Serve the services that ``sam local`` needs, until a signal arrives."""
    stop = _stop_on_signals()
    template = load()
    host = container_host or (DOCKER_BRIDGE if _is_local_address(DOCKER_BRIDGE) else "127.0.0.1")
    reachable = _is_local_address(host)
    os.environ[browsers.MORE_NAMES] = host  # for the servers: the name that containers use
    with _exclusive(settings.data_dir):
        say(f"Starting on {settings.data_dir}")
        logs, lifeline = Logs(settings.data_dir / "logs"), Lifeline()
        services = Services(settings, logs, lifeline)
        try:
            outside = [host] if reachable and host != "127.0.0.1" else []
            await _unless(stop, services.start(postgres_addresses=outside))
            if stop.is_set():
                return
            async with contextlib.AsyncExitStack() as forwarding:
                for address in outside:
                    for port in services.ports:
                        await forwarding.enter_async_context(forward(address, port))
                path = _write_env_vars(template, settings, services, host)
                say(_for_sam_local(path))
                await stop.wait()
                say("Stopping ...")
        finally:
            await services.stop()
            lifeline.close()


def _for_sam_local(env_vars: Path) -> str:
    arch = {"aarch64": "arm64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    return f"""
Ready. In another terminal, for the machine that Docker runs here:
  make build ARCH={arch}
  .venv/bin/sam local start-api --template .aws-sam/{arch}/build/template.yaml \\
    --env-vars {env_vars} --parameter-overrides Architecture={arch} --region {REGION}

Ctrl-C stops everything.
"""


def _write_env_vars(template: Template, settings: Settings, services: Services, host: str) -> Path:
    """Write the file for ``sam local … --env-vars``, private since it holds secrets; return its
    path."""
    addresses = {
        # For people's browsers, which are not in a container.
        name: url if name == "HH_OAUTH_URL" else url.replace("127.0.0.1", host)
        for name, url in services.addresses.items()
    }
    path = settings.data_dir / ENV_VARS_FILE
    environments = function_environments(template, settings, addresses)
    write_privately(path, json.dumps(environments, indent=2) + "\n")
    return path


def _of_any(environments: dict[str, dict[str, str]], name: str) -> str:
    """Return a variable that has the same value in every function that declares it."""
    values = (environment.get(name) for environment in environments.values())
    return next(filter(None, values), "")


def _welcome(settings: Settings, cloud: Cloud, took_s: float) -> None:
    """Show what is up, where, and a first request."""
    origin, services = cloud.origin, cloud.services
    # Output may be stored somewhere: print the secret's location, not the secret.
    secret = "$ORCHESTRATOR_SECRET"  # noqa: S105 - the name of one
    if "ORCHESTRATOR_SECRET" not in settings.given:
        read = "import json, sys; print(json.load(sys.stdin)['ORCHESTRATOR_SECRET'])"
        secret = f'$(python3 -c "{read}" < {shlex.quote(str(settings.data_dir / "secrets.json"))})'
    addresses = {
        "Dashboard": f"{origin}/dev/dashboard",
        "API": origin,
        "API docs": f"{origin}/_local/docs",
        "WebSocket": cloud.websocket_url,
        "Connect": f"{origin}/dev/connect",
        "Status": f"{origin}/_local/",
        "AWS": services.addresses["AWS_ENDPOINT_URL"],
        "hh.ru": settings.hh_api_url or services.addresses["HH_API_URL"],
        **_describe_era(settings),
        "Logs": str(settings.data_dir / "logs"),
    }
    hints = f"""
Try:
  .venv/bin/ugtj search python --area 1
  curl -s {origin}/api/jobs/search -H 'Content-Type: application/json' \\
    -H "X-Core-Secret: {secret}" \\
    -d '{json.dumps(EXAMPLE)}'
{_clock_hint(settings, services)}
Ctrl-C stops everything.
"""
    display.welcome(took_s, addresses, hints)


def _describe_era(settings: Settings) -> dict[str, str]:
    """Return the era of the sandbox, nothing for another hh.ru."""
    if settings.hh_api_url is not None:
        return {}
    return {"Era": f"{settings.era}: {eras()[settings.era].summary}"}


def _clock_hint(settings: Settings, services: Services) -> str:
    """Return how to speed the clock up for the saved search of the demo user."""
    if demo.obstacle(settings) is not None:
        return ""
    return f"""
Results of the demo user's saved search are shown below, every few minutes. Two minutes a second:
  curl -s {services.addresses["HH_API_URL"]}/_sandbox/clock -d '{{"rate": 120}}'
"""


@contextlib.contextmanager
def _exclusive(data_dir: Path) -> Iterator[Callable[[str], object]]:
    """Lock the data folder, which two runs would overwrite. Raises :class:`InUse`.

    The context's value is a function that publishes the origin of the API to other processes.
    """
    with (data_dir / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InUse(data_dir, lock.read()) from None

        def publish_origin(origin: str) -> None:
            lock.write(origin)
            lock.flush()

        lock.truncate(0)
        yield publish_origin


def _listen(port: int) -> list[socket.socket]:
    """Return listeners of localhost in both families, since Node tries ::1 first. Raises
    :class:`SettingsError`."""
    listeners = []
    try:
        listeners.append(socket.create_server(("127.0.0.1", port), backlog=512))
        if socket.has_ipv6:
            try:
                listeners.append(
                    socket.create_server(("::1", port), family=socket.AF_INET6, backlog=512)
                )
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise
    except OSError as error:
        for listener in listeners:
            listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"Port {port} is taken. Choose another: PORT={port % 65535 + 1} make run"
            ) from None
        raise SettingsError(f"Port {port} cannot be used: {error.strerror}") from None
    return listeners


def _is_local_address(host: str) -> bool:
    """Return whether *host* is an address of this machine."""
    try:
        ipaddress.ip_address(host)
        socket.create_server((host, 0)).close()
    except (ValueError, OSError):
        return False
    return True


def _stop_on_signals() -> asyncio.Event:
    """Return an event that the first signal sets; a second signal ends this process at once, and
    with it every child."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def _unless(stop: asyncio.Event, starting: Coroutine[Any, Any, T]) -> T | None:
    """Run *starting* and return its result; ``None`` when a signal arrived first."""
    work = asyncio.ensure_future(starting)
    signalled = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({work, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            return None
        return work.result()
    finally:
        signalled.cancel()
