"""Rendering of letter templates, bounded in time, memory and output.

A template is Jinja, in its sandbox, and of Jinja only what :data:`ALLOWED` has: text, placeholders,
conditions, one level of loops over a list, comparisons, literals and the filters of
:data:`FILTERS`. There is no call, arithmetic, assignment, subscript, macro, import or attribute
other than the documented placeholders: the syntax tree is checked before anything is compiled, as
compiling already computes constants. So the work is at most the size of the template times the
length of a list, and nothing can grow: every filter returns less than its input and its arguments
together. Output ends at :data:`MAX_OUTPUT`.

Jinja is imported when the first template is used (0.1 s).
"""

from __future__ import annotations

import hashlib
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from ullgetthejob.letters.errors import TemplateInvalid, ValueMissing
from ullgetthejob.letters.placeholders import MEANINGS, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    import jinja2
    from jinja2 import nodes

MAX_TEMPLATE = 20_000  # characters; twice the longest letter that hh.ru takes
MAX_OUTPUT = 10_000  # hh.ru: characters of a message
MAX_NODES = 2_000
MAX_DEPTH = 40  # of the syntax tree; "a and b and …" is as deep as it is long
MAX_SEPARATOR = 20
ALLOWED = frozenset(
    """
    Template Output TemplateData Name Getattr Const Filter If CondExpr Compare Operand And Or Not
    For List Concat Test
    """.split()  # noqa: SIM905
)
TESTS = frozenset({"defined", "undefined", "none"})
# A line with nothing but blocks makes no line of the letter: its end moves into the last block,
# so that errors still name the template's own lines.
BLOCK_LINE = re.compile(
    r"^[ \t]*((?:\{%[^%\n]*%\}[ \t]*)*\{%[^%\n]*?)([-+]?)%\}[ \t]*\n", re.MULTILINE
)
NOT_ALLOWED = {
    "Call": "cannot call anything",
    "Getitem": "cannot use […]",
    "Assign": "cannot use set",
    "AssignBlock": "cannot use set",
    "Include": "cannot use include",
    "Import": "cannot use import",
    "FromImport": "cannot use import",
    "Extends": "cannot use extends",
    "Macro": "cannot use macro",
}


def render(template: str, context: Mapping[str, Any]) -> str:
    """Return the letter that *template* makes with *context* (:func:`.placeholders.context_of`),
    without white space around it and with one empty line at most.

    Raises :class:`TemplateInvalid`, :class:`ValueMissing` where the letter would have a hole.
    """
    import jinja2

    compiled = _compile(template)
    chosen = hashlib.sha256(str(context.get("vacancy", {}).get("id", "")).encode()).digest()
    written: list[str] = []
    length = 0
    try:
        for piece in compiled.generate({**_complete(context), "_choice": chosen}):
            written.append(piece)
            length += len(piece)
            if length > MAX_OUTPUT * 2:  # white space may go
                raise _too_long()
    except jinja2.UndefinedError as error:
        raise ValueMissing(str(error)) from None
    except (TypeError, ValueError, jinja2.TemplateError) as error:
        raise TemplateInvalid(f"cannot be filled in: {type(error).__name__}") from None
    letter = _tidy("".join(written))
    if len(letter) > MAX_OUTPUT:
        raise _too_long()
    return letter


def _complete(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return *context* with a value that says so for each placeholder that is missing."""
    missing = _environment().undefined
    complete: dict[str, Any] = {}
    for path in MEANINGS:
        group, _, name = path.partition(".")
        if name:
            values = complete.setdefault(group, {})
            values[name] = context.get(group, {}).get(name) or missing(name=path)
        else:
            complete[group] = context.get(group) or missing(name=path)
    return complete


def require_valid(template: str) -> None:
    """Raise :class:`TemplateInvalid` if *template* can be used for no vacancy."""
    _compile(template)


def _too_long() -> TemplateInvalid:
    return TemplateInvalid(f"makes a letter of more than {MAX_OUTPUT} characters")


def _tidy(text: str) -> str:
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines).strip()


# ── checking and compiling ───────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=64)
def _compile(template: str) -> jinja2.Template:
    import jinja2

    if len(template) > MAX_TEMPLATE:
        raise TemplateInvalid(f"must not be longer than {MAX_TEMPLATE} characters")
    if not template.strip():
        raise TemplateInvalid("must not be empty")
    try:
        tree = _environment().parse(BLOCK_LINE.sub(r"\1\n\2%}", template))
        _check(tree)
        return _environment().from_string(tree)
    except jinja2.TemplateSyntaxError as error:
        reason = (error.message or "cannot be read")[:200]
        raise TemplateInvalid(f"line {error.lineno}: {reason}") from None
    except (RecursionError, MemoryError, OverflowError, SyntaxError, ValueError):
        raise TemplateInvalid("is nested too deeply, or has too long a number") from None


@cache
def _environment() -> jinja2.Environment:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Missing(jinja2.ChainableUndefined):
        """A value that resume or vacancy do not have: false, and never printed."""

        def __str__(self) -> str:
            raise jinja2.UndefinedError(str(self._undefined_name))

        __iter__ = __len__ = __str__  # type: ignore[assignment]

    environment = ImmutableSandboxedEnvironment(
        undefined=Missing,
        autoescape=False,
        optimized=False,
        cache_size=0,
        finalize=_printed,
    )
    environment.globals.clear()
    environment.filters.clear()
    environment.filters.update(_filters(Missing))
    environment.tests = {name: environment.tests[name] for name in TESTS}
    return environment


def _printed(value: Any) -> Any:
    """Return what is printed of a value; a list is joined as one writes it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return value


def _check(tree: nodes.Template) -> None:
    """Raise :class:`TemplateInvalid` for what a template may not have."""
    from jinja2 import nodes

    pending: list[tuple[Any, int, frozenset[str], bool]] = [(tree, 0, frozenset(), False)]
    seen = 0
    while pending:
        node, depth, variables, in_loop = pending.pop()
        seen += 1
        kind = type(node).__name__
        if kind not in ALLOWED:
            raise _refusal(node, NOT_ALLOWED.get(kind, f"cannot use {kind.lower()}"))
        if seen > MAX_NODES or depth > MAX_DEPTH:
            raise TemplateInvalid("has too many parts, or is nested too deeply")
        if isinstance(node, nodes.For):
            variables = _check_loop(node, variables, in_loop=in_loop)
            in_loop = True
        elif isinstance(node, (nodes.Name, nodes.Getattr)):
            _check_placeholder(node, variables)
            continue  # what is below is a part of its name
        elif isinstance(node, nodes.Filter):
            _check_filter(node)
        elif isinstance(node, nodes.Test) and (node.name not in TESTS or node.args):
            raise _refusal(node, f"cannot use the test {node.name}")
        pending += [
            (child, depth + 1, variables, in_loop)
            for child in node.iter_child_nodes(exclude=("target",))
        ]


def _refusal(node: nodes.Node, reason: str) -> TemplateInvalid:
    return TemplateInvalid(f"line {node.lineno}: a template {reason}")


def _check_loop(node: nodes.For, variables: frozenset[str], *, in_loop: bool) -> frozenset[str]:
    """Return the variables inside of a loop. Raises :class:`TemplateInvalid`."""
    from jinja2 import nodes

    if in_loop or node.recursive:
        raise _refusal(node, "cannot have a loop in a loop")
    if not isinstance(node.target, nodes.Name) or node.target.name in SCHEMA:
        raise _refusal(node, "needs a loop with one new name")
    inner = node.iter
    while isinstance(inner, nodes.Filter) and inner.name == "limit" and inner.node is not None:
        inner = inner.node
    is_list = isinstance(inner, nodes.Getattr) and _find(_path(inner) or "") is list
    if not is_list:
        raise _refusal(node, "can loop over one of the lists of placeholders only")
    return variables | {node.target.name, "loop.index", "loop.first", "loop.last"}


def _check_placeholder(node: nodes.Name | nodes.Getattr, variables: frozenset[str]) -> None:
    path = _path(node)
    if path in variables:
        return
    if path is None or _find(path) in (None, dict):
        name = path or "this"
        known = ", ".join(MEANINGS)
        raise _refusal(node, f"has no placeholder {name[:100]}; there are: {known}")


def _path(node: nodes.Node) -> str | None:
    """Return the dotted name of a placeholder; ``None`` if it is an attribute of anything else."""
    from jinja2 import nodes

    names: list[str] = []
    while isinstance(node, nodes.Getattr):
        names.append(node.attr)
        node = node.node
    if not isinstance(node, nodes.Name):
        return None
    return ".".join([node.name, *reversed(names)])


def _find(path: str) -> Any:
    """Return the type of a placeholder, ``dict`` for a group of them; ``None`` if there is none."""
    found: Any = SCHEMA
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return dict if isinstance(found, dict) else found


def _check_filter(node: nodes.Filter) -> None:
    from jinja2 import nodes

    if node.name not in FILTERS:
        raise _refusal(node, f"has no filter {node.name[:40]}; there are: {', '.join(FILTERS)}")
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise _refusal(node, f"has no named arguments of {node.name}")
    if len(node.args) > FILTERS[node.name]:
        raise _refusal(node, f"has too many arguments of {node.name}")
    if node.name == "variant" and not (
        isinstance(node.node, nodes.List)
        and node.node.items
        and all(isinstance(item, nodes.Const) for item in node.node.items)
    ):
        raise _refusal(node, "needs a list of texts before | variant")


# ── filters ──────────────────────────────────────────────────────────────────────────────────────

# The most arguments of each.
FILTERS = {
    "join": 1,
    "limit": 1,
    "default": 1,
    "first": 0,
    "last": 0,
    "count": 0,
    "lower": 0,
    "upper": 0,
    "capitalize": 0,
    "trim": 0,
    "variant": 0,
}


def _filters(missing: type[Any]) -> dict[str, Any]:
    from jinja2 import pass_context

    def as_list(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise TypeError("not a list")
        return list(value)

    def join(value: Any, separator: str = ", ") -> Any:
        if isinstance(value, missing):
            return value
        if len(separator) > MAX_SEPARATOR:
            raise ValueError("the separator is too long")
        return separator.join(str(item) for item in as_list(value)) or missing(name="list to join")

    def limit(value: Any, number: int = 3) -> Any:
        return value if isinstance(value, missing) else as_list(value)[: max(0, int(number))]

    def first(value: Any) -> Any:
        items = [] if isinstance(value, missing) else as_list(value)
        return items[0] if items else missing(name="first item")

    def last(value: Any) -> Any:
        items = [] if isinstance(value, missing) else as_list(value)
        return items[-1] if items else missing(name="last item")

    @pass_context
    def variant(context: Any, texts: list[str]) -> str:
        digest = hashlib.sha256(context["_choice"] + "\0".join(map(str, texts)).encode()).digest()
        return str(texts[int.from_bytes(digest[:4]) % len(texts)])

    return {
        "join": join,
        "limit": limit,
        "default": lambda value, other="": other if isinstance(value, missing) else value,
        "first": first,
        "last": last,
        "count": lambda value: 0 if isinstance(value, missing) else len(as_list(value)),
        "lower": lambda value: str(value).lower(),
        "upper": lambda value: str(value).upper(),
        "capitalize": lambda value: str(value)[:1].upper() + str(value)[1:],
        "trim": lambda value: str(value).strip(),
        "variant": variant,
    }
