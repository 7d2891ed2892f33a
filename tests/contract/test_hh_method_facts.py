"""The methods of ``data/methods.toml`` are served by the sandbox, and Core calls no other."""

from __future__ import annotations

import ast
import inspect
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from local.sandbox import server
from local.sandbox.eras import FILE, Era, Method, eras, methods
from ullgetthejob.hh import calls, client, error_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.hh_sandbox import HhSandbox

VERBS = ("GET", "POST", "PUT", "DELETE")
CALLS = {"_get", "_get_with_token", "_call", "_write"}


def calls_of_the_client() -> Iterator[str]:
    """Yield verb and path of every call in the client's code, without those to any dictionary."""
    trees = [ast.parse(inspect.getsource(module)) for module in (client, calls)]
    for node in chain.from_iterable(map(ast.walk, trees)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr not in CALLS:
            continue
        texts = [ast.unparse(argument).removeprefix("f").strip("'\"") for argument in node.args]
        verb = next((text for text in texts if text in VERBS), "GET")
        path = next((text for text in texts if text.startswith("/")), None)
        if path is not None:
            yield f"{verb} {path}"


def test_sandbox_serves_exactly_the_methods_of_the_table() -> None:
    assert set(server.HANDLERS) | set(server.UNCHECKED) == set(methods())
    assert not set(server.HANDLERS) & set(server.UNCHECKED)


def test_client_calls_only_methods_of_the_table() -> None:
    called = set(calls_of_the_client())
    assert {"POST /negotiations", "GET /resumes/{resume_id}", "GET /me"} <= called
    assert called <= set(methods())
    assert set(methods()) >= error_rules.METHODS_WITHOUT_ID


def test_removed_methods_say_what_they_answer() -> None:
    for method in methods().values():
        assert (method.removed is None) == (method.answers is None), method.name
        assert method.removed is None or method.employers is None, method.name


def test_newest_era_follows_the_newest_documents() -> None:
    newest = max(era.documents for era in eras().values())
    assert f'version = "{".".join(map(str, newest))}"' in FILE.read_text()


def answer(sandbox: HhSandbox, method: Method, token: str) -> int:
    """Return the status of a call of *method* as a person, with ids that do not exist."""
    if method.name == "DELETE /token":
        token = sandbox.log_in("anna")["access_token"]
    path = method.path.replace("{resume_id}", "ab").replace("{id}", "1")
    for name in ("{vacancy_id}", "{negotiation_id}"):
        path = path.replace(name, "1")
    return sandbox.call(method.verb, path, token).status_code


@pytest.mark.parametrize("era", eras().values(), ids=lambda era: era.name)
def test_methods_answer_as_the_table_says(hh_sandbox: HhSandbox, era: Era) -> None:
    token = hh_sandbox.log_in("anna")["access_token"]
    expected, answers = {}, {}
    for name, method in methods().items():
        if method.path.startswith("/oauth/"):
            continue
        hh_sandbox.set_era("2025")
        expected[name] = era.refusal_of(method) or answer(hh_sandbox, method, token)
        hh_sandbox.set_era(era.name)
        answers[name] = answer(hh_sandbox, method, token)
    assert answers == expected
    assert answers["GET /me"] == 200


def test_refused_application_is_in_the_log_of_applications(hh_sandbox: HhSandbox) -> None:
    hh_sandbox.set_era("removed-410")
    resume = next(iter(hh_sandbox.resumes("anna").values()))
    vacancy = hh_sandbox.publish("Python developer")["id"]
    answer = hh_sandbox.apply(hh_sandbox.log_in("anna")["access_token"], vacancy, resume)
    assert (answer.status_code, answer.json()["errors"]) == (410, [{"type": "gone"}])
    assert [attempt["status"] for attempt in hh_sandbox.applications()] == [410]
