"""Alarms and the dashboard: they cover all of template.yaml, and each of their metrics exists."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, get_args

import botocore.session
import pytest
from botocore.validate import validate_parameters

from local.template.cloudformation import read
from ullgetthejob.hh import error_rules, errors
from ullgetthejob.platform.telemetry import SERVICE
from ullgetthejob.saved_searches.run_store import State

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = read(REPOSITORY / "template.yaml")
ALARMS = read(REPOSITORY / "monitoring" / "alarms.yaml")
API_ALARMS = read(REPOSITORY / "monitoring" / "api_alarms.yaml")
DASHBOARD = read(REPOSITORY / "monitoring" / "dashboard.yaml")
RUNBOOKS = (REPOSITORY / "docs" / "runbooks.md").read_text()

OURS = {"Fn::Sub": "UllGetTheJob/${Stage}"}
EVERY_MINUTE = {"SweeperFunction", "FetcherFunction"}
MAX_PERIOD_S = 86_400  # CloudWatch: an alarm looks back a day at most
LONGEST_DESCRIPTION = 1024

ALARM: dict[str, dict[str, Any]] = {
    name: resource["Properties"]
    for file in (ALARMS, API_ALARMS)
    for name, resource in file["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}
every_alarm = pytest.mark.parametrize("name", ALARM)


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"] == kind
    }


FUNCTIONS = of_type("AWS::Serverless::Function")
DEAD_LETTERS = {name for name in of_type("AWS::SQS::Queue") if name.endswith("DeadLetters")}
TABLES = set(of_type("AWS::DynamoDB::Table"))


def is_interactive(name: str) -> bool:
    """Return whether a client waits for the response of the function."""
    events = FUNCTIONS[name].get("Events", {}).values()
    return name in ("WebsocketFunction", "FramesFunction") or any(
        event["Type"] == "HttpApi" for event in events
    )


def watching(namespace: str, metric: str) -> dict[str, dict[str, Any]]:
    """Return the alarms on a metric of AWS's, by the parameter that their dimension names."""
    return {
        alarm["Dimensions"][0]["Value"]["Ref"]: alarm
        for alarm in ALARM.values()
        if (alarm.get("Namespace"), alarm.get("MetricName")) == (namespace, metric)
    }


# ── what the code emits ──────────────────────────────────────────────────────────────────────────


def names_in(node: ast.AST) -> set[str]:
    """Return the possible texts of an expression: a literal, one of two."""
    return {
        constant.value
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }


@cache
def emitted() -> frozenset[str]:
    """Return the metrics that the code emits: names passed to telemetry, or to a broadcast, which
    counts them at its end; hh.ru's errors, counted by class; runs, counted by their final state."""
    found: set[str] = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and name[:2] == "HH"
    }
    found |= {f"FetchRuns{state.capitalize()}" for state in get_args(State)}
    for folder in ("layers/core/ullgetthejob", "functions"):
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                match node:
                    case ast.Call(
                        func=ast.Name(id="count" | "gauge" | "measure")
                        | ast.Attribute(value=ast.Attribute(attr="_broadcast"), attr="count"),
                        args=[first, *_],
                    ):
                        found |= names_in(first)
    return frozenset(found)


def dashboard_metrics() -> list[list[Any]]:
    body = json.loads(DASHBOARD["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    metrics = [widget["properties"].get("metrics", []) for widget in body["widgets"]]
    return [metric for listed in metrics for metric in listed]


# ── the tests ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_every_function_has_alarms(metric: str) -> None:
    alarms = watching("AWS/Lambda", metric)
    assert set(alarms) == set(FUNCTIONS)
    for alarm in alarms.values():
        assert alarm["Threshold"] == 1
        assert alarm["Statistic"] == "Sum"


def test_interactive_functions_have_duration_alarms() -> None:
    alarms = watching("AWS/Lambda", "Duration")
    assert set(alarms) == {name for name in FUNCTIONS if is_interactive(name)}
    for name, alarm in alarms.items():
        timeout_ms = FUNCTIONS[name]["Timeout"] * 1000
        # "fetch now" works for 20 s before it responds
        usual = 25_000 if name == "SchedulesFunction" else timeout_ms / 2
        assert alarm["ExtendedStatistic"] == "p90"
        assert alarm["Threshold"] == usual, name
        assert alarm["Threshold"] < timeout_ms


def test_scheduled_functions_have_silence_alarms() -> None:
    alarms = watching("AWS/Lambda", "Invocations")
    clocked = {
        name
        for name, properties in FUNCTIONS.items()
        if any(event["Type"] == "Schedule" for event in properties.get("Events", {}).values())
    }
    assert set(alarms) == clocked == EVERY_MINUTE
    for alarm in alarms.values():
        assert alarm["ComparisonOperator"] == "LessThanThreshold"


def test_every_dead_letter_queue_has_an_alarm() -> None:
    redriven = {
        queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        for queue in of_type("AWS::SQS::Queue").values()
        if "RedrivePolicy" in queue
    }
    assert redriven == DEAD_LETTERS
    alarms = watching("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert set(alarms) == DEAD_LETTERS
    for alarm in alarms.values():
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


def test_table_alarms_cover_all_used_operations() -> None:
    done: dict[str, set[str]] = {table: set() for table in TABLES}
    for properties in FUNCTIONS.values():
        for policy in properties["Policies"]:
            for statement in policy["Statement"]:
                actions = statement["Action"]
                actions = [actions] if isinstance(actions, str) else actions
                for table in re.findall(r'"(\w+Table)", "Arn"', json.dumps(statement)):
                    done[table] |= {action.removeprefix("dynamodb:") for action in actions}
    for table in TABLES:
        parts = ALARM[f"{table}Faults"]["Metrics"]
        expression, *metrics = parts
        watched = [metric["MetricStat"]["Metric"] for metric in metrics]
        terms = [f"FILL({metric['Id']}, 0)" for metric in metrics]
        assert expression["Expression"] == " + ".join(terms)
        assert {metric["Namespace"] for metric in watched} == {"AWS/DynamoDB"}
        assert {metric["Dimensions"][0]["Value"]["Ref"] for metric in watched} == {table}
        assert [metric["MetricName"] for metric in watched[:2]] == [
            "ReadThrottleEvents",
            "WriteThrottleEvents",
        ]
        operations = {metric["Dimensions"][1]["Value"] for metric in watched[2:]}
        assert operations == done[table], table


def test_both_apis_have_alarms() -> None:
    assert set(watching("AWS/ApiGateway", "5xx")) == {"HttpApi"}
    assert set(watching("AWS/ApiGateway", "ExecutionError")) == {"WebSocketApi"}
    assert set(watching("AWS/ApiGateway", "IntegrationError")) == {"WebSocketApi"}


def test_critical_metrics_have_alarms() -> None:
    facts = {alarm["MetricName"] for alarm in ALARM.values() if alarm.get("Namespace") == OURS}
    assert facts >= {
        "UnexpectedError",
        "NotificationsLost",
        "FetchCollapsed",
        "HHRegionBlocked",
        "HHCaptcha",
        "HhSearchClosed",
        "HhAppTokenMissing",
        "HhTokenPairLost",
        "HhTokenRefreshRefused",
        "PublicFeedDead",
        "PublicFeedFailed",
        "PublicFeedRefused",
        "OldestDueApplicationAgeSeconds",
        "OldestDueSearchAgeSeconds",
        "PublicFeedOldestAgeSeconds",
    }


def error_rules_of(action: errors.Action) -> list[Any]:
    """Return the rows of all of the error tables, and the rules beside them, with *action*."""
    kinds = (
        error_rules.Rule,
        error_rules.TokenRule,
        error_rules.ApplyRule,
        error_rules.ResumeRule,
    )
    values = list(vars(error_rules).values())
    rows = [row for value in values if isinstance(value, tuple) for row in value] + values
    return [row for row in rows if isinstance(row, kinds) and row.action is action]


def test_every_error_for_the_operator_has_an_alarm() -> None:
    rules = error_rules_of(errors.Action.STOP_AND_ALARM)
    facts = {alarm["MetricName"] for alarm in ALARM.values() if alarm.get("Namespace") == OURS}
    raised = {rule.error.__name__ for rule in rules}
    assert {"HHForbidden", "HHMisconfigured", "HHRegionBlocked"} <= raised
    assert raised - facts == set()


def test_failed_runs_have_an_alarm() -> None:
    assert "failed" in get_args(State)
    facts = {alarm["MetricName"] for alarm in ALARM.values() if alarm.get("Namespace") == OURS}
    assert "FetchRunsFailed" in facts


def test_named_metrics_are_emitted_by_the_code() -> None:
    alarms = {alarm["MetricName"] for alarm in ALARM.values() if alarm.get("Namespace") == OURS}
    shown = {metric[1] for metric in dashboard_metrics() if metric[0] == OURS["Fn::Sub"]}
    assert alarms
    assert shown
    assert (alarms | shown) - emitted() == set()


def test_metric_dimensions_are_those_of_powertools() -> None:
    environment = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    assert environment["POWERTOOLS_METRICS_NAMESPACE"] == OURS
    for alarm in ALARM.values():
        if alarm.get("Namespace") == OURS:
            assert alarm["Dimensions"] == [{"Name": "service", "Value": SERVICE}]
    for metric in dashboard_metrics():
        if metric[0] == OURS["Fn::Sub"]:
            assert metric[2:4] == ["service", SERVICE]


@every_alarm
def test_alarm_has_description_and_actions(name: str) -> None:
    alarm = ALARM[name]
    topic = {"Fn::If": ["HasTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    assert alarm["AlarmActions"] == alarm["OKActions"] == topic
    assert 60 < len(alarm["AlarmDescription"]) <= LONGEST_DESCRIPTION
    assert alarm["TreatMissingData"] == (
        "breaching" if name.endswith("NotInvoked") else "notBreaching"
    )
    periods = [metric["MetricStat"]["Period"] for metric in alarm.get("Metrics", [])[1:]]
    for period in [alarm["Period"]] if "Period" in alarm else periods:
        assert period * alarm["EvaluationPeriods"] <= MAX_PERIOD_S


@every_alarm
def test_alarm_is_valid_for_cloudwatch(name: str) -> None:
    def resolved(value: Any) -> Any:
        match value:
            case {"Ref": str(text)} | {"Fn::Sub": str(text)}:
                return text
            case {"Fn::If": [_, yes, _]}:
                return resolved(yes)
            case dict():
                return {key: resolved(item) for key, item in value.items()}
            case list():
                return [resolved(item) for item in value]
        return value

    model = botocore.session.get_session().get_service_model("cloudwatch")
    shape = model.operation_model("PutMetricAlarm").input_shape
    assert shape is not None
    request = {"AlarmName": name, **resolved(ALARM[name])}
    request["Threshold"] = float(request["Threshold"])
    validate_parameters(request, shape)


@every_alarm
def test_alarm_has_a_runbook(name: str) -> None:
    kind = re.sub(r"^\w+?(Errors|Throttles|Slow|NotInvoked|DeadLettered|TableFaults)$", r"\1", name)
    assert f"`{name}`" in RUNBOOKS or f"`…{kind}`" in RUNBOOKS, name


def test_runbooks_name_only_existing_alarms() -> None:
    for name in re.findall(r"^\| `(…?\w+)`", RUNBOOKS, re.MULTILINE):
        ending = name.removeprefix("…")
        assert any(
            alarm == name or (name != ending and alarm.endswith(ending)) for alarm in ALARM
        ), name


def test_dashboard_shows_every_function_queue_and_table() -> None:
    shown: dict[str, set[str]] = {}
    for namespace, metric, *rest in dashboard_metrics():
        if namespace.startswith("AWS/"):
            shown.setdefault(f"{namespace} {metric}", set()).add(rest[1].strip("${}"))
    for metric in ("Errors", "Throttles", "Duration"):
        assert shown[f"AWS/Lambda {metric}"] == set(FUNCTIONS)
    queues = set(of_type("AWS::SQS::Queue"))
    assert shown["AWS/SQS ApproximateNumberOfMessagesVisible"] == queues
    assert shown["AWS/DynamoDB ReadThrottleEvents"] == TABLES
    assert shown["AWS/ApiGateway 5xx"] == {"HttpApi"}
    assert shown["AWS/ApiGateway ConnectCount"] == {"WebSocketApi"}


def test_widgets_do_not_overlap() -> None:
    body = json.loads(DASHBOARD["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    taken: set[tuple[int, int]] = set()
    for widget in body["widgets"]:
        assert widget["x"] + widget["width"] <= 24
        for x in range(widget["x"], widget["x"] + widget["width"]):
            for y in range(widget["y"], widget["y"] + widget["height"]):
                assert (x, y) not in taken
                taken.add((x, y))


@pytest.mark.parametrize(
    ("stack", "file"),
    [("Alarms", ALARMS), ("ApiAlarms", API_ALARMS), ("Dashboard", DASHBOARD)],
)
def test_nested_stack_gets_its_parameters(stack: str, file: dict[str, Any]) -> None:
    properties = TEMPLATE["Resources"][stack]["Properties"]
    assert read(REPOSITORY / properties["TemplateURL"]) == file
    given = properties["Parameters"]
    assert set(given) == set(file["Parameters"])
    for name, value in given.items():
        if name in of_type("AWS::SQS::Queue"):
            assert value == {"Fn::GetAtt": [name, "QueueName"]}
        elif name != "DashboardName":
            assert value == {"Ref": name}


def test_alarm_topic_is_optional() -> None:
    assert TEMPLATE["Parameters"]["AlarmTopicArn"]["Default"] == ""


@pytest.mark.parametrize("file", ["alarms.yaml", "api_alarms.yaml", "dashboard.yaml"])
def test_sam_and_its_linter_accept_the_file(file: str) -> None:
    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("sam")),
            *("validate", "--lint", "--template", str(REPOSITORY / "monitoring" / file)),
        ],
        env={**os.environ, "AWS_DEFAULT_REGION": "eu-central-1", "SAM_CLI_TELEMETRY": "0"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
