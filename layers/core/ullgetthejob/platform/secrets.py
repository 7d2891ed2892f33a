"""Secrets: settings whose value may be a reference to AWS Secrets Manager.

The variable contains either the value itself (local runs, tests, ``sam local``) or, in the cloud::

    secretsmanager:<arn>[#<key of the JSON object>][@<version stage>]

A reference is resolved when it is first used and cached for five minutes. The current versions of
all secrets that the environment refers to are read in one call (``BatchGetSecretValue``), so the
first response of a function waits for Secrets Manager once. A secret that this call does not return
is read individually, as are previous versions, which only a rotation makes necessary.

When a secret is refused, or does not match the one that a caller sent, it may have been rotated: it
is read again at once, but no more often than every :data:`REREAD_INTERVAL_S` seconds, however many
wrong ones are sent. A current version that has changed makes what is known of the previous one
outdated: both are read anew, so that callers with either are served during a rotation. What Core
itself signs is signed with the version before, until every environment has the new one.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import settings
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.settings import REFERENCE
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    import re

    from ullgetthejob.platform.settings import Setting

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
CACHE_TTL_S = 300
REREAD_INTERVAL_S = 5
SPREADING_S = 2 * CACHE_TTL_S  # after which every environment has read a new version


@dataclass(frozen=True)
class _Version:
    """A version of a secret. *content*: ``None`` if there is no such version. *created_at*: Unix
    time in seconds. *read_at*: by the monotonic clock."""

    content: str | None
    created_at: float
    read_at: float


_cache: dict[tuple[str, str], _Version] = {}
_read_again_at: dict[tuple[str, str], float] = {}  # when refresh() has read it last
_no_batch_until = 0.0  # BatchGetSecretValue was refused: none before this moment


def read(setting: Setting[str]) -> str | None:
    """Return the value of *setting*, or of the secret that it refers to; ``None``: unset.

    A version stage that does not exist (no AWSPREVIOUS before the first rotation) is ``None`` too.
    Raises :class:`~ullgetthejob.platform.errors.Unavailable` when Secrets Manager does not answer.
    """
    value = setting.get()
    if not value:
        return None
    reference = REFERENCE.fullmatch(value)
    if reference is None:
        return value
    return _read_version(setting, reference, reference["stage"] or CURRENT)


def read_previous(setting: Setting[str]) -> str | None:
    """Return the version before the current one of the secret that *setting* refers to; ``None``
    without one, and where the variable contains the value itself. Raises as :func:`read` does."""
    reference = REFERENCE.fullmatch(setting.get() or "")
    return None if reference is None else _read_version(setting, reference, PREVIOUS)


def _read_version(setting: Setting[str], reference: re.Match[str], stage: str) -> str | None:
    content = _read_cached(reference["arn"], stage)
    if content is None or reference["key"] is None:
        return content
    try:
        found = json.loads(content)[reference["key"]]
    except (ValueError, KeyError, TypeError):
        raise wrong_shape(setting.name, reference["key"]) from None
    return None if found is None else str(found)


def require(setting: Setting[str]) -> str:
    """Return the value as :func:`read` does. Raises :class:`~settings.SettingMissing` too."""
    value = read(setting)
    if value is None:
        raise settings.SettingMissing(f"{setting.name} is not set; it must be {setting}")
    return value


def wrong_shape(name: str, key: str) -> Unavailable:
    """Return the error of a secret that lacks *key*; the log names both, but no content."""
    logger.error("a secret lacks a key", variable=name, key=key)
    return Unavailable("a secret has another shape than Core needs", code="secrets_unavailable")


def is_reference(setting: Setting[str]) -> bool:
    """Return whether the variable of *setting* refers to a secret instead of containing it."""
    return REFERENCE.fullmatch(setting.get() or "") is not None


def refresh(setting: Setting[str]) -> bool:
    """Read the secret of *setting* again; return whether it has changed.

    ``False`` if the variable contains the value itself, and if it was read again a moment ago.
    Raises as :func:`read` does.
    """
    reference = REFERENCE.fullmatch(setting.get() or "")
    if reference is None:
        return False
    key = (reference["arn"], reference["stage"] or CURRENT)
    cached = _cache.get(key)
    if cached is None:
        return _read_cached(*key) is not None
    now = time.monotonic()
    if key in _read_again_at and now < _read_again_at[key] + REREAD_INTERVAL_S:
        return False
    # If Secrets Manager does not respond, the cached content stays; the next attempt has to wait.
    _read_again_at[key] = now
    _cache[key] = replace(cached, read_at=now)
    version = _get_secret(*key)
    _store(*key, version)
    return version.content != cached.content


def is_spreading(setting: Setting[str]) -> bool:
    """Return whether the current version of the secret of *setting* is so new that environments
    may still have the one before it: each reads it again within :data:`CACHE_TTL_S`. Raises as
    :func:`read` does."""
    reference = REFERENCE.fullmatch(setting.get() or "")
    if reference is None:
        return False
    stage = reference["stage"] or CURRENT
    _read_cached(reference["arn"], stage)
    return time.time() < _cache[reference["arn"], stage].created_at + SPREADING_S


def clear_cache() -> None:
    """Empty the cache, so that every secret is read again at its next use."""
    global _no_batch_until
    _cache.clear()
    _read_again_at.clear()
    _no_batch_until = 0.0


def _read_cached(arn: str, stage: str) -> str | None:
    if not _is_fresh(arn, stage) and stage == CURRENT:
        _read_batch()
    if not _is_fresh(arn, stage):
        _store(arn, stage, _get_secret(arn, stage))
    return _cache[arn, stage].content


def _store(arn: str, stage: str, version: _Version) -> None:
    """Cache *version*; a new current one outdates the others."""
    cached = _cache.get((arn, stage))
    _cache[arn, stage] = version
    if stage == CURRENT and cached is not None and cached.content != version.content:
        for key in [key for key in _cache if key[0] == arn and key[1] != CURRENT]:
            del _cache[key]


def _is_fresh(arn: str, stage: str) -> bool:
    cached = _cache.get((arn, stage))
    return cached is not None and time.monotonic() < cached.read_at + CACHE_TTL_S


def _read_batch() -> None:
    """Cache the current versions of all secrets that the environment refers to, as far as one call
    returns them: it may be refused, or lack a secret that cannot be read."""
    global _no_batch_until
    from ullgetthejob.platform import aws

    references = map(REFERENCE.fullmatch, settings.starting_with("secretsmanager:"))
    arns = {
        match["arn"] for match in references if match and (match["stage"] or CURRENT) == CURRENT
    }
    stale = sorted(arn for arn in arns if not _is_fresh(arn, CURRENT))
    if len(stale) < 2 or time.monotonic() < _no_batch_until:
        return
    try:
        response = aws.call("secretsmanager", "BatchGetSecretValue", {"SecretIdList": stale})
    except aws.AwsError as error:
        _no_batch_until = time.monotonic() + CACHE_TTL_S
        logger.warning("secrets could not be read in one call", aws_error=error.code)
        return
    for secret in response.get("SecretValues", []):
        if secret["ARN"] in stale and "SecretString" in secret:
            _store(secret["ARN"], CURRENT, _to_version(secret))


def _to_version(secret: dict[str, Any]) -> _Version:
    """Return a version as Secrets Manager describes it."""
    return _Version(
        str(secret["SecretString"]), float(secret.get("CreatedDate", 0)), time.monotonic()
    )


def _get_secret(arn: str, stage: str) -> _Version:
    from ullgetthejob.platform import aws  # imports TLS, which a plain value does not need

    request = {"SecretId": arn, "VersionStage": stage}
    try:
        return _to_version(aws.call("secretsmanager", "GetSecretValue", request))
    except aws.AwsError as error:
        if error.code == "ResourceNotFoundException" and stage != CURRENT:
            return _Version(None, 0.0, time.monotonic())
        logger.error("a secret could not be read", aws_error=error.code)
        raise Unavailable("a secret could not be read", code="secrets_unavailable") from error
