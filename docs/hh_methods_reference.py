"""The reference of hh.ru's methods, ``docs/hh-methods.md``, from the table that the sandbox serves.

It is part of :mod:`docs.generate`.
"""

from __future__ import annotations

from local.sandbox.eras import Era, Method, Version, eras, methods


def markdown() -> str:
    """Return who may call each method, since when hh.ru has it no longer, and the answers of each
    era, as Markdown."""
    names = list(eras())
    lines = [
        "# hh.ru's methods and the sandbox's eras",
        "",
        "Generated from `local/sandbox/data/methods.toml` by `make docs`. Versions are those of",
        "hh.ru's public documents. That they no longer have a method does not say what hh.ru",
        "answers: those statuses are inferred, and the file says how, and from which versions.",
        "",
        *(
            f"- **{era.name}** ({_number(era.documents)}): {era.summary}."
            for era in eras().values()
        ),
        "",
        f"| method | caller | since | removed | for employers | {' | '.join(names)} |",
        f"|---|---|---|---|---|{'---|' * len(names)}",
        *map(_row, methods().values()),
    ]
    return "\n".join(lines) + "\n"


def _row(method: Method) -> str:
    answers = [_answer(era, method) for era in eras().values()]
    versions = list(map(_number, (method.since, method.removed, method.employers)))
    return f"| `{method.name}` | {' | '.join([method.caller.value, *versions, *answers])} |"


def _answer(era: Era, method: Method) -> str:
    refusal = era.refusal_of(method)
    return "open" if refusal is None else str(refusal)


def _number(version: Version | None) -> str:
    return ".".join(map(str, version or ()))
