"""The modules that a function must not load while it starts, since each slows every cold start."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EVENT_LOOP_AND_TRACING = {"asyncio", "aws_xray_sdk", "aws_lambda_powertools.event_handler"}
# Loaded when pydantic builds its first validator, with importlib.metadata, zipfile and email: which
# must not happen before the first request needs one (ullgetthejob.platform.models).
VALIDATOR = "pydantic.plugin._loader"
HEAVY = {
    VALIDATOR,
    "boto3",
    "botocore.session",
    "psycopg",
    "alembic",
    "sqlalchemy",
    "moto",
    "aiohttp",
    "local",
    "pymorphy3",
    "jinja2",
}
CAMPAIGNS = {  # of which an import only shows one
    "ullgetthejob.applications.campaigns.models",
    "ullgetthejob.filters.models",
}

FORBIDDEN = {
    # by function: the modules that must not be loaded after the import of its app
    "health": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "ssl"},
    "search": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "ssl"} | CAMPAIGNS,
    # every valid call of these uses KMS or DynamoDB, over TLS
    "rate_limit": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "oauth": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "resumes": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "accounts": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "ssl", "jwt"},
    "submit": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "applications": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "filters": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "reviews": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "letters": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "handoff": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "notifications": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "notifier": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt", "jinja2"},
    "stats": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "queue": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "schedules": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "fetcher": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "fetch_worker": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "applier": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "sweeper": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "public_feed": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "realtime": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "websocket": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt", "pydantic", "pydantic_core"},
    "frames": (HEAVY - {VALIDATOR}) | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},  # of every frame
    "broadcaster": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt", "pydantic", "pydantic_core"},
    "telegram": HEAVY | EVENT_LOOP_AND_TRACING | {"httpx", "jwt"},
    "migrator": {"boto3", "botocore.session", "httpx", "aws_xray_sdk", "moto", "local"},
}


def loaded_by(function):
    """Return the modules of a fresh interpreter that has imported the function as Lambda does."""
    program = "import sys, app; print(*sys.modules)"
    paths = [str(ROOT / "functions" / function), str(ROOT / "layers" / "core"), str(ROOT)]
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {program}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "functions",
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize("function", sorted(FORBIDDEN))
def test_function_starts_without_forbidden_modules(function):
    assert loaded_by(function) & FORBIDDEN[function] == set()


def test_every_function_has_a_budget():
    functions = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert functions == set(FORBIDDEN)
