"""The effects of a function: what it has changed outside of its own process.

These are what Postgres has committed, what DynamoDB has written, messages of SQS, calls that change
something at hh.ru, and what others receive: frames, notifications, the public feed. A process that
is killed between two of them leaves the same as one that is killed directly after the first: what
Postgres has not committed is as if it had never been written. So a worker that is killed once after
each of its effects has been killed at every line that matters.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from ullgetthejob.platform import aws, postgres, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

EFFECT = "effect "  # before the number of the effect, in the name of a step
WRITE = re.compile(r"\b(INSERT INTO|DELETE FROM|(?<!FOR )(?<!KEY )(?<!DO )UPDATE)\s+(\w+)")
AWS_WRITES = {"SendMessage", "SendMessageBatch", "PutItem", "UpdateItem", "DeleteItem", "SendEmail"}


class Effects:
    """Counts the effects of this process, and calls *stop*, with the name of the effect, after that
    with *number*."""

    def __init__(self, number: int, stop: Callable[[str], None]) -> None:
        self._left = number
        self._stop = stop
        self._lock = threading.Lock()  # the broadcaster's threads have effects at once
        self._written: list[str] = []  # in the transaction that is open

    def happened(self, name: str) -> None:
        """Count an effect. After the last one no thread goes on."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._stop(name)  # and never releases the lock

    def follow(self, posts: Iterable[tuple[Any, str]]) -> None:
        """Count from now on. *posts*: functions with effects of their own, by owner and name."""
        self._follow_statements()
        self._follow_transactions()
        self._follow_aws()
        for owner, name in posts:
            self._follow_calls(owner, name)

    def _follow_statements(self) -> None:
        cursor_class = postgres._cursor_class()
        for name in ("execute", "executemany"):
            inner = getattr(cursor_class, name)

            def counted(
                cursor: Any, query: str, *values: Any, _inner: Any = inner, **named: Any
            ) -> Any:
                found = _inner(cursor, query, *values, **named)
                written = " ".join(part for write in WRITE.findall(query) for part in write)
                if not written or not cursor.rowcount:
                    return found
                if cursor.connection.in_transaction:
                    self._written.append(written)
                else:
                    self.happened(written)
                return found

            setattr(cursor_class, name, counted)

    def _follow_transactions(self) -> None:
        inner = psycopg.Connection.transaction

        @contextmanager
        def counted(connection: Any, *values: Any, **named: Any) -> Iterator[psycopg.Transaction]:
            is_outermost = not connection.in_transaction
            if is_outermost:
                self._written.clear()
            with inner(connection, *values, **named) as transaction:
                yield transaction
            if is_outermost and self._written:
                self.happened(", ".join(self._written))

        psycopg.Connection.transaction = counted  # type: ignore[method-assign, assignment]

    def _follow_aws(self) -> None:
        inner = aws.call

        def counted(service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
            answer = inner(service, operation, request)
            is_pace = (
                request.get("TableName") == settings.PACER_TABLE()
            )  # slots of time, which pass
            if operation in AWS_WRITES and not is_pace:
                where = request.get("TableName") or request.get("QueueUrl") or ""
                self.happened(f"{operation} {where.rpartition('/')[2]}")
            return answer

        aws.call = counted

    def _follow_calls(self, owner: Any, name: str) -> None:
        inner = getattr(owner, name)

        def counted(*values: Any, **named: Any) -> Any:
            answer = inner(*values, **named)
            self.happened(name)
            return answer

        setattr(owner, name, counted)
