"""Every error code has an advice text that a user can be shown."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ullgetthejob.accounts import access, login_refusals
from ullgetthejob.filters import models as filter_models
from ullgetthejob.platform.advice import ADVICE

ROOT = Path(__file__).parents[2]
# Codes that are reasons to hold an application back, not error codes.
REASONS = {"resume_not_available"}


def written_codes() -> set[str]:
    """Return every ``code`` in the source: of a class, or of a call."""
    found = set()
    for path in [*(ROOT / "layers" / "core").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            values: list[ast.expr | None] = []
            if isinstance(node, ast.Call):
                values = [word.value for word in node.keywords if word.arg == "code"]
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name == "_refuse" and path.name == "login.py":  # takes a code
                    values.append(node.args[0])
            elif isinstance(node, ast.Assign):
                if any(getattr(target, "id", None) == "code" for target in node.targets):
                    values = [node.value]
            elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "code":
                values = [node.value]
            found |= {
                value.value
                for value in values
                if isinstance(value, ast.Constant) and isinstance(value.value, str)
            }
    return found - REASONS


def tables_of_codes() -> set[str]:
    """Return the codes in tables that map a condition to the code of an error."""
    return {
        *login_refusals.REFUSALS,
        *access.REASONS,
        *access.CODES.values(),
        filter_models.UNREADABLE,
    }


def test_every_error_code_has_an_advice_text():
    assert set(ADVICE) == written_codes() | tables_of_codes()


@pytest.mark.parametrize("code", sorted(ADVICE))
def test_advice_is_plain_and_says_what_to_do(code):
    sentence = ADVICE[code]
    assert re.fullmatch(r"[A-Zh][^_`{}<>]+\.", sentence), sentence
    assert 20 <= len(sentence) <= 90, sentence
    does = ("Please", "We go on by ourselves")
    assert any(word in sentence for word in does), sentence
    for word in ("X-", "JSON", "header", "uuid", "token", "database", "Core", "BFF"):
        assert word not in sentence, sentence
