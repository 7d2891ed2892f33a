"""Rules and queues that invoke real function processes; queues are the local AWS's."""

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import signal
import socket
import statistics
import textwrap
import time
import uuid

import aiohttp
import pytest

from local.child import Lifeline
from local.clock import LocalClock
from local.event_sources.service import EventSources
from local.functions.logs import Logs
from local.functions.service import LambdaService
from local.gateway.http import Gateway
from local.template.reader import load

# Records each event with its process and times; a message's body is a command.
HANDLER = """
    import json, os, time

    def handler(event, context):
        begun = time.time()
        bodies = [record["body"] for record in event.get("Records", [])]
        with open(os.environ["SEEN"], "a") as seen:
            seen.write(json.dumps({"event": event, "pid": os.getpid(), "at": begun,
                                   "id": context.aws_request_id}) + "\\n")
        for body in bodies or [event.get("do", "")]:
            match body.partition(" "):
                case "sleep", _, seconds: time.sleep(float(seconds))
                case "wait", _, _:
                    while not os.path.exists(os.environ["SEEN"] + ".released"): time.sleep(0.05)
                case "raise", _, _: raise ValueError(body)
                case "answer", _, text: return json.loads(text)
        failed = [record["messageId"] for record in event.get("Records", [])
                  if record["body"] == "fail"]
        with open(os.environ["SEEN"] + ".ended", "a") as ended:
            ended.write(json.dumps({"began": begun, "ended": time.time()}) + "\\n")
        if failed:
            return {"batchItemFailures": [{"itemIdentifier": id} for id in failed]}
"""

DEADLINE_S = 60  # for a busy machine; no successful test waits this long
HEAD = """
Resources:
  Work:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: work-{unique}
      VisibilityTimeout: {visibility}
      RedrivePolicy: {{deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: {receives}}}
  Dead:
    Type: AWS::SQS::Queue
    Properties: {{QueueName: dead-{unique}}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: app.handler
      CodeUri: code
      Timeout: {timeout}
      ReservedConcurrentExecutions: {concurrency}
      {more}
      Environment: {{Variables: {{WORK_URL: !Ref Work}}}}
      Events:
"""


def queue_event(**properties):
    return {"Type": "SQS", "Properties": {"Queue": {"Fn::GetAtt": ["Work", "Arn"]}, **properties}}


def rule_event(expression, **properties):
    return {"Type": "Schedule", "Properties": {"Schedule": expression, **properties}}


class Cloud:
    """Running event sources, and their invocations."""

    def __init__(self, template, service, sources, aws, folder):
        self.template, self.service, self.sources = template, service, sources
        self.sqs = aws.client("sqs")
        self.folder = folder
        self.clock = LocalClock(folder / "clock.json")

    def send(self, *bodies, **attributes):
        """Send messages and return their ids."""
        entries = [
            {"Id": str(number), "MessageBody": body, **attributes}
            for number, body in enumerate(bodies)
        ]
        answer = self.sqs.send_message_batch(
            QueueUrl=self.template.queues["Work"].url, Entries=entries
        )
        return [sent["MessageId"] for sent in answer["Successful"]]

    def _lines(self, path):
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def seen(self):
        """Return the invocations in the order of their start."""
        return self._lines(self.folder / "seen")

    @property
    def ended(self):
        return self._lines(self.folder / "seen.ended")

    @property
    def bodies(self):
        return [[r["body"] for r in call["event"]["Records"]] for call in self.seen]

    @property
    def log(self):
        path = self.folder / "logs" / "events.log"
        return path.read_text() if path.exists() else ""

    async def until(self, holds, limit_s=DEADLINE_S):
        deadline = time.monotonic() + limit_s
        while not holds():
            assert time.monotonic() < deadline, (self.seen, self.log)
            await asyncio.sleep(0.01)

    async def counts(self, logical_id="Work"):
        status = (await self.sources.status())["queues"]
        return status[self.template.queues[logical_id].name]

    async def until_empty(self, limit_s=DEADLINE_S):
        deadline = time.monotonic() + limit_s
        while True:
            counts = await self.counts()
            if not counts["visible"] and not counts["in_flight"]:
                return
            assert time.monotonic() < deadline, (counts, self.log)
            await asyncio.sleep(0.02)

    async def until_finished(self, rule, limit_s=DEADLINE_S):
        """Wait for the end of the rule's deliveries, which comes after their last log line."""
        deadline = time.monotonic() + limit_s
        while (await self.sources.status())["rules"][rule]["unfinished"]:
            assert time.monotonic() < deadline, self.log
            await asyncio.sleep(0.02)


@pytest.fixture
def start(tmp_path, local_aws):
    @contextlib.asynccontextmanager
    async def run(
        events,
        *,
        visibility=30,
        receives=3,
        timeout=20,
        concurrency=10,
        more="",
        queues=True,
        **options,
    ):
        folder = tmp_path / "code"
        folder.mkdir(exist_ok=True)
        (folder / "app.py").write_text(textwrap.dedent(HANDLER))
        path = tmp_path / "template.yaml"
        if not path.exists():
            text = HEAD.format(
                unique=uuid.uuid4().hex[:8], visibility=visibility, receives=receives,
                timeout=timeout, concurrency=concurrency, more=more,
            )  # fmt: skip
            path.write_text(text + f"        {json.dumps(events)}\n")
        template = load(path)
        if queues:
            make(template, local_aws.client("sqs"))
        logs, lifeline = Logs(tmp_path / "logs", echo="none"), Lifeline()
        environments = {"F": {"SEEN": str(tmp_path / "seen")}}
        service = LambdaService(
            template, environments, data_dir=tmp_path, logs=logs, lifeline=lifeline
        )
        sources = EventSources(
            template, service, endpoint=local_aws.url, clock=tmp_path / "clock.json",
            data_dir=tmp_path, logs=logs, **options,
        )  # fmt: skip
        sources.start()
        try:
            yield Cloud(template, service, sources, local_aws, tmp_path)
        finally:
            await sources.stop()
            await service.close()
            lifeline.close()

    return run


def make(template, sqs):
    """Create the queues in the local AWS, as it does for its own template."""
    for queue in sorted(template.queues.values(), key=lambda queue: queue.dead_letter_arn or ""):
        redrive = {
            "deadLetterTargetArn": queue.dead_letter_arn,
            "maxReceiveCount": queue.max_receive_count,
        }
        more = {"RedrivePolicy": json.dumps(redrive)} if queue.dead_letter_arn else {}
        sqs.create_queue(QueueName=queue.name, Attributes={**queue.attributes, **more})


# ── queues ───────────────────────────────────────────────────────────────────────────────────────


def test_message_becomes_an_event_and_is_deleted(start):
    async def scenario():
        async with start({"Q": queue_event()}) as cloud:
            attribute = {"kind": {"DataType": "String", "StringValue": "wake-up"}}
            (id,) = cloud.send("да", MessageAttributes=attribute)
            await cloud.until(lambda: cloud.seen)
            await cloud.until_empty()
            (record,) = cloud.seen[0]["event"]["Records"]
            handle, attributes = record.pop("receiptHandle"), record.pop("attributes")
            assert handle
            assert attributes.keys() == {
                "ApproximateReceiveCount", "SentTimestamp", "SenderId",
                "ApproximateFirstReceiveTimestamp",
            }  # fmt: skip
            assert attributes["ApproximateReceiveCount"] == "1"
            assert abs(int(attributes["SentTimestamp"]) / 1000 - time.time()) < 60
            md5 = record.pop("md5OfMessageAttributes")
            assert len(md5) == 32
            assert record == {
                "messageId": id,
                "body": "да",
                "messageAttributes": {
                    "kind": {
                        "stringValue": "wake-up",
                        "dataType": "String",
                        "stringListValues": [],
                        "binaryListValues": [],
                    }
                },
                "md5OfBody": hashlib.md5("да".encode()).hexdigest(),  # noqa: S324  SQS's choice
                "eventSource": "aws:sqs",
                "eventSourceARN": cloud.template.queues["Work"].arn,
                "awsRegion": "us-east-1",
            }
            await cloud.until(lambda: "1 of 1 messages done" in cloud.log)
            assert "да" not in cloud.log

    asyncio.run(scenario())


def test_message_is_delivered_without_a_poll_pause(start):
    async def scenario():
        async with start({"Q": queue_event()}) as cloud:
            cloud.send("warm")
            await cloud.until(lambda: cloud.ended)
            took_s = []
            for count in range(1, 10):
                await asyncio.sleep(0.1)
                await asyncio.to_thread(cloud.send, "wake-up")
                sent = time.time()
                await cloud.until(lambda count=count: len(cloud.seen) > count)
                took_s.append(cloud.seen[-1]["at"] - sent)
            assert statistics.median(took_s) < 1

    asyncio.run(scenario())


def test_batch_size_follows_the_template(start):
    async def scenario():
        async with start({"Q": queue_event(BatchSize=3)}) as cloud:
            await asyncio.to_thread(cloud.send, *"abcdefgh")
            await cloud.until(lambda: sum(map(len, cloud.bodies)) == 8)
            assert max(map(len, cloud.bodies)) == 3
            assert sorted(body for batch in cloud.bodies for body in batch) == list("abcdefgh")

    asyncio.run(scenario())


def test_batching_window_gathers_several_receives(start):
    async def scenario():
        event = queue_event(BatchSize=25, MaximumBatchingWindowInSeconds=2)
        async with start({"Q": event}) as cloud:
            for number in range(3):  # SQS takes ten at once
                await asyncio.to_thread(cloud.send, *f"{number}abcdefghi")
            await cloud.until(lambda: len(cloud.seen) == 2)
            assert [len(batch) for batch in cloud.bodies] == [25, 5]
            # The full batch is invoked at once, the other when its window has ended.
            assert cloud.seen[1]["at"] - cloud.seen[0]["at"] > 1.5

    asyncio.run(scenario())


def test_failed_batch_is_retried_then_dead_lettered(start):
    async def scenario():
        async with start({"Q": queue_event()}, visibility=1, timeout=1, receives=3) as cloud:
            cloud.send("raise")
            await cloud.until(lambda: len(cloud.seen) == 3)
            moments = [call["at"] for call in cloud.seen]
            assert all(later - earlier > 0.5 for earlier, later in itertools.pairwise(moments))
            records = [call["event"]["Records"][0] for call in cloud.seen]
            counts = [record["attributes"]["ApproximateReceiveCount"] for record in records]
            assert counts == ["1", "2", "3"]
            await asyncio.sleep(1.5)
            assert len(cloud.seen) == 3
            assert (await cloud.counts("Dead"))["visible"] == 1
            work = await cloud.counts()
            assert (work["visible"], work["in_flight"], work["failed"]) == (0, 0, 3)
            assert work["dead_letters"] == cloud.template.queues["Dead"].name

    asyncio.run(scenario())


def test_only_failed_messages_of_a_batch_are_retried(start):
    async def scenario():
        event = queue_event(
            FunctionResponseTypes=["ReportBatchItemFailures"], MaximumBatchingWindowInSeconds=1
        )
        async with start({"Q": event}, visibility=2, timeout=1) as cloud:
            cloud.send("a", "fail", "b")
            await cloud.until(lambda: len(cloud.seen) == 2)
            assert sorted(cloud.bodies[0]) == ["a", "b", "fail"]
            assert cloud.bodies[1] == ["fail"]
            assert "2 of 3 messages done" in cloud.log

    asyncio.run(scenario())


def test_result_is_ignored_unless_item_failures_are_reported(start, tmp_path):
    async def scenario():
        nonsense = "answer " + json.dumps({"batchItemFailures": [{"itemIdentifier": "other"}]})
        async with start({"Q": queue_event()}) as cloud:
            cloud.send(nonsense)
            await cloud.until(lambda: "1 of 1 messages done" in cloud.log)
        (tmp_path / "template.yaml").unlink()
        event = queue_event(FunctionResponseTypes=["ReportBatchItemFailures"])
        async with start({"Q": event}) as cloud:
            cloud.send(nonsense)
            await cloud.until(lambda: "0 of 1 messages done" in cloud.log)
            assert (await cloud.counts())["in_flight"] == 1

    asyncio.run(scenario())


def overlapping(ended):
    """Return the maximum number of concurrent invocations."""
    moments = [(call["began"], 1) for call in ended] + [(call["ended"], -1) for call in ended]
    running = most = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most


def test_maximum_concurrency_limits_batches_and_receives(start):
    async def scenario():
        event = queue_event(BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
        async with start({"Q": event}) as cloud:
            cloud.send(*["sleep 0.3"] * 6)
            await cloud.until(lambda: len(cloud.seen) == 2)
            counts = await cloud.counts()
            assert (counts["visible"], counts["in_flight"]) == (4, 2)
            await cloud.until(lambda: len(cloud.ended) == 6)
            assert overlapping(cloud.ended) == 2
            assert cloud.service.status()["code"]["throttles"] == 0

    asyncio.run(scenario())


def test_throttled_batch_waits_for_the_function(start):
    async def scenario():
        async with start({"Q": queue_event(BatchSize=1)}, concurrency=1) as cloud:
            cloud.send(*["sleep 0.2"] * 4)
            await cloud.until(lambda: len(cloud.ended) == 4)
            await cloud.until_empty()
            assert overlapping(cloud.ended) == 1
            assert len(cloud.seen) == 4
            assert cloud.service.status()["code"]["throttles"] > 0

    asyncio.run(scenario())


def test_batch_of_a_killed_process_is_retried(start):
    async def scenario():
        async with start({"Q": queue_event()}, visibility=2, timeout=2) as cloud:
            cloud.send("sleep 1")
            await cloud.until(lambda: cloud.seen)
            os.kill(cloud.seen[0]["pid"], signal.SIGKILL)
            await cloud.until(lambda: len(cloud.ended) == 1)
            assert cloud.bodies == [["sleep 1"], ["sleep 1"]]
            assert cloud.seen[0]["pid"] != cloud.seen[1]["pid"]
            assert "0 of 1 messages done" in cloud.log
            await cloud.until_empty()

    asyncio.run(scenario())


def test_stop_during_a_batch_leaves_the_messages(start):
    async def scenario():
        async with start({"Q": queue_event(BatchSize=1)}) as cloud:
            cloud.send("sleep 15", "sleep 15")
            await cloud.until(lambda: len(cloud.seen) == 2)
            begun = time.monotonic()
        assert time.monotonic() - begun < 12  # the batch takes 15 s
        attributes = cloud.sqs.get_queue_attributes(
            QueueUrl=cloud.template.queues["Work"].url, AttributeNames=["All"]
        )["Attributes"]
        assert attributes["ApproximateNumberOfMessagesNotVisible"] == "2"

    asyncio.run(scenario())


def test_disabled_source_receives_nothing(start):
    async def scenario():
        async with start({"Q": queue_event(Enabled=False)}) as cloud:
            cloud.send("wake-up")
            await asyncio.sleep(0.5)
            assert not cloud.seen
            assert (await cloud.counts())["visible"] == 1

    asyncio.run(scenario())


def test_unreadable_queue_is_read_once_it_is_available(start):
    async def scenario():
        async with start({"Q": queue_event()}, queues=False) as cloud:
            await cloud.until(lambda: "cannot be read" in cloud.log)
            assert (await cloud.counts())["visible"] is None
            make(cloud.template, cloud.sqs)
            cloud.send("wake-up")
            await cloud.until(lambda: cloud.seen)

    asyncio.run(scenario())


# ── rules ────────────────────────────────────────────────────────────────────────────────────────


def test_rule_follows_the_local_clock_and_fires_once_per_jump(start):
    async def scenario():
        async with start({"Tick": rule_event("rate(1 minute)")}) as cloud:
            await asyncio.sleep(0.5)
            assert not cloud.seen
            cloud.clock.advance(60)
            await cloud.until(lambda: len(cloud.seen) == 1)
            event = cloud.seen[0]["event"]
            assert event.pop("id")
            assert abs(parsed(event.pop("time")) - cloud.clock.now().timestamp()) < 60
            assert event == {
                "version": "0",
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "account": "123456789012",
                "region": "us-east-1",
                "resources": ["arn:aws:events:us-east-1:123456789012:rule/FTick"],
                "detail": {},
            }
            cloud.clock.advance(3 * 86_400)
            await cloud.until(lambda: len(cloud.seen) == 2)
            assert cloud.clock.now().timestamp() - parsed(cloud.seen[1]["event"]["time"]) < 60
            await asyncio.sleep(1)
            assert len(cloud.seen) == 2
            assert "rule FTick -> code: done in" in cloud.log

    asyncio.run(scenario())


def parsed(text):
    import datetime

    return datetime.datetime.fromisoformat(text).timestamp()


def test_fast_clock_does_not_make_a_rule_spin(start):
    async def scenario():
        async with start({"Tick": rule_event("rate(1 minute)")}) as cloud:
            cloud.clock.run_at(1000)
            await cloud.until(lambda: cloud.seen)
            begun, before = time.monotonic(), len(cloud.seen)
            await cloud.until(lambda: len(cloud.seen) >= before + 3)
            fired, took_s = len(cloud.seen) - before, time.monotonic() - begun
            assert fired <= took_s / 0.5 + 1

    asyncio.run(scenario())


def test_slow_events_of_a_rule_do_not_accumulate(start):
    async def scenario():
        event = rule_event("rate(1 minute)", Input='{"do": "wait"}')
        async with start({"Tick": event}) as cloud:
            cloud.clock.run_at(1000)
            await cloud.until(lambda: len(cloud.seen) == 3)
            await asyncio.sleep(1)
            assert len(cloud.seen) == 3
            assert (await cloud.sources.status())["rules"]["FTick"]["unfinished"] == 3
            (cloud.folder / "seen.released").touch()
            await cloud.until(lambda: len(cloud.seen) == 4)

    asyncio.run(scenario())


def test_input_replaces_the_event_and_disabled_rule_is_idle(start):
    async def scenario():
        events = {
            "Own": rule_event("rate(1 minute)", Input='{"mine": 1}'),
            "Off": rule_event("rate(1 minute)", State="DISABLED"),
        }
        async with start(events) as cloud:
            cloud.clock.advance(60)
            await cloud.until(lambda: cloud.seen)
            await asyncio.sleep(0.5)
            assert [call["event"] for call in cloud.seen] == [{"mine": 1}]

    asyncio.run(scenario())


def test_restart_fires_rules_that_fell_due_while_stopped(start):
    async def scenario():
        events = {"Daily": rule_event("rate(1 day)")}
        async with start(events) as cloud:
            cloud.clock.advance(80_000)
            await asyncio.sleep(0.5)
            assert not cloud.seen
        cloud.clock.advance(80_000)
        async with start(events) as cloud:
            await cloud.until(lambda: len(cloud.seen) == 1)
        async with start(events) as cloud:
            await asyncio.sleep(0.5)
            assert len(cloud.seen) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("more", "attempts"), [("", 3), ("EventInvokeConfig: {MaximumRetryAttempts: 1}", 2)]
)
def test_failed_event_is_retried_under_the_same_request_id(start, more, attempts):
    async def scenario():
        event = rule_event("rate(1 day)", Input='{"do": "raise"}')
        async with start({"R": event}, more=more, retry_pauses_s=(0.2, 0.4)) as cloud:
            cloud.clock.advance(86_400)
            await cloud.until(lambda: f"given up after {attempts} attempts" in cloud.log)
            assert len(cloud.seen) == attempts
            assert len({call["id"] for call in cloud.seen}) == 1
            moments = [call["at"] for call in cloud.seen]
            pauses = [b - a for a, b in itertools.pairwise(moments)]
            assert all(pause > least for pause, least in zip(pauses, (0.2, 0.4), strict=False))
            await cloud.until_finished("FR")

    asyncio.run(scenario())


def test_throttled_event_is_delivered_when_function_is_free(start):
    async def scenario():
        events = {"R": rule_event("rate(1 day)"), "Q": queue_event()}
        async with start(events, concurrency=1) as cloud:
            cloud.send("sleep 0.7")
            await cloud.until(lambda: len(cloud.seen) == 1)
            cloud.clock.advance(86_400)
            await cloud.until(lambda: "throttled; again in 1 s" in cloud.log)
            await cloud.until(lambda: len(cloud.seen) == 2)

    asyncio.run(scenario())


# ── for people ───────────────────────────────────────────────────────────────────────────────────


def test_status_page_shows_sources_and_fires_rules(start):
    async def scenario():
        events = {"Q": queue_event(), "Off": rule_event("rate(1 day)", Enabled=False)}
        async with start(events) as cloud, contextlib.AsyncExitStack() as stack:
            gateway = Gateway(
                cloud.template, cloud.service, Logs(cloud.folder / "logs", echo="none"),
                event_sources=cloud.sources,
            )  # fmt: skip
            listener = socket.create_server(("127.0.0.1", 0))
            await gateway.start([listener])
            stack.push_async_callback(gateway.stop)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            origin = f"http://127.0.0.1:{listener.getsockname()[1]}/_local/"

            async def ask(method, path, **headers):
                async with session.request(method, origin + path, headers=headers) as answer:
                    return answer.status, await answer.json()

            _, status = await ask("GET", "")
            assert status["rules"]["FOff"] == {
                "expression": "rate(1 day)",
                "function": "code",
                "enabled": False,
                "next": None,
                "fired": 0,
                "unfinished": 0,
            }
            names = {logical_id: queue.name for logical_id, queue in cloud.template.queues.items()}
            assert status["queues"] == {
                names["Work"]: {
                    **dict.fromkeys(("visible", "in_flight", "delayed", "done", "failed"), 0),
                    "dead_letters": names["Dead"],
                    "functions": ["code"],
                },
                names["Dead"]: {
                    **dict.fromkeys(("visible", "in_flight", "delayed", "done", "failed"), 0),
                    "dead_letters": None,
                    "functions": [],
                },
            }

            other_site = {"Sec-Fetch-Site": "cross-site"}
            assert (await ask("POST", "rules/FOff/fire", **other_site))[0] == 403
            assert (await ask("GET", "rules/FOff/fire"))[0] == 405
            assert (await ask("POST", "rules/Other/fire"))[0] == 404
            assert not cloud.seen
            assert await ask("POST", "rules/FOff/fire") == (202, {"fired": "FOff"})
            await cloud.until(lambda: cloud.seen)
            assert cloud.seen[0]["event"]["source"] == "aws.events"

    asyncio.run(scenario())
