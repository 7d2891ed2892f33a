"""What ``ugtj cloud`` works on: a stage, its stack, AWS's clients; AWS's errors as sentences."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.aws_client import translate_errors
from cli.output import USAGE, CommandError

if TYPE_CHECKING:
    from pathlib import Path

    from cli.state import State

STAGES = ("dev", "prod")
Stage = Annotated[
    str, typer.Option("--stage", "-s", envvar="STAGE", help="dev or prod.", show_default=True)
]
ParametersFile = Annotated[
    str | None,
    typer.Option("--parameters", help="The file of parameters; else parameters-STAGE.yaml."),
]


@dataclass(frozen=True)
class Target:
    """A stage in an AWS account. *file*: where its parameters are."""

    stage: str
    stack: str
    file: Path
    profile_region: str | None = None
    aws_profile: str | None = None

    @cached_property
    def session(self) -> Any:
        """Return boto3's session. Raises :class:`CommandError`."""
        import boto3

        region = self.profile_region or os.environ.get("AWS_REGION")
        with translate_errors():
            return boto3.Session(region_name=region or None, profile_name=self.aws_profile)

    @property
    def region(self) -> str:
        """Return the region. Raises :class:`CommandError`."""
        if not self.session.region_name:
            raise CommandError("no AWS region is set", "export AWS_REGION=eu-central-1", code=USAGE)
        return str(self.session.region_name)

    def client(self, service: str, **options: Any) -> Any:
        """Return boto3's client of *service*. Raises :class:`CommandError`."""
        key = (service, *options)
        if key not in self._clients:
            made = self.session.client(service, region_name=self.region, **options)
            self._clients[key] = made
        return self._clients[key]

    @cached_property
    def _clients(self) -> dict[tuple[str, ...], Any]:
        return {}

    def describe_stack(self) -> dict[str, Any] | None:
        """Return the stack as CloudFormation describes it; ``None`` if there is none. Raises
        :class:`CommandError`."""
        from botocore.exceptions import ClientError

        with translate_errors():
            try:
                answer = self.client("cloudformation").describe_stacks(StackName=self.stack)
            except ClientError as error:
                if "does not exist" in str(error):
                    return None
                raise
        return dict(answer["Stacks"][0])

    def require_stack(self) -> dict[str, Any]:
        """Return the stack. Raises :class:`CommandError` if there is none."""
        found = self.describe_stack()
        if found is None:
            step = f"ugtj cloud deploy --stage {self.stage}"
            raise CommandError(f"there is no stack {self.stack} in {self.region}", step)
        return found

    @property
    def arguments(self) -> str:
        """Return the options of ``aws`` that select this account, for a command to copy."""
        profile = f" --profile {self.aws_profile}" if self.aws_profile else ""
        return f"--region {self.region}{profile}"


def target_of(context: typer.Context, stage: str, parameters: str | None = None) -> Target:
    """Return the target of a command's options. Raises :class:`CommandError`."""
    from pathlib import Path

    from cli.profiles import LOCAL
    from local.settings import REPOSITORY

    if stage not in STAGES:
        known = " or ".join(STAGES)
        raise CommandError(f"the stage is {known}, not {stage}", code=USAGE)
    if not (REPOSITORY / "template.yaml").exists():
        raise CommandError("there is no template.yaml here", "run it in the checkout", code=USAGE)
    file = Path(parameters) if parameters else REPOSITORY / f"parameters-{stage}.yaml"
    stack = f"ullgetthejob-core-{stage}"
    state: State = context.obj
    if state.profile_name == LOCAL:
        return Target(stage, stack, file)
    given = state.profile.given
    return Target(
        stage, str(given.get("stack", stack)), file, given.get("region"), given.get("aws_profile")
    )


def outputs_of(stack: dict[str, Any]) -> dict[str, str]:
    """Return the outputs of a described stack by name."""
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def parameters_of(stack: dict[str, Any] | None) -> dict[str, str]:
    """Return the values of the parameters of a described stack; none without a stack."""
    listed = (stack or {}).get("Parameters", [])
    return {given["ParameterKey"]: given.get("ParameterValue", "") for given in listed}
