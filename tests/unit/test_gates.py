"""The security gates: what is planted is refused, and each exception is justified."""

from __future__ import annotations

import subprocess

import pytest

from gates import __main__ as runner
from gates import code, exceptions, packages, templates, tools
from gates.exceptions import Exemption, Finding
from gates.packages import NotAsked
from gates.tools import GateFailed

REASON = "It is invented for this test."


# ── exceptions ───────────────────────────────────────────────────────────────────────────────────


def test_every_exception_is_justified_and_of_a_gate():
    by_gate = exceptions.by_gate()
    assert set(by_gate) <= set(runner.GATES)
    assert sum(len(entries) for entries in by_gate.values()) > 20


@pytest.mark.parametrize("reason", [None, "", "   ", "not a fault"])
def test_exception_without_a_justification_is_refused(reason):
    entry = {"rule": "B608", "at": ["x.py"]} | ({} if reason is None else {"reason": reason})
    with pytest.raises(ValueError, match="B608 has no justification"):
        exceptions.parse({"bandit": [entry]})


def test_exception_without_a_place_is_refused():
    with pytest.raises(ValueError, match="names no place"):
        exceptions.parse({"bandit": [{"rule": "B608", "reason": REASON}]})


def test_finding_without_an_exception_fails():
    [problem] = exceptions.judge([Finding("B608", "x.py", "SQL", 7)], [])
    assert problem == "x.py:7: B608 SQL"


@pytest.mark.parametrize(
    "finding",
    [
        Finding("B608", "other.py", "SQL", 7, "a line"),
        Finding("B102", "x.py", "exec", 7, "a line"),
        Finding("B608", "x.py", "SQL", 7, "another"),
    ],
    ids=["place", "rule", "line"],
)
def test_exception_allows_only_its_own_rule_place_and_line(finding):
    exemption = Exemption("B608", ("x.py",), REASON, "a line")
    allowed = Finding("B608", "x.py", "SQL", 3, "    a line of it")
    assert exceptions.judge([allowed], [exemption]) == []
    assert exceptions.judge([allowed, finding], [exemption]) == [str(finding)]


def test_exception_that_allows_nothing_fails():
    [problem] = exceptions.judge([], [Exemption("B608", ("x.py",), REASON)])
    assert "delete the exception" in problem


def test_problem_never_quotes_what_may_be_a_secret():
    finding = Finding("AWS Access Key", "x.py", "looks like a secret", 7, "the secret")
    assert "the secret" not in "".join(exceptions.judge([finding], [])) + repr(finding)


# ── templates ────────────────────────────────────────────────────────────────────────────────────


def checkov(*failed, parsing_errors=0):
    checks = [
        {
            "check_id": rule,
            "file_path": f"/{file}",
            "resource": resource,
            "check_name": "a rule",
            "file_line_range": [5, 9],
        }
        for rule, file, resource in failed
    ]
    return {"results": {"failed_checks": checks}, "summary": {"parsing_errors": parsing_errors}}


PLANTED_POLICY = (templates.PLANTED_RULE, "planted.yaml", "AWS::IAM::Policy.Planted")


def test_fault_of_a_template_is_refused():
    report = checkov(PLANTED_POLICY, ("CKV_AWS_63", "template.yaml", "AWS::IAM::Policy.TooMuch"))
    [finding] = templates.read_report(report, 3)
    assert (finding.rule, finding.place) == ("CKV_AWS_63", "template.yaml:TooMuch")
    assert exceptions.judge([finding], exceptions.by_gate()["checkov"])[0].startswith(
        "template.yaml:TooMuch:5: CKV_AWS_63"
    )


@pytest.mark.parametrize(
    "report",
    [checkov(), checkov(PLANTED_POLICY, parsing_errors=1), {"passed": 0, "failed": 0}],
    ids=["planted fault missed", "not parsed", "nothing checked"],
)
def test_checkov_that_proves_nothing_fails(report):
    with pytest.raises(GateFailed):
        templates.read_report(report, 3)


# ── code and secrets ─────────────────────────────────────────────────────────────────────────────


def bandit(*found):
    results = [
        {
            "test_id": rule,
            "filename": file,
            "issue_text": "a fault",
            "line_number": 1,
            "line_range": [1],
        }
        for rule, file in found
    ]
    return {"errors": [], "results": results}


def test_fault_of_the_code_is_refused():
    planted = (code.PLANTED_RULE, "elsewhere/planted.py")
    report = bandit(planted, ("B602", "layers/core/ullgetthejob/bootstrap.py"))
    [finding] = code.read_code_report(report)
    assert finding.text == "\n".join(finding.text.splitlines()) != ""
    problems = exceptions.judge([finding], exceptions.by_gate()["bandit"])
    assert "layers/core/ullgetthejob/bootstrap.py:1: B602 a fault" in problems


def test_bandit_that_misses_the_planted_fault_fails():
    with pytest.raises(GateFailed, match="planted pickle"):
        code.read_code_report(bandit())


def secrets_report(*found):
    results = {}
    for kind, file in found:
        results.setdefault(file, []).append({"type": kind, "line_number": 1})
    return {"results": results}


PLANTED_KEYS = [(kind, "elsewhere/planted.py") for kind in code.PLANTED_SECRETS]


@pytest.mark.parametrize("file", ["README.md", "template.yaml", "tests/conftest.py"])
def test_secret_in_a_file_is_refused(file):
    [finding] = code.read_secrets_report(secrets_report(*PLANTED_KEYS, ("AWS Access Key", file)))
    problems = exceptions.judge([finding], exceptions.by_gate()["secrets"])
    assert f"{file}:1: AWS Access Key looks like a secret" in problems


def test_secret_scan_that_misses_a_planted_secret_fails():
    with pytest.raises(GateFailed, match="what was planted"):
        code.read_secrets_report(secrets_report(*PLANTED_KEYS[1:]))


# ── packages ─────────────────────────────────────────────────────────────────────────────────────


def audited(*, skipped=False, vulnerable=False):
    package = {"name": "jinja2", "version": "2.4.1"}
    if skipped:
        return {"dependencies": [{"name": "jinja2", "skip_reason": "not found"}]}
    found = [{"id": "CVE-2014-1402", "fix_versions": ["2.7.3"]}] if vulnerable else []
    return {"dependencies": [{**package, "vulns": found}]}


def test_vulnerable_package_is_refused():
    [finding] = packages.read_audit(audited(vulnerable=True), "x.txt")
    assert str(finding) == "x.txt:jinja2: CVE-2014-1402 jinja2 2.4.1, fixed in 2.7.3"


def test_package_that_the_service_does_not_know_was_not_checked():
    """pip-audit itself says "No known vulnerabilities found" then."""
    with pytest.raises(NotAsked, match="about jinja2"):
        packages.read_audit(audited(skipped=True), "x.txt")


@pytest.mark.parametrize("report", [audited(skipped=True), audited(), GateFailed("no network")])
def test_audit_without_its_service_fails_in_githubs_ci(monkeypatch, report):
    def answer(*_arguments):
        if isinstance(report, GateFailed):
            raise report
        return report

    monkeypatch.setattr(tools, "read_json", answer)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    passed, text = runner.run("vulnerabilities")
    assert passed
    assert "NOT CHECKED: no vulnerability service could be asked" in text
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    passed, text = runner.run("vulnerabilities")
    assert not passed
    assert "FAILED" in text


def test_audit_reads_every_lock_of_the_project():
    command = ["git", "ls-files", "*requirements*.txt"]
    done = subprocess.run(command, cwd=exceptions.ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == set(packages.AUDITED)


@pytest.mark.parametrize(
    "licence",
    [
        "GPL-3.0-only",
        "AGPL-3.0-or-later",
        "MIT AND GPL-2.0-only",
        "GNU General Public License v3 (GPLv3)",
        "Proprietary",
        "UNKNOWN",
        "",
    ],
)
def test_package_with_another_licence_is_refused(licence):
    entry = {"Name": "Some.Package", "Version": "1", "License-Expression": licence}
    [finding] = packages.judge_licences([entry])
    assert finding.place == "some-package"


@pytest.mark.parametrize(
    "entry",
    [
        {"License-Expression": "Apache-2.0 OR GPL-2.0-only"},
        {"License-Expression": "UNKNOWN", "License-Classifier": "BSD License; MIT License"},
        {"License-Classifier": "UNKNOWN", "License-Metadata": "MIT"},
        {"License-Classifier": "Mozilla Public License 2.0 (MPL 2.0)"},
    ],
)
def test_package_with_an_allowed_licence_passes(entry):
    assert packages.judge_licences([{"Name": "x", **entry}]) == []


def test_every_classifier_has_to_be_allowed():
    entry = {"Name": "x", "License-Classifier": "MIT License; Other/Proprietary License"}
    assert packages.judge_licences([entry])


def test_runtime_packages_are_those_of_functions_and_cli():
    names = packages.runtime_packages()
    assert {"httpx", "h11", "psycopg-binary", "alembic", "typer"} <= set(names)
    assert not {"pytest", "moto", "ruff"} & set(names)
    assert set(packages.locked()) <= set(names)


def test_two_packages_with_the_same_module_are_found(tmp_path):
    def install(name, *files):
        described = tmp_path / f"{name}-1.0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (described / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        for file in files:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).touch()

    install("detect_secrets", "detect_secrets/main.py", "bin/scan", "README")
    install("a_fork", "detect_secrets/main.py", "a_fork/main.py", "bin/scan", "README")
    install("another", "another/main.py", "README")
    [finding] = packages.shared_files("gates", tmp_path)
    assert finding.place == "gates"
    assert finding.message == "a-fork and detect-secrets both bring detect_secrets/main.py"


def test_sbom_without_a_package_of_the_layers_is_refused():
    expected = packages.locked()
    assert len(expected) > 20
    listed = [
        {"name": name, "version": version, "externalReferences": [{"hashes": ["of it"]}]}
        for name, version in expected.items()
    ]
    assert packages.missing_components({"components": listed}, expected) == []
    listed[0]["externalReferences"] = []
    del listed[1]["version"]
    found = packages.missing_components({"components": listed}, expected)
    assert sorted(finding.place for finding in found) == sorted(list(expected)[:2])


# ── running them ─────────────────────────────────────────────────────────────────────────────────


def test_tool_that_is_not_installed_fails():
    with pytest.raises(GateFailed, match="run make gates"):
        tools.run("a-tool-that-nothing-installs")


def test_problem_of_a_gate_fails_the_run(monkeypatch, capsys):
    monkeypatch.setitem(runner.GATES, "licences", lambda: [Finding("licence", "x", "GPL")])
    monkeypatch.setitem(runner.GATES, "sbom", list)
    assert runner.main(["sbom", "licences"]) == 1
    output = capsys.readouterr().out
    assert "sbom             passed" in output
    assert "x: licence GPL" in output
    assert runner.main(["sbom"]) == 0


def test_unknown_gate_is_refused(capsys):
    assert runner.main(["lint"]) == 2
    assert "There is no gate lint" in capsys.readouterr().err
