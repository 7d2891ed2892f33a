"""``ugtj cloud cost``: from recorded durations, and from CloudWatch's of a deployed stage."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from cli.cost import model, report

# moto invokes nothing, and says so of the role.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")
RESOURCES = {
    "SearchFunctionRole": {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
    },
    "SearchFunction": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": "stage-search",
            "Runtime": "python3.13",
            "Handler": "app.handler",
            "Role": {"Fn::GetAtt": ["SearchFunctionRole", "Arn"]},
            "Code": {"ZipFile": "def handler(*_): pass"},
        },
    },
}


def cost(operator, *arguments):
    code, out, err = operator.run("cost", "--json", *arguments, file=False)
    assert code == 0, err
    return json.loads(out)


@pytest.fixture
def deployed(operator):
    """A stack with a function, which ran for a second on average."""
    operator.client("cloudformation").create_stack(
        StackName="ullgetthejob-core-dev",
        TemplateBody=json.dumps({"Resources": RESOURCES}),
    )
    operator.client("cloudwatch").put_metric_data(
        Namespace="AWS/Lambda",
        MetricData=[
            {
                "MetricName": "Duration",
                "Dimensions": [{"Name": "FunctionName", "Value": "stage-search"}],
                "Timestamp": datetime.now(UTC) - timedelta(hours=1),
                "Value": value,
                "Unit": "Milliseconds",
            }
            for value in (400.0, 1_600.0)
        ],
    )
    return operator


def test_durations_of_the_stage_precede_recorded_ones(deployed):
    found = cost(deployed)
    assert "CloudWatch's of 14 days for 1 functions" in found["durations"]
    expected = report.rows(model.Model({"SearchFunction": 1_000.0}))
    for name, one in expected.items():
        assert found["costs"][name]["total"] == pytest.approx(one.total)
    recorded = report.rows(model.Model())
    assert found["costs"]["1,000 searches"]["total"] != recorded["1,000 searches"].total
    assert found["costs"]["1,000 applications"]["total"] == pytest.approx(
        recorded["1,000 applications"].total
    )


def test_without_a_stage_recorded_durations_are_used(operator):
    found = cost(operator)
    assert "there is no stack" in found["durations"]
    assert found["costs"] == cost(operator, "--recorded")["costs"]


def test_table_names_its_prices_and_durations(operator):
    code, out, _ = operator.run("cost", "--recorded", file=False)
    assert code == 0
    assert "1,000 searches" in out
    assert f"Prices: {model.prices()['region']}, {model.prices()['checked']}" in out
    assert "Durations: recorded" in out
