"""The checks of ``ugtj doctor``: each looks at one thing and returns what it found."""

from __future__ import annotations

import secrets
import shutil
import socket
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import httpx

from cli import aws_client
from cli.core_api import client
from cli.database import connect_database, database_url
from cli.output import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.state import State

Verdict = Literal["ok", "warning", "problem", "unknown"]

LEAST_FREE_BYTES = 1_000_000_000
LARGEST_SKEW_S = 60  # AWS refuses signatures that are off by more than five minutes
TIMEOUT_S = 10
# What Core says of hh.ru, by the code of its error: what to do about it.
HH_STEPS = {
    "hh_app_token_missing": "set HH_CLIENT_ID and HH_CLIENT_SECRET, or HH_ACCESS_TOKEN",
    "hh_misconfigured": "compare HH_CLIENT_ID, HH_CLIENT_SECRET and HH_USER_AGENT with dev.hh.ru",
    "hh_region_blocked": "use an egress address from which https://hh.ru opens (docs/runbooks.md)",
    "hh_captcha": "solve hh.ru's captcha, then: ugtj people show",
    "hh_unavailable": "look at https://hh.ru; locally: ugtj sandbox fault off",
    "hh_busy": "wait a minute: calls are paused, or all slots are taken",
    "hh_closed": "hh.ru withholds this method from the application: docs/runbooks.md",
    "settings_missing": "compare the function's variables with template.yaml",
}


@dataclass(frozen=True)
class Finding:
    """What a check found. *step*: the command that mends it."""

    check: str
    verdict: Verdict
    message: str
    step: str = ""

    def to_json(self) -> dict[str, str]:
        """Return it as JSON."""
        return asdict(self)


def check_python(_state: State) -> Finding:
    """Check the version of Python, and whether the one of the functions is there for builds."""
    version = ".".join(map(str, sys.version_info[:3]))
    if shutil.which("python3.13") is None:
        message = f"Python {version}; without python3.13 on PATH, layers are built without bytecode"
        return Finding("python", "warning", message, "install Python 3.13 before make build")
    return Finding("python", "ok", f"Python {version}, and python3.13 for builds")


def check_disk(state: State) -> Finding:
    """Check the room for durable state."""
    folder = state.profile.data_dir
    if folder is None:
        return Finding("disk", "ok", "nothing is stored here")
    free = shutil.disk_usage(folder).free
    message = f"{free / 1e9:.1f} GB are free under {folder}"
    if free < LEAST_FREE_BYTES:
        return Finding("disk", "problem", message, "make room, or choose another DATA_DIR")
    return Finding("disk", "ok", message)


def check_port(state: State) -> Finding:
    """Check whether the port of the local API is Core's, or free."""
    if not state.profile.is_local:
        return Finding("port", "ok", f"the API is at {state.profile.url}")
    port = state.profile.settings.port
    if health(state.profile.url) is not None:
        return Finding("port", "ok", f"Core answers at {state.profile.url}")
    with socket.socket() as probe:
        probe.settimeout(1)
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if taken:
        return Finding("port", "problem", f"another program has port {port}",
                       f"PORT={port + 1} make run")  # fmt: skip
    return Finding("port", "problem", "Core does not run here", "make run")


def check_secret(state: State) -> Finding:
    """Check whether Core takes the secret of service calls."""
    answer, code = _ask(state, f"/api/accounts/{state.profile.user}")
    if answer is None:
        return Finding("secret", "unknown", "Core does not answer")
    if answer == 401:
        step = f"set {state.profile.secret_variable()} to the BFF's ORCHESTRATOR_SECRET"
        if state.profile.is_local:
            step = "unset ORCHESTRATOR_SECRET, or restart make run with it"
        return Finding("secret", "problem", f"Core refuses the secret ({code})", step)
    return Finding("secret", "ok", "Core takes the secret")


def check_database(state: State) -> Finding:
    """Check whether the database takes writes, as Core sees it, and answers here."""
    found = health(state.profile.url)
    if found is not None and found.get("db") == "down":
        step = "make run" if state.profile.is_local else "see docs/runbooks.md, database"
        return Finding("database", "problem", "Core cannot write to its database", step)
    try:
        _connect(state).close()
    except CommandError as error:
        if not state.profile.is_local and found is not None:
            return Finding("database", "ok", "Core's database takes writes")
        return Finding("database", "problem", str(error), error.step or "make run")
    return Finding("database", "ok", "the database answers")


def check_migrations(state: State) -> Finding:
    """Compare the revision of the database with the newest one."""
    from cli.commands.database import newest_revision
    from migrations import upgrade

    try:
        _connect(state).close()
        now = upgrade.current(database_url(state.profile))
    except (CommandError, upgrade.MigrationError):
        return Finding("migrations", "unknown", "the database does not answer here")
    newest = newest_revision()
    if now != newest:
        message = f"the database is at {now or 'the very beginning'}, the newest is {newest}"
        return Finding("migrations", "problem", message, "ugtj db migrate")
    return Finding("migrations", "ok", f"the schema is the newest, {newest}")


def check_hh(state: State) -> Finding:
    """Ask Core for a search: what fails between it and hh.ru has a code of its own."""
    # A text of its own, since equal searches of the last seconds share an answer.
    search = {"text": f"doctor {secrets.token_hex(4)}", "per_page": 1}
    answer, code = _ask(state, "/api/jobs/search", search)
    if answer is None:
        return Finding("hh", "unknown", "Core does not answer")
    if answer == 200:
        return Finding("hh", "ok", "hh.ru answers searches")
    step = HH_STEPS.get(str(code), "see docs/runbooks.md")
    verdict: Verdict = "unknown" if answer == 401 else "problem"
    return Finding("hh", verdict, f"a search is refused: {code}", step)


def check_access(state: State) -> Finding:
    """Check Core's access to hh.ru for the user."""
    if health(state.profile.url) is None:
        return Finding("access", "unknown", "Core does not answer")
    try:
        account = state.core.get(f"/api/accounts/{state.profile.user}")
    except CommandError as error:
        return Finding("access", "unknown", str(error))
    access = account["access"] or {"state": None}
    again = f"ugtj people connect --user {state.profile.user}"
    if not account["account_id"]:
        return Finding("access", "warning", "the user is not connected to hh.ru", again)
    if access["state"] == "ok":
        return Finding("access", "ok", f"the user {state.profile.user} is connected")
    steps = {"captcha": f"open {access.get('captcha_url')}", "reauth_required": again}
    step = steps.get(access["state"], "wait; Core tries again by itself")
    return Finding("access", "problem", f"{access['state']}: {access.get('message')}", step)


def check_clock(state: State) -> Finding:
    """Compare the clocks: the local cloud's with this machine's, or a deployed Core's with it."""
    now = datetime.now(UTC)
    if state.profile.data_dir is not None:
        from local.clock import FILE_NAME, LocalClock

        clock = LocalClock(state.profile.data_dir / FILE_NAME)
        ahead = (clock.now() - now).total_seconds()
        if abs(ahead) > LARGEST_SKEW_S or clock.rate != 1:
            message = f"the local clock is {ahead / 3600:.1f} h ahead, at {clock.rate:g} x"
            step = "ugtj sandbox clock --rate 1; back to now: stop, and delete DATA_DIR/clock.json"
            return Finding("clock", "warning", message, step)
        return Finding("clock", "ok", "the local clock is this machine's")
    try:
        head = client().get(state.profile.url + "/api/v1/system/health", timeout=TIMEOUT_S).headers
        skew = (parsedate_to_datetime(head["date"]) - now).total_seconds()
    except (httpx.HTTPError, KeyError, ValueError):
        return Finding("clock", "unknown", "Core does not answer")
    if abs(skew) > LARGEST_SKEW_S:
        message = f"this machine's clock is off by {skew:.0f} s"
        return Finding("clock", "problem", message, "timedatectl set-ntp true")
    return Finding("clock", "ok", "the clocks agree")


def check_queues(state: State) -> Finding:
    """Look for dead letters."""
    from botocore.exceptions import BotoCoreError, ClientError

    from cli.commands.queues import read_queues

    try:
        queues = read_queues(state)
    except (BotoCoreError, ClientError) as error:
        described = aws_client.describe(error)
        step = "make run" if state.profile.is_local else described.step
        return Finding("queues", "problem", f"SQS: {described}", step)
    except CommandError as error:
        return Finding("queues", "unknown", str(error), error.step)
    dead = {q["dead_letters_of"]: q["visible"] for q in queues if q["dead_letters_of"]}
    full = {name: number for name, number in dead.items() if number}
    if full:
        listed = ", ".join(f"{number} of {name}" for name, number in full.items())
        steps = "; ".join(f"ugtj queues redrive {name}" for name in full)
        return Finding("queues", "problem", f"dead letters wait: {listed}", steps)
    return Finding("queues", "ok", f"{len(queues)} queues, no dead letters")


def check_bff(state: State) -> Finding:
    """Check whether the BFF answers, where one is configured."""
    given = state.profile.settings.given if state.profile.is_local else state.profile.given
    url = given.get("API_BASE_URL") or given.get("bff_url")
    if not url:
        return Finding("bff", "ok", "no BFF is configured; nothing is posted to one")
    try:
        client().get(url, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        message = f"the BFF does not answer at {url} ({type(error).__name__})"
        return Finding("bff", "problem", message, "start it, or unset API_BASE_URL")
    return Finding("bff", "ok", f"the BFF answers at {url}")


CHECKS: tuple[Callable[[State], Finding], ...] = (
    check_python,
    check_disk,
    check_port,
    check_secret,
    check_database,
    check_migrations,
    check_hh,
    check_access,
    check_clock,
    check_queues,
    check_bff,
)


@cache
def health(url: str) -> dict[str, Any] | None:
    """Return Core's health, asked once; ``None`` if nothing, or another program, answers."""
    try:
        answer = client().get(url + "/api/v1/system/health", timeout=TIMEOUT_S)
        content = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return content if isinstance(content, dict) and "db" in content else None


def _ask(state: State, path: str, body: Any = None) -> tuple[int | None, str | None]:
    """Return status and error code of a service call; ``None`` without an answer."""
    if health(state.profile.url) is None:
        return None, None
    method = "GET" if body is None else "POST"
    try:
        state.core.call(method, path, body=body)
    except CommandError as error:
        return error.status, error.error
    return 200, None


def _connect(state: State) -> Any:
    return connect_database(state.profile)
