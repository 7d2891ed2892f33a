"""CloudFormation's rules (cfn-lint) and the security of what the templates create (checkov)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gates import tools
from gates.exceptions import ROOT, Finding
from gates.tools import GateFailed

# Those that "make validate" does not check.
LINTED = ("monitoring/alarms.yaml", "monitoring/dashboard.yaml")
# checkov cannot read the merge keys (<<) of monitoring/alarms.yaml, which creates alarms only.
SCANNED = ("template.yaml", "account.yaml", "monitoring/dashboard.yaml")
# A role that may do anything: found in the same run, or the run proves nothing.
PLANTED = """
Resources:
  Planted:
    Type: AWS::IAM::Policy
    Properties:
      PolicyName: planted
      PolicyDocument:
        Version: "2012-10-17"
        Statement: [{Effect: Allow, Action: "*", Resource: "*"}]
      Roles: [planted]
"""
PLANTED_RULE = "CKV_AWS_63"  # no policy allows every action


def lint() -> list[Finding]:
    """Return what cfn-lint finds in the templates beside the main ones."""
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--format", "json", *LINTED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    try:
        report = json.loads(done.stdout or "[]")
    except ValueError:
        raise GateFailed(f"cfn-lint failed: {done.stderr.strip()[-200:]}") from None
    if done.returncode and not report:
        raise GateFailed(f"cfn-lint failed: {done.stderr.strip()[-200:]}")
    return [
        Finding(
            found["Rule"]["Id"],
            found["Filename"],
            found["Message"],
            found["Location"]["Start"]["LineNumber"],
        )
        for found in report
    ]


def scan() -> list[Finding]:
    """Return what checkov finds in the templates."""
    with TemporaryDirectory() as folder:
        planted = Path(folder) / "planted.yaml"
        planted.write_text(PLANTED)
        files = [ROOT / name for name in SCANNED]
        report = tools.read_json(
            "checkov",
            *("--framework", "cloudformation", "--output", "json", "--soft-fail"),
            *("--compact", "--quiet", "--skip-download"),
            *(argument for file in (*files, planted) for argument in ("--file", file)),
        )
    return read_report(report, len(files))


def read_report(report: Any, templates: int) -> list[Finding]:
    """Return the findings of a report of checkov about *templates* and the planted one.

    Raises :class:`GateFailed` where it did not read each, or missed the planted fault.
    """
    results = report[0] if isinstance(report, list) else report
    if "results" not in results:
        raise GateFailed("checkov checked nothing")
    if results["summary"]["parsing_errors"]:
        raise GateFailed("checkov cannot parse each of the templates, and skipped some")
    findings, planted = [], False
    for failed in results["results"]["failed_checks"]:
        file = Path(failed["file_path"]).name
        if file == "planted.yaml":
            planted = planted or failed["check_id"] == PLANTED_RULE
            continue
        name = next(name for name in SCANNED if Path(name).name == file)
        findings.append(
            Finding(
                failed["check_id"],
                f"{name}:{failed['resource'].rpartition('.')[2]}",
                failed["check_name"],
                failed["file_line_range"][0],
            )
        )
    if not planted or templates < len(SCANNED):
        raise GateFailed(f"checkov did not find the planted policy ({PLANTED_RULE})")
    return findings
