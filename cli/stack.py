"""What a deployed stack consists of, from CloudFormation: names in AWS by names in the template."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cli.output import CommandError

if TYPE_CHECKING:
    from cli.profiles import Profile


def resources(profile: Profile, kind: str) -> dict[str, str]:
    """Return the physical ids of the stack's resources of a type, such as ``AWS::SQS::Queue``, by
    their logical ids. Raises :class:`CommandError` if there are none, and botocore's errors."""
    pages = profile.aws("cloudformation").get_paginator("list_stack_resources")
    found = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages.paginate(StackName=profile.stack)
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == kind and "PhysicalResourceId" in resource
    }
    if not found:
        raise CommandError(f"the stack {profile.stack} has no {kind}", "make deploy")
    return found


def log_groups(profile: Profile) -> dict[str, str]:
    """Return the log groups by their sources, which have the names that local logs have: of
    functions, and ``access`` of the gateway. Raises as :func:`resources`."""
    return {
        _snake_case(logical_id.removesuffix("LogGroup")): group
        for logical_id, group in resources(profile, "AWS::Logs::LogGroup").items()
    }


def outputs(profile: Profile) -> dict[str, str]:
    """Return the outputs of the stack. Raises botocore's errors."""
    described = profile.aws("cloudformation").describe_stacks(StackName=profile.stack)
    return {
        output["OutputKey"]: output["OutputValue"]
        for output in described["Stacks"][0].get("Outputs", [])
    }


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
