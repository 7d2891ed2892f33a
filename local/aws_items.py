"""The local DynamoDB: moto's models, with every item in a SQLite file."""

from __future__ import annotations

import io
import json
import sqlite3
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from moto.core.request import Request
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.responses import DynamoHandler

from local import browsers
from local.aws_queues import SENDERS, list_messages
from local.template.cloudformation import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from moto.dynamodb.models import DynamoDBBackend

    from local.template.resources import Table

_TARGET = "DynamoDB_20120810."
_TABLE_CHANGES = {"CreateTable", "DeleteTable"}
# The product uses none of these, and their changes would not be persisted.
_REFUSED = {
    "BatchExecuteStatement",
    "ExecuteStatement",
    "ExecuteTransaction",
    "TransactWriteItems",
}

_BROWSER_HEADERS = {  # by their WSGI names
    "HTTP_HOST": "Host",
    "HTTP_ORIGIN": "Origin",
    "HTTP_SEC_FETCH_SITE": "Sec-Fetch-Site",
    "HTTP_SEC_FETCH_MODE": "Sec-Fetch-Mode",
}

_LOCAL: dict[str, Callable[[], dict[str, Any]]] = {  # paths that AWS does not have
    "/_local/health": lambda: {"status": "ok"},
    "/_local/queues": lambda: {"queues": list_messages()},
}

_AwsItem = dict[str, Any]
_ItemKey = tuple[str, str]  # the table, and the key as canonical JSON


class Items:
    """The items of all tables, in a SQLite file."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # A killed process loses nothing that it has written; only a power loss could.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS items (table_name TEXT, key TEXT, item TEXT NOT NULL,"
            " PRIMARY KEY (table_name, key)) WITHOUT ROWID"
        )

    def of(self, table: str) -> Iterator[_AwsItem]:
        """Return every item of *table*."""
        rows = self._database.execute("SELECT item FROM items WHERE table_name = ?", (table,))
        return (json.loads(item) for (item,) in rows.fetchall())

    def write(self, changes: Iterable[tuple[_ItemKey, _AwsItem | None]]) -> None:
        """Write all *changes* or none; ``None`` deletes the item."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._write_each(changes)
            self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    def _write_each(self, changes: Iterable[tuple[_ItemKey, _AwsItem | None]]) -> None:
        for key, item in changes:
            if item is None:
                self._database.execute("DELETE FROM items WHERE table_name = ? AND key = ?", key)
            else:
                self._database.execute(
                    "INSERT OR REPLACE INTO items VALUES (?, ?, ?)", (*key, json.dumps(item))
                )

    def delete_table(self, table: str) -> None:
        """Delete every item of *table*."""
        self._database.execute("DELETE FROM items WHERE table_name = ?", (table,))


class DurableDynamoDB:
    """WSGI middleware that writes the changes of a DynamoDB request before its response is sent.

    Requests to DynamoDB run one at a time: moto checks a condition and applies the change in two
    steps, between which another thread could write.

    DynamoDB's other operations call moto's handler, and a plain GetItem and plain messages sent to
    SQS (:mod:`.aws_queues`) its models: moto's router takes more CPU than its models, and twenty
    concurrent callers would wait for each other.
    """

    def __init__(self, application: Any, items: Items) -> None:
        self._application = application
        self._items = items
        self._lock = threading.Lock()
        self._unwritten: set[_ItemKey] = set()  # changed in moto, but not on the disk
        self._reported = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve a request."""
        headers = {name: environ[key] for key, name in _BROWSER_HEADERS.items() if key in environ}
        if browsers.refusal(environ["REQUEST_METHOD"], headers) is not None:
            start_response("403 FORBIDDEN", [("Content-Type", "text/plain")])
            return [b"a page of another site sent this\n"]
        if environ.get("CONTENT_LENGTH"):
            _body(environ)  # a body that never arrives completely ends here, without an effect
        if environ["PATH_INFO"] in _LOCAL:
            return _respond(_LOCAL[environ["PATH_INFO"]](), start_response)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target in SENDERS and (sent := SENDERS[target](json.loads(_body(environ)))) is not None:
            return _respond(sent, start_response)
        if not target.startswith(_TARGET):
            return self._application(environ, start_response)  # type: ignore[no-any-return]
        operation = target.removeprefix(_TARGET)
        if operation in _REFUSED:
            return _refuse(f"{operation} is not supported by the local DynamoDB", start_response)
        body = _body(environ)
        if operation == "GetItem" and (read := self._get_item(json.loads(body))) is not None:
            return _respond(read, start_response)
        with self._lock:
            status, sent_headers, response = _handle(environ)
            if status == HTTPStatus.OK:
                try:
                    self._write_changes(operation, json.loads(body))
                except sqlite3.OperationalError as error:
                    return self._report_unwritten(error, start_response)
        start_response(f"{status.value} {status.phrase}", sent_headers)
        return [response]

    def _get_item(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the response to a plain GetItem, or ``None`` to leave it to moto."""
        if not request.keys() <= {"TableName", "Key", "ConsistentRead"}:
            return None
        if request["TableName"] not in _backend().tables:
            return None
        with self._lock:
            item = _read_item(_item_key(request["TableName"], request["Key"]))
        return {} if item is None else {"Item": item}

    def _write_changes(self, operation: str, request: dict[str, Any]) -> None:
        if operation in _TABLE_CHANGES:
            self._items.delete_table(request["TableName"])
        changed = set(_changed_keys(operation, request))
        if changed:
            self._unwritten |= changed
            self._items.write((key, _read_item(key)) for key in self._unwritten)
            self._unwritten.clear()
            self._reported = False

    def _report_unwritten(self, error: Exception, start_response: Any) -> list[bytes]:
        """Return the response to a change that is not on the disk.

        The change may or may not have happened, as after any failure of DynamoDB. It is written
        with the next change that succeeds.
        """
        if not self._reported:
            print(f"items cannot be kept: {error}", flush=True)
            self._reported = True
        body = json.dumps({"__type": "InternalServerError", "message": "the disk is full"})
        headers = [("Content-Type", "application/x-amz-json-1.0")]
        start_response("500 INTERNAL SERVER ERROR", headers)
        return [body.encode()]


def _handle(environ: dict[str, Any]) -> tuple[HTTPStatus, list[tuple[str, str]], bytes]:
    """Let moto handle a request to DynamoDB; return the status, the headers and the body."""
    request = Request(environ)
    status, headers, content = DynamoHandler.dispatch(
        request, request.raw_url, dict(request.headers)
    )
    body = content if isinstance(content, bytes) else content.encode()
    sent = {**headers, "Content-Length": len(body)}
    return HTTPStatus(status), [(name, str(value)) for name, value in sent.items()], body


def _body(environ: dict[str, Any]) -> bytes:
    """Read the request's body, and leave it readable once more."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _respond(content: dict[str, Any], start_response: Any) -> list[bytes]:
    body = json.dumps(content).encode()
    headers = [("Content-Type", "application/x-amz-json-1.0"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def _changed_keys(operation: str, request: dict[str, Any]) -> Iterator[_ItemKey]:
    """Return the keys of the items that *request* may have changed."""
    match operation:
        case "PutItem" | "UpdateItem" | "DeleteItem":
            yield _item_key(request["TableName"], request.get("Key") or request["Item"])
        case "BatchWriteItem":
            for table, writes in request["RequestItems"].items():
                for write in writes:
                    put, delete = write.get("PutRequest"), write.get("DeleteRequest")
                    yield _item_key(table, put["Item"] if put else delete["Key"])


def _backend() -> DynamoDBBackend:
    return dynamodb_backends[ACCOUNT_ID][REGION]


def _item_key(table: str, attributes: _AwsItem) -> _ItemKey:
    """Return the key of *attributes*, a key or a whole item. *table*: a name or an ARN."""
    stored = _backend().get_table(table)
    names = [name for name in (stored.hash_key_attr, stored.range_key_attr) if name]
    key = {name: attributes[name] for name in names}
    return stored.name, json.dumps(key, sort_keys=True)


def _read_item(item_key: _ItemKey) -> _AwsItem | None:
    table, key_json = item_key
    stored = _backend().get_table(table)
    key = json.loads(key_json)
    sort_key = stored.range_key_attr
    item = stored.get_item(
        DynamoType(key[stored.hash_key_attr]), DynamoType(key[sort_key]) if sort_key else None
    )
    return None if item is None else dict(item.to_json()["Attributes"])


def _refuse(message: str, start_response: Any) -> list[bytes]:
    body = json.dumps({"__type": "ValidationException", "message": message}).encode()
    start_response("400 BAD REQUEST", [("Content-Type", "application/x-amz-json-1.0")])
    return [body]


def create_tables(tables: Iterable[Table], items: Items) -> None:
    """Create *tables* and load the stored items into them."""
    for table in tables:
        arguments = table.create_arguments()
        stored = _backend().create_table(
            name=table.name,
            schema=arguments["KeySchema"],
            attr=arguments["AttributeDefinitions"],
            global_indexes=None,
            billing_mode=arguments["BillingMode"],
            throughput=None,
            indexes=None,
            streams=None,
            sse_specification=None,
            tags=[],
            deletion_protection_enabled=False,
            warm_throughput=None,
        )
        for item in items.of(table.name):
            stored.put_item(item, overwrite=True)
