"""*Queues & schedules*: depth, age, dead letters and "Send again"; rules and their next tick."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.dashboard.page import PATH, Page
from local.dashboard.system import Refused, moment
from local.dashboard.tables import Button, Column, table
from local.event_sources.rules import NoSuchRule, RuleBusy
from local.event_sources.sqs import SqsUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.dashboard.system import System
    from local.event_sources.sqs import Sqs
    from local.template.resources import Queue

MOST_RECEIVED = 1_000  # messages that one button looks through
QUEUES = (
    Column("name", "Queue"),
    Column("depth", "Messages", "int"),
    Column("visible", "Visible", "int"),
    Column("in_flight", "In flight", "int"),
    Column("delayed", "Delayed", "int"),
    Column("age", "Oldest", "age"),
    Column("done", "Done", "int"),
    Column("failed", "Failed", "int"),
    Column("functions", "Function"),
    Column("dead_letters", "Dead letters to"),
)
DEAD_LETTERS = (
    Column("sent", "Sent", "time"),
    Column("queue", "Queue"),
    Column("received", "Received", "int"),
    Column("body", "Content", "code"),
    Column("again", "", "buttons"),
)
RULES = (
    Column("name", "Rule"),
    Column("function", "Function"),
    Column("expression", "Schedule", "code"),
    Column("next", "Next tick", "time"),
    Column("in", "In", "age"),
    Column("fired", "Fired", "int"),
    Column("unfinished", "Running", "int"),
    Column("now", "", "buttons"),
)


async def read(system: System, query: Mapping[str, str], _argument: str) -> dict[str, Any]:
    """Return the values of the template. Raises :class:`Refused`."""
    messages = await system.messages()
    queues = [
        _queue_row(queue.name, system.sources.queue_facts(name), messages.get(queue.name, []))
        for name, queue in system.template.queues.items()
    ]
    dead_queues = _dead_letter_queues(system)
    dead = [
        _dead_letter_row(name, message)
        for name in dead_queues
        for message in messages.get(name, ())
    ]
    now = system.now()
    rules = [_rule_row(name, rule, now) for name, rule in system.sources.rules_status().items()]
    return {
        "dead_count": len(dead),
        "dead_by_queue": {name: len(messages.get(name, ())) for name in dead_queues},
        "tables": [
            table(
                *("dead", "Dead letters", DEAD_LETTERS, dead, query),
                sort="-sent",
                empty="None: every message was handled.",
            ),
            table("queues", "Queues", QUEUES, queues, query, sort="-depth"),
            table("rules", "Schedules", RULES, rules, query, sort="next"),
        ],
    }


def _queue_row(
    name: str, status: Mapping[str, Any], messages: list[dict[str, Any]]
) -> dict[str, Any]:
    now = datetime.now(UTC).timestamp()
    states = [message["state"] for message in messages]
    return {
        "name": name,
        "depth": len(messages),
        **{state: states.count(state) for state in ("visible", "in_flight", "delayed")},
        "age": max((now - message["sent_at"] / 1000 for message in messages), default=None),
        "done": status["done"],
        "failed": status["failed"],
        "functions": ", ".join(status["functions"]),
        "functions_href": _function_href(status["functions"]),
        "dead_letters": status["dead_letters"] or "",
    }


def _function_href(functions: list[str]) -> str:
    return f"{PATH}/functions/{functions[0]}" if functions else ""


def _dead_letter_row(queue: str, message: Mapping[str, Any]) -> dict[str, Any]:
    fields = {"queue": queue, "message": message["id"]}
    return {
        "sent": moment(message["sent_at"]),
        "queue": queue,
        "received": message["received"],
        "body": message["body"],
        "again": [Button("Send again", f"{PATH}/queues/send_again", fields)],
    }


def _rule_row(name: str, rule: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    next_at = datetime.fromisoformat(str(rule["next"])) if rule["next"] else None
    return {
        "name": name,
        "function": rule["function"],
        "function_href": f"{PATH}/functions/{rule['function']}",
        "expression": rule["expression"],
        "next": next_at,
        "in": None if next_at is None else max(0.0, (next_at - now).total_seconds()),
        "fired": rule["fired"],
        "unfinished": rule["unfinished"],
        "now": [Button("Run now", f"{PATH}/queues/run_rule", {"rule": name})],
    }


def _dead_letter_queues(system: System) -> dict[str, Queue]:
    """Return the queue that each dead-letter queue, by its name, receives from."""
    queues = system.template.queues.values()
    by_arn = {queue.arn: queue.name for queue in queues}
    return {by_arn[queue.dead_letter_arn]: queue for queue in queues if queue.dead_letter_arn}


# ── buttons ──────────────────────────────────────────────────────────────────────────────────────


async def run_rule(system: System, form: Mapping[str, str]) -> str:
    """Fire a rule now. Raises :class:`Refused`."""
    name = form.get("rule", "")
    try:
        system.sources.fire_rule(name)
    except NoSuchRule:
        raise Refused(f"there is no rule {name}") from None
    except RuleBusy:
        raise Refused(f"{name} is still running") from None
    return f"{name} was started; its schedule stays as it was."


async def send_again(system: System, form: Mapping[str, str]) -> str:
    """Send a dead letter, or all of a queue (without ``message``), to the queue that it came from.
    It is sent before it is deleted, so none is lost. Raises :class:`Refused`."""
    name, message_id = form.get("queue", ""), form.get("message", "")
    target, sqs = _dead_letter_queues(system).get(name), system.sources.sqs
    if target is None or sqs is None:
        raise Refused(f"there is no dead-letter queue {name}")
    dead = next(queue for queue in system.template.queues.values() if queue.name == name)
    try:
        sent = await _move(sqs, dead.url, target.url, message_id)
    except SqsUnavailable as error:
        raise Refused(f"SQS: {error}") from None
    if not sent:
        raise Refused("the message is not in the queue any more, or is being handled")
    return f"{sent} of {name} sent again to {target.name}."


async def _move(sqs: Sqs, source: str, target: str, message_id: str) -> int:
    """Move the message *message_id*, or all messages if it is empty; return how many."""
    sent = 0
    others: list[str] = []
    while len(others) + sent < MOST_RECEIVED:
        received = await sqs.receive(source, 10, 0)
        if not received:
            break
        for message in received:
            if message_id and message["MessageId"] != message_id:
                others.append(message["ReceiptHandle"])
                continue
            await sqs.send(target, message["Body"], message.get("MessageAttributes", {}))
            await sqs.delete(source, [message["ReceiptHandle"]])
            sent += 1
        if message_id and sent:
            break
    await sqs.release(source, others)
    return sent


PAGE = Page(
    "queues",
    "Queues & schedules",
    "queues.html",
    read,
    actions={"run_rule": run_rule, "send_again": send_again},
)
