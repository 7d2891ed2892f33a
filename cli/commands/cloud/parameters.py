"""The parameters of a stage: their file, what is wrong in it, and a complete example.

The file ``parameters-STAGE.yaml`` maps names of template.yaml's parameters to values. It holds no
secret: the template takes ARNs. CloudFormation remembers the values of an existing stack, so that a
file may name just those that change.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from local.template.cloudformation import read
from local.template.reader import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Given by the command that deploys, or by the local cloud.
SET_ELSEWHERE = frozenset({"Stage", "Architecture", "Commit", "Build", "AwsEndpointUrl"})
EXAMPLE = TEMPLATE.parent / "parameters.example.yaml"
ACCOUNT = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:ullgetthejob-core-dev"
EXAMPLES = {
    "DatabaseSecretArn": f"{ACCOUNT}/database-AbCdEf",
    "CoreSecretArn": f"{ACCOUNT}/core-AbCdEf",
    "SigningSecretArn": f"{ACCOUNT}/signing-AbCdEf",
    "HhApplicationSecretArn": f"{ACCOUNT}/hh-AbCdEf",
    "HhRedirectUri": "https://www.example.org/auth/callback",
    "HhUserAgent": "UllGetTheJob/1.0 (operator@example.org)",
}
HEAD = """\
# Parameters of the stack, for parameters-{stage}.yaml; "ugtj cloud init --stage {stage}" writes it.
# Lines that begin with "# Name:" show the defaults. Secrets are named by ARN; no value is one.
"""


class ParametersUnreadable(ValueError):
    """The file of parameters cannot be read; the message says why."""


@cache
def _template() -> dict[str, Any]:
    """Return template.yaml, read once: that takes most of a second."""
    return read(TEMPLATE)


def declarations() -> dict[str, dict[str, Any]]:
    """Return the declarations of template.yaml's parameters that an operator sets."""
    declared: dict[str, dict[str, Any]] = _template()["Parameters"]
    return {name: value for name, value in declared.items() if name not in SET_ELSEWHERE}


def concurrency_columns() -> dict[str, int]:
    """Return how much concurrency the functions reserve together, by the value of
    ``Concurrency``."""
    rows = _template()["Mappings"]["ReservedConcurrency"].values()
    return {size: sum(row[size] for row in rows) for size in ("full", "small")} | {"none": 0}


def read_parameters(path: Path) -> dict[str, str]:
    """Return the parameters of the file at *path* as CloudFormation takes them; none if there is
    no file. Raises :class:`ParametersUnreadable`."""
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ParametersUnreadable(f"{path.name} is not YAML{where}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ParametersUnreadable(f"{path.name} has no lines of the form Name: value")
    declared = declarations()
    return {
        str(name): _to_text(value, declared.get(str(name), {})) for name, value in content.items()
    }


def _to_text(value: Any, declaration: Mapping[str, Any]) -> str:
    """Return a value of YAML as CloudFormation takes it: YAML reads ``on`` and ``off`` as booleans,
    and a list is joined by commas."""
    if isinstance(value, bool):
        words = ("on", "off") if "on" in declaration.get("AllowedValues", ()) else ("true", "false")
        return words[0] if value else words[1]
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def find_unknown(given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the names that the template does not declare, each with what to do about it."""
    declared = declarations()
    found = []
    for name in sorted(set(given) - set(declared)):
        if name in SET_ELSEWHERE:
            found.append((f"{name} is set by the command, not by the file", f"delete {name}"))
            continue
        by_small = {known.casefold(): known for known in declared}
        close = difflib.get_close_matches(name.casefold(), list(by_small), n=1, cutoff=0.6)
        step = f"write {by_small[close[0]]}" if close else f"delete {name}"
        found.append((f"template.yaml has no parameter {name}", step))
    return found


def find_missing(given: Mapping[str, str], remembered: Mapping[str, str]) -> list[str]:
    """Return the required parameters that neither the file nor the existing stack has."""
    return [
        name
        for name, declaration in declarations().items()
        if "Default" not in declaration and name not in given and name not in remembered
    ]


def find_malformed(given: Mapping[str, str]) -> list[str]:
    """Return a sentence for each value that the template would refuse.

    It does not quote what should be an ARN: it may be the secret itself.
    """
    sentences = []
    for name, declaration in declarations().items():
        if name not in given:
            continue
        if problem := _problem_of(given[name], declaration):
            sentences.append(f"{name} {problem}")
    return sentences


def _problem_of(value: str, declaration: Mapping[str, Any]) -> str | None:
    allowed = [str(choice) for choice in declaration.get("AllowedValues", ())]
    if allowed and value not in allowed:
        return f"must be one of {', '.join(allowed)}, not {value!r}"
    if declaration["Type"] == "Number":
        return _problem_of_number(value, declaration)
    parts = value.split(",") if declaration["Type"] == "CommaDelimitedList" else [value]
    pattern = declaration.get("AllowedPattern")
    if pattern and not all(re.fullmatch(pattern, part.strip()) for part in parts):
        words = declaration.get("ConstraintDescription") or _form_of(str(pattern))
        return words if ":arn" in f":{pattern}" else f"{words}, not {value!r}"
    return None


def _problem_of_number(value: str, declaration: Mapping[str, Any]) -> str | None:
    try:
        number = float(value)
    except ValueError:
        return f"must be a number, not {value!r}"
    least = declaration.get("MinValue")
    if least is not None and number < float(least):
        return f"must be {least} or more, not {value}"
    return None


def _form_of(pattern: str) -> str:
    """Return an allowed pattern in words."""
    if service := re.search(r":(secretsmanager|kms|sns|lambda|acm):", pattern):
        return f"must be an ARN of {service[1]}"
    return "must be a URL" if "https?" in pattern else f"must match {pattern}"


def effective(given: Mapping[str, str], remembered: Mapping[str, str]) -> dict[str, str]:
    """Return the value that each parameter will have: the file's, else the stack's, else the
    default."""
    defaults = {
        name: str(declaration["Default"])
        for name, declaration in declarations().items()
        if "Default" in declaration
    }
    known = declarations()
    return {
        **defaults,
        **{name: value for name, value in remembered.items() if name in known},
        **{name: value for name, value in given.items() if name in known},
    }


def render(values: Mapping[str, str], stage: str = "dev") -> str:
    """Return the text of a complete file: each parameter with its meaning; those without a value
    in *values* as comments with their defaults."""
    blocks = [HEAD.format(stage=stage)]
    for name, declaration in declarations().items():
        lines = textwrap.wrap(str(declaration.get("Description", "")), 96)
        if choices := declaration.get("AllowedValues"):
            lines.append("One of: " + ", ".join(map(str, choices)))
        text = values.get(name, str(declaration.get("Default", "")))
        quoted = yaml.safe_dump(text, default_style='"', width=1000).strip()
        value = f"{name}: {quoted}"
        commented = name not in values
        blocks.append("\n".join([*(f"# {line}" for line in lines), f"{'# ' * commented}{value}\n"]))
    return "\n".join(blocks)


def render_example() -> str:
    """Return the text of parameters.example.yaml."""
    return render(EXAMPLES)
