"""The work of one operation, counted: statements, calls of AWS and of hh.ru, processor time.

:func:`counted` notes every call out of the package's code while its block runs, under the name of
the operation: that of the SQL constant, AWS's, hh.ru's method and path. The counts of an operation
on the same data are the same each time, so tests hold them to budgets; processor time is for
reading only.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

import psycopg

from benchmarks import growth_statements
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.methods import path_without_ids
from ullgetthejob.platform import aws, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Work:
    """What was done, by name. *transactions*: BEGIN, COMMIT, SAVEPOINT and their like. *cpu_s*: of
    the calling thread."""

    statements: Counter[str] = field(default_factory=Counter)
    transactions: Counter[str] = field(default_factory=Counter)
    aws: Counter[str] = field(default_factory=Counter)
    hh: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0

    def totals(self) -> dict[str, int]:
        """Return how many calls of each kind there were."""
        return {
            "statements": self.statements.total(),
            "transactions": self.transactions.total(),
            "aws": self.aws.total(),
            "hh": self.hh.total(),
        }

    def lines(self) -> list[str]:
        """Return each operation with its number, the most frequent first."""
        return [
            f"{kind:12}{number:4} {name}"
            for kind in self.totals()
            for name, number in getattr(self, kind).most_common()
        ]


@contextmanager
def counted() -> Iterator[Work]:
    """Count the work of the block, of all threads; processor time is the calling thread's."""
    work = Work()
    names = {_spaceless(each.text): each.name for each in growth_statements.statements()}
    cursor = postgres._cursor_class()
    execute, executemany = cursor.execute, cursor.executemany
    command = psycopg.Connection._exec_command
    call, send = aws._Service.call, HHClient._send

    def name_of(query: object) -> str:
        text = _spaceless(str(query))
        return names.get(text, text[:100])

    def count_execute(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        work.statements[name_of(query)] += 1
        return execute(self, query, *arguments, **named)

    def count_executemany(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        work.statements[name_of(query)] += 1
        return executemany(self, query, *arguments, **named)

    def count_command(self: Any, text: Any, *arguments: Any, **named: Any) -> Any:
        word = text.decode() if isinstance(text, bytes) else str(text)
        work.transactions[word.split()[0]] += 1
        return command(self, text, *arguments, **named)

    def count_call(self: Any, operation: str, request: Any) -> Any:
        work.aws[f"{self.name}.{operation}"] += 1
        return call(self, operation, request)

    def count_send(self: Any, method: str, path: str, **request: Any) -> Any:
        work.hh[f"{method} {path_without_ids(path)}"] += 1
        return send(self, method, path, **request)

    with ExitStack() as stack:
        for owner, name, counting in (
            (cursor, "execute", count_execute),
            (cursor, "executemany", count_executemany),
            (psycopg.Connection, "_exec_command", count_command),
            (aws._Service, "call", count_call),
            (HHClient, "_send", count_send),
        ):
            stack.enter_context(mock.patch.object(owner, name, counting))
        began = time.thread_time()
        yield work
        work.cpu_s = time.thread_time() - began


def _spaceless(text: str) -> str:
    return " ".join(text.split())
