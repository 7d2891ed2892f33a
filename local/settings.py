"""The settings of a local run: the environment overrides ``.env``, which overrides secrets.

An empty value counts as unset. Generated secrets are for development, created once and stored in
``<DATA_DIR>/secrets.json``, readable by their owner alone.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values

from local.sandbox.eras import DEFAULT_ERA, eras
from ullgetthejob.platform.database_address import AddressUnreadable, normalised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.template.resources import Template

REPOSITORY = Path(__file__).resolve().parent.parent
DEFAULT_PORT = 4000
USER_AGENT = "UllGetTheJobCore/1.0 (developer@example.com)"
DEMO_PERSON = "anna"
GENERATED = (
    "ORCHESTRATOR_SECRET",
    "ADMIN_SECRET",
    "SECRET_KEY_BASE",
    "HH_CLIENT_ID",
    "HH_CLIENT_SECRET",
    "TELEGRAM_BOT_TOKEN",
    "TELEGRAM_WEBHOOK_SECRET",
)


class SettingsError(Exception):
    """A setting cannot be used; the message names it."""


@dataclass(frozen=True)
class Settings:
    """The settings of a run. *given*: the values of the environment and ``.env``."""

    given: Mapping[str, str]
    port: int
    data_dir: Path

    @property
    def database_url(self) -> str | None:
        """Return the URL of an external Postgres, or ``None`` for the embedded one. Raises
        :class:`SettingsError`."""
        given = self.given.get("DATABASE_URL")
        try:
            return None if given is None else normalised(given)
        except AddressUnreadable as error:
            raise SettingsError(f"DATABASE_URL: {error}") from None

    @property
    def hh_api_url(self) -> str | None:
        """Return the URL of another hh.ru than the sandbox, or ``None``."""
        return self.given.get("HH_API_URL")

    @property
    def echo(self) -> Literal["problems", "all"]:
        """Return which log lines of functions the terminal shows. Raises :class:`SettingsError`."""
        match self.given.get("LOGS", "problems"):
            case "problems" | "all" as known:
                return known
            case unknown:
                raise SettingsError(f"LOGS must be problems or all, not {unknown!r}")

    @property
    def throttled(self) -> bool:
        """Return whether the throttles of the template apply. Raises :class:`SettingsError`."""
        match self.given.get("THROTTLES", "on"):
            case "on" | "off" as known:
                return known == "on"
            case unknown:
                raise SettingsError(f"THROTTLES must be on or off, not {unknown!r}")

    @property
    def concurrency(self) -> int | None:
        """Return the concurrency that every function reserves, ``None`` for the template's. Raises
        :class:`SettingsError`."""
        given = self.given.get("CONCURRENCY")
        if given is not None and not (given.isdecimal() and 1 <= int(given) <= 1000):
            raise SettingsError(f"CONCURRENCY must be a number from 1 to 1000, not {given!r}")
        return None if given is None else int(given)

    @property
    def era(self) -> str:
        """Return the era of the sandbox. Raises :class:`SettingsError`."""
        era = self.given.get("ERA")
        if era is not None and self.hh_api_url is not None:
            raise SettingsError("ERA is the sandbox's: it cannot be set beside HH_API_URL")
        if era is not None and era not in eras():
            raise SettingsError(f"ERA must be one of {', '.join(eras())}, not {era!r}")
        return era or DEFAULT_ERA

    @property
    def redirect_uri(self) -> str:
        """Return the address that hh.ru redirects to, by default :mod:`local.dev_connect`."""
        return self.given.get("HH_REDIRECT_URI") or f"http://localhost:{self.port}/dev/connect"

    @property
    def demo_person(self) -> str | None:
        """Return the person of the sandbox whom the demo user is connected to; ``None`` for
        ``DEMO_PERSON=off``."""
        name = self.given.get("DEMO_PERSON", DEMO_PERSON)
        return None if name == "off" else name

    def secret(self, name: str) -> str:
        """Return a secret: the given one, else the generated one."""
        return self.given.get(name) or generated_secrets(self.data_dir)[name]


def read(environment: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Settings:
    """Read the settings. Raises :class:`SettingsError`."""
    from_file = dotenv_values(dotenv or REPOSITORY / ".env", interpolate=False)
    from_environment = os.environ if environment is None else environment
    given = {**_non_empty(from_file), **_non_empty(from_environment)}
    settings = Settings(given, _port(given.get("PORT")), _data_dir(given.get("DATA_DIR")))
    host = urlsplit(settings.hh_api_url or "").hostname or ""
    if (host == "hh.ru" or host.endswith(".hh.ru")) and "HH_USER_AGENT" not in given:
        raise SettingsError(
            'HH_USER_AGENT must be set for the real hh.ru: "Name/1.0 (mail@of.the.operator)"'
        )
    return settings


def function_environments(
    template: Template, settings: Settings, addresses: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return the variables of each function, by logical id.

    A variable has the template's value unless a value was given, or a local address or generated
    secret has its name. A reference to a secret of the cloud without a local value is left empty.
    """
    local = {
        "HH_USER_AGENT": USER_AGENT,
        "HH_REDIRECT_URI": settings.redirect_uri,
        "APP_URL": settings.redirect_uri,
        "TRACE_SPANS": "on",
        **_development_secrets(settings),
        **addresses,
    }

    def value(name: str, declared: str) -> str:
        found = settings.given.get(name) or local.get(name) or declared
        return "" if found.startswith("secretsmanager:") and found == declared else found

    return {
        logical_id: {name: value(name, declared) for name, declared in f.environment.items()}
        for logical_id, f in template.functions.items()
    }


def _development_secrets(settings: Settings) -> dict[str, str]:
    generated = generated_secrets(settings.data_dir)
    if settings.hh_api_url is not None:
        # The sandbox's application is unknown to another hh.ru.
        return {name: generated[name] for name in GENERATED if not name.startswith("HH_")}
    return generated


def generated_secrets(data_dir: Path) -> dict[str, str]:
    """Return the development secrets of *data_dir*, generated at the first call."""
    path = data_dir / "secrets.json"
    stored: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in GENERATED if name not in stored]
    if missing:
        stored |= {name: _generate(name) for name in missing}
        write_privately(path, json.dumps(stored, indent=2) + "\n")
    return stored


def _generate(name: str) -> str:
    """Return a new secret; a bot's token begins with the number of the bot."""
    secret = secrets.token_urlsafe(32)
    return f"600000001:{secret}" if name == "TELEGRAM_BOT_TOKEN" else secret


def write_privately(path: Path, text: str) -> None:
    """Replace the file *path*; only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _non_empty(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _port(text: str | None) -> int:
    if text is None:
        return DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise SettingsError(f"PORT must be a number from 1 to 65535, not {text!r}")
    return int(text)


def _data_dir(text: str | None) -> Path:
    data_dir = (REPOSITORY / (text or ".data")).resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"DATA_DIR {data_dir}: {error.strerror}") from None
    if not os.access(data_dir, os.W_OK):
        raise SettingsError(f"DATA_DIR {data_dir} cannot be written to")
    return data_dir
