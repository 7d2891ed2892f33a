"""From an empty AWS account to a second release, back to the first, and to nothing.

In a clean clone, with ``ugtj cloud`` as an operator types it. What stands in for AWS where moto has
gaps is in tests/cloud/stand_ins.py.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from moto.cloudformation.parsing import ResourceMap

from cli.commands.cloud import deployment
from local.settings import REPOSITORY
from local.template.cloudformation import REGION
from tests.cloud import stand_ins
from tests.fixtures.operator import STACK
from tests.fixtures.revisions import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.hh_sandbox import HhSandbox
    from tests.fixtures.operator import Operator

NEXT = "9001"
MIGRATION = f'''"""A column that a later release adds."""

from alembic import op

revision = "{NEXT}"
down_revision = "{HEAD}"


def upgrade() -> None:
    op.execute("ALTER TABLE users ADD COLUMN added_later text NOT NULL DEFAULT 'x'")


def downgrade() -> None:
    op.execute("ALTER TABLE users DROP COLUMN added_later")
'''
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")  # moto: AWS::ApiGateway::Account


def run_git(folder: Path, *arguments: str) -> str:
    ran = subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return ran.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clean clone of the last commit."""
    folder = tmp_path / "clone"
    run_git(tmp_path, "clone", "--quiet", "--shared", str(REPOSITORY), str(folder))
    return folder


@pytest.fixture
def account(
    operator: Operator,
    clone: Path,
    moto_server: str,
    hh_sandbox: HhSandbox,
    empty_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Operator:
    """An empty account, and what only its operator knows in the environment."""
    for name, value in {
        "AWS_REGION": REGION,  # that of functions which run locally
        "AWS_DEFAULT_REGION": REGION,
        "UGTJ_DATABASE_URL": empty_database_url,
        "UGTJ_HH_CLIENT_ID": hh_sandbox.client_id,
        "UGTJ_HH_CLIENT_SECRET": hh_sandbox.client_secret,
    }.items():
        monkeypatch.setenv(name, value)
    operator.file.write_text(f"HhApiUrl: {hh_sandbox.url}\nHhOAuthUrl: {hh_sandbox.url}/oauth\n")
    monkeypatch.setattr(deployment, "REPOSITORY", clone)
    return operator


@pytest.fixture
def cloud(
    account: Operator,
    clone: Path,
    moto_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[stand_ins.Cloud]:
    monkeypatch.setattr(ResourceMap, "build_resource_diff", stand_ins.find_changes)
    with stand_ins.Cloud(STACK, tmp_path / "served", moto_server) as cloud:

        def run(command: list[str], failure: str) -> None:
            if command[0] == "make":
                architecture = command[-1].removeprefix("ARCH=")
                stand_ins.build(clone, clone / ".aws-sam" / architecture / "build")
            else:
                stand_ins.deploy(command, cloud)

        monkeypatch.setattr(deployment, "_run", run)
        yield cloud


def succeeds(account: Operator, *arguments: str, file: bool = True) -> Any:
    code, out, err = account.run(*arguments, "--json", file=file)
    assert code == 0, out + err
    return json.loads(out)


def ready(cloud: stand_ins.Cloud) -> tuple[str, str]:
    """Return the commit that answers, and the schema's revision."""
    answer = httpx.get(f"http://127.0.0.1:{cloud.port}/api/v1/system/ready", timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["commit"], answer.json()["revision"]


def add_release(clone: Path) -> str:
    """Commit another release, with a migration of its own; return its commit."""
    (clone / "migrations" / "versions" / f"{NEXT}_later.py").write_text(MIGRATION)
    code = clone / "layers/core/ullgetthejob/platform/schema.py"
    code.write_text(re.sub(r'REVISION = "\d+"', f'REVISION = "{NEXT}"', code.read_text()))
    run_git(clone, "add", "--all", "migrations", "layers")
    run_git(clone, "commit", "--quiet", "--message", "Another release")
    return deployment.commit_of_checkout()


def what_is_left() -> dict[str, list[str]]:
    """Return what is in the account, by kind."""
    make = stand_ins.client
    keys = make("kms").list_keys()["Keys"]
    described = [make("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in keys]
    aliases = make("kms").list_aliases()["Aliases"]  # AWS's keys have one, such as DynamoDB's
    others = {
        alias.get("TargetKeyId") for alias in aliases if alias["AliasName"].startswith("alias/aws/")
    }
    own = [key for key in described if key["KeyId"] not in others]
    secrets = make("secretsmanager").list_secrets()["SecretList"]
    stored = make("s3").list_objects_v2(Bucket=stand_ins.BUCKET).get("Contents", [])
    groups = make("logs").describe_log_groups()["logGroups"]
    return {
        "tables": make("dynamodb").list_tables()["TableNames"],
        "queues": make("sqs").list_queues().get("QueueUrls", []),
        "log groups": [group["logGroupName"] for group in groups],
        "keys": [key["KeyId"] for key in own if key["KeyState"] != "PendingDeletion"],
        "secrets": [secret["Name"] for secret in secrets if not secret.get("DeletedDate")],
        "objects": [entry["Key"] for entry in stored],
    }


def test_deploy_update_rollback_and_destroy(
    account: Operator, cloud: stand_ins.Cloud, clone: Path
) -> None:
    options = ("--user-agent", "UllGetTheJob/1.0 (me@jobs.test)")
    succeeds(account, "init", *options, "--redirect-uri", "https://jobs.test/callback")
    account.client("apigateway").update_account(
        patchOperations=[
            {"op": "replace", "path": "/cloudwatchRoleArn", "value": "arn:aws:iam::1:role/logs"}
        ]
    )
    first = deployment.commit_of_checkout()

    # The first deployment makes the stack, migrates and smokes.
    found = succeeds(account, "deploy", "--yes")
    assert {finding["check"]: finding["verdict"] for finding in found["findings"]} == dict.fromkeys(
        ("health", "ready", "search", "socket", "application"), "ok"
    )
    assert ready(cloud) == (first, HEAD)
    status = succeeds(account, "status", file=False)
    assert status["commit"] == first
    assert [release.split()[0] for release in status["good_releases"]] == [first]

    # The second brings a migration. The address answers throughout, from both releases.
    vault = account.client("secretsmanager")
    secret = vault.get_secret_value(SecretId=f"{STACK}/core")["SecretString"]
    with stand_ins.answering(f"http://127.0.0.1:{cloud.port}", secret) as answers:
        second = add_release(clone)
        assert second != first
        succeeds(account, "deploy", "--yes")
        assert ready(cloud) == (second, NEXT)

        # The first release comes back and works on the newer schema.
        gone = cloud.served
        back = succeeds(account, "rollback", "--yes", file=False)
        assert back["commit"] == first
        cloud.wait_for(stack_parameter("Build"))
        assert cloud.served != gone
        assert ready(cloud) == (first, NEXT)
        assert all(
            finding["verdict"] == "ok"
            for finding in succeeds(account, "smoke", file=False)["findings"]
        )
    expected = {"/api/v1/system/health": 200, "/api/applications": 404}
    assert {answer for answer in answers if expected.get(answer[0]) != answer[1]} == set()
    assert len(answers) > 10
    assert cloud.migrated == [HEAD, NEXT, NEXT]
    assert stack_parameter("TrafficShifting") == "AllAtOnce"

    # Nothing is left.
    succeeds(account, "destroy", "--everything", "--yes", file=False)
    assert {kind: found for kind, found in what_is_left().items() if found} == {}


def stack_parameter(name: str) -> str:
    (stack,) = stand_ins.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    values = {
        parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]
    }
    return str(values[name])
