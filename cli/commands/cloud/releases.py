"""Releases: what was deployed and passed the smoke test, so that one command brings it back.

A release is a JSON object beside SAM's artifacts in S3: the stack's template as it was deployed,
which names the artifacts of its code, and the parameters. Rolling back is an update of the stack
with those, which moves all callers at once; the database stays as it is
(docs/decisions/0009-schema-first.md, docs/decisions/0010-versions-behind-an-alias.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.aws_client import translate_errors
from cli.commands.cloud.target import parameters_of
from cli.output import CommandError

if TYPE_CHECKING:
    from cli.commands.cloud.target import Target

SAM_STACK = "aws-sam-cli-managed-default"  # made by "sam deploy" with resolve_s3
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
AT_ONCE = {"TrafficShifting": "AllAtOnce"}  # of what was good before there is nothing to try out
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class Release:
    """A release that passed its smoke test."""

    key: str
    commit: str
    at: str
    parameters: dict[str, str]


def bucket_of(target: Target) -> str:
    """Return the bucket of SAM's artifacts. Raises :class:`CommandError`."""
    from botocore.exceptions import ClientError

    with translate_errors():
        try:
            answer = target.client("cloudformation").describe_stacks(StackName=SAM_STACK)
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            step = f"ugtj cloud deploy --stage {target.stage}"
            raise CommandError("nothing was deployed from here yet", step) from None
    outputs = {
        output["OutputKey"]: output["OutputValue"] for output in answer["Stacks"][0]["Outputs"]
    }
    return str(outputs["SourceBucket"])


def prefix_of(target: Target) -> str:
    """Return the beginning of the keys of a stage's releases."""
    return f"{target.stack}/releases/"


def record(target: Target) -> Release:
    """Store the stack as it is now as a release. Raises :class:`CommandError`."""
    stack = target.require_stack()
    now = datetime.now(UTC)
    commit = commit_of(stack)
    key = f"{prefix_of(target)}{now:%Y%m%dT%H%M%S%f}-{commit}"
    release = Release(key, commit, now.isoformat(timespec="seconds"), parameters_of(stack))
    with translate_errors():
        template = target.client("cloudformation").get_template(
            StackName=target.stack, TemplateStage="Original"
        )["TemplateBody"]
        text = template if isinstance(template, str) else json.dumps(template)
        store, bucket = target.client("s3"), bucket_of(target)
        store.put_object(Bucket=bucket, Key=f"{key}.template", Body=text.encode())
        content = {"commit": commit, "at": release.at, "parameters": release.parameters}
        store.put_object(Bucket=bucket, Key=f"{key}.json", Body=json.dumps(content).encode())
    return release


def commit_of(stack: dict[str, Any]) -> str:
    """Return the commit in the tags of a described stack."""
    tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}
    return str(tags.get("commit", "unknown"))


def list_releases(target: Target) -> list[Release]:
    """Return the releases of a stage, the newest first. Raises :class:`CommandError`."""
    store, bucket = target.client("s3"), bucket_of(target)
    with translate_errors():
        pages = store.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix_of(target)
        )
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        found = []
        for key in sorted((k for k in keys if k.endswith(".json")), reverse=True):
            content = json.loads(store.get_object(Bucket=bucket, Key=key)["Body"].read())
            found.append(Release(key.removesuffix(".json"), **content))
    return found


def choose_last_good(target: Target, commit: str | None) -> Release:
    """Return the release to return to: that of *commit*, else the newest that is not deployed now.
    Raises :class:`CommandError`."""
    now = commit_of(target.require_stack())
    for release in list_releases(target):
        if release.commit == commit or (commit is None and release.commit != now):
            return release
    wanted = f"release of {commit}" if commit else f"earlier release than {now}"
    step = f"ugtj cloud status --stage {target.stage}"
    raise CommandError(f"there is no {wanted} that passed its smoke test", step)


def bring_back(target: Target, release: Release) -> None:
    """Update the stack to *release* and wait until it is. Raises :class:`CommandError`."""
    from botocore.exceptions import ClientError, WaiterError

    client, bucket = target.client("cloudformation"), bucket_of(target)
    url = f"https://s3.{target.region}.amazonaws.com/{bucket}/{release.key}.template"
    values = {name: AT_ONCE.get(name, value) for name, value in release.parameters.items()}
    listed = [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()]
    with translate_errors():
        try:
            client.update_stack(
                StackName=target.stack,
                TemplateURL=url,
                Parameters=listed,
                Capabilities=CAPABILITIES,
                Tags=[
                    {"Key": "project", "Value": "ullgetthejob-core"},
                    {"Key": "stage", "Value": target.stage},
                    {"Key": "commit", "Value": release.commit},
                ],
            )
        except ClientError as error:
            if not any(text in str(error) for text in NO_CHANGES):
                raise
            return
        try:
            client.get_waiter("stack_update_complete").wait(StackName=target.stack)
        except WaiterError:
            raise CommandError(
                f"the stack did not become {release.commit}: {describe_failure(target)}",
                f"ugtj cloud status --stage {target.stage}",
            ) from None


def describe_failure(target: Target) -> str:
    """Return the first failure of the stack's last change, as CloudFormation names it."""
    with translate_errors():
        events = target.client("cloudformation").describe_stack_events(StackName=target.stack)
    failed = [
        (event["LogicalResourceId"], event.get("ResourceStatusReason", event["ResourceStatus"]))
        for event in events["StackEvents"]
        if event["ResourceStatus"].endswith("_FAILED")
    ]
    causes = [f"{name}: {reason}" for name, reason in failed if "cancelled" not in reason]
    return causes[-1] if causes else "see its events"
