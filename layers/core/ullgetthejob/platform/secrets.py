"""Secrets: settings whose value may be a reference to AWS Secrets Manager.

The variable contains either the value itself (local runs, tests, ``sam local``) or, in the cloud::

    secretsmanager:<arn>[#<key of the JSON object>][@<version stage>]

A reference is resolved when it is first used and kept for five minutes, so that a rotated secret is
picked up without a deploy.
"""

from __future__ import annotations

import json
import re
import time

from ullgetthejob.platform import settings
from ullgetthejob.platform.errors import Unavailable

REFERENCE = re.compile(
    r"secretsmanager:(?P<arn>[^#@]+)(?:#(?P<key>[^@]+))?(?:@(?P<stage>[A-Za-z]+))?"
)
LIFE_S = 300

_kept: dict[tuple[str, str], tuple[str | None, float]] = {}  # content, good until


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
    content = _fetch(reference["arn"], reference["stage"] or "AWSCURRENT")
    if content is None or reference["key"] is None:
        return content
    found = json.loads(content).get(reference["key"])
    return None if found is None else str(found)


def forget() -> None:
    """Read every secret anew at its next use."""
    _kept.clear()


def _fetch(arn: str, stage: str) -> str | None:
    from ullgetthejob.platform import aws  # brings TLS along: not for a value that stands there

    kept = _kept.get((arn, stage))
    if kept and time.monotonic() < kept[1]:
        return kept[0]
    content: str | None = None
    try:
        request = {"SecretId": arn, "VersionStage": stage}
        content = aws.call("secretsmanager", "GetSecretValue", request)["SecretString"]
    except aws.AwsError as error:
        if error.code != "ResourceNotFoundException" or stage == "AWSCURRENT":
            raise Unavailable("a secret could not be read", code="secrets_unavailable") from error
    _kept[arn, stage] = content, time.monotonic() + LIFE_S
    return content
