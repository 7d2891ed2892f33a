"""The code's security (bandit), and secrets in any file of the repository (detect-secrets)."""

from __future__ import annotations

import secrets
import string
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gates import tools
from gates.exceptions import ROOT, Finding
from gates.tools import GateFailed

CODE = ("layers/core", "functions", "cli", "local", "migrations", "docs", "benchmarks", "gates")
PLANTED_CODE = "import pickle\n\n\ndef load(sent):\n    return pickle.loads(sent)\n"
PLANTED_RULE = "B301"

# Hashes of packages, and what is generated from the code.
NOT_SCANNED = ("requirements*.txt", "docs/openapi.json", "*.min.js", "migrations/checksums.txt")
# Detectors of keys of services that nothing here could use; each costs time in every line.
UNUSED = (
    *("ArtifactoryDetector", "AzureStorageKeyDetector", "CloudantDetector"),
    *("DiscordBotTokenDetector", "IbmCloudIamDetector", "IbmCosHmacDetector"),
    *("IPPublicDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector"),
    *("SendGridDetector", "SlackDetector", "SoftlayerDetector", "SquareOAuthDetector"),
    *("StripeDetector", "TwilioKeyDetector"),
)
PLANTED_SECRETS = {"AWS Access Key", "Private Key", "Secret Keyword"}


def scan_code() -> list[Finding]:
    """Return what bandit finds in the code, the tests excepted."""
    with TemporaryDirectory() as folder:
        planted = Path(folder) / "planted.py"
        planted.write_text(PLANTED_CODE)
        arguments = ("--quiet", "--recursive", "--format", "json", *CODE, planted)
        report = tools.read_json("bandit", *arguments)
    return read_code_report(report)


def read_code_report(report: Any) -> list[Finding]:
    """Return the findings of a report of bandit. Raises :class:`GateFailed` where a file was not
    read, or the planted fault not found."""
    if report["errors"]:
        raise GateFailed(f"bandit could not read {report['errors'][0]['filename']}")
    findings, planted = [], False
    for found in report["results"]:
        if found["filename"].endswith("planted.py"):
            planted = planted or found["test_id"] == PLANTED_RULE
            continue
        first, last = min(found["line_range"]), max(found["line_range"])
        lines = _lines(found["filename"])
        findings.append(
            Finding(
                found["test_id"],
                found["filename"].removeprefix("./"),
                found["issue_text"],
                found["line_number"],
                "\n".join(lines[first - 1 : last]),
            )
        )
    if not planted:
        raise GateFailed(f"bandit did not find the planted pickle ({PLANTED_RULE})")
    return findings


def scan_secrets() -> list[Finding]:
    """Return what looks like a secret in the files that git tracks."""
    # In the checkout: detect-secrets silently skips any other file.
    with TemporaryDirectory(dir=ROOT / ".data") as folder:
        planted = (Path(folder) / "planted.py").relative_to(ROOT)
        (ROOT / planted).write_text(_planted_secrets())
        arguments = ["scan"]
        for name in UNUSED:
            arguments += ["--disable-plugin", name]
        report = tools.read_json("detect-secrets", *arguments, *_tracked_files(), planted)
    return read_secrets_report(report)


def _tracked_files() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode or not done.stdout:
        raise GateFailed("git cannot list the files of the checkout")
    files = [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [name for name in files if not any(Path(name).match(pattern) for pattern in NOT_SCANNED)]


def _planted_secrets() -> str:
    """Return lines that the detectors must find; made anew, so that no file of ours has them."""
    characters = string.ascii_uppercase + string.digits
    key = "AKIA" + "".join(secrets.choice(characters) for _ in range(16))
    of_a_key = "\n".join(secrets.token_hex(32) for _ in range(8))
    kind = "RSA PRIVATE KEY"
    return (
        f'KEY = "{key}"\npassword = "pw{secrets.token_hex(12)}"\n'
        f"-----BEGIN {kind}-----\n{of_a_key}\n-----END {kind}-----\n"
    )


def read_secrets_report(report: Any) -> list[Finding]:
    """Return the findings of a report of detect-secrets. Raises :class:`GateFailed` where it missed
    a planted secret."""
    findings: list[Finding] = []
    planted: set[str] = set()
    for file, found in report["results"].items():
        if file.endswith("planted.py"):
            planted |= {secret["type"] for secret in found}
            continue
        lines = _lines(file)
        for secret in found:
            number = secret["line_number"]
            text = lines[number - 1] if number <= len(lines) else ""
            message = "looks like a secret"
            findings.append(Finding(secret["type"], file, message, number, text))
    if missed := PLANTED_SECRETS - planted:
        raise GateFailed(f"detect-secrets did not find what was planted: {', '.join(missed)}")
    return findings


def _lines(file: str) -> list[str]:
    return (ROOT / file).read_text(errors="replace").splitlines()
