"""AWS on a laptop: moto's server, made to remember.

``python -m local.aws --port N --data-dir DIR`` serves DynamoDB, KMS, Secrets Manager, SSM and
whatever else moto knows. moto itself forgets everything when it ends, so

* every change of a DynamoDB item is in ``DIR/items.sqlite`` before it is answered, and is loaded
  at the next start, into tables made from the template;
* the template's KMS keys have fixed ids, and their material is kept in ``DIR/keys.json``.

The template's SQS queues are there, but messages are lost when this process ends: queues are
doorbells, and the sweeper rings again for whatever waits. Their timing (visibility, delay,
retention) is real time, as it is in the cloud, whatever the local clock says.

Secrets and parameters are not kept: locally functions get theirs as environment variables.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import secrets
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import JsonRESTError
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.kms.exceptions import AccessDeniedException
from moto.kms.models import kms_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.sqs.models import sqs_backends
from werkzeug.serving import make_server

from local import browsers
from local.settings import write_privately
from local.template.cloudformation import ACCOUNT_ID, REGION
from local.template.reader import TEMPLATE, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from moto.dynamodb.models import DynamoDBBackend
    from moto.sqs.models import Message, SQSBackend
    from moto.sqs.models import Queue as MotoQueue

    from local.template.resources import Key, Queue, Table

_TARGET = "DynamoDB_20120810."
_SEND = "AmazonSQS.SendMessage"
_LONGEST_DELAY_S = 900
_TABLE_CHANGES = {"CreateTable", "DeleteTable"}
# Statements name no items, so what they change could not be kept.
_REFUSED = {"ExecuteStatement", "ExecuteTransaction", "BatchExecuteStatement"}

_OF_BROWSERS = {  # what they say of a request, by the names of WSGI
    "HTTP_HOST": "Host",
    "HTTP_ORIGIN": "Origin",
    "HTTP_SEC_FETCH_SITE": "Sec-Fetch-Site",
    "HTTP_SEC_FETCH_MODE": "Sec-Fetch-Mode",
}

_AwsItem = dict[str, Any]
_Place = tuple[str, str]  # table, and the key as canonical JSON


class Items:
    """The items of all tables, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # A killed process loses nothing that it has written; only power loss could.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS items (table_name TEXT, key TEXT, item TEXT NOT NULL,"
            " PRIMARY KEY (table_name, key)) WITHOUT ROWID"
        )

    def of(self, table: str) -> Iterator[_AwsItem]:
        """Every item of *table*."""
        rows = self._database.execute("SELECT item FROM items WHERE table_name = ?", (table,))
        return (json.loads(item) for (item,) in rows.fetchall())

    def keep(self, changes: Iterable[tuple[_Place, _AwsItem | None]]) -> None:
        """Write all *changes* or none; ``None`` is an item that is gone."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._write(changes)
            self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    def _write(self, changes: Iterable[tuple[_Place, _AwsItem | None]]) -> None:
        for place, item in changes:
            if item is None:
                self._database.execute("DELETE FROM items WHERE table_name = ? AND key = ?", place)
            else:
                self._database.execute(
                    "INSERT OR REPLACE INTO items VALUES (?, ?, ?)", (*place, json.dumps(item))
                )

    def forget(self, table: str) -> None:
        """Drop every item of *table*."""
        self._database.execute("DELETE FROM items WHERE table_name = ?", (table,))


class DurableDynamoDB:
    """WSGI middleware: writes what a DynamoDB request has changed before its answer leaves.

    Requests to DynamoDB pass one at a time. moto checks a condition and applies the change in two
    steps, between which a second thread could slip.

    A plain GetItem, and SQS's plain SendMessage, are answered by moto's models directly: its way
    from the wire to them takes 4 ms of CPU, and twenty callers at once would wait for each other.
    """

    def __init__(self, application: Any, items: Items) -> None:
        self._application = application
        self._items = items
        self._lock = threading.Lock()
        self._unkept: set[_Place] = set()  # changed in moto, but not on the disk
        self._told = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        headers = {name: environ[key] for key, name in _OF_BROWSERS.items() if key in environ}
        if browsers.refusal(environ["REQUEST_METHOD"], headers) is not None:
            start_response("403 FORBIDDEN", [("Content-Type", "text/plain")])
            return [b"a page of another site sent this\n"]
        if environ.get("CONTENT_LENGTH"):
            _body(environ)  # one that never comes as a whole ends here, and nothing is made of it
        if environ["PATH_INFO"] == "/_local/health":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"ok\n"]
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target == _SEND and (sent := _send(json.loads(_body(environ)))) is not None:
            return _answered(sent, start_response)
        if not target.startswith(_TARGET):
            return self._application(environ, start_response)  # type: ignore[no-any-return]
        operation = target.removeprefix(_TARGET)
        if operation in _REFUSED:
            return _refuse(f"{operation} is not kept by the local DynamoDB", start_response)
        body = _body(environ)
        if operation == "GetItem" and (read := self._get_item(json.loads(body))) is not None:
            return _answered(read, start_response)
        started: list[Any] = []
        with self._lock:
            answer = b"".join(self._application(environ, lambda *a, **_: started.extend(a[:2])))
            if started[0].startswith("200"):
                try:
                    self._keep(operation, json.loads(body))
                except sqlite3.OperationalError as error:
                    return self._not_kept(error, start_response)
        start_response(*started)
        return [answer]

    def _get_item(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a plain GetItem; ``None``: it is moto's to answer."""
        if not request.keys() <= {"TableName", "Key", "ConsistentRead"}:
            return None
        if request["TableName"] not in _backend().tables:
            return None
        with self._lock:
            item = _current(_place(request["TableName"], request["Key"]))
        return {} if item is None else {"Item": item}

    def _keep(self, operation: str, request: dict[str, Any]) -> None:
        if operation in _TABLE_CHANGES:
            self._items.forget(request["TableName"])
        touched = set(_touched(operation, request))
        if touched:
            self._unkept |= touched
            self._items.keep((place, _current(place)) for place in self._unkept)
            self._unkept.clear()
            self._told = False

    def _not_kept(self, error: Exception, start_response: Any) -> list[bytes]:
        """The answer to a change that is not on the disk: it may or may not have happened, as
        after any failure of DynamoDB's. It is written with the next one that is."""
        if not self._told:
            print(f"items cannot be kept: {error}", flush=True)
            self._told = True
        body = json.dumps({"__type": "InternalServerError", "message": "the disk is full"})
        headers = [("Content-Type", "application/x-amz-json-1.0")]
        start_response("500 INTERNAL SERVER ERROR", headers)
        return [body.encode()]


def _send(request: dict[str, Any]) -> dict[str, Any] | None:
    """The answer to a plain SendMessage; ``None``: it is moto's to answer."""
    name = str(request.get("QueueUrl", "")).rpartition("/")[2]
    backend = sqs_backends[ACCOUNT_ID][REGION]
    plain = request.keys() <= {"QueueUrl", "MessageBody", "DelaySeconds"}
    if not plain or not request.get("MessageBody") or name not in backend.queues:
        return None
    if not 0 <= int(request.get("DelaySeconds", 0)) <= _LONGEST_DELAY_S:
        return None
    message = backend.send_message(
        name, request["MessageBody"], delay_seconds=request.get("DelaySeconds")
    )
    return {"MessageId": message.id, "MD5OfMessageBody": message.body_md5}


def _body(environ: dict[str, Any]) -> bytes:
    """The request's body, which can be read once more."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _answered(content: dict[str, Any], start_response: Any) -> list[bytes]:
    body = json.dumps(content).encode()
    headers = [("Content-Type", "application/x-amz-json-1.0"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def _touched(operation: str, request: dict[str, Any]) -> Iterator[_Place]:
    """Where *request* may have changed an item."""
    match operation:
        case "PutItem" | "UpdateItem" | "DeleteItem":
            yield _place(request["TableName"], request.get("Key") or request["Item"])
        case "BatchWriteItem":
            for table, writes in request["RequestItems"].items():
                for write in writes:
                    put, delete = write.get("PutRequest"), write.get("DeleteRequest")
                    yield _place(table, put["Item"] if put else delete["Key"])
        case "TransactWriteItems":
            for action in request["TransactItems"]:
                for kind in ("Put", "Update", "Delete"):
                    if kind in action:
                        write = action[kind]
                        yield _place(write["TableName"], write.get("Key") or write["Item"])


def _backend() -> DynamoDBBackend:
    return dynamodb_backends[ACCOUNT_ID][REGION]


def _place(table: str, attributes: _AwsItem) -> _Place:
    """*attributes* are a key, or a whole item. A table may also be named by its ARN."""
    stored = _backend().get_table(table)
    names = [name for name in (stored.hash_key_attr, stored.range_key_attr) if name]
    key = {name: attributes[name] for name in names}
    return stored.name, json.dumps(key, sort_keys=True)


def _current(place: _Place) -> _AwsItem | None:
    table, key_json = place
    stored = _backend().get_table(table)
    key = _from_wire(json.loads(key_json))
    sort_key = stored.range_key_attr
    item = stored.get_item(
        DynamoType(key[stored.hash_key_attr]), DynamoType(key[sort_key]) if sort_key else None
    )
    if item is None:
        return None
    return _to_wire(item.to_json()["Attributes"])


def _to_wire(item: _AwsItem) -> _AwsItem:
    """moto holds binary values as bytes; JSON, as on the wire, has them in base64."""
    return _binary(item, lambda value: base64.b64encode(value).decode())


def _from_wire(item: _AwsItem) -> _AwsItem:
    return _binary(item, base64.b64decode)


def _binary(item: _AwsItem, convert: Callable[[Any], Any]) -> _AwsItem:
    def converted(attribute: dict[str, Any]) -> dict[str, Any]:
        ((kind, value),) = attribute.items()
        match kind:
            case "B":
                return {kind: convert(value)}
            case "BS":
                return {kind: [convert(member) for member in value]}
            case "M":
                return {kind: _binary(value, convert)}
            case "L":
                return {kind: [converted(member) for member in value]}
            case _:
                return attribute

    return {name: converted(attribute) for name, attribute in item.items()}


def _refuse(message: str, start_response: Any) -> list[bytes]:
    body = json.dumps({"__type": "ValidationException", "message": message}).encode()
    start_response("400 BAD REQUEST", [("Content-Type", "application/x-amz-json-1.0")])
    return [body]


def create_tables(tables: Iterable[Table], items: Items) -> None:
    """Make *tables* and put the kept items into them."""
    for table in tables:
        arguments = table.create_arguments()
        stored = _backend().create_table(
            name=table.name,
            schema=arguments["KeySchema"],
            attr=arguments["AttributeDefinitions"],
            global_indexes=arguments.get("GlobalSecondaryIndexes"),
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
            stored.put_item(_from_wire(item), overwrite=True)


def create_keys(keys: Iterable[Key], path: Path) -> None:
    """Make *keys* under their fixed ids, with the material kept in the file *path*."""
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    backend = kms_backends[ACCOUNT_ID][REGION]
    for key in keys:
        if key.key_id not in kept:
            kept[key.key_id] = base64.b64encode(secrets.token_bytes(32)).decode()
            write_privately(path, json.dumps(kept, indent=2))
        stored = backend.create_key("", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", key.description, [])
        del backend.keys[stored.id]
        stored.id, stored.arn = key.key_id, key.arn
        stored.key_material = base64.b64decode(kept[key.key_id])
        backend.keys[stored.id] = stored


class _IncorrectKey(JsonRESTError):
    code = 400

    def __init__(self) -> None:
        super().__init__("IncorrectKeyException", "")


def tell_incorrect_keys() -> None:
    """KMS tells a Decrypt that names another key than the ciphertext's by a code of its own; moto
    says that access is denied."""
    backend = kms_backends[ACCOUNT_ID][REGION]
    decrypt = backend.decrypt

    def decrypt_as_kms(
        ciphertext_blob: bytes, encryption_context: dict[str, str], key_id: str | None = None
    ) -> tuple[bytes, str]:
        try:
            return decrypt(ciphertext_blob, encryption_context, key_id)
        except AccessDeniedException:
            raise _IncorrectKey from None

    backend.decrypt = decrypt_as_kms  # type: ignore[method-assign]


def create_queues(queues: Iterable[Queue]) -> None:
    """Make *queues*, and tell each where its dead letters go."""
    backend = sqs_backends[ACCOUNT_ID][REGION]
    made = list(queues)
    for queue in made:
        attributes: dict[str, Any] = dict(queue.attributes)
        backend.create_queue(queue.name, **attributes)
    for queue in made:
        if queue.dead_letter_arn is not None:
            redrive = {
                "deadLetterTargetArn": queue.dead_letter_arn,
                "maxReceiveCount": queue.max_receive_count,
            }
            backend.set_queue_attributes(queue.name, {"RedrivePolicy": json.dumps(redrive)})


_CHANGES_OF_MESSAGES = (
    *("send_message", "send_message_batch", "purge_queue"),
    *("delete_message", "delete_message_batch"),
    *("change_message_visibility", "change_message_visibility_batch"),
)


def one_request_at_a_time(backend: SQSBackend) -> None:
    """Let no two requests change its queues at once, and long polls sleep until there is something.

    In moto two threads could receive the same message, and a message that is sent while another
    is deleted could be lost; its long polls wake every second.
    """
    changed = threading.Condition()
    receive_now = backend.receive_message

    def alone(method: Callable[..., Any]) -> Callable[..., Any]:
        def locked(*arguments: Any, **named: Any) -> Any:
            with changed:
                try:
                    return method(*arguments, **named)
                finally:
                    changed.notify_all()

        return locked

    for name in _CHANGES_OF_MESSAGES:
        setattr(backend, name, alone(getattr(backend, name)))

    def receive(
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> list[Message]:
        queue = backend.get_queue(queue_name)
        end = time.monotonic() + wait_seconds_timeout
        with changed:
            while True:
                _forget_expired(queue)
                before = len(queue._messages)
                found = receive_now(
                    queue_name, count, 0, visibility_timeout, message_attribute_names
                )
                if len(queue._messages) < before:
                    changed.notify_all()  # who waits at the queue of dead letters
                left_s = end - time.monotonic()
                if found or left_s <= 0:
                    return found
                changed.wait(min(left_s, _next_visible_s(queue)))

    backend.receive_message = receive  # type: ignore[method-assign]


def _forget_expired(queue: MotoQueue) -> None:
    retention_s: int = queue.message_retention_period  # type: ignore[attr-defined]
    oldest_ms = (time.time() - retention_s) * 1000
    queue._messages = [
        message for message in queue._messages if (message.sent_timestamp or 0) >= oldest_ms
    ]


def _next_visible_s(queue: MotoQueue) -> float:
    """Seconds until a message that is hidden now shows; infinity if none is."""
    now_ms = time.time() * 1000
    moments = (max(message.visible_at, message.delayed_until) for message in queue._messages)
    waits_ms = (moment - now_ms for moment in moments if moment >= now_ms)
    return min(waits_ms, default=float("inf")) / 1000 + 0.001


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    timeout = 30  # seconds for the next byte of a request, and for the next request
    disable_nagle_algorithm = True  # else each answer waits for the acknowledgement of its header

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def serve(host: str, port: int, data_dir: Path, template: Path) -> None:
    """Serve until killed. Says so in one line when it listens."""
    description = load(template)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    items = Items(data_dir / "items.sqlite")
    create_tables(description.tables.values(), items)
    create_keys(description.keys.values(), data_dir / "keys.json")
    tell_incorrect_keys()
    create_queues(description.queues.values())
    one_request_at_a_time(sqs_backends[ACCOUNT_ID][REGION])
    application = DurableDynamoDB(DomainDispatcherApplication(create_backend_app), items)
    server = make_server(host, port, application, threaded=True, request_handler=_Handler)
    print(f"AWS listens on http://{host}:{server.server_port}", flush=True)
    server.serve_forever()


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser("python -m local.aws", description="AWS on a laptop")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--data-dir", type=Path, required=True, help="what must survive lies here")
    parser.add_argument("--template", type=Path, default=TEMPLATE)
    options = parser.parse_args(arguments)
    serve(options.host, options.port, options.data_dir, options.template)
    return 0


if __name__ == "__main__":
    sys.exit(main())
