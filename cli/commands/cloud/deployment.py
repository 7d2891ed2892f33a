"""``ugtj cloud deploy`` and ``destroy``: build, deploy with SAM, test; describe and delete."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import yaml

from cli.aws_client import translate_errors
from cli.commands.cloud import parameters as parameter_file
from cli.commands.cloud import releases
from cli.commands.cloud.smoke import Deployed, smoke
from cli.commands.cloud.target import outputs_of, parameters_of
from cli.output import CommandError
from local.settings import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from cli.commands.cloud.target import Target
    from cli.doctor.checks import Finding

ARCHITECTURES = ("arm64", "x86_64")
RECOVERY_DAYS = 7  # the least that Secrets Manager and KMS keep what is deleted


def commit_of_checkout() -> str:
    """Return the commit of the checkout, with ``-dirty`` if files differ; ``unknown`` without
    git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        ran = subprocess.run(  # noqa: S603 - our own command
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
    except OSError:
        return "unknown"
    return ran.stdout.strip() or "unknown"


def build(architecture: str) -> None:
    """Build layers and functions. Raises :class:`CommandError`."""
    _run(["make", "build", f"ARCH={architecture}"], "the build failed")


def deploy(target: Target, architecture: str, *, ask: bool) -> None:
    """Deploy what was built with SAM. Raises :class:`CommandError`."""
    folder = REPOSITORY / ".aws-sam" / architecture
    file = folder / f"parameters-{target.stage}.yaml"
    commit = commit_of_checkout()
    declared = parameter_file.declarations()
    values = {
        # Always given: a rollback moves all at once, which CloudFormation remembers.
        "TrafficShifting": str(declared["TrafficShifting"]["Default"]),
        **parameter_file.read_parameters(target.file),
        "Stage": target.stage,
        "Architecture": architecture,
        "Commit": commit,
    }
    values["Build"] = identify_build(folder / "build", values)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(values, allow_unicode=True), "utf-8")
    command = [
        *(sys.executable, "-m", "samcli", "deploy"),
        *("--config-file", str(REPOSITORY / "samconfig.toml"), "--config-env", target.stage),
        *("--template-file", str(folder / "build" / "template.yaml")),
        *("--stack-name", target.stack, "--region", target.region),
        *("--parameter-overrides", f"file://{file}"),
        *("--tags", f"project=ullgetthejob-core stage={target.stage} commit={commit}"),
        *([] if ask else ["--no-confirm-changeset"]),
        *(("--profile", target.aws_profile) if target.aws_profile else ()),
    ]
    _run(command, "the deployment failed")


def identify_build(folder: Path, values: dict[str, str]) -> str:
    """Return the SHA-256 of what was built in *folder* and of the parameters' *values*, for the
    template's ``Build``: without another one SAM publishes no version of a function of which only
    a parameter has changed."""
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + b"\0")
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _run(command: list[str], failure: str) -> None:
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0"}
    ran = subprocess.run(command, cwd=REPOSITORY, check=False, env=environment)  # noqa: S603
    if ran.returncode != 0:
        raise CommandError(failure, "look at its last lines above")


def smoke_stack(target: Target, user: str | None = None) -> list[Finding]:
    """Return what the smoke test of the deployed stack found. Raises :class:`CommandError`."""
    stack = target.require_stack()
    outputs = outputs_of(stack)
    if "ApiUrl" not in outputs:
        step = f"ugtj cloud deploy --stage {target.stage}"
        raise CommandError(f"the stack {target.stack} has no API", step)
    with translate_errors():
        arn = parameters_of(stack)["CoreSecretArn"]
        secret = target.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    commit = releases.commit_of(stack)
    known = None if commit == "unknown" else commit
    return smoke(Deployed(outputs["ApiUrl"], outputs["WebSocketUrl"], secret, known, user))


def describe(target: Target) -> dict[str, Any]:
    """Return the state of a stage: its stack, addresses, alarms and releases."""
    stack = target.require_stack()
    with translate_errors():
        pages = target.client("cloudwatch").get_paginator("describe_alarms")
        alarms = [
            alarm["AlarmName"]
            for page in pages.paginate(StateValue="ALARM", AlarmNamePrefix=target.stack)
            for alarm in page["MetricAlarms"]
        ]
    try:
        good = [f"{release.commit} ({release.at})" for release in releases.list_releases(target)]
    except CommandError:
        good = []
    return {
        "stack": target.stack,
        "status": stack["StackStatus"],
        "commit": releases.commit_of(stack),
        "updated_at": (stack.get("LastUpdatedTime") or stack["CreationTime"]).isoformat(),
        **{name.lower(): value for name, value in outputs_of(stack).items()},
        "alarms": alarms,
        "good_releases": good[:5],
    }


def destroy(target: Target, *, everything: bool) -> list[str]:
    """Delete the stack; with *everything* also the releases, the secrets of the parameters and the
    key, which Secrets Manager and KMS keep for a week. Return what stays. Raises
    :class:`CommandError`."""
    from botocore.exceptions import WaiterError

    stack = target.require_stack()
    client = target.client("cloudformation")
    key = _key_of(target)
    with translate_errors():
        client.delete_stack(StackName=target.stack)
        try:
            client.get_waiter("stack_delete_complete").wait(StackName=stack["StackId"])
        except WaiterError:
            step = f"ugtj cloud status --stage {target.stage}"
            raise CommandError("the stack was not deleted completely", step) from None
    if not everything:
        kept = [f"the key {key}, without which the tokens in the database are lost"] if key else []
        return [*kept, "the secrets", "the database", "the releases in S3"]
    with translate_errors():
        _delete_secrets(target, parameters_of(stack))
    if key:
        _schedule_key_deletion(target, key)
    _delete_releases(target)
    return ["the database", f"for {RECOVERY_DAYS} days, restorable: the secrets and the key"]


def _key_of(target: Target) -> str | None:
    from botocore.exceptions import ClientError

    with translate_errors():
        try:
            found = target.client("cloudformation").describe_stack_resource(
                StackName=target.stack, LogicalResourceId="TokenKey"
            )
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            return None  # the creation failed before it existed
    identifier = found["StackResourceDetail"].get("PhysicalResourceId")
    return str(identifier) if identifier else None


def _schedule_key_deletion(target: Target, key: str) -> None:
    from botocore.exceptions import ClientError

    with translate_errors():
        try:
            target.client("kms").schedule_key_deletion(KeyId=key, PendingWindowInDays=RECOVERY_DAYS)
        except ClientError as error:
            # It was deleted with a stack that was never complete.
            if error.response["Error"]["Code"] != "NotFoundException":
                raise


def _delete_secrets(target: Target, parameters: dict[str, str]) -> None:
    """Delete the secrets that "init" made; others may be used elsewhere."""
    from cli.commands.cloud.bootstrap import NAMES

    for name, suffix in NAMES.items():
        arn = parameters.get(name, "")
        if f":secret:{target.stack}/{suffix}" in arn:
            target.client("secretsmanager").delete_secret(
                SecretId=arn, RecoveryWindowInDays=RECOVERY_DAYS
            )


def _delete_releases(target: Target) -> None:
    try:
        bucket = releases.bucket_of(target)
    except CommandError:
        return
    store = target.client("s3")
    with translate_errors():
        pages = store.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{target.stack}/"
        )
        for page in pages:
            for one in page.get("Contents", []):
                store.delete_object(Bucket=bucket, Key=one["Key"])
