"""Settings: environment variables, declared and read here and nowhere else.

Each setting is a constant of this module, named like its variable, with its type, its bounds, its
default and its meaning; ``settings.LEASE_TABLE()`` returns its value. An empty variable counts as
unset. A function passes those that its code may read to :func:`require`, so that a deployment with
a wrong one fails when a function starts and not when a person first needs the setting. The values
of secrets are read through :mod:`ullgetthejob.platform.secrets`.
"""

from __future__ import annotations

import os
import re
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

REFERENCE = re.compile(
    r"secretsmanager:(?P<arn>[^#@]+)(?:#(?P<key>[^@]+))?(?:@(?P<stage>[A-Za-z]+))?"
)


class SettingInvalid(ValueError):
    """Variables are missing or malformed. The message names them, never a value."""


class SettingMissing(SettingInvalid):
    """A required variable is not set."""


class Setting(Generic[T]):
    """A setting, read from the environment variable *name* by calling it.

    *parse* returns the value of a text or raises ``ValueError``; *kind* says which texts it
    accepts. Without a *default* the setting is required.
    """

    def __init__(
        self,
        name: str,
        meaning: str,
        parse: Callable[[str], T],
        kind: str,
        default: T | None = None,
    ) -> None:
        self.name = name
        self.meaning = meaning
        self.kind = kind
        self.default = default
        self._parse = parse
        self._last: tuple[str, T] | None = None  # the text that was parsed last, and its value

    def __call__(self) -> T:
        """Return the value, or the default if it is unset.

        Raises :class:`SettingMissing` without a default, :class:`SettingInvalid`.
        """
        value = self.get()
        if value is None:
            raise SettingMissing(f"{self.name} is not set; it must be {self}")
        return value

    def get(self) -> T | None:
        """Return the value; ``None`` if it is unset and has no default. Raises
        :class:`SettingInvalid`."""
        text = os.environ.get(self.name)
        if not text:
            return self.default
        if self._last is not None and self._last[0] == text:
            return self._last[1]
        try:
            value = self._parse(text)
        except ValueError:
            raise SettingInvalid(f"{self.name} must be {self}") from None
        self._last = text, value
        return value

    def __str__(self) -> str:
        return f"{self.kind} ({self.meaning})"


def require(*needed: Setting[Any]) -> None:
    """Check the settings that a function needs, and those that all need, when it
    starts in Lambda; elsewhere nothing.

    Raises :class:`SettingInvalid`, which names each that is missing or malformed. Of a secret only
    the variable is checked: nothing is read from Secrets Manager.
    """
    if "AWS_LAMBDA_RUNTIME_API" not in os.environ:
        return
    problems = []
    for setting in (*EVERY_FUNCTION, *needed):
        try:
            setting()
        except SettingInvalid as error:
            problems.append(str(error))
    if problems:
        raise SettingInvalid("; ".join(problems))


def starting_with(prefix: str) -> list[str]:
    """Return the values of all variables whose value starts with *prefix*."""
    return [value for value in os.environ.values() if value.startswith(prefix)]


# ── types ────────────────────────────────────────────────────────────────────────────────────────


def _text(name: str, meaning: str, default: str | None = None) -> Setting[str]:
    return Setting(name, meaning, str, "a text", default)


def _secret(name: str, meaning: str, default: str | None = None) -> Setting[str]:
    kind = "a secret or secretsmanager:<arn>[#<key>][@<stage>]"
    return Setting(name, meaning, _parse_secret, kind, default)


def _url(
    name: str, meaning: str, default: str | None = None, *, scheme: str = "http"
) -> Setting[str]:
    def parse(text: str) -> str:
        found, _, address = text.partition("://")
        return _valid(text, found in (scheme, f"{scheme}s") and address.split() == [address])

    return Setting(name, meaning, parse, f"a URL with {scheme}:// or {scheme}s://", default)


def _number(name: str, meaning: str, default: float, *, above: float) -> Setting[float]:
    def parse(text: str) -> float:
        return _valid(float(text), above < float(text) < inf)

    return Setting(name, meaning, parse, f"a number above {above:g}", default)


def _whole_number(name: str, meaning: str, default: int, *, least: int) -> Setting[int]:
    def parse(text: str) -> int:
        return int(_valid(float(text), least <= float(text) < inf))

    return Setting(name, meaning, parse, f"a whole number, {least} or more", default)


def _flag(name: str, meaning: str) -> Setting[bool]:
    values = {"true": True, "false": False}

    def parse(text: str) -> bool:
        return values[_valid(text.lower(), text.lower() in values)]

    return Setting(name, meaning, parse, "true or false", default=False)


def _one_of(name: str, meaning: str, *choices: str) -> Setting[str]:
    """Return a setting with one of *choices*; the first is the default."""

    def parse(text: str) -> str:
        return _valid(text, text in choices)

    return Setting(name, meaning, parse, " or ".join(choices), choices[0])


def _parse_secret(text: str) -> str:
    return _valid(text, not text.startswith("secretsmanager:") or bool(REFERENCE.fullmatch(text)))


def _valid(value: T, is_valid: bool) -> T:
    if not is_valid:
        raise ValueError
    return value


# ── the database, secrets and keys ───────────────────────────────────────────────────────────────

DATABASE_URL = _secret("DATABASE_URL", "connection URL of Postgres, or RDS's JSON")
DATABASE_TLS_ROOT_CERTIFICATES = _text(
    "DATABASE_TLS_ROOT_CERTIFICATES",
    "public, rds, or a PEM file of the database's authorities",
    "public",
)
DATABASE_HOST = _text("DATABASE_HOST", "host of Postgres; else its secret's", "")
DATABASE_PORT = _whole_number("DATABASE_PORT", "port of Postgres; 0: its secret's", 0, least=0)
DATABASE_NAME = _text("DATABASE_NAME", "name of the database; else its secret's", "")
ORCHESTRATOR_SECRET = _secret("ORCHESTRATOR_SECRET", "shared with the BFF")
ORCHESTRATOR_SECRET_PREVIOUS = _secret(
    "ORCHESTRATOR_SECRET_PREVIOUS", "the secret of the BFF before its rotation", ""
)
REQUIRE_SIGNATURE = _flag("REQUIRE_SIGNATURE", "whether service calls must be signed")
ADMIN_SECRET = _secret("ADMIN_SECRET", "of the administrator; without it there is none", "")
ADMIN_SECRET_PREVIOUS = _secret(
    "ADMIN_SECRET_PREVIOUS", "the secret of the administrator before its rotation", ""
)
SECRET_KEY_BASE = _secret("SECRET_KEY_BASE", "signs Core's own tokens")
SECRET_KEY_BASE_PREVIOUS = _secret(
    "SECRET_KEY_BASE_PREVIOUS", "the signing secret before its rotation", ""
)
TOKEN_KEY_ID = _text("TOKEN_KEY_ID", "KMS key that encrypts the tokens of hh.ru")
TOKEN_KEY_ID_PREVIOUS = _text("TOKEN_KEY_ID_PREVIOUS", "KMS key before TOKEN_KEY_ID", "")

# ── hh.ru ────────────────────────────────────────────────────────────────────────────────────────

HH_API_URL = _url("HH_API_URL", "hh.ru's API")
HH_OAUTH_URL = _url("HH_OAUTH_URL", "hh.ru's address for logins")
HH_REDIRECT_URI = _url("HH_REDIRECT_URI", "redirect URI registered at hh.ru")
HH_USER_AGENT = _text("HH_USER_AGENT", "name and contact that hh.ru requires of a client")
HH_CLIENT_ID = _secret("HH_CLIENT_ID", "of the application registered at hh.ru", "")
HH_CLIENT_SECRET = _secret("HH_CLIENT_SECRET", "of the application registered at hh.ru", "")
HH_ACCESS_TOKEN = _secret("HH_ACCESS_TOKEN", "a ready application token of hh.ru", "")
HH_CALLS_PER_SECOND = _number("HH_CALLS_PER_SECOND", "calls to hh.ru per second", 3, above=0)
HH_EGRESS = _text(
    "HH_EGRESS", "name of the address that calls to hh.ru come from; each has a pace", "default"
)
PUBLIC_URL = _url(
    "PUBLIC_URL", "Core's HTTP API as people's browsers reach it, for links in messages", ""
)
APP_URL = _url("APP_URL", "page to which people return from hh.ru; else HH_REDIRECT_URI", "")

# ── tables and queues ────────────────────────────────────────────────────────────────────────────

PACER_TABLE = _text("PACER_TABLE", "DynamoDB table of the pacer")
LEASE_TABLE = _text("LEASE_TABLE", "DynamoDB table of leases")
ONE_TIME_TABLE = _text("ONE_TIME_TABLE", "DynamoDB table of one-time tokens")
BUCKET_TABLE = _text("BUCKET_TABLE", "DynamoDB table of token buckets")
CONNECTION_TABLE = _text("CONNECTION_TABLE", "DynamoDB table of WebSocket connections")
APPLIER_QUEUE_URL = _url("APPLIER_QUEUE_URL", "SQS queue of the applier")
BROADCASTER_QUEUE_URL = _url("BROADCASTER_QUEUE_URL", "SQS queue of the broadcaster")
NOTIFIER_QUEUE_URL = _url("NOTIFIER_QUEUE_URL", "SQS queue of the notifier")
FETCH_QUEUE_URL = _url("FETCH_QUEUE_URL", "SQS queue of the fetch worker")
PUBLIC_FEED_QUEUE_URL = _url("PUBLIC_FEED_QUEUE_URL", "SQS queue of the public feed")

# ── limits ───────────────────────────────────────────────────────────────────────────────────────

RATE_LIMIT_SUBMIT_CAPACITY = _whole_number(
    "RATE_LIMIT_SUBMIT_CAPACITY", "applications that an account may submit at once", 20, least=1
)
RATE_LIMIT_SUBMIT_PER_HOUR = _number(
    "RATE_LIMIT_SUBMIT_PER_HOUR", "applications that it regains per hour", 8, above=0
)
FETCH_DETAILS_PER_RUN = _whole_number(
    "FETCH_DETAILS_PER_RUN", "vacancies that a run reads in full", 30, least=0
)

# ── how long a person's data is kept ─────────────────────────────────────────────────────────────

EVENT_RETENTION_DAYS = _whole_number(
    "EVENT_RETENTION_DAYS", "days for which a client can replay events", 7, least=1
)
HISTORY_RETENTION_DAYS = _whole_number(
    "HISTORY_RETENTION_DAYS",
    "days for which the earlier states of an application that no longer changes are kept",
    365,
    least=1,
)
NOTIFIED_RETENTION_DAYS = _whole_number(
    "NOTIFIED_RETENTION_DAYS",
    "days for which vacancies that an account was notified of are kept",
    365,
    least=1,
)

# ── the BFF and the WebSocket ────────────────────────────────────────────────────────────────────

API_BASE_URL = _url("API_BASE_URL", "the BFF; without it no public feed is posted", "")
BFF_BROADCAST = _one_of("BFF_BROADCAST", "whether the public feed is posted", "on", "off")
WEBSOCKET_URL = _url("WEBSOCKET_URL", "the WebSocket for clients", scheme="ws")
WEBSOCKET_API_ENDPOINT = _url("WEBSOCKET_API_ENDPOINT", "API Gateway's @connections")

# ── Telegram ─────────────────────────────────────────────────────────────────────────────────────

TELEGRAM_API_URL = _url("TELEGRAM_API_URL", "Telegram's Bot API", "https://api.telegram.org")
TELEGRAM_BOT_TOKEN = _secret("TELEGRAM_BOT_TOKEN", "of the bot; without it there is none", "")
TELEGRAM_BOT_NAME = _text("TELEGRAM_BOT_NAME", "username of the bot, without @", "")
TELEGRAM_WEBHOOK_SECRET = _secret(
    "TELEGRAM_WEBHOOK_SECRET", "that Telegram sends with each update; without it none is read", ""
)

# ── notifications ────────────────────────────────────────────────────────────────────────────────

EMAIL_FROM = _text("EMAIL_FROM", "sender of e-mails; without it there is no e-mail", "")
SMTP_URL = _secret("SMTP_URL", "SMTP server, smtp:// or smtps://; without it Amazon SES", "")
WEBHOOK_ADDRESSES = _one_of(
    "WEBHOOK_ADDRESSES", "the addresses to which webhooks are sent", "public", "any"
)

# ── of Lambda, the libraries and the local cloud ─────────────────────────────────────────────────

AWS_REGION = _text("AWS_REGION", "set by Lambda")
AWS_ACCESS_KEY_ID = _text("AWS_ACCESS_KEY_ID", "set by Lambda")
AWS_SECRET_ACCESS_KEY = _text("AWS_SECRET_ACCESS_KEY", "set by Lambda")
AWS_SESSION_TOKEN = _text("AWS_SESSION_TOKEN", "set by Lambda", "")
AWS_CONTAINER_CREDENTIALS_FULL_URI = _url(
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "endpoint of credentials, set by Lambda's SnapStart", ""
)
AWS_CONTAINER_AUTHORIZATION_TOKEN = _text(
    "AWS_CONTAINER_AUTHORIZATION_TOKEN", "token for that endpoint", ""
)
AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = _text(
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "file with the token for that endpoint", ""
)
AWS_ENDPOINT_URL = _url("AWS_ENDPOINT_URL", "another endpoint than AWS's", "")
AWS_ENDPOINT_URL_DYNAMODB = _url("AWS_ENDPOINT_URL_DYNAMODB", "the same, of DynamoDB", "")
AWS_ENDPOINT_URL_KMS = _url("AWS_ENDPOINT_URL_KMS", "the same, of KMS", "")
AWS_ENDPOINT_URL_SECRETS_MANAGER = _url(
    "AWS_ENDPOINT_URL_SECRETS_MANAGER", "the same, of Secrets Manager", ""
)
AWS_ENDPOINT_URL_SESV2 = _url("AWS_ENDPOINT_URL_SESV2", "the same, of SES", "")
AWS_ENDPOINT_URL_SQS = _url("AWS_ENDPOINT_URL_SQS", "the same, of SQS", "")
COMMIT = _text("COMMIT", "the commit that is deployed", "")
TRACE_SPANS = _one_of("TRACE_SPANS", "whether each span has a log line", "off", "on")
_X_AMZN_TRACE_ID = _text("_X_AMZN_TRACE_ID", "X-Ray's trace header, set by Lambda", "")
POWERTOOLS_METRICS_NAMESPACE = _text(
    "POWERTOOLS_METRICS_NAMESPACE", "namespace of the metrics", "UllGetTheJob"
)
SSL_CERT_FILE = _text("SSL_CERT_FILE", "PEM file of the authorities; else certifi's", "")

# ── what functions need together ─────────────────────────────────────────────────────────────────

EVERY_FUNCTION: tuple[Setting[Any], ...] = (
    DATABASE_URL,
    DATABASE_TLS_ROOT_CERTIFICATES,
    DATABASE_HOST,
    DATABASE_PORT,
    DATABASE_NAME,
    TRACE_SPANS,
    COMMIT,
)
USER_TOKENS = (SECRET_KEY_BASE, SECRET_KEY_BASE_PREVIOUS)
SERVICE_CALLS = (
    *USER_TOKENS,
    ORCHESTRATOR_SECRET,
    ORCHESTRATOR_SECRET_PREVIOUS,
    REQUIRE_SIGNATURE,
)
HH_CALLS = (
    HH_API_URL,
    HH_USER_AGENT,
    HH_CALLS_PER_SECOND,
    HH_EGRESS,
    PACER_TABLE,
    LEASE_TABLE,
    TOKEN_KEY_ID,
)
HH_LOGIN = (HH_CLIENT_ID, HH_CLIENT_SECRET)
HH_APPLICATION = (*HH_LOGIN, HH_ACCESS_TOKEN)
RETENTION = (EVENT_RETENTION_DAYS, HISTORY_RETENTION_DAYS, NOTIFIED_RETENTION_DAYS)
SUBMIT_BUCKET = (BUCKET_TABLE, RATE_LIMIT_SUBMIT_CAPACITY, RATE_LIMIT_SUBMIT_PER_HOUR)
