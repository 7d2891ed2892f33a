"""What a local run is told: the environment wins over ``.env``, that over generated secrets.

An empty value counts as not given. Generated secrets are for development, made once and kept in
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
)


class SettingsError(Exception):
    """A setting cannot be used; the message names it."""


@dataclass(frozen=True)
class Settings:
    """*given* holds what the environment and ``.env`` say; the rest is read from it."""

    given: Mapping[str, str]
    port: int
    data_dir: Path

    @property
    def database_url(self) -> str | None:
        """Another Postgres than the embedded one."""
        given = self.given.get("DATABASE_URL")
        try:
            return None if given is None else normalised(given)
        except AddressUnreadable as error:
            raise SettingsError(f"DATABASE_URL: {error}") from None

    @property
    def hh_api_url(self) -> str | None:
        """Another hh.ru than the sandbox."""
        return self.given.get("HH_API_URL")

    @property
    def echo(self) -> Literal["problems", "all"]:
        """Which lines of the functions the terminal shows, too. Raises :class:`SettingsError`."""
        match self.given.get("LOGS", "problems"):
            case "problems" | "all" as known:
                return known
            case other:
                raise SettingsError(f"LOGS must be problems or all, not {other!r}")

    @property
    def throttled(self) -> bool:
        """Whether the throttles of the template hold. Raises :class:`SettingsError`."""
        match self.given.get("THROTTLES", "on"):
            case "on" | "off" as known:
                return known == "on"
            case other:
                raise SettingsError(f"THROTTLES must be on or off, not {other!r}")

    @property
    def redirect_uri(self) -> str:
        """Where hh.ru sends people back to: the page of :mod:`local.dev_connect` by default."""
        return self.given.get("HH_REDIRECT_URI") or f"http://localhost:{self.port}/dev/connect"

    @property
    def demo_person(self) -> str | None:
        """Who in the sandbox the demo user is connected as; ``DEMO_PERSON=off``: nobody."""
        name = self.given.get("DEMO_PERSON", DEMO_PERSON)
        return None if name == "off" else name

    def secret(self, name: str) -> str:
        """A secret: what was given, else the generated one."""
        return self.given.get(name) or generated_secrets(self.data_dir)[name]


def read(environment: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Settings:
    """Read the settings. Raises :class:`SettingsError`."""
    written = dotenv_values(dotenv or REPOSITORY / ".env", interpolate=False)
    both = {**_set(written), **_set(os.environ if environment is None else environment)}
    settings = Settings(both, _port(both.get("PORT")), _data_dir(both.get("DATA_DIR")))
    host = urlsplit(settings.hh_api_url or "").hostname or ""
    if (host == "hh.ru" or host.endswith(".hh.ru")) and "HH_USER_AGENT" not in both:
        raise SettingsError(
            'HH_USER_AGENT must be set for the real hh.ru: "Name/1.0 (mail@of.the.operator)"'
        )
    return settings


def function_environments(
    template: Template, settings: Settings, addresses: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """The variables of each function, by logical id.

    A variable that the template declares keeps the template's value unless one was given, or there
    is a local *address* or generated secret by that name. A reference to a secret of the cloud for
    which there is nothing locally is left empty.
    """
    local = {
        "HH_USER_AGENT": USER_AGENT,
        "HH_REDIRECT_URI": settings.redirect_uri,
        "APP_URL": settings.redirect_uri,
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
        # The application that the sandbox knows means nothing to another hh.ru.
        return {name: generated[name] for name in GENERATED if not name.startswith("HH_")}
    return generated


def generated_secrets(data_dir: Path) -> dict[str, str]:
    """The development secrets of *data_dir*; made at the first call."""
    path = data_dir / "secrets.json"
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in GENERATED if name not in kept]
    if missing:
        kept |= {name: secrets.token_urlsafe(32) for name in missing}
        write_privately(path, json.dumps(kept, indent=2) + "\n")
    return kept


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


def _set(values: Mapping[str, str | None]) -> dict[str, str]:
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
