"""What a function's code can reach, read from its source: a call graph without running anything.

The analysis is that of "rapid type analysis" (Bacon and Sweeney, 1996), made for a language without
declared types: beginning with everything in ``app.py``,

* a name leads to the function, class or constant that it means, through imports wherever they are;
* an attribute of a module or of a class of ours leads to that one definition;
* an attribute of anything else leads to the methods of that name of every class that the code
  names anywhere (an object must have been made from its class);
* a module that is handed over as a value is taken for an object with its functions for methods;
* a class brings its base classes, its body, its special methods and what frameworks call in it.

So an unused import counts for nothing, a call through a variable, a callback or a table of
functions counts, and where a type cannot be known more is found than happens, never less. Not seen
are names that are put together at run time (``getattr`` with a variable): the package has none.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]

# Decorators under which a function still is called by whoever names it, and by nothing else.
TRANSPARENT = {
    *("abstractmethod", "asynccontextmanager", "cache", "cached_property", "classmethod"),
    *("contextmanager", "lru_cache", "override", "property", "staticmethod"),
}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Unit:
    """A piece of code that runs as a whole: ``Class.method``, ``function``, ``CONSTANT``, or the
    statements of a module (an empty name)."""

    module: str
    name: str


@dataclass
class Module:
    """A parsed file: its units, and what its imported names mean."""

    name: str
    units: dict[str, list[ast.AST]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)  # a name here: a dotted name anywhere
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)


def source(name: str) -> Path | None:
    """The file of one of our modules; ``None`` for other people's."""
    package = name.split(".")[0]
    if package not in ("ullgetthejob", "migrations", "functions"):
        return None
    path = REPOSITORY.joinpath("layers/core" if package == "ullgetthejob" else "", *name.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


@cache
def module(name: str) -> Module | None:
    """The module *name* if it is ours."""
    path = source(name)
    if path is None:
        return None
    found = Module(name)
    for node in ast.parse(path.read_text()).body:
        if _only_for_types(node):
            continue
        found.imports |= dict(imported(node))
        if isinstance(node, ast.ClassDef):
            found.classes[node.name] = node
            _add_class(found, node)
        elif isinstance(node, Definition):
            found.units.setdefault(node.name, []).append(node)
            if _is_registered(node):
                found.units.setdefault("", []).append(ast.Name(node.name))
        elif (names := _assigned(node)) and not _calls_for_effect(node):
            for constant in names:
                found.units.setdefault(constant, []).append(node)
        else:
            found.units.setdefault("", []).append(node)
    return found


def _add_class(found: Module, node: ast.ClassDef) -> None:
    """The class itself: what its statement runs, and the methods that nobody calls by name."""
    body: list[ast.AST] = [*node.bases, *node.decorator_list, *(k.value for k in node.keywords)]
    for part in node.body:
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            found.units.setdefault(f"{node.name}.{part.name}", []).append(part)
            if part.name.startswith("__") or _is_registered(part):
                body.append(part)
        else:
            body.append(part)
    found.units[node.name] = body


def _is_registered(node: Definition) -> bool:
    """Whether a decorator may hand it to something that calls it, as a route or a validator is."""
    names = {ast.unparse(d).partition("(")[0].rpartition(".")[2] for d in node.decorator_list}
    return bool(names - TRANSPARENT)


def _assigned(node: ast.AST) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [name.id for t in targets if t for name in ast.walk(t) if isinstance(name, ast.Name)]


def _calls_for_effect(node: ast.AST) -> bool:
    return isinstance(node, ast.For | ast.With)


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """``(name here, dotted name)`` of every import below *tree*."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                dotted = alias.name if alias.asname else alias.name.split(".")[0]
                yield alias.asname or dotted, dotted
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of *tree* that run: no annotations of functions and variables in functions."""
    yield tree
    for name, value in ast.iter_fields(tree):
        if name == "returns" or (name == "annotation" and isinstance(tree, ast.arg)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _only_for_types(child):
                yield from executed(child)


class CallGraph:
    """Everything that the module *start* can reach. *units*: with the syntax trees of each."""

    def __init__(self, start: str) -> None:
        self.units: dict[Unit, list[ast.AST]] = {}
        self._waiting: list[Unit] = []
        self._attributes: set[str] = set()
        self._classes: set[Unit] = set()
        self._load(start)
        first = module(start)
        assert first is not None, start
        for name in first.units:
            self._reach(Unit(start, name))
        while self._waiting:
            self._follow(self._waiting.pop())

    def nodes(self) -> Iterator[tuple[Unit, ast.AST]]:
        """Every node that may run, and where."""
        for unit, trees in self.units.items():
            for tree in trees:
                for node in executed(tree):
                    yield unit, node

    def constants(self) -> set[str]:
        """Every text that stands in the code."""
        return {
            node.value
            for _, node in self.nodes()
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }

    def _load(self, name: str) -> None:
        """Run the statements of a module, and of the packages that it lies in."""
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            self._reach(Unit(".".join(parts[:length]), ""))

    def _reach(self, unit: Unit) -> None:
        owner = module(unit.module)
        if unit in self.units or owner is None or (unit.name and unit.name not in owner.units):
            return
        self.units[unit] = owner.units.get(unit.name, [])
        self._waiting.append(unit)
        if unit.name in owner.classes:
            self._classes.add(unit)
            for attribute in self._attributes:
                self._reach(Unit(unit.module, f"{unit.name}.{attribute}"))

    def _follow(self, unit: Unit) -> None:
        owner = module(unit.module)
        assert owner is not None
        trees = self.units[unit]
        names = dict(owner.imports)
        for tree in trees:
            names |= dict(imported(tree))
        if unit.name == "":
            for dotted in owner.imports.values():
                self._load_what(dotted)
        for tree in trees:
            for _, dotted in imported(tree):
                self._load_what(dotted)
            nodes = list(executed(tree))
            bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
            for node in nodes:
                if isinstance(node, ast.Name):
                    self._mean(owner, names, node.id)
                    if id(node) not in bases:
                        self._pass_on(names.get(node.id, ""))
                elif isinstance(node, ast.Attribute):
                    self._mean_attribute(owner, names, node)

    def _load_what(self, dotted: str) -> None:
        self._load(dotted if source(dotted) else dotted.rpartition(".")[0])

    def _mean(self, owner: Module, names: dict[str, str], name: str) -> None:
        if name in names:
            self._reach_dotted(names[name])
        else:
            self._reach(Unit(owner.name, name))

    def _mean_attribute(self, owner: Module, names: dict[str, str], node: ast.Attribute) -> None:
        text = ast.unparse(node.value)
        first, _, rest = text.partition(".")
        dotted = ".".join(filter(None, (names.get(first), rest)))
        if first in names and module(dotted) is not None:
            self._reach_dotted(f"{dotted}.{node.attr}")
        elif first in names and source(dotted.split(".")[0]) is None:
            return  # of a library
        elif node.attr not in self._attributes:
            self._attributes.add(node.attr)
            for known in list(self._classes):
                self._reach(Unit(known.module, _member(known, node.attr)))

    def _pass_on(self, dotted: str) -> None:
        """A module that is handed over as a value is used as an object is."""
        passed = Unit(dotted, "")
        if passed not in self._classes and module(dotted) is not None:
            self._classes.add(passed)
            for attribute in self._attributes:
                self._reach(Unit(dotted, attribute))

    def _reach_dotted(self, dotted: str) -> None:
        """Follow a dotted name to its definition, through modules that only pass it on."""
        where, _, name = dotted.rpartition(".")
        owner = module(where)
        if owner is None or module(dotted) is not None:
            return
        if name in owner.units:
            self._reach(Unit(where, name))
        elif name in owner.imports:
            self._reach_dotted(owner.imports[name])


def _member(owner: Unit, attribute: str) -> str:
    return f"{owner.name}.{attribute}" if owner.name else attribute
