"""Core and the sandbox know exactly the errors of ``POST /token`` that hh.ru documents."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path

from local.sandbox import wire
from local.sandbox.eras import eras, version
from local.sandbox.oauth import grants, tokens
from ullgetthejob.hh import error_rules

FACTS = tomllib.loads((Path(__file__).parents[1] / "data" / "hh" / "token_errors.toml").read_text())
ERRORS: dict[str, str] = FACTS["any"] | {text: row["error"] for text, row in FACTS["since"].items()}


def test_rules_have_exactly_the_documented_texts() -> None:
    rules = [rule for rule in error_rules.TOKEN_RULES if rule.description is not None]
    assert {rule.description: rule.oauth_error for rule in rules} == ERRORS


def test_sandbox_knows_every_documented_text() -> None:
    sources = "".join(map(inspect.getsource, (grants, tokens, wire)))
    assert [text for text in ERRORS if f'"{text}"' not in sources] == []


def test_sandbox_changes_texts_with_their_versions() -> None:
    since = {text: row["version"] for text, row in FACTS["since"].items()}
    assert since["code verifier mismatch"] == grants.VERIFIER_TEXT
    assert since["user agent required"] == wire.AGENT_REQUIRED_TEXT


def test_facts_are_those_of_the_newest_era() -> None:
    assert version(FACTS["version"]) == max(era.documents for era in eras().values())
