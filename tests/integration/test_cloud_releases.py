"""Deploying, rolling back and destroying with ``ugtj cloud``: moto's server as AWS.

Moto does not run SAM's transform: small stacks stand in for the deployed one, and a recorder for
"make build" and "sam deploy". The stack of SAM's bucket is made as SAM makes it.
"""

from __future__ import annotations

import json

import pytest
import yaml

from cli.commands.cloud import deployment, releases
from cli.commands.cloud.target import Target, parameters_of
from tests.fixtures.operator import REGION, STACK

FIRST, SECOND = "a" * 12, "b" * 12
SAM_BUCKET = {
    "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "artifacts"}}},
    "Outputs": {"SourceBucket": {"Value": {"Ref": "Bucket"}}},
}


@pytest.fixture
def account(operator):
    """An account into which SAM has deployed before."""
    operator.client("cloudformation").create_stack(
        StackName=releases.SAM_STACK, TemplateBody=json.dumps(SAM_BUCKET)
    )
    return operator


@pytest.fixture
def target(account):
    return Target("dev", STACK, account.file)


PARAMETERS = ("Stage", "CoreSecretArn", "TrafficShifting")


def template(queue, **more):
    return json.dumps(
        {
            "Parameters": {name: {"Type": "String"} for name in PARAMETERS},
            "Resources": {
                # a name of its own: moto does not replace a queue that is renamed
                queue.replace("-", ""): {
                    "Type": "AWS::SQS::Queue",
                    "Properties": {"QueueName": queue},
                },
                **more,
            },
        }
    )


def put_stack(account, commit, queue, core="arn", verb="create", **more):
    """Create or update the stack as a deployment of *commit*."""
    values = {"Stage": "dev", "CoreSecretArn": core, "TrafficShifting": "Canary10Percent10Minutes"}
    getattr(account.client("cloudformation"), f"{verb}_stack")(
        StackName=STACK,
        TemplateBody=template(queue, **more),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
        Tags=[{"Key": "commit", "Value": commit}],
    )


def queues(account):
    """Return the queues of the stack. (moto does not create again what an update removed, so the
    stack is asked, not SQS.)"""
    listed = account.client("cloudformation").list_stack_resources(StackName=STACK)
    return [resource["LogicalResourceId"] for resource in listed["StackResourceSummaries"]]


# ── deploy ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ran(monkeypatch):
    """The commands that would build and deploy."""
    commands = []
    monkeypatch.setattr(deployment, "_run", lambda command, failure: commands.append(command))
    return commands


def test_deploy_with_a_problem_builds_nothing(account, ran):
    code, out, _ = account.run("deploy", "--json")
    assert code == 1
    assert json.loads(out)["problems"] >= 1
    assert ran == []


def test_parameters_reach_sam_as_texts_with_the_commit(account, target, ran, monkeypatch, tmp_path):
    monkeypatch.setattr(deployment, "REPOSITORY", tmp_path)
    monkeypatch.setattr(deployment, "commit_of_checkout", lambda: FIRST)
    account.file.write_text("Alarming: off\nRequireSignature: true\nSubnetIds: [a, b]\n")
    deployment.deploy(target, "x86_64", ask=False)
    (command,) = ran
    written = tmp_path / ".aws-sam" / "x86_64" / "parameters-dev.yaml"
    values = yaml.safe_load(written.read_text())
    assert len(values.pop("Build")) == 64
    assert values == {
        "TrafficShifting": "Canary10Percent10Minutes",
        "Alarming": "off",
        "RequireSignature": "true",
        "SubnetIds": "a,b",
        "Stage": "dev",
        "Architecture": "x86_64",
        "Commit": FIRST,
    }
    assert f"file://{written}" in command
    assert f"project=ullgetthejob-core stage=dev commit={FIRST}" in command
    assert "--no-confirm-changeset" in command
    deployment.deploy(target, "x86_64", ask=True)
    assert "--no-confirm-changeset" not in ran[1]


def test_build_differs_with_code_and_with_parameters(tmp_path):
    """SAM publishes versions by it, and a repeated deployment publishes none."""
    folder, values = tmp_path / "build", {"Commit": FIRST}
    (folder / "CoreLayer").mkdir(parents=True)
    (folder / "CoreLayer" / "a.py").write_text("1")
    found = [deployment.identify_build(folder, values)]
    assert deployment.identify_build(folder, dict(values)) == found[0]
    found.append(deployment.identify_build(folder, {**values, "HhCallsPerSecond": "4"}))
    (folder / "CoreLayer" / "a.py").write_text("2")
    found.append(deployment.identify_build(folder, values))
    (folder / "CoreLayer" / "a.py").rename(folder / "CoreLayer" / "b.py")
    found.append(deployment.identify_build(folder, values))
    assert len(set(found)) == 4


def test_file_of_parameters_is_read_by_sam(target, ran, monkeypatch, tmp_path, account):
    """SAM's own parser, with what a User-Agent and an empty value look like."""
    from samcli.cli.types import (  # type: ignore[import-untyped]
        CfnParameterOverridesType,
    )

    monkeypatch.setattr(deployment, "REPOSITORY", tmp_path)
    agent = "UllGetTheJob/1.0 (me@jobs.test)"
    account.write(HhUserAgent=agent, AdminSecretArn="", Alarming="on")
    deployment.deploy(target, "arm64", ask=False)
    (argument,) = [word for word in ran[0] if word.startswith("file://")]
    read = CfnParameterOverridesType().convert([argument], None, None)
    assert read["HhUserAgent"] == agent
    assert read["AdminSecretArn"] == ""
    assert read["Alarming"] == "on"


# ── releases ─────────────────────────────────────────────────────────────────────────────────────


def test_rollback_brings_the_last_good_release_back(account, target):
    put_stack(account, FIRST, "of-the-first")
    releases.record(target)
    put_stack(account, SECOND, "of-the-second", verb="update")
    assert queues(account) == ["ofthesecond"]
    code, out, err = run(account, "rollback", "--yes")
    assert code == 0, err
    assert FIRST in out
    assert queues(account) == ["ofthefirst"]
    stack = target.require_stack()
    assert releases.commit_of(stack) == FIRST
    assert parameters_of(stack)["TrafficShifting"] == "AllAtOnce"  # no canary on the way back


def test_release_that_never_passed_smoke_is_not_brought_back(account, target):
    put_stack(account, FIRST, "of-the-first")
    releases.record(target)
    put_stack(account, "c" * 12, "of-a-bad-one", verb="update")  # not recorded
    put_stack(account, SECOND, "of-the-second", verb="update")
    assert releases.choose_last_good(target, None).commit == FIRST


def test_rollback_to_a_named_commit(account, target):
    for number, commit in enumerate((FIRST, "c" * 12, SECOND)):
        put_stack(account, commit, f"of-{number}", verb="update" if number else "create")
        releases.record(target)
    assert releases.choose_last_good(target, None).commit == "c" * 12
    assert run(account, "rollback", "--commit", FIRST, "--yes")[0] == 0
    assert queues(account) == ["of0"]


def test_rollback_without_an_earlier_release_changes_nothing(account, target):
    put_stack(account, FIRST, "of-the-first")
    releases.record(target)
    code, _, err = run(account, "rollback", "--yes")
    assert code == 1
    assert f"no earlier release than {FIRST}" in err
    assert queues(account) == ["ofthefirst"]


def test_rollback_is_not_made_without_a_confirmation(account, target):
    put_stack(account, FIRST, "of-the-first")
    releases.record(target)
    put_stack(account, SECOND, "of-the-second", verb="update")
    code, _, err = run(account, "rollback")
    assert (code, "--yes" in err) == (2, True)
    assert queues(account) == ["ofthesecond"]


@pytest.mark.parametrize("command", ["status", "rollback", "destroy", "smoke"])
def test_command_without_a_stack_says_so(account, command):
    code, _, err = run(account, command)
    assert code == 1
    assert f"there is no stack {STACK} in {REGION}" in err
    assert "ugtj cloud deploy --stage dev" in err


def test_status_names_commit_and_releases(account, target):
    put_stack(account, FIRST, "of-the-first")
    releases.record(target)
    code, out, err = run(account, "status", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["commit"], found["status"]) == (FIRST, "CREATE_COMPLETE")
    assert [release.split()[0] for release in found["good_releases"]] == [FIRST]


# ── destroy ──────────────────────────────────────────────────────────────────────────────────────


KEY = {"TokenKey": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {}}}}


def secret_names(account):
    """Return the names of the secrets that are not marked for deletion."""
    listed = account.client("secretsmanager").list_secrets()["SecretList"]
    return {secret["Name"] for secret in listed if not secret.get("DeletedDate")}


def test_destroy_keeps_what_cannot_be_made_again(account, target):
    core = account.create_secret(f"{STACK}/core", "secret")
    put_stack(account, FIRST, "of-the-first", core)
    releases.record(target)
    code, out, err = run(account, "destroy", "--yes")
    assert code == 0, err
    assert target.describe_stack() is None
    assert account.client("sqs").list_queues().get("QueueUrls", []) == []
    assert secret_names(account) == {f"{STACK}/core"}
    assert "the secrets" in out


def test_destroy_of_everything_leaves_nothing_of_its_own(account, target):
    core = account.create_secret(f"{STACK}/core", "secret")
    account.create_secret("of-another-system", "secret")
    put_stack(account, FIRST, "of-the-first", core, **KEY)
    releases.record(target)
    code, _, err = run(account, "destroy", "--everything", "--yes")
    assert code == 0, err
    assert secret_names(account) == {"of-another-system"}
    assert account.client("s3").list_objects_v2(Bucket="artifacts").get("Contents", []) == []
    keys = [key["KeyId"] for key in account.client("kms").list_keys()["Keys"]]
    states = {
        account.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] for key in keys
    }
    assert states <= {"PendingDeletion"}


def run(account, command, *arguments):
    """Run a command that takes no file of parameters."""
    return account.run(command, *arguments, file=False)
