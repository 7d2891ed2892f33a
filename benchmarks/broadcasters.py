"""The senders of the benchmark of the broadcast, each in a process: ``broadcasters.py NAME``.

A command on the standard input is a line of JSON, and so is its result, the seconds of time and of
CPU: ``{"accounts": […]}`` serves accounts as a wake-up does; ``{"posts": […]}`` posts a message of
4 KB to each of these connections, and does nothing else.

The baseline is what one writes with boto3: a pool of 32 threads, in which an account is read, and
then each of its connections leased, served and released. It makes the same calls to Postgres, the
connection table and ``@connections`` as Core does, and shares its reads of the log's end.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ullgetthejob.realtime import broadcaster, log_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[list[str]], None]

THREADS = 32
MESSAGE = b"x" * 4096
LEASE_MS = 20_000


def main() -> None:
    """Execute the commands until the end of the input."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the log of the function
    serve, post = {"core": core, "boto3": boto3_threads}[sys.argv[1]]()
    for line in sys.stdin:
        command = json.loads(line)
        spent, began = _cpu_s(), time.perf_counter()
        if "accounts" in command:
            serve(command["accounts"])
        else:
            post(command["posts"])
        result = {"time": time.perf_counter() - began, "cpu": _cpu_s() - spent}
        print(json.dumps(result), file=output, flush=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def core() -> tuple[Work, Work]:
    """Return the function ``broadcaster``, and its client of ``@connections`` alone."""
    from functools import partial
    from types import SimpleNamespace

    from functions.broadcaster.app import handler
    from ullgetthejob.platform import settings
    from ullgetthejob.realtime import sockets

    def serve(account_ids: list[str]) -> None:
        records = [
            {"messageId": account_id, "body": json.dumps({"account_id": account_id})}
            for account_id in account_ids
        ]
        answer = handler({"Records": records}, SimpleNamespace(aws_request_id="benchmark"))
        assert not answer["batchItemFailures"], answer

    def post(ids: list[str]) -> None:
        client = sockets.client_for(settings.WEBSOCKET_API_ENDPOINT())
        posts = [sockets.submit(partial(client.post, name, MESSAGE)) for name in ids]
        for post in posts:
            post.result()

    return serve, post


class Boto3Broadcaster:
    """The baseline."""

    def __init__(self) -> None:
        import boto3
        import psycopg
        from botocore.config import Config
        from psycopg.rows import dict_row

        config = Config(max_pool_connections=THREADS)
        self._management = boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=os.environ["WEBSOCKET_API_ENDPOINT"],
            config=config,
        )
        self._table = boto3.client(
            "dynamodb", endpoint_url=os.environ["AWS_ENDPOINT_URL_DYNAMODB"], config=config
        )
        self._database = psycopg.connect(
            os.environ["DATABASE_URL"],
            autocommit=True,
            prepare_threshold=None,
            row_factory=dict_row,
        )
        self._ends = log_reader.LogEnds(self._database)
        self._pool = ThreadPoolExecutor(THREADS)

    def post_all(self, ids: list[str]) -> None:
        """Post the message to each connection."""
        list(self._pool.map(self._post, ids))

    def serve(self, account_ids: list[str]) -> None:
        """Serve the connections of the accounts, and store how far each account is."""
        accounts = list(self._pool.map(self._read_account, account_ids))
        works = [
            self._pool.submit(self._serve_connection, item, account)
            for account in accounts
            for item in account["items"]
        ]
        for work in works:
            work.result()
        for account in accounts:
            values = {"account_id": account["id"], "seen": account["broadcast_seq"]}
            values["seq"] = account["last_event_seq"]
            self._database.execute(broadcaster.UPDATE_ACCOUNT_BROADCAST_SEQ, values)

    def _rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        return self._database.execute(sql, values).fetchall()

    def _read_account(self, account_id: str) -> dict[str, Any]:
        (row,) = self._rows(broadcaster.SELECT_ACCOUNT, account_id=account_id)
        items = self._table.query(
            TableName=os.environ["CONNECTION_TABLE"],
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": f"account#{account_id}"}},
        )["Items"]
        return {**row, "id": account_id, "items": items, "lock": threading.Lock(), "events": None}

    def _read_events(self, account: dict[str, Any], above: int) -> list[dict[str, Any]]:
        """Return the events, which the account's connections share."""
        with account["lock"]:
            if account["events"] is None:
                account["events"] = self._rows(
                    log_reader.SELECT_EVENTS, account_id=account["id"], above=above, most=50
                )
            events: list[dict[str, Any]] = account["events"]
            return events

    def _serve_connection(self, item: dict[str, Any], account: dict[str, Any]) -> None:
        now_ms = int(time.time() * 1000)
        leased = self._update(
            item,
            "SET sender = :sender, sending_until = :until",
            "attribute_not_exists(sending_until) OR sending_until <= :now",
            sender={"S": "benchmark"},
            until={"N": str(now_ms + LEASE_MS)},
            now={"N": str(now_ms)},
        )["Attributes"]
        sent = int(leased["sent_seq"]["N"])
        for event in self._read_events(account, sent):
            frame = {"v": 1, "seq": event["seq"], "type": event["type"]}
            frame |= {"at": event["at"].isoformat(), "data": json.loads(event["data"])}
            self._post(leased["sk"]["S"], json.dumps(frame).encode())
            sent = event["seq"]
        self._update(
            item,
            "SET sent_seq = :sent, told_seq = :sent REMOVE sender, sending_until",
            "sender = :sender",
            sent={"N": str(sent)},
            sender={"S": "benchmark"},
        )
        assert self._ends.read(UUID(account["id"])) == sent

    def _post(self, connection_id: str, message: bytes = MESSAGE) -> None:
        self._management.post_to_connection(ConnectionId=connection_id, Data=message)

    def _update(self, item: dict[str, Any], expression: str, condition: str, **values: Any) -> Any:
        return self._table.update_item(
            TableName=os.environ["CONNECTION_TABLE"],
            Key={"pk": item["pk"], "sk": item["sk"]},
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
            ReturnValues="ALL_NEW",
        )


def boto3_threads() -> tuple[Work, Work]:
    """Return the baseline, and its client of ``@connections`` alone."""
    baseline = Boto3Broadcaster()
    return baseline.serve, baseline.post_all


if __name__ == "__main__":
    main()
