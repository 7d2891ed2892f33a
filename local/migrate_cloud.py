"""``make migrate-cloud``: invoke the deployed migrator and wait for its result.

"sam remote invoke" times out after a minute and invokes again; a migration may take as long as its
function's timeout, and is never invoked twice.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from local.terminal import printable

MIGRATOR_TIMEOUT_S = 900
# Of botocore's Config: a migration is waited for, and never invoked again.
ONE_LONG_CALL: dict[str, Any] = {
    "read_timeout": MIGRATOR_TIMEOUT_S + 10,
    "retries": {"total_max_attempts": 1},
    "tcp_keepalive": True,
}


class MigrationFailed(RuntimeError):
    """The function reported an error; the message is the function's."""


def migrator_of(stack: str) -> str:
    """Return the name of the migrator of a deployed *stack*, from its outputs. Raises
    ``LookupError`` if it has none."""
    import boto3

    (described,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    for output in described.get("Outputs", []):
        if output["OutputKey"] == "MigratorFunctionName":
            return str(output["OutputValue"])
    raise LookupError(f"the stack {stack} has no output MigratorFunctionName")


def migrate(function: str, event: dict[str, Any]) -> Any:
    """Invoke *function* once with *event* and return its result. Raises
    :class:`MigrationFailed`."""
    import boto3
    from botocore.config import Config

    return invoke(boto3.client("lambda", config=Config(**ONE_LONG_CALL)), function, event)


def invoke(client: Any, function: str, event: dict[str, Any]) -> Any:
    """Invoke *function* with *client*, made with :data:`ONE_LONG_CALL`, and return its result.
    Raises :class:`MigrationFailed`."""
    response = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
    payload = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise MigrationFailed(payload.get("errorMessage", "the function failed without a message"))
    return payload


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.migrate_cloud", description=__doc__)
    parser.add_argument("stack", help="name of the deployed stack")
    parser.add_argument("event", type=Path, help="file with the migrator's event")
    options = parser.parse_args()
    try:
        result = migrate(migrator_of(options.stack), json.loads(options.event.read_text()))
    except (MigrationFailed, LookupError) as error:
        sys.exit(printable(f"Not migrated: {error}"))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
