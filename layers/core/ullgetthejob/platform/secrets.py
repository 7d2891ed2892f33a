"""Secrets: settings whose value may be a reference to AWS Secrets Manager.

The variable contains either the value itself (local runs, tests, ``sam local``) or, in the cloud::

    secretsmanager:<arn>[#<key of the JSON object>][@<version stage>]

A reference is resolved when it is first used and kept for five minutes. The current versions of
all secrets that the environment refers to are read in one call (``BatchGetSecretValue``), so the
first answer of a function waits for Secrets Manager once. What that call does not bring is read by
itself, as are previous versions, which only a rotation makes necessary.

A secret that was refused, or that refuses what was sent, may have been rotated: it is read again at
once, but no more often than every :data:`READ_AGAIN_EVERY_S` seconds, however many wrong ones are
sent.
"""

from __future__ import annotations

import json
import re
import time

from ullgetthejob.platform import settings
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.telemetry import logger

REFERENCE = re.compile(
    r"secretsmanager:(?P<arn>[^#@]+)(?:#(?P<key>[^@]+))?(?:@(?P<stage>[A-Za-z]+))?"
)
CURRENT = "AWSCURRENT"
LIFE_S = 300
READ_AGAIN_EVERY_S = 5

_kept: dict[tuple[str, str], tuple[str | None, float]] = {}  # content, when it was read
_alone_until = 0.0  # no BatchGetSecretValue before that moment: it was refused


def read(name: str) -> str | None:
    """The value of the variable *name*, or what its reference points to. ``None``: unset.

    A version stage that does not exist (no AWSPREVIOUS before the first rotation) is ``None`` too.
    Raises :class:`~ullgetthejob.platform.errors.Unavailable` when Secrets Manager does not answer.
    """
    value = settings.text(name, "")
    if not value:
        return None
    reference = REFERENCE.fullmatch(value)
    if reference is None:
        return value
    content = _fetch(reference["arn"], reference["stage"] or CURRENT)
    if content is None or reference["key"] is None:
        return content
    try:
        found = json.loads(content)[reference["key"]]
    except (ValueError, KeyError, TypeError):
        raise wrong_shape(name, reference["key"]) from None
    return None if found is None else str(found)


def wrong_shape(name: str, key: str) -> Unavailable:
    """Return the error of a secret that lacks *key*; the log names both, and no content."""
    logger.error("a secret lacks a key", variable=name, key=key)
    return Unavailable("a secret has another shape than Core needs", code="secrets_unavailable")


def refresh(name: str) -> bool:
    """Read the secret of the variable *name* anew; return whether it is another one than before.

    ``False`` for a value that stands in the variable, and where it was read a moment ago. Raises as
    :func:`read` does.
    """
    reference = REFERENCE.fullmatch(settings.text(name, ""))
    if reference is None:
        return False
    key = (reference["arn"], reference["stage"] or CURRENT)
    kept = _kept.get(key)
    if kept is not None and time.monotonic() < kept[1] + READ_AGAIN_EVERY_S:
        return False
    if kept is None:
        return _fetch(*key) is not None
    # Should Secrets Manager not answer, what is kept stays, and the next attempt waits its turn.
    _kept[key] = (kept[0], time.monotonic())
    content = _read(*key)
    _kept[key] = (content, time.monotonic())
    return content != kept[0]


def clear_cache() -> None:
    """Read every secret anew at its next use."""
    global _alone_until
    _kept.clear()
    _alone_until = 0.0


def _fetch(arn: str, stage: str) -> str | None:
    if not _fresh(arn, stage) and stage == CURRENT:
        _read_together()
    if not _fresh(arn, stage):
        content = _read(arn, stage)
        _kept[arn, stage] = content, time.monotonic()
    return _kept[arn, stage][0]


def _fresh(arn: str, stage: str) -> bool:
    kept = _kept.get((arn, stage))
    return kept is not None and time.monotonic() < kept[1] + LIFE_S


def _read_together() -> None:
    """Keep the current versions of all secrets that the environment refers to, as far as one call
    brings them: it may be refused, or lack one that cannot be read."""
    global _alone_until
    from ullgetthejob.platform import aws

    references = map(REFERENCE.fullmatch, settings.starting_with("secretsmanager:"))
    arns = {one["arn"] for one in references if one and (one["stage"] or CURRENT) == CURRENT}
    wanted = sorted(arn for arn in arns if not _fresh(arn, CURRENT))
    if len(wanted) < 2 or time.monotonic() < _alone_until:
        return
    try:
        answer = aws.call("secretsmanager", "BatchGetSecretValue", {"SecretIdList": wanted})
    except aws.AwsError as error:
        _alone_until = time.monotonic() + LIFE_S
        logger.warning("secrets could not be read in one call", aws_error=error.code)
        return
    for secret in answer.get("SecretValues", []):
        if secret["ARN"] in wanted and "SecretString" in secret:
            _kept[secret["ARN"], CURRENT] = str(secret["SecretString"]), time.monotonic()


def _read(arn: str, stage: str) -> str | None:
    from ullgetthejob.platform import aws  # brings TLS along: not for a value that stands there

    request = {"SecretId": arn, "VersionStage": stage}
    try:
        return str(aws.call("secretsmanager", "GetSecretValue", request)["SecretString"])
    except aws.AwsError as error:
        if error.code == "ResourceNotFoundException" and stage != CURRENT:
            return None
        logger.error("a secret could not be read", aws_error=error.code)
        raise Unavailable("a secret could not be read", code="secrets_unavailable") from error
