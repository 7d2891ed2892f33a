"""How long the functions of a deployed stage run, from CloudWatch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cli.aws_client import translate_errors

if TYPE_CHECKING:
    from cli.commands.cloud.target import Target

DAY_S = 86_400
STATISTICS = ("Sum", "SampleCount")


def average_durations(target: Target, days: int) -> dict[str, float]:
    """Return the average duration of each function that was invoked in the last *days*, in ms, by
    its logical id. Raises :class:`~cli.output.CommandError`, also if there is no stack."""
    target.require_stack()
    with translate_errors():
        functions = _functions_of(target)
        values = _read_metrics(target, sorted(functions.values()), days)
    return {
        function: values[name, "Sum"] / values[name, "SampleCount"]
        for function, name in functions.items()
        if values.get((name, "SampleCount"))
    }


def _functions_of(target: Target) -> dict[str, str]:
    """Return the names of the stack's functions by their logical ids."""
    pages = target.client("cloudformation").get_paginator("list_stack_resources")
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages.paginate(StackName=target.stack)
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::Lambda::Function" and "PhysicalResourceId" in resource
    }


def _read_metrics(target: Target, names: list[str], days: int) -> dict[tuple[str, str], float]:
    """Return the totals of the metric Duration by function and statistic."""
    if not names:
        return {}
    now = datetime.now(UTC)
    keys = [(name, statistic) for name in names for statistic in STATISTICS]
    pages = target.client("cloudwatch").get_paginator("get_metric_data")
    found: dict[tuple[str, str], float] = dict.fromkeys(keys, 0.0)
    for page in pages.paginate(
        MetricDataQueries=[_query(f"m{number}", *key) for number, key in enumerate(keys)],
        StartTime=now - timedelta(days=days),
        EndTime=now,
    ):
        for result in page["MetricDataResults"]:
            found[keys[int(result["Id"][1:])]] += sum(result["Values"])
    return found


def _query(identifier: str, name: str, statistic: str) -> dict[str, Any]:
    metric = {
        "Namespace": "AWS/Lambda",
        "MetricName": "Duration",
        "Dimensions": [{"Name": "FunctionName", "Value": name}],
    }
    return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": DAY_S, "Stat": statistic}}
