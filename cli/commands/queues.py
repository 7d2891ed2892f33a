"""``ugtj queues``: the depth of the queues, and dead letters."""

from __future__ import annotations

import json as json_library
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import track

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
MOST = 100  # dead letters of one command


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
    messages = _receive(state, queue["url"], visible_again_s=0)
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
    messages = _receive(state, dead["url"], visible_again_s=60)
    moved = 0
    for message in track(messages, "Sending again ...", console=console(stderr=True), disable=json):
        sqs.send_message(QueueUrl=queue["url"], MessageBody=message["Body"])
        sqs.delete_message(QueueUrl=dead["url"], ReceiptHandle=message["ReceiptHandle"])
        moved += 1
    show({"queue": queue["name"], "sent_again": moved}, json, f"{moved} sent again.")


def read_queues(state: State) -> list[dict[str, Any]]:
    """Return the queues of the profile, with their counts."""
    sqs = state.profile.aws("sqs")
    prefix = {} if state.profile.is_local else {"QueueNamePrefix": state.profile.stack}
    urls = sqs.list_queues(**prefix).get("QueueUrls", [])
    queues = []
    for url in urls:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        policy = json_library.loads(attributes.get("RedrivePolicy", "{}"))
        queues.append(
            {
                "name": url.rpartition("/")[2],
                "url": url,
                **{name: int(attributes[key]) for key, name in COUNTS.items()},
                "dead_letter_arn": policy.get("deadLetterTargetArn"),
                "arn": attributes["QueueArn"],
            }
        )
    by_arn = {queue["arn"]: queue for queue in queues}
    for queue in queues:
        dead = by_arn.get(queue.pop("dead_letter_arn"))
        queue["dead_letters_of"] = queue.get("dead_letters_of")
        if dead is not None:
            dead["dead_letters_of"] = queue["name"]
    return sorted(queues, key=lambda queue: queue["name"])


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


def _receive(state: State, url: str, *, visible_again_s: int) -> list[dict[str, Any]]:
    sqs = state.profile.aws("sqs")
    found: dict[str, dict[str, Any]] = {}
    while len(found) < MOST:
        answer = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=max(visible_again_s, 5),
            MessageSystemAttributeNames=["All"],
        )
        fresh = [m for m in answer.get("Messages", []) if m["MessageId"] not in found]
        if not fresh:
            break
        found |= {message["MessageId"]: message for message in fresh}
    if not visible_again_s:
        for message in found.values():
            sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
    return list(found.values())
