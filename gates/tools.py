"""Running the tools, which are installed in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from gates.exceptions import ROOT

ENVIRONMENT = ROOT / ".data" / "gates"
# checkov brings a fork of detect-secrets, whose files have the same names: of the two in one
# environment, the one that happens to be installed last would answer.
SECRETS_ENVIRONMENT = ROOT / ".data" / "gates-secrets"
ENVIRONMENTS = (ENVIRONMENT, SECRETS_ENVIRONMENT)
LONGEST_S = 900


class GateFailed(Exception):
    """A tool failed, or did not find what was planted: its silence proves nothing."""


def run(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a tool in the checkout, and return what it printed. Raises :class:`GateFailed`."""
    folder = (SECRETS_ENVIRONMENT if tool == "detect-secrets" else ENVIRONMENT) / "bin"
    command = [str(folder / tool), *map(str, arguments)]
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        return subprocess.run(  # noqa: S603 - our own command
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
    except FileNotFoundError:
        raise GateFailed(f"{tool} is not installed: run make gates") from None
    except subprocess.TimeoutExpired:
        raise GateFailed(f"{tool} did not end within {LONGEST_S} s") from None


def read_json(tool: str, *arguments: object) -> Any:
    """Run a tool, and return the JSON that it printed. Raises :class:`GateFailed`."""
    done = run(tool, *arguments)
    try:
        return json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise GateFailed(f"{tool} printed no JSON (exit {done.returncode}): {last}") from None
