"""``make migrate-cloud``: have the deployed migrator bring its database to a revision, and wait.

"sam remote invoke" would do, but stops listening after a minute and then invokes again; a migration
may take as long as its function may run, and is never asked for twice.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from local.terminal import printable

MIGRATOR_TIMEOUT_S = 900


class MigrationFailed(RuntimeError):
    """The function reported an error; the message is its own."""


def migrator_of(stack: str) -> str:
    """The name of the migrator of a deployed *stack*, from its outputs. ``LookupError``: none."""
    import boto3

    (described,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    for output in described.get("Outputs", []):
        if output["OutputKey"] == "MigratorFunctionName":
            return str(output["OutputValue"])
    raise LookupError(f"the stack {stack} has no output MigratorFunctionName")


def migrate(function: str, event: dict[str, Any]) -> Any:
    """Invoke *function* once with *event* and wait for its answer; :class:`MigrationFailed`."""
    import boto3
    from botocore.config import Config

    patient = Config(
        read_timeout=MIGRATOR_TIMEOUT_S + 10, retries={"total_max_attempts": 1}, tcp_keepalive=True
    )
    answer = boto3.client("lambda", config=patient).invoke(
        FunctionName=function, Payload=json.dumps(event).encode()
    )
    payload = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise MigrationFailed(payload.get("errorMessage", "the function failed without a message"))
    return payload


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m local.migrate_cloud", description=__doc__)
    parser.add_argument("stack", help="name of the deployed stack")
    parser.add_argument("event", type=Path, help="file with the migrator's event")
    given = parser.parse_args()
    try:
        done = migrate(migrator_of(given.stack), json.loads(given.event.read_text()))
    except (MigrationFailed, LookupError) as error:
        sys.exit(printable(f"Not migrated: {error}"))
    print(json.dumps(done, indent=2))


if __name__ == "__main__":
    main()
