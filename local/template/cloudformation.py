"""The syntax of CloudFormation templates: YAML tags, conditions and intrinsic functions.

:func:`read` turns a file into plain dictionaries (``!Ref X`` becomes ``{"Ref": "X"}``, the long
form that CloudFormation itself understands) and :class:`Evaluator` computes their values. An
unknown element raises a :class:`TemplateError` that names its place, so that the local system never
differs silently from the deployed one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REGION = "us-east-1"  # the default region of "sam local"
ACCOUNT_ID = "123456789012"  # moto's default account
STACK_NAME = "local"

PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/{STACK_NAME}/local",
    "AWS::StackName": STACK_NAME,
    "AWS::URLSuffix": "amazonaws.com",
}


class TemplateError(Exception):
    """An element of the template cannot run locally; the message names its place."""


class _NoValue:
    def __repr__(self) -> str:
        return "AWS::NoValue"


NO_VALUE = _NoValue()


class _Loader(yaml.SafeLoader):
    pass


def _tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)  # noqa: S101  YAML has no fourth kind
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tag)


def read(path: Path) -> dict[str, Any]:
    """Return the template as plain dictionaries, tags in their long form. Raises
    :class:`TemplateError`."""
    try:
        document = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506  a SafeLoader
    except FileNotFoundError:
        raise TemplateError(f"{path}: there is no such template") from None
    except yaml.YAMLError as error:
        raise TemplateError(f"{path}: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise TemplateError(f"{path}: not a CloudFormation template (no Resources)")
    return document


def intrinsic(node: Any) -> str | None:
    """Return the name of the intrinsic function that *node* is, or ``None``."""
    if isinstance(node, dict) and len(node) == 1:
        (name,) = node
        if name in {"Ref", "Condition"} or str(name).startswith("Fn::"):
            return str(name)
    return None


class Resources(Protocol):
    """The local values of references to resources."""

    def ref(self, logical_id: str, place: str) -> Any:
        """Return the value of ``!Ref``."""

    def attribute(self, logical_id: str, name: str, place: str) -> Any:
        """Return the value of ``!GetAtt``."""


class Evaluator:
    """Computes intrinsic functions. *parameters* override the defaults of the template.

    A parameter with neither is ``local-<Name>``: these are names of secrets, which local values
    replace.
    """

    def __init__(
        self, document: Mapping[str, Any], parameters: Mapping[str, str], resources: Resources
    ) -> None:
        self._resources = resources
        self._conditions: Mapping[str, Any] = document.get("Conditions", {})
        self._mappings: Mapping[str, Any] = document.get("Mappings", {})
        declared: Mapping[str, Any] = document.get("Parameters", {})
        if unknown := set(parameters) - set(declared):
            raise TemplateError(
                f"Parameters: the template declares no {', '.join(sorted(unknown))}"
            )
        self._parameters = {
            name: _parameter(name, declaration, parameters.get(name))
            for name, declaration in declared.items()
        }

    def condition(self, name: Any, place: str) -> bool:
        """Return whether the condition *name* of the template is true."""
        if name not in self._conditions:
            raise TemplateError(f"{place}: there is no condition {name!r}")
        return self._boolean(self._conditions[name], f"Conditions.{name}")

    def value(self, node: Any, place: str) -> Any:
        """Return *node* with every intrinsic function computed; ``AWS::NoValue`` removes a node."""
        if name := intrinsic(node):
            return self._function(name, node[name], place)
        if isinstance(node, dict):
            values = {key: self.value(item, f"{place}.{key}") for key, item in node.items()}
            return {key: value for key, value in values.items() if value is not NO_VALUE}
        if isinstance(node, list):
            items = [self.value(item, f"{place}[{index}]") for index, item in enumerate(node)]
            return [item for item in items if item is not NO_VALUE]
        return node

    def _function(self, name: str, argument: Any, place: str) -> Any:
        match name:
            case "Ref":
                return self._ref(argument, place)
            case "Fn::GetAtt":
                logical_id, attribute = argument
                return self._resources.attribute(logical_id, attribute, place)
            case "Fn::Sub":
                return self._sub(argument, place)
            case "Fn::Join":
                separator, items = argument
                return str(separator).join(str(item) for item in self.value(items, place))
            case "Fn::FindInMap":
                return self._find(self.value(argument, place), place)
            case "Fn::If":
                condition, then, otherwise = argument
                chosen = then if self.condition(condition, place) else otherwise
                return self.value(chosen, place)
            case "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" | "Condition":
                return self._boolean({name: argument}, place)
            case _:
                raise TemplateError(f"{place}: {name} is not supported locally")

    def _find(self, keys: list[Any], place: str) -> Any:
        found: Any = self._mappings
        for key in keys:
            if not isinstance(found, dict) or str(key) not in found:
                raise TemplateError(f"{place}: no mapping has {' / '.join(map(str, keys))}")
            found = found[str(key)]
        return found

    def _boolean(self, node: Any, place: str) -> bool:
        name = intrinsic(node)
        match name:
            case "Condition":
                return self.condition(node[name], place)
            case "Fn::Equals":
                left, right = self.value(node[name], place)
                return str(left) == str(right)
            case "Fn::Not":
                (item,) = node[name]
                return not self._boolean(item, place)
            case "Fn::And":
                return all(self._boolean(item, place) for item in node[name])
            case "Fn::Or":
                return any(self._boolean(item, place) for item in node[name])
            case _:
                raise TemplateError(f"{place}: {name or node!r} is not a condition")

    def _ref(self, name: str, place: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO_PARAMETERS:
            return PSEUDO_PARAMETERS[name]
        if name in self._parameters:
            return self._parameters[name]
        return self._resources.ref(name, place)

    def _sub(self, argument: Any, place: str) -> str:
        text, variables = argument if isinstance(argument, list) else (argument, {})

        def replace(match: re.Match[str]) -> str:
            name = match[1].strip()
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in variables:
                return str(self.value(variables[name], place))
            if "." in name:
                logical_id, _, attribute = name.partition(".")
                return str(self._resources.attribute(logical_id, attribute, place))
            return str(self._ref(name, place))

        return re.sub(r"\$\{([^}]+)\}", replace, text)


def _parameter(name: str, declaration: Mapping[str, Any], given: str | None) -> Any:
    text = str(given if given is not None else declaration.get("Default", f"local-{name}"))
    if declaration.get("Type") == "CommaDelimitedList" or str(declaration.get("Type")).startswith(
        "List<"
    ):
        return text.split(",")
    return text
