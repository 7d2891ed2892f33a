"""Run the gates (make gates), or those that are named: ``python -m gates secrets licences``."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gates import code, exceptions, packages, templates
from gates.packages import NotAsked
from gates.tools import GateFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gates.exceptions import Finding

GATES: dict[str, Callable[[], list[Finding]]] = {  # the longest first
    "secrets": code.scan_secrets,
    "checkov": templates.scan,
    "vulnerabilities": packages.audit,
    "bandit": code.scan_code,
    "cfn-lint": templates.lint,
    "environments": packages.check_environments,
    "licences": packages.check_licences,
    "sbom": packages.write_sbom,
}
AT_ONCE = 2


def run(name: str) -> tuple[bool, str]:
    """Run a gate; return whether it passed, and what is printed about it."""
    began = time.monotonic()
    exemptions = exceptions.by_gate().get(name, [])
    try:
        problems = exceptions.judge(GATES[name](), exemptions)
    except NotAsked as refusal:
        return True, f"{name:16} NOT CHECKED: {refusal}"
    except GateFailed as failure:
        return False, f"{name:16} FAILED: {failure}"
    took = f"{time.monotonic() - began:.1f} s"
    if problems:
        return False, "\n    ".join([f"{name:16} FAILED in {took}:", *problems])
    return True, f"{name:16} passed in {took}, {len(exemptions)} exceptions"


def main(names: list[str]) -> int:
    """Run the gates of these names, by default all. Return the exit status."""
    if unknown := set(names) - set(GATES):
        print(f"There is no gate {', '.join(sorted(unknown))}: {', '.join(GATES)}", file=sys.stderr)
        return 2
    passed = True
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for has_passed, text in pool.map(run, names or list(GATES)):
            print(text, flush=True)
            passed = passed and has_passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
