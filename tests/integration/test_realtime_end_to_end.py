"""WebSockets through the local gateway: real clients, real functions in processes, SQS."""

import asyncio
import contextlib
import json
import socket
from dataclasses import replace

import aiohttp
import boto3
import psycopg
import pytest
from aiohttp import WSMsgType
from psycopg.rows import dict_row

from local.child import Lifeline
from local.event_sources.service import EventSources
from local.functions.logs import Logs
from local.functions.service import LambdaService
from local.gateway.http import Gateway
from local.template.cloudformation import REGION
from local.template.reader import load
from local.template.resources import Function
from tests.fixtures.aws import CREDENTIALS
from tests.fixtures.waiting import until_holds
from ullgetthejob.platform import clock
from ullgetthejob.realtime import connections, event_log

FUNCTIONS = ("WebsocketFunction", "FramesFunction", "BroadcasterFunction")
DEADLINE_S = 600  # for a busy machine; no successful test waits this long


class Client:
    """A plain client that records its messages. It drops events that it has seen, as the contract
    requires: an event whose post timed out is posted again."""

    def __init__(self, socket):
        self._socket = socket
        self.messages = []
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self):
        async for message in self._socket:
            assert message.type is WSMsgType.TEXT
            content = json.loads(message.data)
            if "at" not in content or content["seq"] > self.cursor:
                self.messages.append(content)

    async def send(self, frame):
        await self._socket.send_json(frame)

    async def has(self, message_type, number=1):
        """Wait for the message of that type and number, and return it."""
        await until_holds(lambda: len(self.of(message_type)) >= number, limit_s=DEADLINE_S)
        return self.of(message_type)[number - 1]

    def of(self, message_type):
        return [message for message in self.messages if message["type"] == message_type]

    @property
    def seqs(self):
        return [message["seq"] for message in self.messages if "at" in message]

    @property
    def cursor(self):
        return max(self.seqs, default=0)

    async def close(self):
        await self._socket.close()
        await self.reading


class Live:
    """A running gateway with the functions behind it, and clients of it."""

    def __init__(self, room, port, http, service):
        self.room, self.port, self._http, self.service = room, port, http, service
        self.origin = f"http://127.0.0.1:{port}"
        self._lock = asyncio.Lock()  # a function's environment has one connection

    async def ticket(self, user_id):
        async with self._lock:
            return await asyncio.to_thread(self.room.ticket, user_id)

    async def client(self, user_id):
        """Connect a client that sends no frame."""
        return await self.connect(await self.ticket(user_id))

    async def connect(self, ticket):
        """Connect a client with a ticket."""
        return Client(await self._http.ws_connect(f"{self.origin}/ws?ticket={ticket}"))

    async def deaf(self, user_id):
        """Connect a client that reads nothing after the handshake, with a small receive buffer."""
        ticket = await self.ticket(user_id)
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(plain, ("127.0.0.1", self.port))
        handshake = (
            f"GET /ws?ticket={ticket} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await loop.sock_sendall(plain, handshake.encode())
        assert (await loop.sock_recv(plain, 4096)).startswith(b"HTTP/1.1 101")
        frame = b'{"type":"replay","cursor":0}'
        mask = bytes(4)  # zeros leave the payload unchanged
        await loop.sock_sendall(plain, bytes([0x81, 0x80 | len(frame)]) + mask + frame)
        return plain

    async def sweep(self):
        """Notify again, as the sweeper does: a stopped poller may hold a wake-up."""
        while True:
            await asyncio.sleep(20)
            with psycopg.connect(
                self.room.database_url, autocommit=True, row_factory=dict_row
            ) as own:
                event_log.notify_unserved(connection=own, most=100)

    async def refused(self, ticket):
        """Return the status of a refused handshake."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await self._http.ws_connect(f"{self.origin}/ws?ticket={ticket}")
        return refusal.value.status

    async def append_events(self, account_id, *event_types):
        """Append events, each in a transaction of its own, as functions do."""
        for event_type in event_types or ("jobs.new",):
            await asyncio.to_thread(self.room.append_event, account_id, event_type)


# Accepts every connection and records it: 200 handshakes through the real function take minutes.
DOORMAN = """
import json, os

def handler(event, context):
    if event["requestContext"]["eventType"] == "CONNECT":
        with open(os.environ["CAME"], "a") as came:
            ticket = event["queryStringParameters"]["ticket"]
            came.write(json.dumps([ticket, event["requestContext"]["connectionId"]]) + "\\n")
    return {"statusCode": 200}
"""


@pytest.fixture
def live(room, dynamodb_tables, database_url, tmp_path):
    @contextlib.asynccontextmanager
    async def start(*, doorman=False):
        whole = load()
        # A slow machine is no finding: what takes longer there is not cut off.
        functions = {name: replace(whole.functions[name], timeout_s=300) for name in FUNCTIONS}
        template = replace(whole, functions=functions)
        if doorman:
            folder = tmp_path / "doorman"
            folder.mkdir()
            (folder / "app.py").write_text(DOORMAN)
            function = Function(
                "Doorman", "python3.13", "app.handler", folder, {}, 256, 20, 10, (), ()
            )
            template = replace(
                template,
                functions={**template.functions, "Doorman": function},
                websocket=replace(
                    template.websocket, routes={"$connect": "Doorman"}, throttle_rate=None
                ),
            )
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        given = {
            **dynamodb_tables,
            **template.websocket.addresses(port),
            "AWS_ENDPOINT_URL": room.aws.url,
            "DATABASE_URL": database_url,
        }
        environments = {
            name: {key: given.get(key, value) for key, value in function.environment.items()}
            for name, function in template.functions.items()
        }
        environments["Doorman"] = {"CAME": str(tmp_path / "came")}
        logs, lifeline = Logs(tmp_path / "logs", echo="none"), Lifeline()
        service = LambdaService(
            template, environments, data_dir=tmp_path, logs=logs, lifeline=lifeline
        )
        gateway = Gateway(template, service, logs)
        sources = EventSources(
            template, service, endpoint=room.aws.url, clock=None, data_dir=tmp_path, logs=logs
        )
        await gateway.start([listener])
        sources.start()
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                running = Live(room, port, http, service)
                sweeping = asyncio.ensure_future(running.sweep())
                yield running
                sweeping.cancel()
        finally:
            await gateway.stop()
            await sources.stop()
            await service.close()
            lifeline.close()

    return start


@pytest.fixture
def anna(room):
    """Anna's account and a session of it."""
    account_id = room.account()
    return account_id, room.user(account_id)


def test_returning_client_gets_every_event_once_in_order(live, room, anna):
    account_id, user_id = anna

    async def scenario():
        async with live() as running:
            await running.append_events(account_id)
            first = await running.client(user_id)
            await first.send({"type": "ping"})
            await first.has("pong")
            await first.send({"type": "replay", "cursor": 0})
            ready = await first.has("ready")
            assert (ready["seq"], ready["cursor"]) == (1, 0)
            await running.append_events(account_id, "jobs.new", "fetch.completed")
            await until_holds(lambda: first.cursor == 3, limit_s=DEADLINE_S)
            await first.close()
            await until_holds(
                lambda: room.items() == [], limit_s=DEADLINE_S
            )  # $disconnect is invoked, too
            await running.append_events(account_id, *["jobs.new"] * 5)
            second = await running.client(user_id)
            await second.send({"type": "replay", "cursor": first.cursor})
            await running.append_events(account_id, "account.updated")
            await until_holds(lambda: second.cursor == 9, limit_s=DEADLINE_S)
            assert first.seqs == [1, 2, 3]
            assert second.seqs == [4, 5, 6, 7, 8, 9]
            assert await running.refused("A" * 43) == 401
            await second.close()

    asyncio.run(scenario())


ACCOUNTS, PER_ACCOUNT = 10, connections.MAX_PER_ACCOUNT


def test_every_live_connection_of_200_gets_its_event(live, room, tmp_path, monkeypatch):
    """Of each account's twenty connections, one is gone and one has sent no frame."""
    # A busy machine takes longer than a minute for them all.
    monkeypatch.setattr(connections, "FIRST_FRAME_TIMEOUT_MS", 3_600_000)
    accounts = {account_id: room.user(account_id) for account_id in _accounts(room, ACCOUNTS)}
    live_owners = [account_id for account_id in accounts for _ in range(PER_ACCOUNT - 2)]

    async def scenario():
        async with live(doorman=True) as running:
            slots = asyncio.Semaphore(8)

            async def connect(ticket):
                async with slots:
                    return await running.connect(ticket)

            owners = [*live_owners, *accounts]
            clients = await asyncio.gather(*(connect(f"{n}") for n in range(len(owners))))
            connects = map(json.loads, (tmp_path / "came").read_text().splitlines())
            ids = {int(number): id for number, id in connects}
            talking = [_item(ids[n], accounts, owners[n], "open") for n in range(len(live_owners))]
            silent = [
                _item(ids[n], accounts, owners[n], "connecting")
                for n in range(len(live_owners), len(owners))
            ]
            gone = [
                _item(f"dead-{n}=", accounts, owner, "open") for n, owner in enumerate(accounts)
            ]
            _write(room, [*talking, *silent, *gone])
            for account_id in accounts:
                room.append_event(account_id)
            talking_clients = clients[: len(talking)]
            await until_holds(
                lambda: all(client.seqs for client in talking_clients), limit_s=DEADLINE_S
            )
            await until_holds(lambda: room.unserved() == 0, limit_s=DEADLINE_S)
            assert all(client.seqs == [1] for client in talking_clients)
            assert all(client.messages == [] for client in clients[len(talking) :])
            left = {item["sk"]["S"]: item["state"]["S"] for item in room.items()}
            assert left == {item["sk"]: item["state"] for item in [*talking, *silent]}

    asyncio.run(scenario())


def test_client_that_does_not_read_delays_no_other(live, room, anna):
    account_id, user_id = anna
    count, text = 400, "x" * 31_000

    async def scenario():
        async with live() as running:
            reader, other = await running.client(user_id), await running.client(user_id)
            deaf = await running.deaf(user_id)
            for client in (reader, other):
                await client.send({"type": "replay", "cursor": 0})
                await client.has("ready")
            await asyncio.to_thread(_flood, room, account_id, count, text)
            await asyncio.to_thread(event_log.notify, account_id)
            await until_holds(lambda: reader.cursor == other.cursor == count, limit_s=DEADLINE_S)
            assert reader.seqs == other.seqs == list(range(1, count + 1))

            def sent_seqs():
                of_account = connections.list_of_account(account_id)
                return sorted(connection.sent_seq for connection in of_account)

            await until_holds(lambda: sent_seqs()[1:] == [count, count], limit_s=DEADLINE_S)
            assert sent_seqs()[0] < count
            deaf.close()

    asyncio.run(scenario())


def _accounts(room, number):
    return [room.account() for _ in range(number)]


def _item(id, users, account_id, state):
    """Return the item of a connection after ``$connect`` and its first frame."""
    return {
        "pk": f"account#{account_id}",
        "sk": id,
        "account_id": str(account_id),
        "user_id": str(users[account_id]),
        "state": state,
        "proven_at": clock.now().isoformat(),
        "connected_at": clock.real_ms(),
        "sent_seq": 0,
        "told_seq": 0,
    }


def _write(room, items):
    table = boto3.resource(
        "dynamodb", endpoint_url=room.aws.url, region_name=REGION, **CREDENTIALS
    ).Table(room.table)
    with table.batch_writer() as batch:
        for item in items:
            batch.put_item(item)


def _flood(room, account_id, count, text):
    """Insert many long events at once."""
    room.rows(
        "INSERT INTO events (account_id, seq, at, type, data)"
        " SELECT %s, seq, %s, 'jobs.new', jsonb_build_object('text', %s::text)"
        " FROM generate_series(1, %s) AS seq",
        *(account_id, clock.now(), text, count),
    )
    room.rows("UPDATE accounts SET last_event_seq = %s WHERE id = %s", count, account_id)
