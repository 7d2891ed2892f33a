"""Profiles: which Core the commands are for, and where its secrets are.

``local`` needs no file: it is the ``make run`` of ``DATA_DIR``. Others stand in one TOML file,
``~/.config/ugtj/profiles.toml`` (``$XDG_CONFIG_HOME``, or the file of ``UGTJ_PROFILES``)::

    [prod]
    url = "https://core.example.org"
    user = "00000000-0000-4000-8000-000000000001"
    region = "eu-central-1"
    stack = "ullgetthejob-core-prod"

Secrets are never in the file: they come from ``UGTJ_PROD_SECRET`` and ``UGTJ_PROD_ADMIN_SECRET``,
else from the system's keyring (service ``ugtj``, entries ``prod`` and ``prod-admin``).
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cli.output import CommandError
from local import settings as local_settings
from migrations.seed import DEMO_USER_ID

LOCAL = "local"
LOCAL_AWS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


@dataclass(frozen=True)
class Profile:
    """A Core to talk to. *user*: of whom commands speak unless told otherwise. *data_dir*: the
    folder of a local cloud, ``None`` for a deployed one. *given*: the keys of the file."""

    name: str
    given: dict[str, Any]
    data_dir: Path | None = None

    @property
    def is_local(self) -> bool:
        """Return whether it is a local cloud."""
        return self.data_dir is not None

    @cached_property
    def settings(self) -> local_settings.Settings:
        """Return the settings of the local cloud."""
        return local_settings.read()

    @cached_property
    def url(self) -> str:
        """Return the address of the HTTP API. Raises :class:`CommandError`."""
        if self.data_dir is None:
            return str(self._key("url")).rstrip("/")
        lock = self.data_dir / "run.lock"
        origin = lock.read_text() if lock.exists() else ""
        return origin or f"http://localhost:{self.settings.port}"

    @property
    def user(self) -> str:
        """Return the default user."""
        return str(self.given.get("user") or os.environ.get("UGTJ_USER") or DEMO_USER_ID)

    @property
    def region(self) -> str:
        """Return the AWS region. Raises :class:`CommandError`."""
        if self.is_local:
            from local.template.cloudformation import REGION

            return REGION
        return str(self._key("region"))

    @property
    def stack(self) -> str:
        """Return the name of the deployed stack. Raises :class:`CommandError`."""
        return str(self._key("stack"))

    @cached_property
    def secret(self) -> str:
        """Return the secret of service calls. Raises :class:`CommandError`."""
        if self.is_local:
            return self.settings.secret("ORCHESTRATOR_SECRET")
        return self._secret("SECRET", self.name)

    @cached_property
    def admin_secret(self) -> str:
        """Return the administrator's secret. Raises :class:`CommandError`."""
        if self.is_local:
            return self.settings.secret("ADMIN_SECRET")
        return self._secret("ADMIN_SECRET", f"{self.name}-admin")

    @cached_property
    def ports(self) -> dict[str, int]:
        """Return the ports of the local services. Raises :class:`CommandError`."""
        assert self.data_dir is not None  # noqa: S101 - callers check is_local
        try:
            ports: dict[str, int] = json.loads((self.data_dir / "ports.json").read_text())
        except FileNotFoundError:
            raise CommandError(
                "the local cloud has not been started here", "make run", code=3
            ) from None
        return ports

    def aws(self, service: str) -> Any:
        """Return a boto3 client of *service*: of the local AWS, or of the profile's region."""
        import boto3

        if self.is_local:
            endpoint = f"http://127.0.0.1:{self.ports['aws']}"
            return boto3.client(
                service, endpoint_url=endpoint, region_name=self.region, **LOCAL_AWS
            )  # type: ignore[call-overload]
        session = boto3.Session(region_name=self.region, profile_name=self.given.get("aws_profile"))
        return session.client(service)  # type: ignore[call-overload]

    def _key(self, name: str) -> Any:
        if name not in self.given:
            raise CommandError(
                f"the profile {self.name} has no {name}", f"add it to {profiles_file()}", code=2
            )
        return self.given[name]

    def _secret(self, suffix: str, entry: str) -> str:
        variable = f"UGTJ_{self.name.upper().replace('-', '_')}_{suffix}"
        if found := os.environ.get(variable):
            return found
        try:
            import keyring  # type: ignore[import-not-found]
        except ImportError:
            found = None
        else:
            found = keyring.get_password("ugtj", entry)
        if not found:
            raise CommandError(
                f"the secret of the profile {self.name} is not known",
                f"set {variable}, or: keyring set ugtj {entry}",
                code=2,
            )
        return str(found)


def profiles_file() -> Path:
    """Return the path of the profiles' file."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(os.environ.get("UGTJ_PROFILES") or Path(base) / "ugtj" / "profiles.toml")


def load(name: str) -> Profile:
    """Return a profile. Raises :class:`CommandError` for an unknown one."""
    path = profiles_file()
    try:
        stored = tomllib.loads(path.read_text()) if path.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{path} is not TOML: {error}", "mend the file", code=2) from None
    if name == LOCAL:
        return Profile(name, dict(stored.get(name, {})), _local_data_dir())
    if name not in stored:
        known = ", ".join([LOCAL, *(key for key in stored if key != LOCAL)])
        raise CommandError(
            f"there is no profile {name}; there are: {known}", f"add it to {path}", code=2
        )
    return Profile(name, dict(stored[name]))


def _local_data_dir() -> Path:
    """Return the folder of the local cloud: ``DATA_DIR``, else that of the checkout. Raises
    :class:`CommandError` outside of one, as after ``pipx install``."""
    if not (local_settings.REPOSITORY / "template.yaml").exists() and "DATA_DIR" not in os.environ:
        here = Path.cwd() / ".data"
        if not here.exists():
            raise CommandError(
                "there is no local cloud here", "run it in the checkout, or set DATA_DIR", code=2
            )
        os.environ["DATA_DIR"] = str(here)
    return local_settings.read().data_dir
