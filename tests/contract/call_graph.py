"""A static call graph: all code that a function can reach, read from its source.

The analysis is "rapid type analysis" (Bacon and Sweeney, 1996), adapted to a language without
declared types. Beginning with everything in ``app.py``,

* a name leads to the function, class or constant that it refers to, also through imports;
* an attribute of a module or of a class of ours leads to that one definition;
* an attribute of anything else leads to the methods of that name of every class that the code
  names anywhere (an object must have been made from its class);
* a module that is passed as a value counts as an object with its functions as methods;
* a class leads to its base classes, its body, its special methods and its registered methods.

So an unused import counts for nothing; a call through a variable, a callback or a table of
functions counts; and for an unknown type the graph has too many calls, never too few. Names that
are composed at run time (``getattr`` with a variable) are not seen: the package has none.
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

# Decorators that do not register the function anywhere: it is still called by its name only.
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
    """A parsed file: its units, and the targets of its imported names."""

    name: str
    units: dict[str, list[ast.AST]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)  # dotted name by local name
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)


def source(name: str) -> Path | None:
    """Return the file of one of our modules; ``None`` for a library."""
    package = name.split(".")[0]
    if package not in ("ullgetthejob", "migrations", "functions"):
        return None
    path = REPOSITORY.joinpath("layers/core" if package == "ullgetthejob" else "", *name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


@cache
def module(name: str) -> Module | None:
    """Return the parsed module *name*; ``None`` for a library."""
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
    """Add the units of a class: its methods; and the class itself, with the code that its statement
    runs and the methods that are not called by name."""
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
    """Return whether a decorator may register it to be called, like a route or a validator."""
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
    """Yield ``(local name, dotted name)`` of every import below *tree*."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                dotted = alias.name if alias.asname else alias.name.split(".")[0]
                yield alias.asname or dotted, dotted
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes of *tree* that run, without the annotations of functions."""
    yield tree
    for name, value in ast.iter_fields(tree):
        if name == "returns" or (name == "annotation" and isinstance(tree, ast.arg)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _only_for_types(child):
                yield from executed(child)


class CallGraph:
    """All code that the module *start* can reach. *units*: the syntax trees of each unit."""

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
        """Yield every node that may run, with its unit."""
        for unit, trees in self.units.items():
            for tree in trees:
                for node in executed(tree):
                    yield unit, node

    def constants(self) -> set[str]:
        """Return all string constants of the code."""
        return {
            node.value
            for _, node in self.nodes()
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }

    def _load(self, name: str) -> None:
        """Reach the statements of a module and of its packages."""
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
                self._load_module_of(dotted)
        for tree in trees:
            for _, dotted in imported(tree):
                self._load_module_of(dotted)
            nodes = list(executed(tree))
            bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
            for node in nodes:
                if isinstance(node, ast.Name):
                    self._follow_name(owner, names, node.id)
                    if id(node) not in bases:
                        self._reach_module_value(names.get(node.id, ""))
                elif isinstance(node, ast.Attribute):
                    self._follow_attribute(owner, names, node)

    def _load_module_of(self, dotted: str) -> None:
        self._load(dotted if source(dotted) else dotted.rpartition(".")[0])

    def _follow_name(self, owner: Module, names: dict[str, str], name: str) -> None:
        if name in names:
            self._reach_dotted(names[name])
        else:
            self._reach(Unit(owner.name, name))

    def _follow_attribute(self, owner: Module, names: dict[str, str], node: ast.Attribute) -> None:
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

    def _reach_module_value(self, dotted: str) -> None:
        """Treat a module that is passed as a value like an object."""
        passed = Unit(dotted, "")
        if passed not in self._classes and module(dotted) is not None:
            self._classes.add(passed)
            for attribute in self._attributes:
                self._reach(Unit(dotted, attribute))

    def _reach_dotted(self, dotted: str) -> None:
        """Follow a dotted name to its definition, through modules that only import it."""
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
