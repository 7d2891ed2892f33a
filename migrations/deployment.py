"""The migrator as CloudFormation's custom resource ``Schema``, which other functions wait for.

CloudFormation invokes the function with a request and waits until its answer is PUT to the
request's ``ResponseURL``:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html

- ``Create`` and ``Update`` upgrade to the newest revision. A database that a newer release has
  migrated stays as it is, so that a rollback of the stack never fails here, and loses nothing.
- ``Delete`` does nothing: the database outlives the stack.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import certifi
from alembic.script import ScriptDirectory

from migrations import upgrade as migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PHYSICAL_ID = "schema"  # constant: with another id, CloudFormation would delete the former one
ATTEMPTS = 3
PAUSE_S = 1.0
TIMEOUT_S = 10
LONGEST_REASON = 1000  # CloudFormation takes an answer of 4 KB


def is_request(event: Mapping[str, Any]) -> bool:
    """Return whether *event* is a request of CloudFormation."""
    return "RequestType" in event and "ResponseURL" in event


def bring_up_to_date(conninfo: str) -> migrations.Migrated:
    """Upgrade to the newest revision, unless the database is at one that this code does not know.

    Raises :class:`~migrations.upgrade.MigrationError`.
    """
    scripts = ScriptDirectory.from_config(migrations.configuration())
    known = {script.revision for script in scripts.walk_revisions()}
    revision = migrations.current(conninfo)
    if revision is not None and revision not in known:
        return migrations.Migrated(revision, revision, ())
    return migrations.upgrade(conninfo)


def respond(event: Mapping[str, Any], migrate: Callable[[], migrations.Migrated]) -> dict[str, Any]:
    """Handle a request of CloudFormation, send the answer and return it.

    A failed migration is the answer ``FAILED``, with its message as the reason: CloudFormation then
    rolls the stack back, before any other function was changed. Raises ``OSError`` if the answer
    cannot be sent.
    """
    answer: dict[str, Any] = {
        "Status": "SUCCESS",
        "PhysicalResourceId": PHYSICAL_ID,
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    if event["RequestType"] != "Delete":
        try:
            answer["Data"] = {"Revision": migrate().revision_after or ""}
        except Exception as error:
            # Only our own messages: those of others may quote rows or an address.
            known = isinstance(error, migrations.MigrationError)
            reason = str(error) if known else f"{type(error).__name__}, see the migrator's log"
            answer |= {"Status": "FAILED", "Reason": reason[:LONGEST_REASON]}
    _send(str(event["ResponseURL"]), json.dumps(answer).encode())
    return answer


def _send(url: str, body: bytes) -> None:
    """PUT *body* to the presigned *url*. Raises ``OSError`` after the last attempt."""
    for attempt in range(ATTEMPTS):
        try:
            status = _put(url, body)
        except (OSError, http.client.HTTPException):
            status = 0
        if status == http.client.OK:
            return
        if attempt + 1 < ATTEMPTS:
            time.sleep(PAUSE_S)
    raise OSError(f"CloudFormation's address did not take the answer ({status})")  # not the URL


def _put(url: str, body: bytes) -> int:
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        trusted = ssl.create_default_context(cafile=certifi.where())
        connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_S, context=trusted)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    try:
        # The signature of the URL covers an empty content type.
        connection.request("PUT", f"{parts.path}?{parts.query}", body, {"content-type": ""})
        return connection.getresponse().status
    finally:
        connection.close()
