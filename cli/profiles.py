"""Profiles: which Core the commands are for, and where its secrets are.

``local`` needs no file: it is the ``make run`` of ``DATA_DIR``. Others stand in one TOML file,
``~/.config/ugtj/profiles.toml`` (``$XDG_CONFIG_HOME``, or the file of ``UGTJ_PROFILES``)::

    [prod]
    url = "https://core.example.org"
    user = "00000000-0000-4000-8000-000000000001"
    region = "eu-central-1"        # else AWS's own: AWS_DEFAULT_REGION, ~/.aws/config
    stack = "ullgetthejob-core-prod"
    aws_profile = "operator"       # of ~/.aws/config; else AWS_PROFILE, or AWS's default

Secrets are never in the file: they come from ``UGTJ_PROD_SECRET`` and ``UGTJ_PROD_ADMIN_SECRET``,
else from the system's keyring (service ``ugtj``, entries ``prod`` and ``prod-admin``).
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli import aws_client
from cli.output import PERSON, UNREACHABLE, USAGE, CommandError
from local import settings as local_settings
from migrations.seed import DEMO_USER_ID

LOCAL = "local"
KEYRING_SERVICE = "ugtj"


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
            url = str(self._key("url")).rstrip("/")
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
                step = f'write it as "https://core.example.org" in {profiles_file()}'
                raise CommandError(f"the url of the profile {self.name} is none", step, code=USAGE)
            return url
        try:
            origin = (self.data_dir / "run.lock").read_text()
        except OSError:
            origin = ""
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
        return str(self._session().region_name)

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
        except (FileNotFoundError, ValueError):
            raise CommandError(
                "the local cloud has not been started here", "make run", code=UNREACHABLE
            ) from None
        return ports

    def aws(self, service: str, **config: Any) -> Any:
        """Return a boto3 client of *service*: of the local AWS, or of the profile's region.
        *config*: of ``botocore.config.Config``. Raises :class:`CommandError`."""
        if self.is_local:
            port, region = self.ports["aws"], self.region
            return aws_client.local_client(service, port=port, region=region, **config)
        return aws_client.client(self._session(), service, **config)

    def _session(self) -> Any:
        given = self.given
        return aws_client.session(
            self.name, region=given.get("region"), aws_profile=given.get("aws_profile")
        )

    def _key(self, name: str) -> Any:
        if name not in self.given:
            raise CommandError(
                f"the profile {self.name} has no {name}", f"add it to {profiles_file()}", code=USAGE
            )
        return self.given[name]

    def secret_variable(self, suffix: str = "SECRET") -> str:
        """Return the name of the variable with a secret of the profile."""
        return f"UGTJ_{re.sub(r'[^A-Z0-9]', '_', self.name.upper())}_{suffix}"

    def _secret(self, suffix: str, entry: str) -> str:
        variable = self.secret_variable(suffix)
        found = os.environ.get(variable) or _from_keyring(entry)
        if not found:
            raise CommandError(
                f"the secret of the profile {self.name} is not known",
                f"set {variable}, or: keyring set {KEYRING_SERVICE} {entry}",
                code=USAGE,
            )
        if not found.isascii() or not found.isprintable():
            raise CommandError(
                f"{variable} has characters that no header can carry",
                "compare it with the secret of the stack",
                code=USAGE,
            )
        return found


def _from_keyring(entry: str) -> str | None:
    """Return a secret of the system's keyring; ``None`` without one. Raises :class:`CommandError`
    while it is locked."""
    import keyring
    import keyring.errors

    try:
        return keyring.get_password(KEYRING_SERVICE, entry)
    except keyring.errors.NoKeyringError:  # as on a server
        return None
    except keyring.errors.KeyringError as error:
        raise CommandError(
            f"the system's keyring is not readable: {error}", "unlock it", code=PERSON
        ) from None


def profiles_file() -> Path:
    """Return the path of the profiles' file."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(os.environ.get("UGTJ_PROFILES") or Path(base) / "ugtj" / "profiles.toml")


def load(name: str) -> Profile:
    """Return a profile. Raises :class:`CommandError` for an unknown one, and for a file that cannot
    be read."""
    path = profiles_file()
    stored = _read_profiles(path)
    if name != LOCAL and name not in stored:
        known = ", ".join([LOCAL, *(key for key in stored if key != LOCAL)])
        raise CommandError(
            f"there is no profile {name}; there are: {known}", f"add it to {path}", code=USAGE
        )
    given = stored.get(name, {})
    if not isinstance(given, dict):
        raise CommandError(
            f"{path}: {name} is not a table", f"begin it with a line [{name}]", code=USAGE
        )
    not_texts = [key for key, value in given.items() if not isinstance(value, str)]
    if not_texts:
        raise CommandError(
            f"{path}: {', '.join(not_texts)} of {name} must be text in quotes",
            "mend the file",
            code=USAGE,
        )
    return Profile(name, given, _local_data_dir() if name == LOCAL else None)


def _read_profiles(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        reason = f"it is not TOML: {error}"
    raise CommandError(f"{path} cannot be read: {reason}", "mend the file", code=USAGE)


def _local_data_dir() -> Path:
    """Return the folder of the local cloud: ``DATA_DIR``, else that of the checkout. Raises
    :class:`CommandError` outside of one, as after ``pipx install``."""
    if not (local_settings.REPOSITORY / "template.yaml").exists() and "DATA_DIR" not in os.environ:
        here = Path.cwd() / ".data"
        if not here.exists():
            raise CommandError(
                "there is no local cloud here",
                "run it in the checkout, or set DATA_DIR",
                code=USAGE,
            )
        os.environ["DATA_DIR"] = str(here)
    return local_settings.read().data_dir
