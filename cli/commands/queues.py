"""``ugtj queues``: the depth of the queues, and dead letters."""

from __future__ import annotations

import json as json_library
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from cli import stack
from cli.output import USAGE, AsJson, CommandError, console, show, table

if TYPE_CHECKING:
    from cli.state import State

app = typer.Typer(
    help="SQS: the depth of the queues, and dead letters.",
    epilog="Example: ugtj queues redrive ApplierQueue",
    no_args_is_help=True,
)
COUNTS = {
    "ApproximateNumberOfMessages": "visible",
    "ApproximateNumberOfMessagesNotVisible": "in_flight",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}
Name = Annotated[str, typer.Argument(help="A queue, or a part of its name.")]
MOST_SHOWN = 100  # dead letters
INVISIBLE_S = 60  # while they are sent again
SHOWN_S = 30
LONG_POLL_S = 1  # SQS: without, an answer leaves out the messages of some of its servers


@app.command("list")
def list_queues(context: typer.Context, json: AsJson = False) -> None:
    """List the queues, with their messages and dead letters."""
    state: State = context.obj
    queues = read_queues(state)
    rows = [
        (q["name"], q["visible"], q["in_flight"], q["delayed"], q["dead_letters_of"])
        for q in queues
    ]
    columns = ("queue", "visible", "in flight", "delayed", "dead letters of")
    show({"queues": queues}, json, table("Queues", columns, rows))


@app.command("show")
def show_queue(context: typer.Context, name: Name, json: AsJson = False) -> None:
    """Show the messages of a queue of dead letters, without taking them."""
    state: State = context.obj
    queue = _find(state, name)
    if queue["dead_letters_of"] is None:
        # Each look counts as a receive: after some, a live message becomes a dead letter.
        raise CommandError(
            f"{queue['name']} is not a queue of dead letters; looking would take its messages",
            "ugtj queues list",
            code=USAGE,
        )
    messages = _look(state, queue["url"])
    content = [
        {
            "id": message["MessageId"],
            "sent_at": message["Attributes"].get("SentTimestamp"),
            "receives": int(message["Attributes"].get("ApproximateReceiveCount", 0)),
            "body": message["Body"],
        }
        for message in messages
    ]
    rows = [(item["id"], item["receives"], item["body"]) for item in content]
    shown = table(f"{len(rows)} messages of {queue['name']}", ("id", "receives", "body"), rows)
    show({"queue": queue["name"], "messages": content}, json, shown)


@app.command()
def redrive(context: typer.Context, name: Name, json: AsJson = False) -> None:
    """Send the dead letters of a queue again: safe, since they only say that there is work."""
    state: State = context.obj
    queue = _find(state, name, with_dead_letters=True)
    sqs = state.profile.aws("sqs")
    dead = queue["dead_letters"]
    moved = 0
    with Progress(console=console(stderr=True), transient=True, disable=json) as progress:
        task = progress.add_task("Sending again ...", total=dead["visible"] or None)
        # The count of SQS lags; but what fails again meanwhile is not sent a second time.
        while moved < max(dead["visible"], 1):
            received = _receive(state, sqs, dead["url"], INVISIBLE_S)
            if not received:
                break
            for message in received:
                _send_again(sqs, queue["url"], message)
                sqs.delete_message(QueueUrl=dead["url"], ReceiptHandle=message["ReceiptHandle"])
                moved += 1
                progress.advance(task)
    show({"queue": queue["name"], "sent_again": moved}, json, f"{moved} sent again.")


def _send_again(sqs: Any, url: str, message: dict[str, Any]) -> None:
    """Send a message as it was, with the position in its trail."""
    trace = message.get("Attributes", {}).get("AWSTraceHeader")
    sqs.send_message(
        QueueUrl=url,
        MessageBody=message["Body"],
        MessageAttributes={
            name: {key: value[key] for key in ("DataType", "StringValue", "BinaryValue")
                   if key in value}
            for name, value in message.get("MessageAttributes", {}).items()
        },
        **(
            {"MessageSystemAttributes": {
                "AWSTraceHeader": {"DataType": "String", "StringValue": trace}
            }}
            if trace else {}
        ),
    )  # fmt: skip


def read_queues(state: State) -> list[dict[str, Any]]:
    """Return the queues of the profile, with their counts. Raises :class:`CommandError` and
    botocore's errors."""
    sqs = state.profile.aws("sqs")
    if state.profile.is_local:
        urls = {url.rpartition("/")[2]: url for url in sqs.list_queues().get("QueueUrls", [])}
    else:
        urls = stack.resources(state.profile, "AWS::SQS::Queue")  # a physical id is the URL
    queues = [_read_queue(sqs, name, url) for name, url in urls.items()]
    by_arn = {queue["arn"]: queue for queue in queues}
    for queue in queues:
        dead = by_arn.get(queue.pop("dead_letter_arn"))
        queue["dead_letters_of"] = queue.get("dead_letters_of")
        if dead is not None:
            dead["dead_letters_of"] = queue["name"]
    return sorted(queues, key=lambda queue: queue["name"])


def _read_queue(sqs: Any, name: str, url: str) -> dict[str, Any]:
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    policy = json_library.loads(attributes.get("RedrivePolicy", "{}"))
    return {
        "name": name,
        "url": url,
        **{column: int(attributes[key]) for key, column in COUNTS.items()},
        "dead_letter_arn": policy.get("deadLetterTargetArn"),
        "arn": attributes["QueueArn"],
    }


def _find(state: State, name: str, *, with_dead_letters: bool = False) -> dict[str, Any]:
    queues = read_queues(state)
    dead = {queue["dead_letters_of"]: queue for queue in queues if queue["dead_letters_of"]}
    matching = [queue for queue in queues if name.casefold() in queue["name"].casefold()]
    exact = [queue for queue in matching if queue["name"].casefold() == name.casefold()]
    if with_dead_letters:
        matching = [queue for queue in matching if queue["name"] in dead]
    found = exact or matching
    if len(found) != 1:
        names = ", ".join(queue["name"] for queue in found or queues)
        raise CommandError(f"{name} is not one queue: {names}", "ugtj queues list", code=USAGE)
    if with_dead_letters:
        if found[0]["name"] not in dead:
            raise CommandError(f"{found[0]['name']} has no dead letters' queue", code=USAGE)
        return {**found[0], "dead_letters": dead[found[0]["name"]]}
    return found[0]


def _look(state: State, url: str) -> list[dict[str, Any]]:
    """Return the messages of a queue, which are visible again at once."""
    sqs = state.profile.aws("sqs")
    found: dict[str, dict[str, Any]] = {}
    try:
        while len(found) < MOST_SHOWN:
            received = _receive(state, sqs, url, SHOWN_S)
            if not {message["MessageId"] for message in received} - set(found):
                break
            found |= {message["MessageId"]: message for message in received}
    finally:
        for message in found.values():
            sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
    return list(found.values())


def _receive(state: State, sqs: Any, url: str, invisible_s: int) -> list[dict[str, Any]]:
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=invisible_s,
        WaitTimeSeconds=0 if state.profile.is_local else LONG_POLL_S,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
    )
    messages: list[dict[str, Any]] = answer.get("Messages", [])
    return messages
