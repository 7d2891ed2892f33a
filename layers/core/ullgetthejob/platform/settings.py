"""Settings: environment variables, read here and nowhere else.

A variable that holds a secret contains either the value itself (local runs, tests, ``sam local``)
or a reference to AWS Secrets Manager (the cloud)::

    secretsmanager:<arn>[#<key of the JSON object>][@<version stage>]

A reference is resolved when it is first used and kept for five minutes, so that a rotated secret is
picked up without a deploy.
"""

from __future__ import annotations

import json
import os
import re
import time

from ullgetthejob.platform.errors import Unavailable

REFERENCE = re.compile(
    r"secretsmanager:(?P<arn>[^#@]+)(?:#(?P<key>[^@]+))?(?:@(?P<stage>[A-Za-z]+))?"
)
SECRET_LIFE_S = 300

_secrets: dict[tuple[str, str], tuple[str | None, float]] = {}  # content, good until


class SettingMissing(RuntimeError):
    """A variable that must be set is not. Names the variable, never its value."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the environment variable {name} is not set")


def text(name: str, default: str | None = None) -> str:
    """A plain setting. Without a default, raises :class:`SettingMissing` when unset or empty."""
    value = os.environ.get(name) or default
    if value is None:
        raise SettingMissing(name)
    return value


def number(name: str, default: float) -> float:
    """A setting that is a number; ``ValueError`` names the variable."""
    value = os.environ.get(name)
    if not value:
        return default
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"the environment variable {name} must be a number") from None


def flag(name: str) -> bool:
    """A setting that is ``true`` or ``false`` (also when unset)."""
    value = (os.environ.get(name) or "false").lower()
    if value not in ("true", "false"):
        raise ValueError(f"the environment variable {name} must be true or false")
    return value == "true"


def secret(name: str) -> str | None:
    """A secret: the value of the variable, or what its reference points to. ``None``: unset.

    A version stage that does not exist (no AWSPREVIOUS before the first rotation) is ``None`` too.
    Raises :class:`~ullgetthejob.platform.errors.Unavailable` when Secrets Manager does not answer.
    """
    value = os.environ.get(name)
    if not value:
        return None
    reference = REFERENCE.fullmatch(value)
    if reference is None:
        return value
    content = _fetch(reference["arn"], reference["stage"] or "AWSCURRENT")
    if content is None or reference["key"] is None:
        return content
    found = json.loads(content).get(reference["key"])
    return None if found is None else str(found)


def forget_secrets() -> None:
    """Read every secret anew at its next use."""
    _secrets.clear()


def _fetch(arn: str, stage: str) -> str | None:
    from ullgetthejob.platform import aws

    kept = _secrets.get((arn, stage))
    if kept and time.monotonic() < kept[1]:
        return kept[0]
    content: str | None = None
    try:
        request = {"SecretId": arn, "VersionStage": stage}
        content = aws.call("secretsmanager", "GetSecretValue", request)["SecretString"]
    except aws.AwsError as error:
        if error.code != "ResourceNotFoundException" or stage == "AWSCURRENT":
            raise Unavailable("a secret could not be read", code="secrets_unavailable") from error
    _secrets[arn, stage] = content, time.monotonic() + SECRET_LIFE_S
    return content
