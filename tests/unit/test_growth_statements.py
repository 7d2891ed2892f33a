"""``make bench-growth`` measures every statement of the package: none may be forgotten."""

from __future__ import annotations

import pytest

from benchmarks import growth_statements
from benchmarks.growth_statements import Statement

STATEMENTS = growth_statements.statements()
NAMES = {statement.name for statement in STATEMENTS}


def test_statements_are_found() -> None:
    assert len(NAMES) == len(STATEMENTS) > 200
    assert "applications.sweep.SELECT_DUE_ACCOUNTS" in NAMES


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.name)
def test_statement_has_values_for_the_benchmark_or_a_reason(statement: Statement) -> None:
    exempt = statement.name in growth_statements.EXEMPT
    if exempt:
        assert growth_statements.EXEMPT[statement.name]
        assert statement.name not in growth_statements.OWN
    else:
        try:
            values = statement.values()
        except KeyError as missing:
            pytest.fail(f"benchmarks/growth_statements.py has no value for {missing}")
        if isinstance(values, tuple):
            assert statement.text.count("%s") == len(values)


def test_lists_name_only_statements_that_exist() -> None:
    lists = (growth_statements.OWN, growth_statements.EXEMPT, growth_statements.BEFORE)
    assert {name for names in lists for name in names} <= NAMES


def test_statement_without_values_is_refused() -> None:
    with pytest.raises(KeyError, match="unheard_of"):
        Statement("room.SELECT_X", "SELECT %(unheard_of)s").values()
