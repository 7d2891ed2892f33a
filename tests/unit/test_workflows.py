"""The workflows of GitHub Actions: pinned actions, least permissions, prod by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from local.settings import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

FILES = sorted((REPOSITORY / ".github" / "workflows").glob("*.y*ml"))
WORKFLOWS: dict[str, Any] = {file.name: yaml.safe_load(file.read_text()) for file in FILES}
# The digests were looked up in public repositories; the comment beside each names its release.
PINNED = re.compile(
    r"uses: (?P<action>[\w.-]+/[\w./-]+)@(?P<digest>\S+)(?P<release> # v\d+\.\d+\.\d+)?$"
)
# Written by a person who opens a pull request or a branch, so never part of a shell's text.
FOREIGN = re.compile(r"\$\{\{(?!\s*matrix\.arch\s*\}\})")
every_workflow = pytest.mark.parametrize("name", WORKFLOWS)


def jobs(name: str) -> list[dict[str, Any]]:
    return list(WORKFLOWS[name]["jobs"].values())


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in jobs(name) for step in job["steps"]]


def commands(name: str) -> str:
    return "\n".join(step.get("run", "") for step in steps(name))


def test_there_are_workflows() -> None:
    assert set(WORKFLOWS) == {"check.yml", "deploy.yml"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_by_digest_with_their_release(file: Path) -> None:
    lines = [line.strip().removeprefix("- ") for line in file.read_text().splitlines()]
    used = [line for line in lines if line.startswith("uses:")]
    assert used
    for line in used:
        found = PINNED.fullmatch(line)
        assert found is not None, line
        assert re.fullmatch(r"[0-9a-f]{40}", found["digest"]), line
        assert found["release"], line


def test_an_action_has_one_digest_everywhere() -> None:
    digests: dict[str, set[str]] = {}
    for file in FILES:
        for action, digest in re.findall(r"uses: (\S+)@(\S+)", file.read_text()):
            digests.setdefault(action, set()).add(digest)
    assert [action for action, found in digests.items() if len(found) > 1] == []


@every_workflow
def test_permissions_are_the_least(name: str) -> None:
    top = WORKFLOWS[name]["permissions"]
    assert set(top.items()) <= {("contents", "read")}
    for job in jobs(name):
        given = job.get("permissions", top)
        writes = {scope for scope, level in given.items() if level != "read"}
        assert writes <= ({"id-token"} if "environment" in job else set())


@every_workflow
def test_checkout_leaves_no_credentials_and_jobs_end(name: str) -> None:
    for job in jobs(name):
        assert 0 < job["timeout-minutes"] <= 60
        assert "self-hosted" not in str(job["runs-on"])
    checkouts = [s for s in steps(name) if s.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(jobs(name))
    for step in checkouts:
        assert step["with"]["persist-credentials"] is False


@every_workflow
def test_shell_contains_no_expression(name: str) -> None:
    """Values reach a shell as variables: an expression would be pasted into its text."""
    assert FOREIGN.search(commands(name)) is None


@every_workflow
def test_no_lasting_secret_of_aws_is_used(name: str) -> None:
    text = (REPOSITORY / ".github" / "workflows" / name).read_text()
    assert "secrets." not in text
    assert "access-key" not in text
    assert "pull_request_target" not in text


def test_changes_are_checked_tested_and_built_for_both_machines() -> None:
    said = commands("check.yml")
    for command in ("make check", "make test", "make test-cloud", "make build ARCH="):
        assert command in said
    matrix = WORKFLOWS["check.yml"]["jobs"]["build"]["strategy"]["matrix"]
    assert matrix == {"arch": ["arm64", "x86_64"]}
    assert "id-token" not in str(WORKFLOWS["check.yml"])


def test_only_checked_commits_are_deployed_and_prod_by_hand() -> None:
    workflow = WORKFLOWS["deploy.yml"]
    triggers = workflow[True]  # YAML reads "on" so
    assert set(triggers) == {"workflow_run", "workflow_dispatch"}
    assert triggers["workflow_run"]["branches"] == ["main"]
    (job,) = jobs("deploy.yml")
    condition = " ".join(job["if"].split())
    assert "github.ref == 'refs/heads/main'" in condition
    assert "workflow_run.conclusion == 'success'" in condition
    # A fork's pull request may come from a branch named main, too.
    assert "workflow_run.event == 'push'" in condition
    # Without inputs, as after a check, it is dev: prod is chosen by a person and its reviewers.
    assert job["environment"] == "${{ inputs.stage || 'dev' }}"
    assert job["concurrency"]["cancel-in-progress"] is False
    said = commands("deploy.yml")
    for command in ("make deploy", "ugtj cloud rollback", "ugtj cloud smoke"):
        assert command in said
