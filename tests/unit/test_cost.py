"""The cost of operations: counts times prices."""

from __future__ import annotations

import pytest

from cli.cost import model, report
from cli.cost.model import Cost, Model, Usage

OPERATION = {
    "operations": 10,
    "functions": {"SearchFunction": {"invocations": 2.0, "ms": 500.0}},
    "calls": {"dynamodb.UpdateItem": 3.0, "dynamodb.GetItem": 4.0, "sqs.SendMessage": 1.0},
    "frames": 5.0,
    "hh_calls": 1.0,
    "statements": 9.0,
    "log_bytes": 1000,
}


@pytest.fixture
def one_operation(monkeypatch):
    """Measurements of one operation."""
    monkeypatch.setattr(model, "measurements", lambda: {"operations": {"one": OPERATION}})


def test_operation_costs_what_aws_counts(one_operation):
    assert model.memory_mb("SearchFunction") == 1024
    cost = Model().operation("one").parts
    assert cost["Lambda"] == pytest.approx(2 * 0.20e-6 + 2 * 0.5 * 13.3334e-6)
    assert cost["DynamoDB"] == pytest.approx(3 * 0.625e-6 + 4 * 0.125e-6)
    assert cost["SQS"] == pytest.approx(3 * 0.40e-6)  # sent, received, deleted
    assert cost["API Gateway"] == pytest.approx(5 * 1e-6)
    assert cost["CloudWatch"] == pytest.approx(1000 / 1e9 * 0.50)


def test_durations_of_a_stage_are_used(one_operation):
    cost = Model({"SearchFunction": 1000.0}).operation("one").parts
    assert cost["Lambda"] == pytest.approx(2 * 0.20e-6 + 2 * 1.0 * 13.3334e-6)


def test_each_price_says_where_it_is_from():
    entries = {name: entry for name, entry in model.prices().items() if isinstance(entry, dict)}
    for name, entry in entries.items():
        assert entry["source"], name
        assert model.price(name) > 0


def test_each_measured_call_and_function_has_a_price():
    for name in model.measurements()["operations"]:
        assert Model().operation(name).total > 0


def test_measured_functions_are_those_of_the_template():
    known = set(model.functions_by_folder().values())
    for name, operation in model.measurements()["operations"].items():
        assert operation["functions"], name
        assert set(operation["functions"]) <= known


def test_idle_month_pays_for_timers_alarms_key_and_secrets():
    parts = Model().idle_month().parts
    assert parts["Alarms"] == pytest.approx(model.count_alarms() * 0.10)
    assert parts["SQS"] >= 4 * 15 * 60 * 730 * 0.40e-6
    assert parts["Secrets Manager"] >= 5 * 0.40
    assert parts["Lambda"] > 0


def test_person_who_does_nothing_costs_nothing():
    assert Model().person_month(Usage(0, 0, 0, 0, 0, 0)).total == 0


def test_person_costs_twice_as_much_with_twice_the_searches():
    usage = {"applications_a_day": 0, "searches_a_day": 0, "hours_a_day": 0, "megabytes_a_month": 0}
    single, double = (Model().person_month(Usage(saved_searches=n, **usage)) for n in (1, 2))
    assert double.total == pytest.approx(2 * single.total)


def test_parts_add_up():
    for name, cost in report.rows(Model()).items():
        assert sum(cost.parts.values()) == pytest.approx(cost.total), name


def test_smallest_amounts_keep_their_digits():
    assert [report.dollars(amount) for amount in (0.00123, 1234.5)] == ["$0.0012", "$1,234.50"]
    assert report.parts_of(Cost({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 0.0})) == (
        "d $4.00, c $3.00, b $2.00"
    )
