"""The packages: known vulnerabilities (pip-audit), licences (pip-licenses), and the list of what
is deployed (CycloneDX's SBOM)."""

from __future__ import annotations

import json
import os
import re
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from gates import tools
from gates.exceptions import ROOT, Finding
from gates.tools import GateFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

AUDITED = (
    *("layers/dependencies/requirements.txt", "migrations/requirements.txt"),
    *("requirements-dev.txt", "tests/browser/requirements.txt", "tests/api/requirements.txt"),
    *("benchmarks/edges/requirements.txt", "benchmarks/limiters/requirements.txt"),
    *("gates/requirements.txt", "gates/requirements-secrets.txt"),
)
# A release with vulnerabilities that every service knows since 2014.
PLANTED_PACKAGE = ("jinja2", "2.4.1")
AUDIT = ("--disable-pip", "--progress-spinner", "off", "--timeout", 5, "--format", "json")

# The licences that a runtime dependency may have, and what each asks of who deploys Core: to keep
# the notices, which the packages contain. The last two also want changes of their files published:
# nothing here changes them, and they are imported as they are.
ALLOWED_LICENCES = {
    "MIT",
    "MIT-0",
    "BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Apache-2.0",
    "ISC",
    "PSF-2.0",
    "MPL-2.0",
    "LGPL-3.0-only",
}
# Names of classifiers and metadata, as SPDX writes them.
SPDX = {
    "mit license": "MIT",
    "mit no attribution license (mit-0)": "MIT-0",
    "bsd license": "BSD",
    "apache software license": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "isc license (iscl)": "ISC",
    "python software foundation license": "PSF-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
}

DEPLOYED = ("layers/dependencies/requirements.txt", "migrations/requirements.txt")
SBOM = ROOT / ".aws-sam" / "sbom.json"


# ── vulnerabilities ──────────────────────────────────────────────────────────────────────────────


class NotAsked(Exception):
    """No service of known vulnerabilities answers here."""


def audit() -> list[Finding]:
    """Return the known vulnerabilities of all locked packages. Raises :class:`NotAsked`, and
    :class:`GateFailed` in GitHub's CI, which has to ask."""
    try:
        _require_service()
        return [finding for name in AUDITED for finding in _audit_lock(name)]
    except NotAsked as refusal:
        if os.environ.get("GITHUB_ACTIONS") == "true":
            raise GateFailed(f"{refusal}; GitHub's CI has to ask one") from None
        raise


def _require_service() -> None:
    """Ask about a release that is known to be vulnerable: pip-audit reports "no known
    vulnerabilities" too where its service knows no package at all."""
    with TemporaryDirectory() as folder:
        planted = Path(folder) / "planted.txt"
        planted.write_text("==".join(PLANTED_PACKAGE) + "\n")
        try:
            report = tools.read_json("pip-audit", *AUDIT, "--no-deps", "--requirement", planted)
        except GateFailed as failure:
            raise NotAsked(f"no vulnerability service could be asked ({failure})") from None
    if not read_audit(report, "planted.txt"):
        raise NotAsked("no vulnerability service could be asked: it knows none of an old release")


def _audit_lock(name: str) -> list[Finding]:
    lock = ROOT / name
    report = tools.read_json("pip-audit", *AUDIT, "--require-hashes", "--requirement", lock)
    return read_audit(report, name)


def read_audit(report: Any, lock: str) -> list[Finding]:
    """Return the findings of a report of pip-audit. Raises :class:`NotAsked` where the service did
    not know a package, which pip-audit itself counts as free of vulnerabilities."""
    findings = []
    for package in report["dependencies"]:
        if "skip_reason" in package:
            raise NotAsked(f"no vulnerability service could be asked about {package['name']}")
        for found in package["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no release"
            name = f"{lock}:{package['name']}"
            message = f"{package['name']} {package['version']}, fixed in {fixed}"
            findings.append(Finding(found["id"], name, message))
    return findings


# ── environments ─────────────────────────────────────────────────────────────────────────────────


def check_environments() -> list[Finding]:
    """Return the files that two packages of one environment bring: the one that happened to be
    installed last wins, so that two machines run different code."""
    folders = {
        Path(sys.prefix): Path(sysconfig.get_path("purelib")),
        **{place: next(place.glob("lib/python*/site-packages")) for place in tools.ENVIRONMENTS},
    }
    return [found for place, at in folders.items() for found in shared_files(place.name, at)]


def shared_files(environment: str, folder: Path) -> list[Finding]:
    """Return the modules of a folder of packages that more than one package brings."""
    owners: dict[str, set[str]] = {}
    for package in metadata.distributions(path=[str(folder)]):
        for file in package.files or ():
            if file.suffix in {".py", ".so"} and ".dist-info" not in file.parts[0]:
                owners.setdefault(str(file), set()).add(_normalized(package.metadata["Name"]))
    pairs = {tuple(sorted(names)): file for file, names in owners.items() if len(names) > 1}
    return [
        Finding("shared files", environment, f"{' and '.join(names)} both bring {file}")
        for names, file in sorted(pairs.items())
    ]


# ── licences ─────────────────────────────────────────────────────────────────────────────────────


def check_licences() -> list[Finding]:
    """Return the runtime dependencies whose licence is not allowed."""
    return judge_licences(_read_licences())


def _read_licences() -> list[dict[str, str]]:
    packages = runtime_packages()
    report: list[dict[str, str]] = tools.read_json(
        "pip-licenses",
        *("--python", sys.executable, "--from", "all", "--format", "json", "--with-system"),
        *("--packages", *packages),
    )
    if missing := set(packages) - {_normalized(entry["Name"]) for entry in report}:
        raise GateFailed(f"pip-licenses did not read {', '.join(sorted(missing))}")
    return report


def runtime_packages() -> list[str]:
    """Return the names of the packages that functions and command line need, and of what these
    need in turn, as installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(text) for text in project["dependencies"]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = _normalized(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in (*extras, "")):
                waiting.append(needed)
    return sorted({name for name, _ in seen})


def judge_licences(report: Iterable[dict[str, str]]) -> list[Finding]:
    """Return the packages of a report of pip-licenses whose licence is not allowed."""
    return [
        Finding("licence", _normalized(entry["Name"]), licence_of(entry))
        for entry in report
        if not is_allowed(licence_of(entry))
    ]


def licence_of(entry: dict[str, str]) -> str:
    """Return a package's licence: the expression of its metadata, else all of its classifiers,
    else the free text."""
    for source in ("License-Expression", "License-Classifier", "License-Metadata"):
        if (text := entry.get(source, "UNKNOWN")) != "UNKNOWN":
            return text.replace("; ", " AND ") if source == "License-Classifier" else text
    return "UNKNOWN"


def is_allowed(expression: str) -> bool:
    """Return whether one choice (OR) of an SPDX expression is allowed in all its parts (AND)."""
    choices = re.split(r"\s+OR\s+", expression)
    return any(
        all(_spdx(part) in ALLOWED_LICENCES for part in re.split(r"\s+AND\s+", choice))
        for choice in choices
    )


def _spdx(name: str) -> str:
    return SPDX.get(name.strip().lower(), name.strip())


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# ── the list of what is deployed ─────────────────────────────────────────────────────────────────


def write_sbom() -> list[Finding]:
    """Write the list of the packages in the layers, with hashes and licences, to
    ``.aws-sam/sbom.json`` (CycloneDX); return packages that the locks have and the list has not."""
    with TemporaryDirectory() as folder:
        merged = Path(folder) / "requirements.txt"
        merged.write_text("".join((ROOT / name).read_text() for name in DEPLOYED))
        arguments = ("--output-format", "JSON", "--output-reproducible", merged)
        sbom = tools.read_json("cyclonedx-py", "requirements", *arguments)
    licences = {_normalized(entry["Name"]): licence_of(entry) for entry in _read_licences()}
    for component in sbom["components"]:
        name = _normalized(component["name"])
        component["licenses"] = [{"license": {"name": licences.get(name, "UNKNOWN")}}]
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(json.dumps(sbom, indent=2, sort_keys=True) + "\n")
    return missing_components(sbom, locked())


def locked() -> dict[str, str]:
    """Return the versions of the packages in the layers, by name."""
    text = "".join((ROOT / name).read_text() for name in DEPLOYED)
    pins = re.findall(r"^([\w.-]+)(?:\[[\w,.-]+\])?==([^\s;\\]+)", text, re.MULTILINE)
    return {_normalized(name): version for name, version in pins}


def missing_components(sbom: Any, expected: dict[str, str]) -> list[Finding]:
    """Return the packages of *expected* (versions by name) that an SBOM has not, with a hash."""
    listed = {
        (_normalized(component["name"]), component.get("version"))
        for component in sbom["components"]
        if any(reference.get("hashes") for reference in component.get("externalReferences", []))
    }
    return [
        Finding("sbom", name, f"{version} is not listed with its hashes")
        for name, version in sorted(expected.items())
        if (name, version) not in listed
    ]
