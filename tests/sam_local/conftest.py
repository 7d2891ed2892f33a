"""Fixtures of "sam local": a container engine, built layers, the backing services.

Collected only when asked for by name (``make test-sam-local``): it takes minutes and Docker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from local import child
from local.child import Lifeline
from local.template.cloudformation import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
IMAGE = "public.ecr.aws/lambda/python:3.13-"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = any("sam_local" in str(argument) for argument in config.invocation_params.args)
    return None if asked else True


class Engine(NamedTuple):
    """The container engine: its architecture, and whether it has Lambda's image."""

    machine: str
    has_image: bool


# In a process of its own: a client that cannot connect leaves its socket open.
ASK_ENGINE = """
import docker, json
client = docker.from_env()
tags = [tag for image in client.images.list() for tag in image.tags]
print(json.dumps({"machine": client.info()["Architecture"], "tags": tags}))
"""


@pytest.fixture(scope="session")
def engine() -> Engine:
    command = [sys.executable, "-W", "ignore", "-c", ASK_ENGINE]
    asked = subprocess.run(command, check=False, text=True, capture_output=True)
    if asked.returncode != 0:
        why = asked.stderr.strip().rpartition("\n")[2]
        pytest.skip(f"no container engine answers; start Docker and try again ({why})")
    answer = json.loads(asked.stdout)
    machine = {"aarch64": "arm64"}.get(answer["machine"], answer["machine"])
    return Engine(machine, f"{IMAGE}{machine}" in answer["tags"])


@pytest.fixture(scope="session")
def template(engine: Engine) -> Path:
    """Return the built template for the engine's architecture."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "ARCH")}
    command = ["make", "build", f"ARCH={engine.machine}"]
    subprocess.run(command, cwd=REPOSITORY, env=inherited, check=True)
    return REPOSITORY / ".aws-sam" / engine.machine / "build" / "template.yaml"


@pytest.fixture(scope="session")
def services(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Serve Postgres, AWS and hh.ru's sandbox; return the ``--env-vars`` file."""
    data_dir = tmp_path_factory.mktemp("services")
    lifeline = Lifeline()  # its other end closes with the tests, however they end
    command = child.command(lifeline, "local", "services")
    paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "layers" / "core")))
    if "CONTAINER_HOST" in os.environ:
        command += ["--container-host", os.environ["CONTAINER_HOST"]]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "DATA_DIR": str(data_dir), "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[lifeline.read_end],
    ) as process:
        assert process.stdout is not None
        output = []
        for line in process.stdout:
            output.append(line)
            if line.startswith("Ready"):
                break
        else:
            pytest.fail(f"the services do not start:\n{''.join(output)}")
        yield data_dir / "sam-env.json"
        process.terminate()
        process.communicate()


class Sam:
    """``sam local`` on the built template, with the variables of the services."""

    def __init__(self, engine: Engine, template: Path, variables: Path) -> None:
        self.variables: dict[str, dict[str, str]] = json.loads(variables.read_text())
        self._options = [
            *("--template", str(template), "--env-vars", str(variables)),
            *("--parameter-overrides", f"Architecture={engine.machine}"),
            *("--region", REGION),
            *(["--skip-pull-image"] if engine.has_image else []),
        ]

    @property
    def secret(self) -> str:
        """Return the service's secret."""
        return self.variables["SearchFunction"]["ORCHESTRATOR_SECRET"]

    def command(self, what: str, *arguments: str) -> list[str]:
        sam = str(Path(sys.executable).with_name("sam"))
        return [sam, "local", what, *arguments, *self._options]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SAM_CLI_TELEMETRY": "0"}

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Invoke a function in its own container and return its result."""
        done = subprocess.run(
            self.command("invoke", function, "--event", "-"),
            cwd=REPOSITORY,
            env=self.environment,
            input=json.dumps(event),
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        try:
            return json.loads(done.stdout)
        except ValueError:
            pytest.fail(f"{done.stdout}\n{done.stderr}")


@pytest.fixture(scope="session")
def sam(engine: Engine, template: Path, services: Path) -> Sam:
    return Sam(engine, template, services)
